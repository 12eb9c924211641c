/** MLflow's way of speaking: requests as one flat set of fields, answers as the JSON of its protocol buffers, errors with its own codes. */
import type { Readable } from 'node:stream';
import type { Answer, Ctx, Principal, WorkspaceRecord } from '../context.js';
import { ServiceError } from '../errors.js';

/** Codes of MLflow's errors that are used here, and their HTTP statuses (mlflow `exceptions.py`). */
const statuses = {
  INVALID_PARAMETER_VALUE: 400,
  RESOURCE_ALREADY_EXISTS: 400,
  RESOURCE_DOES_NOT_EXIST: 404,
  ENDPOINT_NOT_FOUND: 404,
  PERMISSION_DENIED: 403,
  UNAUTHENTICATED: 401,
  NOT_IMPLEMENTED: 501,
  INTERNAL_ERROR: 500,
  REQUEST_LIMIT_EXCEEDED: 429,
  TEMPORARILY_UNAVAILABLE: 503,
} as const;
type MlflowCode = keyof typeof statuses;

export class MlflowError extends ServiceError {
  constructor(code: MlflowCode, message: string) {
    super(statuses[code], code, message);
  }
}

export const invalid = (message: string): MlflowError => new MlflowError('INVALID_PARAMETER_VALUE', message);
export const missing = (message: string): MlflowError => new MlflowError('RESOURCE_DOES_NOT_EXIST', message);

/** Any error in MLflow's form: `{"error_code", "message"}`. */
export function mlflowAnswer(error: ServiceError): Answer {
  const byStatus = (Object.keys(statuses) as MlflowCode[]).find((code) => statuses[code] === error.status);
  const code = error.code in statuses ? error.code : (byStatus ?? 'INTERNAL_ERROR');
  return {
    status: error.status,
    body: {
      error_code: code,
      message: [error.message, ...(error.options.details ?? []).map(({ message }) => message)].join(' '),
    },
    ...(error.options.headers ? { headers: error.options.headers } : {}),
  };
}

export type Fields = Record<string, unknown>;

/** One call: fields of the body or, for GET, of the query. */
export interface MlflowCall {
  ctx: Ctx;
  ws: WorkspaceRecord;
  principal: Principal;
  fields: Fields;
  /** Names in the path. */
  params: Record<string, string>;
  /** Base of this workspace's tracking, as the caller addressed it. */
  base: string;
  stream?: Readable;
  contentType?: string;
  time: Date;
}

export type Handler = (call: MlflowCall) => unknown;

/** A text field; undefined when absent or empty. Numbers are taken as their text. */
export function text(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw invalid(`Invalid value for parameter '${name}' supplied: it must be a string.`);
}

export function need(fields: Fields, name: string): string {
  const value = text(fields, name);
  if (value === undefined)
    throw invalid(
      `Missing value for required parameter '${name}'. See the API docs for more information about request parameters.`,
    );
  return value;
}

const legalKey = /^[/\p{L}\p{N}_.\- :]+$/u;
const longestKey = 250;

/** A key of a metric, param or tag: MLflow keeps them as files in places, so they must not mean another file. Source: mlflow `utils/validation.py`. */
export function checkKey(key: string, what: string): string {
  if (key.length > longestKey)
    throw invalid(`Invalid ${what} name: '${key.slice(0, 100)}…' exceeds the maximum length of ${longestKey} characters.`);
  if (!legalKey.test(key) || key === '__proto__')
    throw invalid(
      `Invalid ${what} name: '${key}'. Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon (:) and slashes (/).`,
    );
  if (key.startsWith('/') || key.endsWith('/') || key.split('/').some((part) => part === '' || part === '.' || part === '..'))
    throw invalid(
      `Invalid ${what} name: '${key}'. Names may be treated as files in certain cases, and must not resolve to other names when treated as such.`,
    );
  return key;
}

/** A member that the record has itself: keys are texts of clients, `constructor` among them. */
export const own = <T>(record: Record<string, T>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined;

/** A whole number (int64 may be sent as text); undefined when absent. */
export function whole(fields: Fields, name: string): number | undefined {
  const value = text(fields, name);
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!Number.isSafeInteger(number))
    throw invalid(`Invalid value '${value}' for parameter '${name}' supplied: it must be an integer.`);
  return number;
}

