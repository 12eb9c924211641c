/** Who may do what: role assignments of service principals, checked as the resource manager does (401, 403, 404). */
import type { Principal, World } from '../context.js';
import { ServiceError } from '../errors.js';
import type { Store } from '../store.js';
import type { TokenIssuer } from './issuer.js';

export type Access = 'read' | 'write' | 'secrets';
export type Role = 'Contributor' | 'Reader' | 'Storage Blob Data Contributor' | 'Storage Blob Data Reader';

export interface Assignment {
  clientId: string;
  role: Role;
  /** ARM scope; what lies below it is included. */
  scope: string;
}

const table = 'roles';
const rank: Record<Role, Access[]> = {
  Contributor: ['read', 'write', 'secrets'],
  Reader: ['read'],
  'Storage Blob Data Contributor': [],
  'Storage Blob Data Reader': [],
};

function within(scope: string, resource: string): boolean {
  const outer = scope.toLowerCase();
  const inner = resource.toLowerCase();
  return inner === outer || inner.startsWith(`${outer}/`);
}

export class Rights {
  readonly #store: Store;
  readonly #issuer: TokenIssuer;
  readonly #world: World;
  #cache: Assignment[] | undefined;
  /** Told after every change (the blob service judges by roles as well). */
  onChange: () => void = () => undefined;

  constructor(store: Store, issuer: TokenIssuer, world: World) {
    this.#store = store;
    this.#issuer = issuer;
    this.#world = world;
  }

  assignments(): Assignment[] {
    return (this.#cache ??= this.#store.entries<Assignment>(table).map(({ value }) => value));
  }

  /** Gives a role; an assignment that is there stays. */
  async assign(assignment: Assignment): Promise<void> {
    await this.#store.write((tx) => tx.put(table, this.#key(assignment), assignment));
    this.#changed();
  }

  async revoke(assignment: Assignment): Promise<void> {
    await this.#store.write((tx) => tx.remove(table, this.#key(assignment)));
    this.#changed();
  }

  /** Reads the assignments again. */
  refresh(): void {
    this.#cache = undefined;
  }

  #changed(): void {
    this.#cache = undefined;
    this.onChange();
  }

  #key({ clientId, role, scope }: Assignment): string {
    return `${clientId} ${role} ${scope.toLowerCase()}`;
  }

  roles(principal: Principal, resource: string): Role[] {
    return this.assignments()
      .filter((entry) => entry.clientId === principal.clientId && within(entry.scope, resource))
      .map((entry) => entry.role);
  }

  expired(): ServiceError {
    return new ServiceError(
      401,
      'ExpiredAuthenticationToken',
      'The access token expiry UTC time is earlier than current UTC time.',
      {
        envelope: 'gateway',
        headers: { 'WWW-Authenticate': 'Bearer error="invalid_token", error_description="The access token has expired."' },
      },
    );
  }

  /** The principal of an `Authorization` header. Throws 401 in the gateway's envelope. */
  async authenticate(header: string | undefined): Promise<Principal> {
    if (!header?.toLowerCase().startsWith('bearer '))
      throw new ServiceError(401, 'AuthenticationFailed', "Authentication failed. The 'Authorization' header is missing.", {
        envelope: 'gateway',
        headers: { 'WWW-Authenticate': `Bearer authorization_uri="${this.#issuer.authority()}", error="invalid_token"` },
      });
    const verdict = await this.#issuer.verify(header.slice(7).trim());
    if (verdict.kind === 'expired') throw this.expired();
    if (verdict.kind === 'audience')
      throw new ServiceError(
        401,
        'InvalidAuthenticationTokenAudience',
        `The access token has been obtained for wrong audience or resource '${verdict.audience}'. It should exactly match with one of the allowed audiences '${this.#issuer.audiences().join("','")}'.`,
        { envelope: 'gateway' },
      );
    const principal = verdict.kind === 'valid' ? this.#world.principal(verdict.clientId) : undefined;
    if (!principal)
      throw new ServiceError(401, 'InvalidAuthenticationToken', 'The access token is invalid.', {
        envelope: 'gateway',
        headers: { 'WWW-Authenticate': `Bearer authorization_uri="${this.#issuer.authority()}", error="invalid_token"` },
      });
    return principal;
  }

  /**
   * Throws 403 AuthorizationFailed unless a role of the principal covers `access` on `resource`. `operation` is told in the refusal, with its
   * verb (`…/read`, `…/cancel/action`) or without; so is `scope`, the part of the resource that was asked for.
   */
  check(principal: Principal, resource: string, access: Access, operation: string, scope = resource): void {
    if (this.roles(principal, resource).some((role) => rank[role].includes(access))) return;
    const verb = access === 'secrets' ? 'listSecrets/action' : access;
    const action = /\/(read|write|delete|action)$/.test(operation) ? operation : `${operation}/${verb}`;
    throw new ServiceError(
      403,
      'AuthorizationFailed',
      `The client '${principal.clientId}' with object id '${principal.objectId}' does not have authorization to perform action 'Microsoft.MachineLearningServices/${action}' over scope '${scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.`,
      { envelope: 'gateway' },
    );
  }

  /** The gateway's checks above a resource: subscription, resource group, rights on it; only then whether the resource exists. */
  checkGroup(
    principal: Principal,
    subscriptionId: string,
    resourceGroup: string,
    access: Access,
    operation: string,
    name: string,
    kind: 'workspaces' | 'registries' = 'workspaces',
  ): void {
    const inSubscription = this.#world
      .resourceGroups()
      .filter((entry) => entry.subscriptionId.toLowerCase() === subscriptionId.toLowerCase());
    if (!inSubscription.length)
      throw new ServiceError(404, 'SubscriptionNotFound', `The subscription '${subscriptionId}' could not be found.`, {
        envelope: 'gateway',
      });
    const [found] = inSubscription.filter((entry) => entry.name.toLowerCase() === resourceGroup.toLowerCase());
    if (!found)
      throw new ServiceError(404, 'ResourceGroupNotFound', `Resource group '${resourceGroup}' could not be found.`, {
        envelope: 'gateway',
      });
    const group = `/subscriptions/${found.subscriptionId}/resourceGroups/${found.name}`;
    if (kind === 'registries' || !this.#world.workspace(subscriptionId, resourceGroup, name))
      this.check(principal, `${group}/providers/Microsoft.MachineLearningServices/${kind}/${name}`, access, operation);
  }
}
