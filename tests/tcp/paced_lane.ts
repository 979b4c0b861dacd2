/**
 * Connections that send at a rate on a worker lane, in real time: both hosts in one lane, a plain wire between them, the
 * applications here. For the bench of pacing.
 */
import { Engine } from '../../host/engine/engine.js';
import { StreamEvent } from '../../host/layout/layout.gen.js';
import { modelLink } from '../../host/nic/index.js';
import type { StreamEnd } from '../../host/streams/stream_end.js';
import { drain } from './bulk.js';
import { TcpEngine } from './engine.js';
import { FlowWatch } from './watch.js';

const [LOCAL, REMOTE] = ['10.0.0.1', '10.0.0.2'];
const PORT = 2000;
const FRAMES = 32_768;

/** What left by a moment: bytes, and when the last packet did, mean of all connections. */
export interface Left {
  bytes: number;
  ns: number;
}

export class PacedLane {
  readonly #watch: FlowWatch;
  #running = true;

  private constructor(
    readonly engine: Engine,
    readonly a: TcpEngine,
    readonly b: TcpEngine,
    readonly from: readonly StreamEnd[],
    readonly to: readonly StreamEnd[],
  ) {
    this.#watch = new FlowWatch(a);
  }

  /** `count` connections of `rate` bytes per second each. Their rings are fed and emptied from then on. */
  static async create(count: number, rate: number): Promise<PacedLane> {
    const { a: left, b: right } = modelLink({ name: 'wire', ringSlots: 4096 });
    const streams = 2 * count + 8;
    const ring = count > 16 ? 1 << 16 : 1 << 21;
    const engine = await Engine.create({
      nics: [left, right],
      lanes: 1,
      frames: FRAMES,
      mapBytes: 64 << 20,
      spinUs: 1000,
      streams: { count: streams, bytes: 64 << 20 },
    });
    for (const [i, address] of [LOCAL, REMOTE].entries()) {
      engine.routes.add({ prefix: address, port: 2 - i });
      engine.routes.addNeighbour({ port: 2 - i, address, mac: `02:00:00:00:00:0${i + 1}` });
    }
    const a = await TcpEngine.on(engine, { 'wire.a': [LOCAL] }, streams);
    const b = await TcpEngine.on(engine, { 'wire.b': [REMOTE] }, streams);
    await engine.start();
    b.listen(4, PORT, count, { rcvBytes: ring });
    const options = { rate, sndBytes: ring, initialCwnd: 255 };
    const from = Array.from({ length: count }, (_, i) => a.connect(LOCAL, 10_000 + i, REMOTE, PORT, options));
    const to: StreamEnd[] = [];
    for (
      const until = performance.now() + 5000;
      to.length < count;
      await new Promise(done => setTimeout(done, 1))
    ) {
      if (performance.now() > until) throw new Error(`${to.length} of ${count} connections after 5 s`);
      a.app.flush();
      a.app.take(() => {});
      b.app.take((end, events) => {
        if (events & StreamEvent.ACCEPT) to.push(end);
      });
    }
    const lane = new PacedLane(engine, a, b, from, to);
    lane.#work();
    return lane;
  }

  /** Bytes that nobody looks at: room in the send ring is handed over as it is. */
  #work(): void {
    if (!this.#running) return;
    for (const end of this.from) {
      const { room } = end;
      if (room) end.commit(room);
    }
    for (const end of this.to) drain(end);
    for (const { app } of [this.a, this.b]) {
      app.take(() => {});
      app.flush();
    }
    setImmediate(() => this.#work());
  }

  /** What has left by now; a flow is read as of one packet, its lane goes on meanwhile. */
  left(): Left {
    const sum: Left = { bytes: 0, ns: 0 };
    for (const { id } of this.from)
      for (;;) {
        const ns = this.#watch.u64(id, 'left_ns');
        const bytes = this.#watch.u64(id, 'left_bytes');
        if (this.#watch.u64(id, 'left_ns') !== ns) continue;
        sum.bytes += Number(bytes);
        sum.ns += Number(ns) / this.from.length;
        break;
      }
    return sum;
  }

  get dropped(): number {
    const { PKT_QUEUE_FULL = 0, TX_FULL = 0 } = this.engine.counters()[0].drops;
    return PKT_QUEUE_FULL + TX_FULL;
  }

  get resent(): number {
    return this.a.counters().RetransSegs ?? 0;
  }

  async close(): Promise<void> {
    this.#running = false;
    await this.engine.stop();
  }
}
