// Service account tokens for one pod: asked for as the Node, bound to the pod, asked for again at 80 % of their life.
import type { Api } from './api.ts';
import type { Pod } from './objects.ts';

export interface PodTokens {
  /** A token for `audience` (the API server's own when undefined) that is good for at least a fifth of its life. */
  token(audience: string | undefined, expirationSeconds: number): Promise<string>;
}

interface TokenReply { status: { token: string; expirationTimestamp: string } }
interface Held { readonly token: string; readonly refreshAt: number }

const REFRESH_AT = 0.8;

export const podTokens = (api: Api, pod: Pod): PodTokens => {
  const { namespace, name, uid } = pod.metadata;
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${pod.spec.serviceAccountName ?? 'default'}/token`;
  const held = new Map<string, Held>();
  const ask = async (audience: string | undefined, expirationSeconds: number): Promise<Held> => {
    const asked = Date.now();
    const { status } = await api.post<TokenReply>(path, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences: audience === undefined ? [] : [audience], expirationSeconds, boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name, uid } },
    });
    return { token: status.token, refreshAt: asked + REFRESH_AT * (Date.parse(status.expirationTimestamp) - asked) };
  };
  return {
    token: async (audience, expirationSeconds) => {
      const key = `${audience ?? ''}/${expirationSeconds}`;
      let current = held.get(key);
      if (!current || Date.now() >= current.refreshAt) {
        current = await ask(audience, expirationSeconds);
        held.set(key, current);
      }
      return current.token;
    },
  };
};
