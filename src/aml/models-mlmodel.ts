/** What an `MLmodel` file says: flavors as the service shows them (observed §4: nested values as JSON text), and the signature. */
import { parse } from 'yaml';
import { Failure } from '../azure/errors.js';

interface MlModel {
  flavors: Record<string, { data: Record<string, string> }>;
  /** JSON text; undefined when the model has none. */
  signature?: string;
  runId?: string;
}

/** Errors: `Failure` `MlModelInvalid` when it is not a mapping with flavors. */
export function readMlModel(text: string, where: string): MlModel {
  const bad = (what: string, cause?: unknown) =>
    new Failure(`${where} is no MLmodel file: ${what}`, {
      code: 'MlModelInvalid',
      advice: 'Log the model with mlflow, or set modelType to custom_model.',
      cause,
    });
  let body: unknown;
  try {
    body = parse(text, { maxAliasCount: 100 });
  } catch (error) {
    throw bad((error as Error).message.split('\n')[0]!, error);
  }
  if (body === null || typeof body !== 'object' || Array.isArray(body)) throw bad('it is no mapping.');
  const { flavors, signature, run_id: run } = body as Record<string, unknown>;
  if (flavors === null || typeof flavors !== 'object' || Array.isArray(flavors)) throw bad('it names no flavors.');
  const plain = (value: unknown) => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
  return {
    flavors: Object.fromEntries(
      Object.entries(flavors).map(([name, data]) => [
        name,
        {
          data: Object.fromEntries(
            Object.entries((data ?? {}) as Record<string, unknown>).map(([key, value]) => [key, plain(value)]),
          ),
        },
      ]),
    ),
    ...(signature ? { signature: JSON.stringify(signature) } : {}),
    ...(typeof run === 'string' ? { runId: run } : {}),
  };
}
