/** What a run was doing when its process died is ended truthfully before the run goes on as another attempt. */
import { isoNow } from '../devops/files.js';
import type { Project } from '../devops/project.js';
import type { RunState } from '../devops/run-state.js';

/** Open records become abandoned; approvals that nobody can answer any more are cancelled; deployments of the run get their end. */
export async function endKilled(run: RunState, project: Project): Promise<void> {
  const when = isoNow();
  for (const record of run.run.records)
    if (record.state === 'inProgress')
      run.update(record, {
        state: 'completed',
        result: 'abandoned',
        finishTime: when,
        ...(record.type === 'Stage'
          ? { issues: [{ type: 'error', message: 'The process that ran this stage ended before the stage did.' }], errorCount: 1 }
          : {}),
      });
  for (const approval of run.run.approvals) run.closeApproval(approval.id, 'canceled');
  for (const suite of run.run.suites) {
    if (suite.status === 'queued' || suite.status === 'running') suite.status = 'canceled';
    for (const check of suite.checkRuns)
      if (check.status === 'queued' || check.status === 'running')
        Object.assign(check, { status: 'canceled', completedDate: when });
  }
  run.changed();
  await project.change((document) => {
    for (const deployment of document.deployments)
      if (deployment.owner.id === run.id && deployment.result === undefined)
        Object.assign(deployment, { result: 'abandoned', finishTime: when });
  });
}
