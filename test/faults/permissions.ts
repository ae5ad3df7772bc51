// What the operator's manifest grants beside what the audit log says was used (O6).
import { parseAllDocuments } from 'yaml';

interface Rule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly verbs?: readonly string[];
}

interface AuditEntry {
  readonly verb?: string;
  readonly user?: { readonly username?: string };
  readonly objectRef?: { readonly apiGroup?: string; readonly resource?: string; readonly subresource?: string };
}

const USER = 'system:serviceaccount:polar-system:polar-operator';

/** Grants, as "verb group/resource", that the user never used. */
export function unused(auditLog: string, manifest: string): readonly string[] {
  const used = new Set(auditLog.split('\n').filter((line) => line.includes(USER)).flatMap(usedIn));
  return granted(manifest).filter((grant) => !used.has(grant));
}

function usedIn(line: string): readonly string[] {
  try {
    const { verb = '', user, objectRef = {} } = JSON.parse(line) as AuditEntry;
    const { apiGroup = '', resource = '', subresource } = objectRef;
    return user?.username === USER ? [`${verb} ${apiGroup}/${subresource === undefined ? resource : `${resource}/${subresource}`}`] : [];
  } catch {
    // The last line may still be being written.
    return [];
  }
}

function granted(manifest: string): readonly string[] {
  const documents = parseAllDocuments(manifest).map((one) => one.toJS() as { kind?: string; rules?: readonly Rule[] });
  const rules = documents.filter(({ kind }) => kind === 'ClusterRole' || kind === 'Role').flatMap(({ rules: own = [] }) => own);
  return rules.flatMap(({ apiGroups = [], resources = [], verbs = [] }) => apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`))));
}
