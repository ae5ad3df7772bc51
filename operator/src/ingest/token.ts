// What a token says of itself, before anybody has verified it: enough to refuse nonsense without asking the API server,
// and to tell whose share of the identity checks it uses. Nothing here proves anything.
import { z } from 'zod';
import { TOKEN_AUDIENCE } from '../api/labels.ts';
import { unauthenticated } from './refusal.ts';

const BEARER = /^Bearer ([A-Za-z0-9._~+/=-]{1,8192})$/i;
const JWT = /^[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+$/;
// Clocks of the API server and of the operator may differ.
const SKEW_SECONDS = 60;

const claims = z.object({
  aud: z.union([z.string(), z.array(z.string())]),
  exp: z.number(),
  sub: z.string(),
  'kubernetes.io': z.object({ namespace: z.string(), pod: z.object({ name: z.string(), uid: z.string() }).optional() }).optional(),
});

export interface Claim {
  readonly token: string;
  /** UID of the pod it claims to be of; undefined when it names none. */
  readonly podUid: string | undefined;
}

/** Reads an authorization header. Throws Refusal (UNAUTHENTICATED) when the token cannot be one of a service account for this audience that is valid now. */
export function claimOf(authorization: string | undefined, now: Date): Claim {
  const token = BEARER.exec(authorization ?? '')?.[1];
  if (token === undefined) throw unauthenticated('expected "authorization: Bearer <token>" in the metadata');
  const said = parse(token);
  if (said === undefined) throw unauthenticated('token refused: not a service account token');
  if (![said.aud].flat().includes(TOKEN_AUDIENCE)) throw unauthenticated(`token refused: not for audience ${TOKEN_AUDIENCE}`);
  if (said.exp + SKEW_SECONDS < now.getTime() / 1000) throw unauthenticated('token refused: expired');
  return { token, podUid: said['kubernetes.io']?.pod?.uid };
}

function parse(token: string): z.infer<typeof claims> | undefined {
  const payload = JWT.exec(token)?.[1];
  try {
    const said = claims.safeParse(JSON.parse(Buffer.from(payload ?? '', 'base64url').toString('utf8'))).data;
    return said?.sub.startsWith('system:serviceaccount:') === true ? said : undefined;
  } catch {
    return undefined;
  }
}
