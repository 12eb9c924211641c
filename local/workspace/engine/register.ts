/** Outputs that carry a name become assets when their run has produced them. */
import { ServiceError } from '../errors.js';
import { JobFailure, type OutputTarget, type Task } from './types.js';

const modelTypes = new Set(['mlflow_model', 'custom_model', 'triton_model']);

/**
 * Registers an output under its `assetName` (and `assetVersion`, else the next free one).
 * @throws JobFailure when the service would refuse the asset
 */
export async function registerOutput(task: Task, output: string, target: OutputTarget, uri: string): Promise<void> {
  const { ctx, ws, principal } = task.tree;
  const name = target.assetName ?? output;
  try {
    if (modelTypes.has(target.type)) {
      const properties = { modelUri: uri, modelType: target.type, jobName: task.run.runId };
      await ctx.assets.put(ws, 'models', name, target.assetVersion, properties, principal.name);
    } else {
      const properties = { dataUri: uri, dataType: target.type };
      await ctx.assets.put(ws, 'data', name, target.assetVersion, properties, principal.name);
    }
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    const taken = target.assetVersion !== undefined && error.options.inner?.includes('AssetPathImmutable');
    const asset = `${modelTypes.has(target.type) ? 'model' : 'data asset'} '${name}'`;
    throw new JobFailure(
      taken
        ? `Output '${output}' could not be registered as version ${target.assetVersion} of ${asset}: that version is there and holds the output of ` +
            `another run, and versions cannot be changed (${error.message}). Leave the version out, then the next one is taken, or name a new one.`
        : `Output '${output}' could not be registered as ${asset}: ${error.message}`,
      'UserError',
      { innerCode: 'OutputRegistrationFailed' },
    );
  }
}
