/** Tags of registered models and versions, as requests say them. */
import { fromPairs, invalid, need, text, type MlflowCall } from './wire.js';

/** Tags of a request with MLflow's lengths (mlflow `utils/validation.py`). */
export function registryTags(call: MlflowCall): Record<string, string> {
  const tags = fromPairs(call.fields, 'tags');
  for (const [key, value] of Object.entries(tags)) checkTag(key, value);
  return tags;
}

function checkTag(key: string, value: string): void {
  if (key === '__proto__') throw invalid(`Invalid tag name: '${key}'.`);
  if (key.length > 250) throw invalid(`'key' exceeds the maximum length of 250 characters`);
  if (value.length > 100_000) throw invalid(`'value' exceeds the maximum length of 100000 characters`);
}

/** The tag that `set-tag` speaks of. */
export function tagSaid(call: MlflowCall): [key: string, value: string] {
  const said: [string, string] = [need(call.fields, 'key'), text(call.fields, 'value') ?? ''];
  checkTag(...said);
  return said;
}
