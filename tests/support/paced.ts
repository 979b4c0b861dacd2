/** The programs of bpf-progs/transports/paced in an engine: streams that send at a rate. For tests and the bench of pacing. */
import { Collection } from '../../host/bpf/collection.js';
import type { KeyedMap, PktQueueMap } from '../../host/bpf/maps/index.js';
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import type { LoadedProgram } from '../../host/engine/program.js';
import { HostNic } from '../../host/nic/index.js';
import { loadObject } from './program_rig.js';
import { openStream } from './streams.js';

export const SLOT_NS = 500n;
const SLOTS = 50_000;

export interface PacedStream {
  rate: bigint;
  left: bigint;
  next: bigint;
  rest: bigint;
  made: bigint;
  sent: bigint;
  last: bigint;
  late: bigint;
  size: number;
  ahead: number;
  waiting: number;
  credit: number;
}

/** A packet as it left. */
export interface Departure {
  stream: number;
  number: number;
  /** When it was to leave, ns. */
  at: bigint;
  /** When it did. */
  left: bigint;
  bytes: number;
}

/** A frame that has stream `id` begin. */
export function starts(id: number): Uint8Array {
  const p = new Uint8Array(60);
  p.set([0x88, 0xb5], 12);
  new DataView(p.buffer).setUint32(16, id, true);
  return p;
}

export class Paced {
  private constructor(
    readonly engine: Engine,
    readonly nic: HostNic,
    readonly collection: Collection<LoadedProgram>,
  ) {}

  /** An engine with the transport at its only port, not started. */
  static async create(options: Partial<EngineOptions> & { sink?: boolean } = {}): Promise<Paced> {
    const { sink = false, ...more } = options;
    const nic = new HostNic({ name: 'wire', sink, queues: 1 });
    const engine = await Engine.create({
      nics: [nic],
      frames: 4096,
      mapBytes: 16 << 20,
      streams: { count: 1024, bytes: 8 << 20 },
      ...more,
    });
    const collection = await Collection.load(loadObject('paced'), engine);
    for (const name of ['paced_start', 'gen_entrance', 'egress_entrance'])
      engine.attach(collection.program(name), 'wire');
    return new Paced(engine, nic, collection);
  }

  /** The programs once more, over the maps of `first`: the next version of a transport. */
  static another(first: Paced): Promise<Collection<LoadedProgram>> {
    return Collection.load(loadObject('paced'), first.engine, { maps: first.collection.maps });
  }

  get streams(): KeyedMap<number, PacedStream> {
    return this.collection.map('paced_streams') as KeyedMap<number, PacedStream>;
  }

  get wheel(): PktQueueMap {
    return this.collection.map('carousel') as PktQueueMap;
  }

  /** Opens stream `id` and gives it `packets` of `size` bytes to send at `rate` bytes a second, `from` then on. */
  open(
    id: number,
    rate: number,
    packets: number,
    { size = 1514, ahead = 64, transport = 0, from = 0n, credit = 0 } = {},
  ): void {
    openStream(this.engine, id, { transport });
    this.streams.set(id, {
      rate: BigInt(rate),
      left: BigInt(packets),
      next: from,
      rest: 0n,
      made: 0n,
      sent: 0n,
      last: 0n,
      late: 0n,
      size,
      ahead,
      waiting: 0,
      credit,
    });
  }

  start(id: number): void {
    if (!this.nic.send(starts(id))) throw new Error('no room for the frame that starts a stream');
  }

  /** Packets that wait in the wheel of lane 0. */
  waiting(): number {
    return Array.from({ length: SLOTS }, (_, i) => this.wheel.held(i)).reduce((a, b) => a + b, 0);
  }

  /** Virtual time: steps, and goes from one thing that is due to the next, until `endNs` or nothing is to come. */
  run(endNs: bigint, each?: (now: bigint) => void): Departure[] {
    const { engine, nic } = this;
    const out: Departure[] = [];
    let idle = 0;
    for (;;) {
      const work = engine.step();
      const left = engine.now();
      for (const { data } of nic.receive()) {
        const dv = new DataView(data.buffer, data.byteOffset);
        out.push({
          stream: dv.getUint32(16, true),
          number: dv.getUint32(20, true),
          at: dv.getBigUint64(24, true),
          left,
          bytes: data.length,
        });
      }
      each?.(left);
      if (work) idle = 0;
      else if (++idle > 1000)
        throw new Error(`something is due at ${engine.nextDueNs()}, and nothing happens`);
      if (work) continue;
      const due = engine.nextDueNs();
      if (due === undefined || due > endNs) return out;
      if (due > left) {
        engine.advance(due - left);
        idle = 0;
      }
    }
  }
}
