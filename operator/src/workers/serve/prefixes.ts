// What token sequences have in common, found: clients of the existing servers send flat sequences and declare nothing.
//
// The sequences make a compressed trie (time linear in their tokens, whatever they are). Each group of the result is
// computed as one prefix and one branch per sequence, and every node of the trie is a possible end of a prefix; which
// ones are chosen is decided by cost from the leaves up.

/** Token ids of a sequence. */
export type Tokens = ArrayLike<number>;

/** Sequences that begin alike: `shared` tokens are computed once. `copies` are places of equal sequences, scored once. */
export interface Group { readonly shared: number; readonly members: readonly Member[] }
export interface Member { readonly ids: Tokens; readonly copies: readonly number[] }

interface Node { readonly depth: number; readonly ends: readonly number[]; readonly children: readonly Node[] }
interface Frame { readonly depth: number; readonly ends: readonly number[]; readonly rest: readonly number[][]; readonly children: Node[] }

/** Attention in tokens: a row over so many keys costs as much again as its linear layers. The choice barely depends on it. */
const KEYS_PER_TOKEN = 4096;
/** What a branch of its own costs, in tokens: less than this is not worth a prefix. */
const BRANCH_TOKENS = 4;

/** Groups that together hold every sequence once. Sequences have at least one token. */
export function shareGroups(sequences: readonly Tokens[]): Group[] {
  if (sequences.length === 0) return [];
  const root = trie(sequences);
  return groupsOf(root, choose(root), sequences);
}

/** Every sequence by itself: the unshared path, to compare with. */
export function lonelyGroups(sequences: readonly Tokens[]): Group[] {
  return sequences.map((ids, place) => ({ shared: 0, members: [{ ids, copies: [place] }] }));
}

/** Tokens that are computed for a group. */
export function groupTokens({ shared, members }: Group): number {
  return members.reduce((sum, { ids }) => sum + ids.length - shared, shared);
}

/** The root holds the tokens that all sequences begin with. An explicit stack: nesting can be as deep as there are sequences. */
function trie(sequences: readonly Tokens[]): Node {
  const open: Frame[] = [frame(sequences.map((_, place) => place), 0, sequences)];
  for (;;) {
    const top = open.at(-1);
    const next = top?.rest[top.children.length];
    if (top === undefined) throw new Error('a trie has a root');
    if (next !== undefined) {
      open.push(frame(next, top.depth, sequences));
      continue;
    }
    open.pop();
    const parent = open.at(-1);
    const done: Node = { depth: top.depth, ends: top.ends, children: top.children };
    if (parent === undefined) return done;
    parent.children.push(done);
  }
}

/** Goes on as long as these sequences agree, then splits them by their next token. */
function frame(places: readonly number[], from: number, sequences: readonly Tokens[]): Frame {
  const first = sequences[places[0] ?? 0] ?? [];
  let depth = first.length;
  for (const place of places) depth = commonLength(first, sequences[place] ?? [], from, depth);
  const ends: number[] = [];
  const byToken = new Map<number, number[]>();
  for (const place of places) {
    const token = sequences[place]?.[depth];
    if (token === undefined) ends.push(place);
    else if (byToken.has(token)) byToken.get(token)?.push(place);
    else byToken.set(token, [place]);
  }
  return { depth, ends, rest: [...byToken.values()], children: [] };
}

function commonLength(a: Tokens, b: Tokens, from: number, most: number): number {
  const end = Math.min(most, b.length);
  let at = from;
  while (at < end && a[at] === b[at]) at += 1;
  return at;
}

/** From the leaves up: is one prefix that ends at this node better than what is best below it, each child for itself? */
function choose(root: Node): ReadonlySet<Node> {
  const together = new Set<Node>();
  const below = new Map<Node, { readonly saved: number; readonly members: number }>();
  for (const node of leavesFirst(root)) {
    let [apart, members] = [0, Math.min(1, node.ends.length)];
    for (const child of node.children) {
      apart += below.get(child)?.saved ?? 0;
      members += below.get(child)?.members ?? 0;
    }
    const saved = members < 2 ? 0 : (members - 1) * cost(node.depth) - members * BRANCH_TOKENS;
    if (saved > apart) together.add(node);
    below.set(node, { saved: Math.max(saved, apart), members });
  }
  return together;
}

/** From the root down: the sequences below a chosen node are a group, those below none are alone. */
function groupsOf(root: Node, chosen: ReadonlySet<Node>, sequences: readonly Tokens[]): Group[] {
  const own = (node: Node): Member[] => node.ends.slice(0, 1).map((place) => ({ ids: sequences[place] ?? [], copies: node.ends }));
  const groups: Group[] = [];
  const open = [root];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (chosen.has(node)) groups.push({ shared: node.depth, members: leavesFirst(node).reverse().flatMap(own) });
    else {
      groups.push(...own(node).map((member) => ({ shared: 0, members: [member] })));
      for (const child of node.children) open.push(child);
    }
  }
  return groups;
}

function leavesFirst(root: Node): Node[] {
  const found = [root];
  for (let at = 0; at < found.length; at += 1) for (const child of found[at]?.children ?? []) found.push(child);
  return found.reverse();
}

/** What a prefix costs, in tokens. */
function cost(tokens: number): number {
  return tokens * (1 + tokens / 2 / KEYS_PER_TOKEN);
}
