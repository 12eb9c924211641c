/**
 * Parallel nodes: a driver in Python cuts the input into mini batches and hands them to worker processes that call the entry script's
 * `init()`, `run(mini_batch)` and `shutdown()` as the service's parallel runtime does (retries, time-outs, error thresholds, append_row_to).
 */
import { ServiceError } from '../errors.js';
import { asObject, asText, either, type Json } from './json.js';
import { instanceCount } from './checks.js';
import { type Component } from './plan.js';
import { JobFailure, type CommandSpec } from './types.js';

const driver = `import importlib.util, json, multiprocessing, os, shlex, sys, time, traceback
from multiprocessing.connection import wait

TABLES = (".csv", ".tsv", ".parquet", ".json", ".jsonl")


def files_below(path):
    if os.path.isfile(path):
        return [path]
    return sorted(os.path.join(r, f) for r, _, fs in os.walk(path) for f in fs)


def read_table(path):
    import pandas as pd

    frames = []
    for name in files_below(path):
        low = name.lower()
        if low.endswith((".csv", ".tsv")):
            frames.append(pd.read_csv(name, sep="\\t" if low.endswith(".tsv") else ","))
        elif low.endswith(".parquet"):
            frames.append(pd.read_parquet(name))
        elif low.endswith((".json", ".jsonl")):
            frames.append(pd.read_json(name, lines=low.endswith(".jsonl")))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def size_in_bytes(text):
    number = float(text.lower().rstrip("kmgb") or 0)
    unit = text.lower().strip("0123456789. ")
    return int(number * {"": 1, "b": 1, "k": 1024, "kb": 1024, "m": 1024**2, "mb": 1024**2, "g": 1024**3, "gb": 1024**3}[unit])


def mini_batches(c):
    tabular = c["tabular"] or any(f.lower().endswith("mltable") for f in files_below(c["input"]))
    size = str(c["mini_batch_size"] or "")
    if not tabular:
        files = files_below(c["input"])
        if any(ch.isalpha() for ch in size):
            limit, batch, total = size_in_bytes(size), [], 0
            for name in files:
                batch.append(name)
                total += os.path.getsize(name)
                if total >= limit:
                    yield batch, len(batch)
                    batch, total = [], 0
            if batch:
                yield batch, len(batch)
            return
        step = int(float(size or 0)) or 10
        for at in range(0, len(files), step):
            yield files[at : at + step], len(files[at : at + step])
        return
    table = read_table(c["input"])
    if not len(table):
        return
    if c["partition_keys"]:
        for _, part in table.groupby(c["partition_keys"], sort=True):
            yield part.reset_index(drop=True), len(part)
        return
    limit = size_in_bytes(size or "1mb") or 1024**2
    rows = max(1, int(limit / max(1, table.memory_usage(deep=True).sum() / len(table))))
    for at in range(0, len(table), rows):
        part = table.iloc[at : at + rows].reset_index(drop=True)
        yield part, len(part)


def load(c):
    path = os.path.abspath(c["entry_script"])
    sys.path.insert(0, os.path.dirname(path))
    sys.path.insert(0, os.getcwd())
    sys.argv = [path] + shlex.split(c["arguments"])
    spec = importlib.util.spec_from_file_location("entry_module", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["entry_module"] = module
    spec.loader.exec_module(module)
    return module


def worker(c, pipe):
    try:
        module = load(c)
        if hasattr(module, "init"):
            module.init()
        pipe.send(("ready", None))
    except BaseException:
        traceback.print_exc()
        pipe.send(("broken", traceback.format_exc()))
        return
    while True:
        batch = pipe.recv()
        if batch is None:
            break
        try:
            result = module.run(batch)
            rows = result.to_csv(sep=" ", header=False, index=False).splitlines() if hasattr(result, "to_csv") else [str(r) for r in result]
            pipe.send(("done", rows))
        except BaseException:
            traceback.print_exc()
            pipe.send(("failed", traceback.format_exc()))
    if hasattr(module, "shutdown"):
        module.shutdown()
    pipe.send(("bye", None))


class Worker:
    def __init__(self, c):
        self.pipe, far = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=worker, args=(c, far), daemon=False)
        self.process.start()
        far.close()
        self.job, self.deadline, self.ready = None, time.time() + 600, False

    def kill(self):
        self.process.kill()
        self.process.join()
        self.pipe.close()


def main():
    with open(sys.argv[1], encoding="utf8") as f:
        c = json.load(f)
    module = load(c)
    if not hasattr(module, "run"):
        print(f"{c['entry_script']} has no run(): there is nothing to do.")
        return 0
    todo = [(n, batch, items, 0) for n, (batch, items) in enumerate(mini_batches(c))]
    total = len(todo)
    print(f"{total} mini batches, {c['workers']} workers", flush=True)
    todo.reverse()
    results, failed_batches, failed_items, done = {}, 0, 0, 0
    workers = [Worker(c) for _ in range(min(c["workers"], max(1, total)))]

    def give(w):
        if todo:
            w.job = todo.pop()
            w.deadline = time.time() + c["timeout"]
            w.pipe.send(w.job[1])

    def lost(w, why):
        nonlocal failed_batches, failed_items, done
        n, batch, items, tries = w.job
        w.job = None
        if tries < c["max_retries"]:
            print(f"mini batch {n}: {why}; trying again ({tries + 1} of {c['max_retries']})", flush=True)
            todo.append((n, batch, items, tries + 1))
            return
        print(f"mini batch {n}: {why}; given up", flush=True)
        failed_batches += 1
        failed_items += items
        done += 1

    def over():
        if 0 <= c["mini_batch_error_threshold"] < failed_batches:
            return f"{failed_batches} mini batches failed; mini_batch_error_threshold is {c['mini_batch_error_threshold']}"
        if 0 <= c["error_threshold"] < failed_items:
            return f"{failed_items} items failed; error_threshold is {c['error_threshold']}"
        return None

    code = 0
    while done < total:
        for w in workers:
            if w.ready and w.job is None:
                give(w)
        wait([w.pipe for w in workers], timeout=0.2)
        for at, w in enumerate(workers):
            try:
                what, value = w.pipe.recv() if w.pipe.poll() else (None, None)
            except (EOFError, OSError):
                what, value = "gone", None
            if what == "ready":
                w.ready = True
            elif what == "broken":
                print("init() failed", flush=True)
                todo, code, done = [], 1, total
                break
            elif what == "done":
                n, _, items, _ = w.job
                results[n] = value
                failed_items += max(0, items - len(value)) if c["append_row_to"] else 0
                w.job, done = None, done + 1
                print(f"{done} of {total} mini batches done", flush=True)
            elif what == "failed":
                lost(w, "run() failed")
            elif what == "gone" or (w.job is not None and time.time() > w.deadline):
                w.kill()
                if w.job is not None:
                    lost(w, "worker died" if what == "gone" else f"took longer than {c['timeout']} seconds")
                workers[at] = Worker(c)
        why = over()
        if why:
            print(why, flush=True)
            code, done = 1, total
    for w in workers:
        if w.ready and w.job is None and code == 0:
            try:
                w.pipe.send(None)
                w.process.join(30)
            except (OSError, ValueError):
                pass
        if w.process.is_alive():
            w.kill()
    if c["append_row_to"] and code == 0:
        os.makedirs(os.path.dirname(c["append_row_to"]) or ".", exist_ok=True)
        with open(c["append_row_to"], "w", encoding="utf8") as f:
            for n in sorted(results):
                f.writelines(f"{row}\\n" for row in results[n])
    return code


if __name__ == "__main__":
    sys.exit(main())
`;

