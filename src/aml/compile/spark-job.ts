/** `type: spark` jobs. */
import { environment } from './assets.js';
import { commonBody, readJob, usesUserIdentity, type JobBody, type JobFile } from './base-job.js';
import { checkInputsUsed, codeOf } from './command-job.js';
import { child, textOf } from './document.js';
import { restyle, sparkResources } from './fields.js';
import { inputsToRest, outputsToRest, readInputs, readOutputs, requirePaths } from './io.js';
import { asText, isTreeObject, type Tree, type TreeObject } from './pending.js';
import { pyStr, type Json } from './python.js';
import { raw } from './schema.js';
import {
  checkModes,
  checkPlace,
  checkSpark,
  entryToRest,
  namedConf,
  NO_IMAGE,
  readConf,
  sparkFields,
  withInstances,
  type SparkConf,
} from './spark.js';
import { sparkIdentity } from './spark-node.js';

/** Compiles a Spark job. Problems go to the context. */
export function sparkJob(job: JobFile): JobBody {
  const { context, root, base } = job;
  const read = readJob(
    job,
    { ...sparkFields, resources: sparkResources, inputs: raw, outputs: raw },
    { name: 'a spark job', required: ['entry'] },
  );
  const inputs = readInputs(context, child(root, 'inputs'), base, false);
  const outputs = readOutputs(context, child(root, 'outputs'), base, 'job');
  requirePaths(context, inputs);
  checkModes(context, { inputs, outputs });
  const conf = withInstances(readConf(read['conf']));
  checkSpark(context, root, base, conf, true);
  checkPlace(context, root, read);
  const args = child(root, 'args');
  if (args) checkInputsUsed(context, textOf(args) ?? '', inputs, args.place, 'args');
  const environmentNode = child(root, 'environment');
  const resources = read['resources'];
  return {
    type: 'Spark',
    needsAmlToken: usesUserIdentity(read) || (read['identity'] === undefined && read['compute'] === undefined),
    properties: {
      ...commonBody(job, read),
      // The client reads properties and services of a Spark job and does not send them.
      properties: {},
      services: undefined,
      jobType: 'Spark',
      codeId: codeOf(context, root, base),
      entry: entryToRest(read['entry'], 'camel'),
      pyFiles: read['py_files'],
      jars: read['jars'],
      files: read['files'],
      archives: read['archives'],
      conf: confToText(conf),
      identity: sparkIdentity(read, 'camel'),
      environmentId: environmentNode ? environment(context, environmentNode, base, NO_IMAGE) : undefined,
      inputs: inputsToRest(inputs, 'camel'),
      outputs: outputsToRest(outputs, 'camel'),
      args: read['args'],
      resources: isTreeObject(resources) ? restyle(resources, 'camel') : undefined,
    },
  };
}

/** A job's configuration is text throughout. */
function confToText({ named, other }: SparkConf): TreeObject {
  const dynamic = asText(named.dynamic_allocation_enabled).toLowerCase() === 'true';
  const values: [string, Tree][] = [...Object.entries(other)];
  for (const [key, name] of Object.entries(namedConf)) {
    const value = named[key as keyof typeof namedConf];
    if (key === 'dynamic_allocation_enabled') values.push([name, dynamic ? true : undefined]);
    else if (key.startsWith('dynamic_allocation')) values.push([name, dynamic ? value : undefined]);
    else values.push([name, value]);
  }
  return Object.fromEntries(
    values.filter(([, value]) => value !== undefined && value !== null).map(([key, value]) => [key, pyStr(value as Json)]),
  );
}
