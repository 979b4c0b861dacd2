/**
 * Two hosts of one engine and the wire between them in the test's hand: each packet may be looked at, dropped, changed or
 * kept. For paths that do what no link model does: black holes, routers of small MTU, peers that fall silent.
 */
import { Engine } from '../../host/engine/engine.js';
import { HostNic } from '../../host/nic/index.js';
import { engineOptions, TcpEngine } from './engine.js';
import { ADDRESSES, ADDRESSES6 } from './pair.js';

/** What becomes of a packet: the ones that go on, none when it is lost. */
export type Path = (frame: Uint8Array, from: 'a' | 'b') => Uint8Array[];

const STREAMS = 32;

export class Relay {
  readonly #wire: { at: bigint; frame: Uint8Array; to: HostNic }[] = [];
  path: Path = frame => [frame];

  private constructor(
    readonly engine: Engine,
    readonly a: TcpEngine,
    readonly b: TcpEngine,
    readonly nics: [HostNic, HostNic],
    readonly delayNs: bigint,
  ) {}

  static async create(delayNs = 2_000_000): Promise<Relay> {
    const nics = ['left', 'right'].map(name => new HostNic({ name, ringSlots: 4096 })) as [HostNic, HostNic];
    const engine = await Engine.create({ nics, seed: 7, ...engineOptions(STREAMS), frames: 8192 });
    for (const [i, address] of [...ADDRESSES, ...ADDRESSES6].entries()) {
      const port = 2 - (i & 1);
      engine.routes.add({ prefix: address, port });
      engine.routes.addNeighbour({ port, address, mac: `02:00:00:00:00:0${(i & 1) + 1}` });
    }
    const a = await TcpEngine.on(engine, { left: [ADDRESSES[0], ADDRESSES6[0]] }, STREAMS);
    const b = await TcpEngine.on(engine, { right: [ADDRESSES[1], ADDRESSES6[1]] }, STREAMS);
    await engine.start();
    return new Relay(engine, a, b, nics, BigInt(delayNs));
  }

  /** Both hosts work until they wait; what they sent is on the wire. */
  #settle(): void {
    for (;;) {
      this.a.settle();
      this.b.settle();
      const before = this.#wire.length;
      for (const [i, nic] of this.nics.entries())
        nic.drain(Number.POSITIVE_INFINITY, data => {
          for (const frame of this.path(data.slice(), i ? 'b' : 'a'))
            this.#wire.push({ at: this.engine.now() + this.delayNs, frame, to: this.nics[1 - i] });
        });
      if (this.#wire.length === before) return;
    }
  }

  /** Puts a packet on the wire. */
  inject(frame: Uint8Array, to: 'a' | 'b'): void {
    this.#wire.push({ at: this.engine.now() + this.delayNs, frame, to: this.nics[to === 'a' ? 0 : 1] });
  }

  /** Lets time pass until `done`, at most `limitMs`. Returns whether it was. */
  run(done: () => boolean, limitMs: number, work: () => void = () => {}): boolean {
    const { engine } = this;
    const until = engine.now() + BigInt(Math.round(limitMs)) * 1_000_000n;
    for (;;) {
      work();
      this.#settle();
      // Who was told of room uses it now.
      work();
      this.#settle();
      if (done()) return true;
      const first = this.#wire[0]?.at;
      const due = engine.nextDueNs();
      const next = first === undefined || (due !== undefined && due < first) ? due : first;
      if (next === undefined || next > until) {
        if (until > engine.now()) engine.advance(until - engine.now());
        return done();
      }
      if (next > engine.now()) engine.advance(next - engine.now());
      while (this.#wire.length && this.#wire[0].at <= engine.now()) {
        const { frame, to } = this.#wire.shift()!;
        to.send(frame);
      }
    }
  }
}
