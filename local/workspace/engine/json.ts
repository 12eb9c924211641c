/** Members of JSON bodies, read as what they must be. */
export type Json = Record<string, unknown>;

/** Reads a member as the type that it must have here; anything else is as if absent. */
export const asText = (value: unknown): string | undefined =>
  typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;
export const asObject = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
/** Member in either casing: bindings inside nodes are snake_case, outside camelCase (azure-ml-rest.md §1.7). */
export const either = (object: Json, snake: string): unknown =>
  object[snake] ?? object[snake.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())];
