// A stored status that its present definition would refuse: a field of the wrong form counts as absent, so that one odd run is derived anew rather than tried for ever.
import type { RunStatus } from '../api/status.ts';

type Form = (value: unknown) => boolean;

const isObject: Form = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isList: Form = (value) => Array.isArray(value) && value.every(isObject);
const isCount: Form = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const isText: Form = (value) => typeof value === 'string';
const isTime: Form = (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value));
const isRecord: Form = (value) => isObject(value) && isCount((value as { step?: unknown }).step);
const isOptional = (form: Form): Form => (value) => value === undefined || form(value);

const FORMS: readonly (readonly [keyof RunStatus, Form])[] = [
  ['conditions', (value) => isList(value) && (value as { type?: unknown }[]).every(({ type }) => isText(type))],
  ['attempt', isCount], ['restarts', isCount], ['interruptions', isCount], ['job', isText], ['checkpointDirectoryUri', isText],
  ['startTime', isTime], ['attemptStartTime', isTime], ['completionTime', isTime], ['idleSince', isTime],
  ['progress', isObject], ['stopRequest', isObject], ['lastFailure', isObject], ['budget', isObject], ['resolved', isObject],
  ['startedFrom', (value) => isRecord(value) && isText((value as { uri?: unknown }).uri)],
  ['restartsByReason', isList], ['failedNodes', isList], ['registry', isList], ['curve', isList],
  ['protectedSteps', (value) => Array.isArray(value) && value.every(isCount)],
  ['checkpoints', isCheckpoints],
];

/** The status without the fields that cannot be read; the same object when all can. */
export function readableStatus(stored: unknown): RunStatus {
  if (!isObject(stored)) return {};
  const status = stored as RunStatus;
  const odd = FORMS.filter(([field, form]) => status[field] !== undefined && !form(status[field])).map(([field]) => field as string);
  return odd.length === 0 ? status : Object.fromEntries(Object.entries(status).filter(([field]) => !odd.includes(field)));
}

function isCheckpoints(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { latest, best, history } = value as { latest?: unknown; best?: unknown; history?: unknown };
  return [latest, best].every(isOptional(isRecord)) && isOptional((list) => isList(list) && (list as unknown[]).every(isRecord))(history);
}
