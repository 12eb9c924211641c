/** Parts that several v2 YAML schemas share, and how each is sent: camelCase in a job, snake_case in a pipeline node. */
import { asText, compact, isTreeObject, type Tree, type TreeObject } from './pending.js';
import { PyFloat, pyStr } from './python.js';
import {
  bool,
  dict,
  float,
  int,
  isBinding,
  list,
  nullable,
  object,
  raw,
  rawValue,
  readObject,
  str,
  tagged,
  union,
  words,
  type Field,
} from './schema.js';

export const stringMap: Field = dict(nullable(str));

const resourceKeys = {
  locations: list(str),
  instance_count: int,
  instance_type: str,
  properties: dict(raw),
  shm_size: str,
  max_instance_count: int,
  docker_args: union(str, list(str)),
};
export const resources: Field = object(resourceKeys, { name: 'resources' });
/** A component's resources may hold more; the client leaves it out. */
export const componentResources: Field = object(resourceKeys, { name: 'resources', unknown: 'drop' });

export const sparkResources: Field = object(
  {
    instance_type: str,
    runtime_version: {
      accepts: 'a version such as "3.4"',
      shape: 'scalar',
      read(node, reader) {
        const text = node.kind === 'scalar' ? node.text : '';
        if (/^\d+(\.\d+)*$/.test(text) || (reader.bindings && isBinding(text))) return text;
        reader.problems.add(node.place, 'The runtime version must be numbers joined by dots.', '"3.4"');
        return undefined;
      },
    },
  },
  { name: 'resources' },
);
export const SPARK_SIZES = ['standard_e4s_v3', 'standard_e8s_v3', 'standard_e16s_v3', 'standard_e32s_v3', 'standard_e64s_v3'];

const processes = { type: str, process_count_per_instance: int };
function distributionOf(unknown: 'refuse' | 'drop'): Field {
  const of = (keys: Record<string, Field>) => object(keys, { name: 'distribution', unknown });
  return tagged(
    'type',
    {
      pytorch: of(processes),
      mpi: of(processes),
      tensorflow: of({ type: str, parameter_server_count: int, worker_count: int }),
      ray: of({
        type: str,
        port: int,
        address: str,
        include_dashboard: bool,
        dashboard_port: int,
        head_node_additional_args: str,
        worker_node_additional_args: str,
      }),
    },
    undefined,
    (text) => text.toLowerCase(),
  );
}
export const distribution = distributionOf('refuse');
export const componentDistribution = distributionOf('drop');

// The client knows msi_resource_id by name and fails on it.
const managed = object({ type: str, client_id: str, object_id: str }, { name: 'identity' });
const bare = object({ type: str }, { name: 'identity' });
export const identity: Field = tagged('type', { managed, managed_identity: managed, aml_token: bare, user_identity: bare });

export const queueSettings: Field = object(
  { job_tier: words(['spot', 'basic', 'standard', 'premium', 'null']), priority: words(['low', 'medium', 'high']) },
  { name: 'queue_settings' },
);

const service = { port: int, nodes: words(['all'], 'exact'), properties: dict(raw), type: str };
const SERVICES: Record<string, string> = {
  jupyter_lab: 'JupyterLab',
  ssh: 'SSH',
  tensor_board: 'TensorBoard',
  vs_code: 'VSCode',
};
const readOnly = ['endpoint', 'status', 'error_message'];
const anyService = object(service, { name: 'the service', elsewhere: readOnly });
const knownService: Field = tagged(
  'type',
  {
    ssh: object({ ...service, ssh_public_keys: str }, { name: 'the service', elsewhere: readOnly }),
    tensor_board: object({ ...service, log_dir: str }, { name: 'the service', elsewhere: readOnly }),
    vs_code: object(service, { name: 'the service', elsewhere: readOnly }),
    jupyter_lab: object(service, { name: 'the service', elsewhere: readOnly }),
  },
  anyService,
  (text) => text.toLowerCase(),
);
/** Services of other types are sent without a type, as the client does. */
export const services: Field = dict({
  ...knownService,
  read(node, reader) {
    const type = node.kind === 'map' ? node.entries.get('type')?.value : undefined;
    if (node.kind === 'map' && !type) {
      // Without a type the client takes the first kind of service that has the keys.
      const kind = node.entries.has('log_dir') ? 'tensor_board' : 'ssh';
      const fields = { ...service, ...(kind === 'ssh' ? { ssh_public_keys: str } : { log_dir: str }) };
      return { ...readObject(node, fields, { name: 'the service', elsewhere: readOnly }, reader), type: kind };
    }
    if (type?.kind !== 'scalar' || type.type !== 'str' || Object.hasOwn(SERVICES, type.text.toLowerCase()))
      return knownService.read(node, reader);
    reader.problems.warn(
      type.place,
      `${type.text} is no type of service that a job can ask for; it is sent without one. Known: ${Object.keys(SERVICES).join(', ')}.`,
    );
    const { type: _type, ...rest } = (anyService.read(node, reader) ?? {}) as TreeObject;
    return rest;
  },
});

