// What waits to be scored. Requests take turns: a large one is cut into pieces, and a small one behind it waits for a
// piece, not for all of it. Pieces that begin alike are taken together, whoever sent them.
import { QueueFullError, RequestError } from './errors.ts';
import { groupTokens, shareGroups, type Group, type Member, type Tokens } from './prefixes.ts';

/** Part of a request: sequences, and for each the places in the request that its score is for. `tokens` are those computed. */
export interface Piece<R> { readonly request: R; readonly members: readonly Member[]; readonly tokens: number; readonly alone: boolean }

export interface Queue<R> {
  /** Takes a request in. QueueFullError when too much waits already, RequestError when it is too much by itself. Returns its number of pieces. */
  readonly add: (request: R, sequences: readonly Tokens[]) => number;
  /** Back in, by itself: what it was scored with failed. */
  readonly again: (piece: Piece<R>) => void;
  /** What to compute next, together; empty when nothing waits. */
  readonly take: () => readonly Piece<R>[];
  readonly drop: (request: R) => void;
  readonly waiting: () => { readonly requests: number; readonly tokens: number };
}

/**
 * Tokens that may wait (of whole sequences, as they take memory), that a piece of a large request computes, and up to which pieces are
 * taken together when they share (`together`) and when they do not (`small`: a run that is not too small to be efficient).
 */
export interface QueueLimits { readonly waiting: number; readonly piece: number; readonly together: number; readonly small: number }

/** A prefix is computed for each piece of its group, so a piece holds so many times as many tokens. */
const PREFIXES_PER_PIECE = 16;

/** A queue of pieces in memory. */
export function createQueue<R>(limits: QueueLimits): Queue<R> {
  const lines = new Map<R, Piece<R>[]>();
  let tokens = 0;
  const remove = (piece: Piece<R>): void => {
    const line = lines.get(piece.request) ?? [];
    lines.delete(piece.request);
    line.shift();
    if (line.length > 0) lines.set(piece.request, line);
    tokens -= held(piece);
  };
  const next = (): Piece<R> | undefined => lines.values().next().value?.[0];
  return {
    add: (request, sequences) => {
      const asked = sequences.reduce((sum, ids) => sum + ids.length, 0);
      if (asked > limits.waiting) throw new RequestError(`the request has ${String(asked)} tokens, expected at most ${String(limits.waiting)}: send fewer candidates at once`);
      if (tokens + asked > limits.waiting) throw new QueueFullError(`${String(tokens)} tokens of ${String(lines.size)} requests wait, at most ${String(limits.waiting)} may: try again later`);
      const pieces = cut(request, sequences, limits.piece);
      lines.set(request, pieces);
      for (const piece of pieces) tokens += held(piece);
      return pieces.length;
    },
    again: (piece) => {
      lines.set(piece.request, [{ ...piece, alone: true }, ...lines.get(piece.request) ?? []]);
      tokens += held(piece);
    },
    take: () => {
      const taken: Piece<R>[] = [];
      let sum = 0;
      for (let piece = next(); piece !== undefined && (taken.length === 0 || fitting(taken, piece, sum, limits)); piece = next()) {
        remove(piece);
        sum += taken.length === 0 ? piece.tokens : piece.tokens - alike(taken, piece);
        taken.push(piece);
        if (piece.alone) break;
      }
      return taken;
    },
    drop: (request) => {
      for (const piece of lines.get(request) ?? []) tokens -= held(piece);
      lines.delete(request);
    },
    waiting: () => ({ requests: lines.size, tokens }),
  };
}

function held<R>(piece: Piece<R>): number {
  return piece.members.reduce((sum, { ids, copies }) => sum + ids.length * copies.length, 0);
}

function fitting<R>(taken: readonly Piece<R>[], piece: Piece<R>, sum: number, limits: QueueLimits): boolean {
  if (piece.alone) return false;
  const common = alike(taken, piece);
  return sum + piece.tokens - common <= (2 * common > piece.tokens / piece.members.length ? limits.together : limits.small);
}

/** Tokens with which a piece begins as the last taken does. */
function alike<R>(taken: readonly Piece<R>[], piece: Piece<R>): number {
  const [a, b] = [taken.at(-1)?.members[0]?.ids ?? [], piece.members[0]?.ids ?? []];
  let at = 0;
  while (at < a.length && at < b.length && a[at] === b[at]) at += 1;
  return Math.min(at, piece.tokens - 1);
}

/** Equal sequences are one member already here, so that what waits is what will be computed. */
function cut<R>(request: R, sequences: readonly Tokens[], most: number): Piece<R>[] {
  const pieces: Piece<R>[] = [];
  let [members, tokens]: [Member[], number] = [[], 0];
  const flush = (): void => {
    if (members.length > 0) pieces.push({ request, members, tokens, alone: false });
    [members, tokens] = [[], 0];
  };
  for (const group of shareGroups(sequences)) {
    for (const part of split(group, most)) {
      const size = groupTokens(part);
      if (tokens + size > most) flush();
      for (const member of part.members) members.push(member);
      tokens += size;
    }
  }
  flush();
  return pieces;
}

function split({ shared, members }: Group, most: number): Group[] {
  const room = Math.max(most, PREFIXES_PER_PIECE * shared) - shared;
  const parts: Group[] = [];
  let [part, tokens]: [Member[], number] = [[], 0];
  for (const member of members) {
    const size = member.ids.length - shared;
    if (part.length > 0 && tokens + size > room) {
      parts.push({ shared, members: part });
      [part, tokens] = [[], 0];
    }
    part.push(member);
    tokens += size;
  }
  parts.push({ shared, members: part });
  return parts;
}
