/** How states and registers are written: in error messages, and in the walk's log. */
import { objectTypes } from '../kfuncs.js';
import {
  AT_PACKET_END,
  BEYOND_PACKET_END,
  Flag,
  isNullable,
  Kind,
  kindNames,
  type Reg,
  ZERO_S,
} from './regs.js';
import {
  constValue,
  isConst,
  S32_MAX,
  S32_MIN,
  S64_MAX,
  S64_MIN,
  type Scalar,
  U32_MAX,
  UNKNOWN,
} from './scalar.js';
import { isSpill, spillSize, typeAt } from './stack.js';
import type { State } from './state.js';
import { asSigned, U64_MAX } from './tnum.js';

const hex = (n: bigint): string => (n < 0n ? `-0x${(-n).toString(16)}` : `0x${n.toString(16)}`);
const short = (n: bigint): string => (n > -65_536n && n < 65_536n ? n.toString() : hex(n));

/** `5`, `0..1500`, `0..0xffffffff bits 0xff00`, `unknown`. */
export function describeScalar(s: Scalar): string {
  if (s === UNKNOWN) return 'unknown';
  if (isConst(s)) return short(asSigned(constValue(s)));
  const parts: string[] = [];
  const unsignedKnown = s.umin !== 0n || s.umax !== U64_MAX;
  const signedKnown = s.smin !== S64_MIN || s.smax !== S64_MAX;
  if (unsignedKnown) parts.push(`${short(s.umin)}..${short(s.umax)}`);
  if (signedKnown && !(s.smin === s.umin && s.smax === s.umax))
    parts.push(`signed ${short(s.smin)}..${short(s.smax)}`);
  if (!unsignedKnown && !signedKnown) {
    if (s.u32min !== 0 || s.u32max !== U32_MAX) parts.push(`low half ${s.u32min}..${s.u32max}`);
    else if (s.s32min !== S32_MIN || s.s32max !== S32_MAX) parts.push(`low half ${s.s32min}..${s.s32max}`);
  }
  if (s.tm !== U64_MAX && s.tm + 1n !== 1n << BigInt(s.tm.toString(2).length))
    parts.push(`bits ${hex(s.tv | s.tm)}`);
  return parts.join(' ') || 'unknown';
}

/** `packet+14`, `map_value flows+8+(0..63)`: what a pointer points to, without what is known about it. */
export function describePlace(r: Reg): string {
  let name = kindNames[r.kind];
  if (r.kind === Kind.STACK && r.size > 0) name = `fp[${r.size}]`;
  if (r.kind === Kind.FUNC) name = `function ${r.size}`;
  if (r.kind === Kind.OBJECT) name = `struct ${objectTypes[r.size].name}`;
  if (r.kind === Kind.OWNED && r.flags & Flag.BORROWED) name = 'borrowed object';
  if (r.map) name += ` ${r.map.name}`;
  if (r.kind === Kind.PACKET_END || r.kind === Kind.FUNC || r.kind === Kind.MAP_PTR) return name;
  name += r.off < 0 ? `${r.off}` : `+${r.off}`;
  return r.s === ZERO_S ? name : `${name}+(${describeScalar(r.s)})`;
}

/** `packet+14, range 34`, `map_value flows+8, size 16`, `scalar 0..255`. */
export function describe(r: Reg): string {
  if (r.kind === Kind.NONE) return 'uninitialised';
  if (r.kind === Kind.SCALAR) return `scalar ${describeScalar(r.s)}`;
  const parts: string[] = [];
  const name = describePlace(r);
  if (r.kind === Kind.PACKET_END || r.kind === Kind.FUNC || r.kind === Kind.MAP_PTR) return name;
  if (r.kind === Kind.PACKET || r.kind === Kind.PACKET_META) {
    if (r.size === AT_PACKET_END) parts.push('at or after the end');
    else if (r.size === BEYOND_PACKET_END) parts.push('after the end');
    else parts.push(`range ${r.size}`);
  }
  if (r.kind === Kind.MAP_VALUE) parts.push(`size ${r.map!.valueSize}`);
  if (r.kind === Kind.MEM) parts.push(`size ${r.size}`);
  if (r.flags & Flag.RINGBUF) parts.push('ring buffer record');
  if (r.flags & Flag.RDONLY) parts.push('read-only');
  if (isNullable(r)) parts.push('or NULL');
  return [name, ...parts].join(', ');
}

/** Registers and stack, one line a frame. Uninitialised registers are left out. */
export function printState(state: State): string {
  return state.frames
    .map((frame, depth) => {
      const items: string[] = [];
      frame.regs.forEach((r, i) => {
        if (r.kind !== Kind.NONE && i < 10) items.push(`r${i}=${describe(r)}${r.id ? ` #${r.id}` : ''}`);
      });
      frame.stack.forEach((s, i) => {
        if (s.types === 0) return;
        const at = `fp${-8 * (i + 1)}`;
        if (isSpill(s))
          items.push(`${at}=${describe(s.reg!)}${spillSize(s) < 8 ? ` (${spillSize(s)} B)` : ''}`);
        else {
          let text = '';
          for (let b = 7; b >= 0; b--) text += '?sm0'[typeAt(s, b)];
          items.push(`${at}=${text}`);
        }
      });
      if (depth === 0) for (const ref of state.refs) items.push(`held: reference of ${ref.insn}`);
      if (depth === 0 && state.lock) items.push('held: spin lock');
      if (depth === 0 && state.rcu >= 0) items.push('in an RCU read section');
      return `${state.frames.length > 1 ? `frame ${depth}: ` : ''}${items.join('; ')}`;
    })
    .filter(line => line !== '')
    .join('\n    ');
}

const MAX_CHARS = 32 << 20;

/** The walk as text. Level 1: the path to the rejection; level 2: every path. */
export class WalkLog {
  readonly #lines: string[] = [];
  #lost = 0;
  #chars = 0;

  constructor(readonly level: 1 | 2) {}

  get length(): number {
    return this.#lines.length;
  }

  add(line: string): void {
    this.#chars += line.length;
    if (this.#chars < MAX_CHARS) this.#lines.push(line);
    else this.#lost++;
  }

  /** Level 1: forgets the path that ended well. */
  rewind(length: number): void {
    if (this.level !== 1) return;
    while (this.#lines.length > length) this.#chars -= this.#lines.pop()!.length;
  }

  text(): string {
    return this.#lines.join('\n') + (this.#lost ? `\n… ${this.#lost} more lines` : '');
  }
}
