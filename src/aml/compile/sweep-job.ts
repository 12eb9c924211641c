/** `type: sweep` jobs. */
import { commonBody, readJob, usesUserIdentity, type JobBody, type JobFile } from './base-job.js';
import { codeOf, commandFields, commandText, environmentOf } from './command-job.js';
import { child } from './document.js';
import { distributionToRest as clusterToRest, limitsToRest, queueToRest, resourcesToRest, restyle } from './fields.js';
import { inputsToRest, outputsToRest, readInputs, readOutputs, requirePaths } from './io.js';
import { isTreeObject, type Tree } from './pending.js';
import { raw, readObject } from './schema.js';
import { distributionToRest, mapValues, policyToRest, samplingToRest, sweepFields } from './sweep.js';

/** Compiles a sweep job. Problems go to the context. */
export function sweepJob(job: JobFile): JobBody {
  const { context, root, base } = job;
  const read = readJob(
    job,
    { ...sweepFields, trial: raw, inputs: raw, outputs: raw },
    { name: 'a sweep job', required: ['type', 'trial', 'objective', 'limits', 'search_space'] },
  );
  const inputs = readInputs(context, child(root, 'inputs'), base, false);
  const outputs = readOutputs(context, child(root, 'outputs'), base, 'job');
  requirePaths(context, inputs);
  const trialNode = child(root, 'trial');
  let trial: Tree;
  let trialResources: Tree;
  if (trialNode?.kind === 'map') {
    const definition = readObject(
      trialNode,
      commandFields,
      { name: 'trial', required: ['command', 'environment'] },
      context.reader(base),
    );
    trialResources = resourcesToRest(definition['resources'], 'camel');
    trial = {
      command: commandText(context, trialNode, inputs, 'checked'),
      codeId: codeOf(context, trialNode, base),
      environmentId: environmentOf(context, trialNode, base),
      environmentVariables: definition['environment_variables'] ?? {},
      distribution: clusterToRest(definition['distribution'], 'camel'),
      resources: trialResources,
    };
  } else if (trialNode) context.problems.add(trialNode.place, 'trial is not a mapping.', 'command, environment, code, …');
  const space = read['search_space'];
  const objective = read['objective'];
  return {
    type: 'Sweep',
    needsAmlToken: usesUserIdentity(read),
    properties: {
      ...commonBody(job, read),
      // The client reads services of a sweep and does not send them.
      services: undefined,
      jobType: 'Sweep',
      trial,
      searchSpace: isTreeObject(space) ? mapValues(space, distributionToRest) : undefined,
      samplingAlgorithm: samplingToRest(read['sampling_algorithm']),
      objective: isTreeObject(objective) ? restyle(objective, 'camel') : undefined,
      limits: limitsToRest(read['limits'], 'Sweep', 'camel'),
      earlyTermination: policyToRest(read['early_termination'], 'camel'),
      queueSettings: queueToRest(read['queue_settings'], 'camel'),
      resources: resourcesToRest(read['resources'], 'camel') ?? trialResources,
      inputs: inputsToRest(inputs, 'camel'),
      outputs: outputsToRest(outputs, 'camel'),
    },
  };
}
