// A ServiceAccount of one plan's own, with what the manifest grants: its rules and its token can be taken away while other plans run beside it.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseAllDocuments } from 'yaml';
import { isNotFound } from '../../operator/src/runtime/apiError.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import type { KubeObject } from '../../operator/src/runtime/object.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

const NAME = 'polar-operator-own';
const RBAC = 'rbac.authorization.k8s.io';
// The API server remembers for ten seconds that a token was good.
const FORGOTTEN_WITHIN_MS = 30_000;

export class Account {
  readonly #admin: KubeClient;
  readonly #namespace: string;
  readonly #rules: readonly Rule[];
  /** Asks the API server as somebody with that token would, and returns the status. */
  readonly #statusFor: (token: string) => Promise<number>;
  #tokens = 0;

  private constructor(admin: KubeClient, namespace: string, parts: { rules: readonly Rule[]; statusFor: (token: string) => Promise<number> }) {
    this.#admin = admin;
    this.#namespace = namespace;
    this.#rules = parts.rules;
    this.#statusFor = parts.statusFor;
  }

  static async make(admin: KubeClient, namespace: string, parts: { manifest: string; statusFor: (token: string) => Promise<number> }): Promise<Account> {
    const account = new Account(admin, namespace, { rules: rulesOf(parts.manifest), statusFor: parts.statusFor });
    const metadata = { name: NAME, namespace };
    await admin.request('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { body: { metadata } });
    await admin.request('POST', account.#path('roles'), { body: { metadata, rules: account.#rules } });
    const roleRef = { apiGroup: RBAC, kind: 'Role', name: NAME };
    await admin.request('POST', account.#path('rolebindings'), { body: { metadata, roleRef, subjects: [{ kind: 'ServiceAccount', name: NAME, namespace }] } });
    return account;
  }

  /** A token that is good until its Secret is deleted. */
  async token(): Promise<string> {
    this.#tokens += 1;
    const secret = await this.#admin.request<KubeObject>('POST', `/api/v1/namespaces/${this.#namespace}/secrets`, { body: { metadata: { name: `token-${this.#tokens}` } } });
    const boundObjectRef = { apiVersion: 'v1', kind: 'Secret', name: secret.metadata.name, uid: secret.metadata.uid };
    const { status } = await this.#admin.request<{ status: { token: string } }>('POST', `/api/v1/namespaces/${this.#namespace}/serviceaccounts/${NAME}/token`, {
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 86_400, boundObjectRef } },
    });
    return status.token;
  }

  /** Resolves when the API server refuses the token, the `nth` that was made. */
  async revoke(token: string, nth: number): Promise<void> {
    await this.#admin.request('DELETE', `/api/v1/namespaces/${this.#namespace}/secrets/token-${nth}`);
    const deadline = Date.now() + FORGOTTEN_WITHIN_MS;
    while ((await this.#statusFor(token)) !== 401) {
      if (Date.now() > deadline) throw new Error(`a token whose Secret was deleted is still good after ${FORGOTTEN_WITHIN_MS / 1000} s`);
      await sleep(250);
    }
  }

  /** Takes a resource with its subresources out of the rules. Returns what puts it back. */
  async forbid(resource: string): Promise<() => Promise<void>> {
    const isKept = (name: string): boolean => name !== resource && !name.startsWith(`${resource}/`);
    await this.#setRules(this.#rules.map((rule) => ({ ...rule, resources: rule.resources.filter(isKept) })).filter(({ resources }) => resources.length > 0));
    return () => this.#setRules(this.#rules);
  }

  async #setRules(rules: readonly Rule[]): Promise<void> {
    try {
      await this.#admin.request('PATCH', `${this.#path('roles')}/${NAME}`, { body: { rules }, contentType: 'application/merge-patch+json' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  #path(plural: string): string {
    return `/apis/${RBAC}/v1/namespaces/${this.#namespace}/${plural}`;
  }
}

/** Everything the manifest grants, as rules for one namespace. */
function rulesOf(manifest: string): readonly Rule[] {
  const documents = parseAllDocuments(readFileSync(manifest, 'utf8')).map((one) => one.toJS() as { kind?: string; rules?: readonly Rule[] });
  return documents.filter(({ kind }) => kind === 'ClusterRole' || kind === 'Role').flatMap(({ rules = [] }) => rules);
}
