/** The three error envelopes of the service (reference azure-ml-observed §0). Handlers throw a ServiceError; the server words it. */
import { randomBytes } from 'node:crypto';

export interface ErrorDetail {
  code: string;
  message: string;
  target?: string;
}

interface ServiceErrorOptions {
  /** gateway: the resource manager itself; mfe: the service behind it; data: run history, MLflow-free data planes; none: no body. */
  envelope?: 'gateway' | 'mfe' | 'data' | 'none';
  details?: ErrorDetail[];
  target?: string;
  /** InnerError chain of the MFE and data envelopes, outermost first. */
  inner?: string[];
  headers?: Record<string, string>;
  component?: string;
  /** messageFormat and messageParameters of the data envelope; the MFE envelope tells the first. */
  format?: { messageFormat: string; messageParameters: Record<string, string> };
}

/** An answer of the service that is an error. `code` and `message` are worded as the service words them. */
export class ServiceError extends Error {
  readonly status: number;
  readonly code: string;
  readonly options: ServiceErrorOptions;
  constructor(status: number, code: string, message: string, options: ServiceErrorOptions = {}) {
    super(message);
    this.name = 'ServiceError';
    this.status = status;
    this.code = code;
    this.options = options;
  }
}

/** The resource is not there, said by the gateway. `type` e.g. `onlineEndpoints`. */
export function resourceNotFound(
  resource: string,
  resourceGroup: string,
  provider = 'Microsoft.MachineLearningServices',
): ServiceError {
  return new ServiceError(
    404,
    'ResourceNotFound',
    `The Resource '${provider}/${resource}' under resource group '${resourceGroup}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix`,
    { envelope: 'gateway' },
  );
}

export function parentNotFound(parent: string): ServiceError {
  return new ServiceError(
    404,
    'ParentResourceNotFound',
    `Can not perform requested operation on nested resource. Parent resource '${parent}' not found.`,
    { envelope: 'gateway' },
  );
}

/** MFE's 404. */
export function notFound(message: string, detail?: ErrorDetail): ServiceError {
  return new ServiceError(404, 'UserError', message, { details: detail ? [detail] : [], inner: ['NotFoundError'] });
}

/** MFE's 400. `inner` e.g. `BadArgument`. */
export function badRequest(message: string, details: ErrorDetail[] = [], inner: string[] = ['BadArgument']): ServiceError {
  return new ServiceError(400, 'UserError', message, { details, inner });
}

/** A body that the service cannot read: one detail a member, and how it says so (azure-ml-observed §0). */
export function invalidBody(details: ErrorDetail[]): ServiceError {
  const message = 'Request is invalid and/or missing fields.';
  return new ServiceError(400, 'UserError', message, {
    details,
    inner: ['RequestInvalid'],
    format: { messageFormat: message, messageParameters: {} },
  });
}

export function conflict(message: string, inner: string[] = ['Conflict']): ServiceError {
  return new ServiceError(409, 'UserError', message, { inner });
}

/** Not built here: says which operation, never a success (docs/workspace.md). */
export function notBuilt(operation: string): ServiceError {
  return new ServiceError(501, 'NotImplemented', `The embedded workspace does not implement ${operation}.`, {
    target: operation,
  });
}

function chain(codes: string[]): unknown {
  const [code, ...rest] = codes;
  return code === undefined ? null : { code, innerError: chain(rest) };
}

/** The JSON body of an error, `undefined` for none. */
export function errorBody(
  error: ServiceError,
  where: { location: string; time: string; correlation: string; request: string },
): unknown {
  const { envelope = 'mfe', details = [], target, inner, component } = error.options;
  if (envelope === 'none') return undefined;
  if (envelope === 'gateway')
    return {
      error: {
        code: error.code,
        message: error.message,
        ...(target ? { target } : {}),
        ...(details.length ? { details } : {}),
      },
    };
  if (envelope === 'data')
    return {
      error: {
        code: error.code,
        severity: null,
        message: error.message,
        messageFormat: error.options.format?.messageFormat ?? null,
        messageParameters: error.options.format?.messageParameters ?? null,
        referenceCode: null,
        detailsUri: null,
        target: target ?? null,
        details: details.map((detail) => ({ ...detail, details: [] })),
        innerError: inner ? chain(inner) : null,
        debugInfo: null,
        additionalInfo: null,
      },
      correlation: { operation: where.correlation, request: where.request },
      environment: where.location,
      location: where.location,
      time: where.time,
      componentName: component ?? 'RunHistory',
      statusCode: error.status,
    };
  const info = (type: string, value: unknown) => ({ type, info: { value } });
  return {
    error: {
      code: error.code,
      message: error.message,
      ...(target ? { target } : {}),
      details: details.map((detail) => ({ ...detail, details: [], additionalInfo: [] })),
      additionalInfo: [
        info('ComponentName', component ?? 'managementfrontend'),
        info('Correlation', { operation: where.correlation, request: where.request }),
        info('Environment', where.location),
        info('Location', where.location),
        info('Time', where.time),
        ...(inner ? [info('InnerError', chain(inner))] : []),
        ...(error.options.format ? [info('MessageFormat', error.options.format.messageFormat)] : []),
      ],
    },
  };
}

/** 32 and 16 hex digits, as in the Correlation member. */
export function correlation(): { correlation: string; request: string } {
  return { correlation: randomBytes(16).toString('hex'), request: randomBytes(8).toString('hex') };
}
