/**
 * What the printers of host/wire/ have in common. Each header has one file with one function that takes a `Span`
 * and gives a `Layer`; frame.ts strings them together. Offsets come from the wire schema, as in assembly/wire/.
 * For people who read traces, never on the packet path.
 */
import type { WireStatus } from './layout.gen.js';

/** Bytes of a packet from `at` to `end`. Multi-byte fields are big-endian. */
export class Span {
  readonly view: DataView;

  constructor(
    readonly bytes: Uint8Array,
    readonly at = 0,
    readonly end = bytes.length,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.end - this.at;
  }

  u8(offset: number): number {
    return this.view.getUint8(this.at + offset);
  }

  u16(offset: number): number {
    return this.view.getUint16(this.at + offset);
  }

  u32(offset: number): number {
    return this.view.getUint32(this.at + offset);
  }

  take(offset: number, bytes: number): Uint8Array {
    return this.bytes.subarray(this.at + offset, this.at + offset + bytes);
  }

  /** From `offset` on, at most `bytes` long. */
  from(offset: number, bytes = this.length - offset): Span {
    const at = Math.min(this.at + offset, this.end);
    return new Span(this.bytes, at, Math.min(at + bytes, this.end));
  }
}

/** Why a header is not read further: the same words as the core's `check`. */
export type Problem = Exclude<keyof typeof WireStatus, 'OK'>;

export type Fields = Record<string, number | bigint | string | boolean | undefined>;

/** One header of a packet. */
export interface Layer {
  /** `eth`, `ipv4`, … */
  name: string;
  /** Offset of its first byte in the frame. */
  at: number;
  fields: Fields;
  /** How it reads in a line. */
  text: string;
  problem?: Problem;
}

/** A header and what follows it. */
export interface Dissected {
  layer: Layer;
  next?: Next;
}

/** What a header says of its payload. */
export interface Next {
  /** `ether`: `type` is an EtherType; `ip`: it is an IpProto. */
  space: 'ether' | 'ip';
  type: number;
  span: Span;
  /** Sum of the pseudo header, for checksums above IP; undefined for fragments, whose checksums cannot be told. */
  pseudo?: number;
}

/** A layer that could not be read. */
export function broken(name: string, span: Span, problem: Problem, fields: Fields = {}): Dissected {
  const why = problem.toLowerCase().replaceAll('_', ' ');
  return { layer: { name, at: span.at, fields, text: `[|${name}] ${why}`, problem } };
}

const words = new WeakMap<Record<string, number>, Map<number, string>>();

/** Name of a number in one of the schema's enums, or the number itself. */
export function nameOf(names: Record<string, number>, value: number): string {
  let byNumber = words.get(names);
  if (!byNumber) {
    byNumber = new Map(Object.entries(names).map(([k, v]) => [v, k.toLowerCase().replaceAll('_', ' ')]));
    words.set(names, byNumber);
  }
  return byNumber.get(value) ?? String(value);
}
