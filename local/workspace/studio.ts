/** What a browser finds where Azure ML studio would be: that it is not built, and where to look instead. Tells nothing of any job. */
import type { Surface } from './context.js';
import type { Rights } from './identity/rights.js';

const page = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>No studio here</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:4rem auto;padding:0 1rem}code{background:#8882;padding:.1em .3em}</style>
</head><body><h1>There is no studio here</h1>
<p>This is an Azure Machine Learning that runs on your machine (<code>amlops up</code>). Links that lead to Azure Machine Learning studio in Azure
lead to this page; the studio itself is not built.</p>
<p>What a job did is in the log and the summary of the step that submitted it; after <code>amlops run</code> also in
<code>.amlops/report/index.html</code>. The official clients show every job, log, metric and model: see <code>docs/clients.md</code>.</p>
</body></html>
`;

export function studioSurface(rights: Rights): Surface {
  return {
    name: 'studio',
    register(router) {
      // Where `studioUrl` of a job leads. A client that is no browser needs a token here as everywhere.
      router.anonymous('GET', '/runs/:run', async ({ headers }) => {
        if (!/\btext\/html\b/.test(headers['accept'] ?? '')) await rights.authenticate(headers['authorization']);
        return { status: 501, raw: page, contentType: 'text/html; charset=utf-8' };
      });
    },
  };
}