export const commandLimits: Field = object({ timeout: int }, { name: 'limits' });
export const sweepLimits: Field = object(
  { max_concurrent_trials: int, max_total_trials: int, timeout: int, trial_timeout: int },
  { name: 'limits', required: ['max_total_trials'] },
);

const policy = { type: str, evaluation_interval: nullable(int), delay_evaluation: nullable(int) };
export const earlyTermination: Field = tagged('type', {
  bandit: object({ ...policy, slack_factor: nullable(float), slack_amount: nullable(float) }, { name: 'early_termination' }),
  median_stopping: object(policy, { name: 'early_termination' }),
  truncation_selection: object(
    { ...policy, truncation_percentage: int },
    { name: 'early_termination', required: ['truncation_percentage'] },
  ),
});

export const objective: Field = object(
  { goal: words(['minimize', 'maximize'], 'snake'), primary_metric: str },
  { name: 'objective', required: ['goal', 'primary_metric'] },
);

const lower = (text: string): string => text.toLowerCase();
export const samplingAlgorithm: Field = union(
  words(['bayesian', 'grid', 'random']),
  tagged('type', {
    random: object(
      { type: str, seed: int, logbase: union(float, str), rule: words(['random', 'sobol'], 'snake') },
      { name: 'sampling_algorithm' },
    ),
    grid: object({ type: str }, { name: 'sampling_algorithm' }),
    bayesian: object({ type: str }, { name: 'sampling_algorithm' }),
  }),
);

/** Environment variables: text, or whatever the user wrote (the service takes text only; the client sends it as it is). */
export const environmentVariables: Field = {
  ...dict(raw),
  read(node, reader) {
    if (node.kind !== 'map') return dict(raw).read(node, reader);
    // JSON makes text of any key.
    return Object.fromEntries(
      [...node.entries.values()].map(({ key, value }) => [
        key.type === 'bool' || key.type === 'null' ? JSON.stringify(key.value) : key.type === 'str' ? key.text : pyStr(key.value),
        rawValue(value),
      ]),
    );
  },
};

/** A Python number as `timedelta` wants it. */
function seconds(value: Tree): number | undefined {
  return typeof value === 'number' ? value : value instanceof PyFloat ? value.value : undefined;
}

/** ISO 8601 duration as the client writes it: `PT1H30M`, `P1DT2H`. Zero and absent give nothing. */
export function duration(value: Tree): Tree {
  if (isBinding(value)) return value;
  const count = seconds(value);
  if (!count) return undefined;
  const whole = Math.abs(count);
  const days = Math.floor(whole / 86400);
  const rest = whole - days * 86400;
  const hours = Math.floor(rest / 3600);
  const minutes = Math.floor((rest % 3600) / 60);
  const last = rest % 60;
  const time = `${hours ? `${hours}H` : ''}${minutes ? `${minutes}M` : ''}${last ? `${last}S` : ''}`;
  return `${count < 0 ? '-' : ''}P${days ? `${days}D` : ''}${time ? `T${time}` : ''}`;
}

