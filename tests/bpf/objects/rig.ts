/** Commands for bpf-progs/filters/objects, what a model says of them, and a look at the tree and list that they leave. */
import {
  GraphHeadView,
  GraphNodeView,
  ObjectHeadLayout,
  ObjectHeadView,
} from '../../../host/layout/layout.gen.js';
import type { Arena } from '../../../host/mem/arena.js';

export const Op = {
  ADD: 0,
  TAKE_FIRST: 1,
  FIRST: 2,
  TAKE: 3,
  PUSH_BACK: 4,
  PUSH_FRONT: 5,
  POP_FRONT: 6,
  POP_BACK: 7,
  STASH: 8,
  UNSTASH: 9,
  BOTH: 10,
  FIND: 11,
} as const;
export const Search = { SEARCH: 0, LOWER_BOUND: 1, NEXT: 2, LEAST: 3 } as const;

export const NONE = 0x10000;
export const NO_MEMORY = 0x20000;
export const MAX_COMMANDS = 32;
const ETH = 14;
const BYTES = 8;

export type Command = readonly [op: number, key: number];

/** A frame that asks for them. */
export function asking(commands: readonly Command[]): Uint8Array {
  const frame = new Uint8Array(ETH + Math.max(commands.length, 1) * BYTES);
  const view = new DataView(frame.buffer);
  commands.forEach(([op, key], i) => {
    view.setUint16(ETH + i * BYTES, op, true);
    view.setUint16(ETH + i * BYTES + 2, key, true);
  });
  return frame;
}

/** What the program answered. */
export function answers(frame: Uint8Array, count: number): number[] {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  return Array.from({ length: count }, (_, i) => view.getUint32(ETH + i * BYTES + 4, true));
}

/** The same in JavaScript: keys in order, the list, the kptr. */
export class Model {
  readonly tree: number[] = [];
  readonly list: number[] = [];
  stash: number | undefined;

  do([op, key]: Command): number {
    const { tree, list } = this;
    switch (op) {
      case Op.ADD:
        return this.#add(key);
      case Op.TAKE_FIRST:
        return tree.shift() ?? NONE;
      case Op.FIRST:
        return tree[0] ?? NONE;
      case Op.TAKE:
        if (!tree.includes(key)) return NONE;
        tree.splice(tree.indexOf(key), 1);
        return key;
      case Op.PUSH_BACK:
        list.push(key);
        return 0;
      case Op.PUSH_FRONT:
        list.unshift(key);
        return 0;
      case Op.POP_FRONT:
        return list.shift() ?? NONE;
      case Op.POP_BACK:
        return list.pop() ?? NONE;
      case Op.BOTH:
        list.push(key);
        return this.#add(key);
      case Op.FIND:
        return tree.includes(key) ? key : NONE;
      default: {
        const old = this.stash ?? NONE;
        this.stash = op === Op.STASH ? key : undefined;
        return old;
      }
    }
  }

  #add(key: number): 0 {
    const at = this.tree.findIndex(k => k > key);
    this.tree.splice(at < 0 ? this.tree.length : at, 0, key);
    return 0;
  }
}

/** Members of struct item, and of the section that holds the heads. */
const KEY = 0;
export const HEADS = { tree: 8, list: 24 } as const;

/** Keys of a chain. Throws when a node does not say what it should. */
export function chainOf(arena: Arena, head: number): { nodes: number[]; keys: number[] } {
  const nodes: number[] = [];
  const keys: number[] = [];
  const h = new GraphHeadView(arena.dv, head);
  if (h.busy) throw new Error('somebody is still changing it');
  for (let at = h.first, prev = 0; at; ) {
    const n = new GraphNodeView(arena.dv, at);
    if (n.owner !== head || n.prev !== prev) throw new Error(`node ${at}: owner ${n.owner}, prev ${n.prev}`);
    if (!new ObjectHeadView(arena.dv, n.object - ObjectHeadLayout.size).live)
      throw new Error(`${n.object} is dead`);
    nodes.push(at);
    keys.push(arena.dv.getUint32(n.object + KEY, true));
    prev = at;
    at = n.next;
  }
  if (h.last !== (nodes.at(-1) ?? 0)) throw new Error('the last node is another');
  return { nodes, keys };
}

/** Checks that a tree is red-black, and its chain its order. Returns its keys. */
export function treeOf(arena: Arena, head: number): number[] {
  const { nodes, keys } = chainOf(arena, head);
  const seen: number[] = [];
  const walk = (at: number, parent: number, above: 'red' | 'black'): number => {
    if (!at) return 1;
    const n = new GraphNodeView(arena.dv, at);
    const colour = n.parent & 1 ? 'black' : 'red';
    if ((n.parent & ~1) >>> 0 !== parent)
      throw new Error(`node ${at} hangs below ${parent} and says ${n.parent}`);
    if (colour === 'red' && above === 'red') throw new Error(`red node ${at} below a red one`);
    const left = walk(n.left, at, colour);
    seen.push(at);
    const right = walk(n.right, at, colour);
    if (left !== right)
      throw new Error(`node ${at} has ${left} black levels on its left, ${right} on its right`);
    return left + (colour === 'black' ? 1 : 0);
  };
  // A red root would be below this red.
  walk(new GraphHeadView(arena.dv, head).root, 0, 'red');
  if (seen.join() !== nodes.join()) throw new Error('the order of the tree is not that of its chain');
  if (keys.some((k, i) => i > 0 && k < keys[i - 1]))
    throw new Error(`keys ${keys.join(' ')} are not in order`);
  return keys;
}

/** Small deterministic generator. */
export function random(seed: number): (below: number) => number {
  let x = seed >>> 0 || 1;
  return below => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}