/** Splits `program_arguments` and friends so that expressions in them are filled like those of a command. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * The command of a parallel node: the driver with its configuration; `input` = the input that is cut into mini batches (must be files here).
 * @throws ServiceError 400 for a task that is not a `run_function` or has no entry script · JobFailure for what cannot be read
 */
export function parallelCommand(component: Component, node: Json): { spec: CommandSpec; input: string } {
  const { spec } = component;
  const member = (name: string): unknown => either(node, name) ?? spec[name];
  const task: Json = { ...asObject(spec['task']), ...asObject(node['task']) };
  const type = asText(task['type']) ?? 'run_function';
  if (!['run_function', 'function', 'model'].includes(type))
    throw new ServiceError(400, 'UserError', `Parallel task type '${type}' is not known.`);
  if (type === 'model') throw new ServiceError(501, 'NotImplemented', 'Parallel tasks of type model are not built.');
  const script = asText(task['entry_script']);
  const environmentId = asText(task['environment']);
  if (script === undefined || environmentId === undefined)
    throw new JobFailure('The parallel task needs entry_script and environment.');
  const input = /^\$\{\{\s*inputs\.(.+?)\s*\}\}$/.exec(asText(member('input_data')) ?? '')?.[1];
  if (input === undefined) throw new JobFailure('input_data of a parallel node must name one of its inputs: ${{inputs.x}}.');
  const retry = asObject(member('retry_settings'));
  const keys = member('partition_keys');
  const partitionKeys: unknown = typeof keys === 'string' && keys !== '' ? JSON.parse(keys) : (keys ?? []);
  const instances = instanceCount(spec, node);
  const number = (value: unknown, otherwise: number): number => (asText(value) === undefined ? otherwise : Number(asText(value)));
  const configuration = {
    entry_script: script,
    mini_batch_size: asText(member('mini_batch_size')) ?? '',
    partition_keys: partitionKeys,
    workers: instances * number(member('max_concurrency_per_instance'), 1),
    mini_batch_error_threshold: number(member('mini_batch_error_threshold'), -1),
    error_threshold: number(member('error_threshold'), -1),
    max_retries: number(retry['max_retries'], 2),
    timeout: number(retry['timeout'], 60),
    tabular: asText(asObject(asObject(spec['inputs'])[input])['type']) === 'mltable',
  };
  const code = asText(task['code']);
  // Paths are only known when the files are laid out: they come as arguments and are put into the configuration by a line of Python.
  const merge =
    'import json,sys; c=json.load(open(sys.argv[1])); c.update(input=sys.argv[2],append_row_to=sys.argv[3],arguments=sys.argv[4]); json.dump(c,open(sys.argv[1],"w"))';
  const args = asText(task['program_arguments']) ?? '';
  const append = asText(task['append_row_to']) ?? '';
  const folder = '$AMLOPS_RUN_FOLDER';
  const command: CommandSpec = {
    command: [
      `python -c ${quoted(merge)} "${folder}/parallel.json" "\${{inputs.${input}}}" "${append}" "${args.replaceAll('"', '\\"')}"`,
      `python "${folder}/parallel_driver.py" "${folder}/parallel.json"`,
    ].join(' && '),
    environmentId,
    environmentVariables: {},
    extraFiles: { 'parallel.json': JSON.stringify(configuration), 'parallel_driver.py': driver },
    ...(code !== undefined && { codeId: code }),
  };
  return { spec: command, input };
}