/** The style of keys: REST's camelCase in jobs, snake_case in nodes. */
export type Style = 'camel' | 'snake';
export function styled(key: string, style: Style): string {
  return style === 'snake' ? key : key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
export function restyle(tree: TreeObject, style: Style): TreeObject {
  return Object.fromEntries(Object.entries(tree).map(([key, value]) => [styled(key, style), value]));
}

export function resourcesToRest(value: Tree, style: Style): Tree {
  if (!isTreeObject(value)) return value;
  const { locations, max_instance_count: most, docker_args: args, properties, ...rest } = value;
  const listed = Array.isArray(args) && args.length > 0;
  return compact({
    ...restyle(rest, style),
    ...(properties === undefined ? {} : { properties: resourceProperties(properties) }),
    ...(listed ? { [styled('docker_args_list', style)]: args } : { [styled('docker_args', style)]: args }),
    // Sent in wire names in both styles: the client sets them after the fact.
    ...(listed ? {} : { locations, maxInstanceCount: most }),
  });
}

/** Some keys of `resources.properties` have one spelling on the wire. */
function resourceProperties(value: Tree): Tree {
  if (!isTreeObject(value)) return value;
  const names: Record<string, string> = {
    aisupercomputer: 'AISuperComputer',
    singularity: 'AISuperComputer',
    itp: 'itp',
    target_selector: 'target_selector',
  };
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [names[key.toLowerCase()] ?? key, item]));
}

export function distributionToRest(value: Tree, style: Style): Tree {
  if (!isTreeObject(value)) return value;
  const { type, ...rest } = value;
  const kinds: Record<string, string> = { pytorch: 'PyTorch', mpi: 'Mpi', tensorflow: 'TensorFlow', ray: 'Ray' };
  const kind = kinds[lower(asText(type))] ?? asText(type);
  const more = kind === 'TensorFlow' && rest['parameter_server_count'] === undefined ? { parameter_server_count: 0 } : {};
  // The Ray body has wire names even inside nodes.
  const used: Style = kind === 'Ray' ? 'camel' : style;
  return compact({ ...restyle({ ...more, ...rest }, used), [styled('distribution_type', style)]: kind });
}

export function identityToRest(value: Tree, style: Style): Tree {
  if (!isTreeObject(value)) return value;
  const { type, client_id: clientId, object_id: objectId } = value;
  const kind = asText(type).toLowerCase().replaceAll('_', '');
  const name = kind.startsWith('managed') ? 'Managed' : kind === 'amltoken' ? 'AMLToken' : 'UserIdentity';
  return compact({
    ...restyle({ client_id: clientId, object_id: objectId }, style),
    [styled('identity_type', style)]: name,
  });
}

export function queueToRest(value: Tree, style: Style): Tree {
  if (!isTreeObject(value)) return value;
  const tier = value['job_tier'];
  const priority = { low: 1, medium: 2, high: 3 }[asText(value['priority'])];
  return compact({
    [styled('job_tier', style)]: typeof tier === 'string' ? tier.charAt(0).toUpperCase() + tier.slice(1) : undefined,
    priority,
  });
}

export function servicesToRest(value: Tree, style: Style): Tree {
  if (!isTreeObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]) => {
      if (!isTreeObject(entry)) return [name, entry];
      const { type, port, nodes, properties, ssh_public_keys: keys, log_dir: logs } = entry;
      const more = { ...(keys ? { sshPublicKeys: keys } : {}), ...(logs ? { logDir: logs } : {}) };
      const all = { ...(isTreeObject(properties) ? properties : {}), ...more };
      const sent: Tree = compact({
        [styled('job_service_type', style)]: typeof type === 'string' ? (SERVICES[type.toLowerCase()] ?? type) : undefined,
        nodes: nodes ? { [styled('nodes_value_type', style)]: 'All' } : undefined,
        port,
        ...(Object.keys(all).length > 0 ? { properties: all } : {}),
      });
      return [name, sent];
    }),
  );
}

export function limitsToRest(value: Tree, kind: 'Command' | 'Sweep', style: Style): Tree {
  if (!isTreeObject(value)) return value;
  const floor = (time: Tree): Tree => (kind === 'Sweep' && typeof time === 'number' && time > 0 && time < 60 ? 60 : time);
  return compact({
    ...restyle({ ...value, timeout: duration(floor(value['timeout'])) }, style),
    ...(value['trial_timeout'] === undefined
      ? {}
      : { [styled('trial_timeout', style)]: duration(floor(value['trial_timeout'])) }),
    [styled('job_limits_type', style)]: kind,
  });
}

export { rawValue };
