/**
 * Streams without a transport, and hand-made programs that make their packets: what tests of the hooks are made of.
 * An XDP program makes a stream ready by its number in a packet; XDP_GEN makes as many packets as the stream has to do.
 */
import type { CompiledProgram } from '../../host/bpf/jit/compiled.js';
import type { Engine } from '../../host/engine/engine.js';
import { StreamFlag, StreamLayout, StreamView, XdpContextLayout } from '../../host/layout/layout.gen.js';
import { handMade, udpFrame } from './programs.js';

const { data, dataEnd, rxQueueIndex } = XdpContextLayout;
/** Where a packet of these programs names its stream, and the how manieth of it it is. */
const STREAM_AT = 40;
const NUMBER_AT = 44;
const MADE_BYTES = 64;

export const streamView = (engine: Engine, id: number): StreamView =>
  new StreamView(engine.arena.dv, engine.arena.header.streamsAt + id * StreamLayout.size);

/** Opens stream `id`: of lane 0, port 1 and transport 0, unless told otherwise. */
export function openStream(
  engine: Engine,
  id: number,
  more: { lane?: number; ifindex?: number; transport?: number } = {},
): StreamView {
  return Object.assign(streamView(engine, id), {
    flags: StreamFlag.OPEN,
    lane: 0,
    ifindex: 1,
    transport: 0,
    ...more,
  });
}

/** A packet that makes stream `id` ready. */
export function wakes(id: number): Uint8Array {
  const p = udpFrame();
  new DataView(p.buffer).setUint32(STREAM_AT, id, true);
  return p;
}

/** XDP: el_ready(the stream that the packet names). What that answered stands in the word at `answerAt`, if given. */
export const makesReady = (answerAt = 0): CompiledProgram =>
  handMade(
    `(i32.store (i32.const ${answerAt || 8})
       (call $el_ready (i32.load offset=${STREAM_AT} (i32.load offset=${data} (local.get 0)))))
     i64.const 1`,
    { name: 'makes ready', helpers: { el_ready: '(param i32) (result i32)' } },
  );

/** What streams have to do: a word each, in memory that programs and test share. */
export class Todo {
  readonly at: number;
  constructor(
    readonly engine: Engine,
    streams: number,
  ) {
    this.at = engine.arena.scratch.alloc(streams * 8, 64);
    engine.arena.u8.fill(0, this.at, this.at + streams * 8);
  }

  /** Packets still to be made. */
  left(id: number): number {
    return this.engine.arena.u32[(this.at >> 2) + id * 2];
  }

  give(id: number, packets: number): void {
    this.engine.arena.u32[(this.at >> 2) + id * 2] = packets;
  }
}

export interface Generator {
  /** What it says of a packet that it made. Default 3, XDP_TX. */
  packet?: number;
  /** What it says when there is nothing to do. Default 1, XDP_DROP. */
  done?: number;
  /** WebAssembly text that runs first: context in local 0, number of the stream in $id. */
  first?: string;
  name?: string;
  helpers?: Record<string, string>;
}

/** XDP_GEN: takes one from the stream's work and makes a packet of 64 B that names stream and number, until all is done. */
export const generator = (todo: Todo, g: Generator = {}): CompiledProgram =>
  handMade(
    `(local $id i32) (local $at i32) (local $p i32) (local $n i32)
     (local.set $id (i32.load offset=${rxQueueIndex} (local.get 0)))
     (local.set $at (i32.add (i32.const ${todo.at}) (i32.shl (local.get $id) (i32.const 3))))
     ${g.first ?? ''}
     (if (i32.eqz (i32.load (local.get $at))) (then (return (i64.const ${g.done ?? 1}))))
     (i32.store (local.get $at) (i32.sub (i32.load (local.get $at)) (i32.const 1)))
     (local.set $n (i32.load offset=4 (local.get $at)))
     (i32.store offset=4 (local.get $at) (i32.add (local.get $n) (i32.const 1)))
     (local.set $p (i32.load offset=${data} (local.get 0)))
     (i32.store offset=${STREAM_AT} (local.get $p) (local.get $id))
     (i32.store offset=${NUMBER_AT} (local.get $p) (local.get $n))
     (i32.store offset=${dataEnd} (local.get 0) (i32.add (local.get $p) (i32.const ${MADE_BYTES})))
     i64.const ${g.packet ?? 3}`,
    { name: g.name ?? 'generator', type: 'xdp_gen', helpers: g.helpers ?? {} },
  );

/** Always the same verdict, for XDP_EGRESS. */
export const egressVerdict = (v: number): CompiledProgram =>
  handMade(`i64.const ${v}`, { name: `egress ${v}`, type: 'xdp_egress' });

/** Stream and number of a packet that `generator` made. */
export function madeBy(p: Uint8Array): [stream: number, number: number] {
  const dv = new DataView(p.buffer, p.byteOffset);
  return [dv.getUint32(STREAM_AT, true), dv.getUint32(NUMBER_AT, true)];
}
