/**
 * Two hosts with connections between them, and somebody who means harm to the second one: whatever he makes arrives there,
 * with whatever source address; he is shown what is sent to addresses that are nobody's. Scripts of tests/conformance
 * show what one segment does; here many are sent beside connections that must not notice.
 */
import { HostNic } from '../../../host/nic/index.js';
import {
  type Damage,
  decode,
  encode,
  flagBits,
  type Options,
  type Segment,
} from '../../conformance/tcp/segment.js';
import { assert } from '../../support/suite.js';
import { ADDRESSES, ADDRESSES6, Pair, type PairOptions, pattern, Side, sha, type Transfer } from '../pair.js';

const ETH = 14;
const VICTIM_MAC = [2, 0, 0, 0, 0, 2];
const EVIL_MAC = [2, 0, 0, 0, 0, 0x66];

/** A segment as it is forged. Numbers are absolute. */
export interface Forged {
  /** Default: somebody at 10.66.0.1; to the second host. */
  src?: string;
  dst?: string;
  srcPort: number;
  dstPort: number;
  seq: number;
  ack?: number;
  /** As in `SYN ACK`. */
  flags: string;
  window?: number;
  urgent?: number;
  options?: Options;
  payload?: Uint8Array;
  damage?: Damage;
}

export interface SceneOptions {
  streams?: number;
  delayNs?: number;
  /** Bits per second between the two hosts. */
  rate?: number;
  engine?: PairOptions['engine'];
}

/** A connection between the two hosts that carries bytes both ways. */
export class Live {
  readonly client: Side;
  server: Side | undefined;

  constructor(
    readonly scene: Scene,
    /** Of the client, and of the server. */
    readonly from: number,
    readonly port: number,
    readonly transfer: Transfer,
  ) {
    const { a } = scene.pair;
    const [local, remote] = transfer.family === 6 ? ADDRESSES6 : ADDRESSES;
    const forth = pattern(transfer.forth, from);
    this.client = new Side(a, a.connect(local, from, remote, port, transfer.client), forth, false);
  }

  accepted(id: number): void {
    const { b } = this.scene.pair;
    this.server = new Side(b, b.ends.get(id)!, pattern(this.transfer.back ?? 0, this.from + 1), true);
  }

  work(): void {
    this.client.work();
    this.server?.work();
  }

  get done(): boolean {
    const { client, server } = this;
    return client.closed && server?.closed === true && client.end.finished && server.end.finished;
  }

  /** Everything arrived, as it was sent. */
  check(): void {
    assert.is(this.server!.sha, sha(this.client.data), 'what the server got');
    assert.is(this.client.sha, sha(this.server!.data), 'what the client got');
  }
}

export class Scene {
  readonly #live = new Set<Live>();
  /** Slots of listeners, by port. */
  readonly #slots = new Map<number, number>();
  #port = 3000;
  /** What came to addresses that are nobody's and was not looked at. */
  #seen: Segment[] = [];

  private constructor(
    readonly pair: Pair,
    readonly evil: HostNic,
  ) {}

  static async create(options: SceneOptions = {}): Promise<Scene> {
    const evil = new HostNic({ name: 'evil', ringSlots: 4096 });
    const { delayNs = 1_000_000, ...more } = options;
    const pair = await Pair.create({ delayNs, outside: evil, ...more });
    return new Scene(pair, evil);
  }