/** A time in milliseconds since 1970, as far as a calendar goes; undefined when absent. */
export function time(fields: Fields, name: string): Date | undefined {
  const value = whole(fields, name);
  if (value === undefined) return undefined;
  const date = new Date(value);
  if (value < 0 || Number.isNaN(date.getTime()) || date.getUTCFullYear() > 9999)
    throw invalid(`Invalid value ${value} for parameter '${name}' supplied: it must be milliseconds since 1970.`);
  return date;
}

const views = ['ACTIVE_ONLY', 'DELETED_ONLY', 'ALL'];

/** A view type, by its name or its number in the protocol; active ones when absent. */
export function viewType(fields: Fields, name: string): string {
  const said = text(fields, name) ?? 'ACTIVE_ONLY';
  const view = /^[123]$/.test(said) ? views[Number(said) - 1] : views.find((known) => known === said);
  if (view === undefined)
    throw invalid(`Invalid value '${said.slice(0, 60)}' for parameter '${name}' supplied. Valid values are ${views.join(', ')}.`);
  return view;
}

/** A double; JSON of protocol buffers writes NaN and the infinities as text. */
export function double(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value === 'number') return value;
  if (typeof value === 'string' && value.trim() !== '') {
    const number = Number(value);
    if (!Number.isNaN(number) || value === 'NaN') return number;
  }
  throw invalid(`Got invalid value ${JSON.stringify(value) ?? 'nothing'} for parameter '${name}' (a number is needed).`);
}

/** The same for an answer. */
export const fromDouble = (value: number): number | string => (Number.isFinite(value) ? value : String(value));

/** A list; a GET with one value sends it without a list. */
function list(fields: Fields, name: string): unknown[] {
  const value = fields[name];
  if (value === undefined || value === null || value === '') return [];
  return Array.isArray(value) ? value : [value];
}

export const texts = (fields: Fields, name: string): string[] =>
  list(fields, name).map((entry) => {
    if (typeof entry === 'string') return entry;
    throw invalid(`Invalid value for parameter '${name}' supplied: a list of strings is needed.`);
  });

export function objects(fields: Fields, name: string): Fields[] {
  return list(fields, name).map((entry) => {
    if (typeof entry === 'object' && entry !== null && !Array.isArray(entry)) return entry as Fields;
    throw invalid(`Invalid value for parameter '${name}' supplied: a list of objects is needed.`);
  });
}

/** `[{key, value}]` of a record and back. */
export const pairs = (record: Record<string, string>): { key: string; value: string }[] =>
  Object.entries(record).map(([key, value]) => ({ key, value }));
export const fromPairs = (fields: Fields, name: string): Record<string, string> =>
  Object.fromEntries(objects(fields, name).map((entry) => [need(entry, 'key'), text(entry, 'value') ?? '']));

/** One page of a list that is computed whole; the token says where the next begins. */
export function page<T>(all: T[], fields: Fields, standard: number, most: number): { items: T[]; next?: string } {
  const size = whole(fields, 'max_results') ?? standard;
  if (size < 1 || size > most)
    throw invalid(`Invalid value ${size} for parameter 'max_results' supplied: It must be at least 1 and at most ${most}.`);
  const token = text(fields, 'page_token');
  let from = 0;
  if (token !== undefined) {
    const match = /^from:(\d+)$/.exec(Buffer.from(token, 'base64url').toString('utf8'));
    if (!match) throw invalid(`Invalid page token: ${token.slice(0, 100)}`);
    from = Number(match[1]);
  }
  const items = all.slice(from, from + size);
  const end = from + size;
  return end < all.length ? { items, next: Buffer.from(`from:${end}`).toString('base64url') } : { items };
}

/** A stored time as MLflow writes times; 0 where there is none. */
export const milliseconds = (iso: string | undefined): number => (iso === undefined ? 0 : Date.parse(iso));
