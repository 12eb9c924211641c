/** Prompt flows used as parallel components: `flow.dag.yaml` files and run files that name one (recordings in conformance/jobs). */
import path from 'node:path';
import { codeWithUri } from './assets.js';
import { componentEnvironment, componentReader, localComponent, type ComponentFile, type LocalComponent } from './component.js';
import { resolvePath, statOf } from './context.js';
import { child, textOf, type YMap } from './document.js';
import { isTreeObject, type Tree, type TreeObject } from './pending.js';
import { bool, dict, raw, readObject, str } from './schema.js';

const DAG = 'flow.dag.yaml';

/** Reads a flow or run file. Problems: the flow is not there, or its tools file was not generated. */
function flowComponent(file: ComponentFile): LocalComponent {
  const { context, root, base } = file;
  const map = dict(str);
  const read = readObject(
    root,
    {
      display_name: str,
      description: str,
      tags: map,
      variant: str,
      column_mappings: map,
      connections: dict(map),
      environment_variables: map,
      flow: str,
      azureml: raw,
      $schema: str,
    },
    { name: 'a flow', unknown: 'drop' },
    context.reader(base),
  );
  const flowNode = child(root, 'flow');
  let folder = base;
  let name = file.file === undefined ? DAG : path.basename(file.file);
  let definition: YMap | undefined = root;
  if (flowNode) {
    const target = resolvePath(base, textOf(flowNode) ?? '');
    const stat = statOf(target);
    folder = stat?.isDirectory() ? target : path.dirname(target);
    name = stat?.isDirectory() ? DAG : path.basename(target);
    const loaded = context.yaml(path.join(folder, name), flowNode.place);
    definition = loaded?.kind === 'map' ? loaded : undefined;
  }
  const at = flowNode?.place ?? root.place;
  if (!statOf(path.join(folder, '.promptflow', 'flow.tools.json'))) {
    context.problems.add(at, 'The flow has no .promptflow/flow.tools.json.', 'run `pf flow validate` and commit that file');
  }
  const included = child(definition, 'additional_includes');
  const includes = included?.kind === 'seq' ? included.items.flatMap((item) => textOf(item) ?? []) : [];
  const code = codeWithUri(context, folder, at, includes);
  const overrides = child(root, 'azureml');
  const own =
    overrides?.kind === 'map'
      ? readObject(overrides, { environment: raw, is_deterministic: bool }, { name: 'azureml' }, context.reader(base))
      : {};
  const variables = {
    ...plainMap(context, definition, base),
    ...(isTreeObject(read['environment_variables']) ? read['environment_variables'] : {}),
  };
  const component = localComponent(file, 'flow', new Map(), new Map(), {
    spec: {
      name: path.basename(folder).replaceAll('-', '_'),
      display_name: read['display_name'],
      description: read['description'],
      tags: read['tags'],
      type: 'promptflow_parallel',
      is_deterministic: own['is_deterministic'] ?? true,
      variant: read['variant'],
      column_mapping: filled(read['column_mappings']),
      connections: filled(read['connections']),
      environment_variables: filled(variables),
      environment: overrides?.kind === 'map' ? componentEnvironment(file, overrides) : undefined,
      code: code.id,
      flow_definition_uri: code.uri(name),
    },
    defaults: {},
  });
  return component;
}
componentReader('flow', flowComponent);

function plainMap(context: ComponentFile['context'], root: YMap | undefined, base: string): TreeObject {
  const node = child(root, 'environment_variables');
  return node?.kind === 'map' ? (dict(str).read(node, context.reader(base)) as TreeObject) : {};
}

const filled = (value: Tree): Tree => (isTreeObject(value) && Object.keys(value).length > 0 ? value : undefined);