  /** Bytes begin to go between the hosts. @param port of the server; a new one, unless said */
  live(transfer: Transfer, port = this.#port): Live {
    const { b } = this.pair;
    const slot = this.#slots.get(port) ?? b.listen(transfer.family ?? 4, port, 8, transfer.server);
    this.#slots.set(port, slot);
    this.#port = this.#port < 60_000 ? this.#port + 1 : 3000;
    const live = new Live(this, this.#port, port, transfer);
    this.#live.add(live);
    assert.ok(
      this.pair.run(
        () => live.server !== undefined,
        10_000,
        () => {
          const i = b.accepted.findIndex(id => b.flow(id).listener === slot + 1);
          if (i < 0) return;
          live.accepted(b.accepted.splice(i, 1)[0]);
          b.took(slot);
        },
      ),
      'the connection is made',
    );
    return live;
  }

  /** A connection that came to its end, with what was sent. */
  over(live: Live): void {
    live.check();
    this.#live.delete(live);
  }

  /** Lets time pass with all connections at work; `each` is called whenever something happens. */
  run(done: () => boolean, limitMs: number, each: () => void = () => {}): boolean {
    return this.pair.run(done, limitMs, () => {
      each();
      for (const l of this.#live) l.work();
    });
  }

  /** Time passes, so many ms. */
  pass(ms: number, each?: () => void): void {
    const { engine } = this.pair;
    const until = engine.now() + BigInt(Math.round(ms * 1e6));
    this.run(() => engine.now() >= until, ms, each);
    if (engine.now() < until) engine.advance(until - engine.now());
    this.run(() => true, 0);
  }

  /** All connections carry on to their end, with what was sent. */
  finish(limitMs = 300_000, each: () => void = () => {}): void {
    const over = this.run(() => [...this.#live].every(l => l.done), limitMs, each);
    assert.ok(over, `connections that do not come to their end: ${this.describe()}`);
    for (const l of this.#live) this.over(l);
  }

  /** How both ends of those that live stand, for reports of what hangs. */
  describe(): string {
    const { a, b } = this.pair;
    const ends = [...this.#live].flatMap(({ client, server }) => [
      [a.flow(client.end.id), a.map('tcp_boards').get(client.end.id), client.bytes, client.closed],
      server && [b.flow(server.end.id), b.map('tcp_boards').get(server.end.id), server.bytes, server.closed],
    ]);
    return JSON.stringify(ends, (_, v) => (typeof v === 'bigint' ? Number(v) : v));
  }

  /** An Ethernet frame to the second host. */
  frame(packet: Uint8Array): void {
    const frame = new Uint8Array(ETH + packet.length);
    frame.set(VICTIM_MAC);
    frame.set(EVIL_MAC, 6);
    frame.set(packet[0] >> 4 === 6 ? [0x86, 0xdd] : [8, 0], 12);
    frame.set(packet, ETH);
    this.raw(frame);
  }

  raw(frame: Uint8Array): void {
    if (this.evil.send(frame)) return;
    this.pair.engine.step();
    this.look();
    assert.ok(this.evil.send(frame), 'the port takes a frame');
  }

  forge(f: Forged): void {
    const { src = '10.66.0.1', dst = ADDRESSES[1], flags, damage, ...more } = f;
    const segment: Segment = {
      ...{ ack: 0, window: 65535, urgent: 0, options: {}, payload: new Uint8Array(0), ecn: 0 },
      ...more,
      seq: f.seq >>> 0,
      flags: flagBits(flags),
    };
    segment.ack >>>= 0;
    this.frame(encode({ src, dst }, segment, damage));
  }

  /** Reads what came to nobody's addresses. */
  look(): void {
    this.evil.drain(Number.POSITIVE_INFINITY, data => {
      const read = decode(data.slice(ETH));
      if (read?.faults.length) assert.unreachable(`a damaged packet was sent: ${read.faults}`);
      if (read?.segment) this.#seen.push(read.segment);
    });
  }

  /** What came to a port of an address that is nobody's, oldest first. */
  taken(port?: number): Segment[] {
    this.look();
    const mine = this.#seen.filter(s => port === undefined || s.dstPort === port);
    this.#seen = this.#seen.filter(s => port !== undefined && s.dstPort !== port);
    return mine;
  }

  /** Streams that are in use by either host. */
  streams(): number {
    const { a, b } = this.pair;
    return a.apps.streamsOf(a.app.number) + b.apps.streamsOf(b.app.number);
  }

  /** Ends it: no frame was lost, no program failed. */
  async close(): Promise<void> {
    const { engine } = this.pair;
    this.look();
    assert.equal(engine.crashes, []);
    for (const [i, { verdicts }] of engine.counters().entries())
      assert.is(verdicts.aborted, 0, `port ${i + 1}: programs failed`);
    const { ledger } = await engine.stop();
    assert.equal([ledger.lost, ledger.doubled], [0, 0]);
  }
}
