/** The look of a report: light and dark, narrow and wide; no fonts, images or scripts from anywhere. */
export const reportStyle = `
:root{color-scheme:light dark;--back:#fff;--text:#1b1a19;--soft:#f5f5f4;--line:#d9d7d4;--dim:#62605d;--link:#0b5cad;--ok:#0e700e;--warn:#8f4700;--bad:#b10e1c}
@media (prefers-color-scheme:dark){:root{--back:#1b1a19;--text:#f0efed;--soft:#262524;--line:#454341;--dim:#a9a6a2;--link:#79b8ff;--ok:#6ccb5f;--warn:#ffb45c;--bad:#ff8f97}}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;margin:0;background:var(--back);color:var(--text)}main{max-width:1180px;margin:0 auto;padding:20px 24px 40px}
a{color:var(--link)}h1{font-size:24px;margin:0 0 12px;overflow-wrap:anywhere}h2{font-size:19px;margin:34px 0 10px;padding-bottom:4px;border-bottom:1px solid var(--line)}h3{font-size:16px;margin:22px 0 6px}h4,h5,h6{font-size:15px;margin:10px 0 4px}
header{border:1px solid var(--line);border-left:6px solid var(--dim);border-radius:6px;padding:16px 20px}header.succeeded{border-left-color:var(--ok)}header.failed{border-left-color:var(--bad)}header.canceled,header.partiallySucceeded{border-left-color:var(--warn)}
dl{display:flex;flex-wrap:wrap;gap:6px 32px;margin:0}dt{font-size:13px;color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
.tags{display:flex;flex-wrap:wrap;gap:6px;list-style:none;margin:12px 0 0;padding:0}.tags li{background:var(--soft);border:1px solid var(--line);border-radius:10px;padding:0 9px;font-size:12.5px;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:14px 2px 0}
table{border-collapse:collapse;margin:8px 0}th,td{text-align:left;padding:5px 14px 5px 8px;vertical-align:top;border-bottom:1px solid var(--line);overflow-wrap:break-word}.check{white-space:nowrap}th{font-size:13px;color:var(--dim);font-weight:600;white-space:nowrap}td:first-child{min-width:110px}
.wide{overflow-x:auto}.badge{font-size:13px;font-weight:600;color:var(--dim);white-space:nowrap}.badge.succeeded,.check.approved{color:var(--ok)}
.badge.succeededWithIssues,.badge.partiallySucceeded,.badge.canceled,.badge.cancelling,.check.bypassed,.check.timedOut{color:var(--warn)}.badge.failed,.badge.abandoned,.check.rejected,.check.failed{color:var(--bad)}
.problems{list-style:none;padding:0;margin:0}.problems li{border-left:4px solid var(--bad);background:var(--soft);padding:8px 14px;margin:8px 0;border-radius:0 6px 6px 0}.problems p{margin:4px 0 0;overflow-wrap:anywhere}
.card{border:1px solid var(--line);border-radius:6px;padding:6px 16px 10px;margin:10px 0}.card>summary{font-weight:600}.step{margin:4px 0}div.step{padding-left:17px}summary{cursor:pointer;overflow-wrap:anywhere}small{color:var(--dim);font-weight:400}.old{margin:8px 0 8px 12px}
code{background:var(--soft);padding:0 3px;border-radius:3px}pre{background:var(--soft);padding:12px;overflow:auto;max-height:520px;font:12.5px/1.45 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere;border-radius:6px}pre i{color:var(--dim);font-style:normal}pre b{font-weight:600}
pre .error,.issues .error{color:var(--bad)}pre .warning,.issues .warning{color:var(--warn)}pre .section{color:var(--ok)}pre .command,pre .group{color:var(--link)}pre .debug{color:var(--dim);font-weight:400}.issues{margin:4px 0;padding-left:22px;overflow-wrap:anywhere}
footer{margin-top:44px;color:var(--dim);font-size:13px}@media (max-width:640px){main{padding:12px}header{padding:12px}th,td{padding:4px 8px 4px 4px}.card{padding:4px 8px 8px}}
@media print{details>*{display:block}pre{max-height:none}}`;
