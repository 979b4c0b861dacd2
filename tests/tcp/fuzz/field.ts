/**
 * Where segments are fuzzed: a host with connections of three kinds. Those that carry bytes to another host of ours get
 * everything but what their own peer could have sent, and must carry them unharmed. Victims, opened by hand, get that, too.
 * And there are listeners, and ports that nobody listens to.
 *
 *   host a ═══ model link ═══ host b ─── evil: make(rng) ─▶ run(frame)
 */
import { EtherloomError } from '../../../host/errors.js';
import { StreamFlag, StreamLayout, StreamView } from '../../../host/layout/layout.gen.js';
import { Rng } from '../../support/fuzz.js';
import { type Live, Scene } from '../attack/scene.js';
import { ADDRESSES, ADDRESSES6 } from '../pair.js';
import { address, forge, forgeError, mend, type Quick, sound } from './forge.js';
import { broken, NOTHING, type Numbers } from './numbers.js';
import { anyOptions, stamped } from './options.js';
import { PORTS, STREAMS, type Victim, Victims } from './victims.js';

const [FIN, SYN, RST, PSH, ACK, URG] = [1, 2, 4, 8, 16, 32];
/** Segments between two moves of time, and between two leaps of it. */
const MOVE = 32;
const LEAP = 8192;
/** Longer than any retransmission timeout. */
const STUCK_NS = 300_000_000_000n;
const EVIL = { 4: address('10.66.0.9'), 6: address('fd66::9') } as const;
const ENDS = { 4: ADDRESSES.map(address), 6: ADDRESSES6.map(address) } as const;
/** Often what carries something, seldom what nobody sends. */
const FLAGS = [
  ...[ACK, ACK, ACK, ACK, ACK | PSH, ACK | PSH, ACK | FIN, SYN, SYN | ACK],
  ...[RST, RST | ACK, ACK | URG, FIN, 0],
];
/** Thrown again and again. */
const SILENT = new EtherloomError('ERR_TCP_SILENT', 'no answer');
const EMPTY = new Uint8Array(0);

/** A connection that carries bytes to another host of ours. */
interface Protected {
  live: Live;
  port: number;
  /** What it has moved, and when it did last. */
  bytes: number;
  movedNs: bigint;
}

export class Field {
  readonly #victims: Victims;
  readonly #lives: Protected[] = [];
  /** Its own course of events, the same in every run. */
  readonly #rng = new Rng(0x7c9);
  #runs = 0;
  #made: Uint8Array | undefined;
  #stale: { victim: Victim; numbers: Numbers } | undefined;
  /** Transfers that came to their end, and packets that were looked at. */
  transfers = 0;
  answers = 0;

  private constructor(readonly scene: Scene) {
    this.#victims = new Victims(scene);
    for (const port of [100, 101, 102]) this.#lives.push({ ...this.#live(port), port });
    for (let i = 0; i < 24; i++) this.#victims.open(this.#rng);
  }

  static async create(): Promise<Field> {
    return new Field(await Scene.create({ streams: STREAMS, rate: 100_000_000 }));
  }

  #live(port: number): Omit<Protected, 'port'> {
    const rng = this.#rng;
    const family = port === 102 ? 6 : 4;
    const transfer = { forth: rng.between(1, 300_000), back: rng.between(1, 300_000), family } as const;
    const live = this.scene.live(transfer, port);
    return { live, bytes: 0, movedNs: this.scene.pair.engine.now() };
  }

  // ── what is sent ──────────────────────────────────────────────────────────────────────────────────────────────

  #victim(rng: Rng): { victim: Victim; numbers: Numbers } {
    // Reading a flow is dear: its numbers serve for a while.
    if (!this.#stale || rng.chance(0.1)) {
      const victim = rng.pick(this.#victims.all);
      this.#stale = { victim, numbers: this.#victims.numbers(victim) };
    }
    return this.#stale;
  }

  #quick(rng: Rng, n: Numbers, v: Pick<Quick, 'src' | 'dst' | 'sport' | 'dport'>): Quick {
    const six = v.src.length === 16;
    const seldom = (p: number, value: () => number): number => (rng.chance(p) ? value() : 0);
    const payload = rng.pick([0, 0, 0, 1, rng.below(20), rng.below(1400)]);
    const seq = rng.pick([n.next, n.next, n.next, n.next, n.wup, n.adv, n.adv - payload, rng.u32()]);
    const ack = rng.pick([
      n.sent,
      n.sent,
      n.una,
      n.una + rng.below(n.sent - n.una + 1),
      n.una - n.wide,
      rng.u32(),
    ]);
    return {
      ...v,
      payload,
      seq: seq + rng.pick([0, 0, 0, 0, 0, 1, -1, -payload, 1000, rng.below(65536)]),
      ack: ack + rng.pick([0, 0, 0, 0, 0, 1, -1]),
      flags: rng.chance(0.07) ? rng.u32() & 255 : rng.pick(FLAGS),
      window: rng.pick([65535, 65535, 1000, 100, 1, 0, 0, rng.u32() & 0xffff]),
      urgent: seldom(0.1, () => rng.u32() & 0xffff),
      options: anyOptions(rng, n),
      extra: seldom(0.08, () => (six ? 8 * rng.between(1, 8) : 4 * rng.between(1, 10))),
      ecn: seldom(0.2, () => rng.below(4)),
      wrongSum: seldom(0.02, () => rng.u32() & 0xffff),
      wrongOffset: seldom(0.02, () => rng.between(-6, 10)),
      wrongLength: seldom(0.02, () => rng.pick([-1, 1, -20, -33, 100, -rng.below(1500), rng.below(60_000)])),
    };
  }

  /** A segment of a connection that must not suffer: right in everything but in one thing, or in many. */
  #harmless(rng: Rng, n: Numbers, q: Quick): Quick {
    // At the right place, with the right acknowledgment and time: the peer's own words, but for what follows.
    const own = { seq: n.next, ack: n.sent, options: n.stamps ? stamped(n.ts + 1) : EMPTY, extra: 0 };
    const right: Quick = { ...q, ...own, wrongSum: 0, wrongOffset: 0, wrongLength: 0 };
    const beyond = 1 + rng.below(rng.pick([2, 2000, 0x3000_0000]));
    switch (rng.below(9)) {
      case 0: {
        // A RST anywhere but at the next number.
        const by = rng.pick([-1, 1, beyond, -beyond, (n.adv - n.next) >>> 1]);
        return { ...right, seq: n.next + (by || 1), flags: RST | (rng.chance(0.5) ? ACK : 0) };
      }
      case 1:
        return { ...right, seq: n.next + rng.pick([0, 1, beyond, -beyond]), flags: (q.flags & ~RST) | SYN };
      case 2: {
        const ack = rng.chance(0.5) ? n.sent + beyond : n.una - n.wide - beyond;
        return { ...right, seq: q.seq, ack, flags: (q.flags & ~(SYN | RST)) | ACK };
      }
      case 3:
        // Beyond any window that there may be when it comes.
        return { ...right, ack: q.ack, seq: n.next + 0x8_0000 + beyond, flags: q.flags & ~RST };
      case 4:
        return { ...right, ack: q.ack, seq: n.wup - beyond - q.payload - 2, flags: q.flags & ~RST };
      case 5:
        return { ...right, flags: q.flags & ~(ACK | SYN | RST) };
      case 6:
        return { ...right, flags: q.flags & ~RST, wrongSum: 1 + rng.below(0xfffd) };
      case 7:
        if (!n.stamps) return { ...right, flags: 0 };
        return { ...right, flags: q.flags & ~RST, options: stamped(n.ts - beyond) };
      default:
        if (!n.stamps) return { ...right, flags: 0 };
        return { ...right, flags: q.flags & ~RST, options: EMPTY };
    }
  }

  #protected(rng: Rng): Uint8Array {
    const { live, port } = rng.pick(this.#lives);
    // Fresh each time: a packet that is too big makes the host send, and what was ahead of it is so no more.
    const n = this.#victims.numbers({ id: live.server!.end.id });
    const [src, dst] = live.transfer.family === 6 ? ENDS[6] : ENDS[4];
    const at = { src, dst, sport: live.from, dport: port };
    // Over, or nearly: what ends it further is its own affair, and nothing is to be learned.
    const q = this.#quick(rng, n.state === 1 ? n : NOTHING, at);
    if (n.state !== 1) return forge({ ...q, flags: SYN, dport: 9 }, rng);
    if (rng.chance(0.1)) {
      const seq =
        rng.pick([n.una - 1 - rng.below(0x3000_0000), n.sent + 1 + rng.below(0x3000_0000), n.una]) >>> 0;
      const six = src.length === 16;
      const inFlight = seq === n.una;
      const kind = {
        type: six ? rng.pick([1, 2, 3, 4]) : rng.pick([3, 3, 3, 4, 5, 11, 12]),
        code: rng.below(16),
        mtu: inFlight ? rng.pick([0, 68, 552, 1000, 1400]) : rng.pick([0, 68, 552, 1280, 65535]),
        length: 1500,
      };
      return forgeError(EVIL[six ? 6 : 4], dst, { peer: src, sport: port, dport: live.from, seq }, kind);
    }
    return forge(this.#harmless(rng, n, q), rng);
  }

  /** A frame: of a connection that must live, of a victim, of nobody. */
  make(rng: Rng): Uint8Array {
    return (this.#made = this.#make(rng));
  }

  #make(rng: Rng): Uint8Array {
    const kind = rng.below(100);
    if (kind < 25) return this.#protected(rng);
    const six = rng.chance(0.4);
    if (kind < 37) {
      const at = {
        src: six
          ? Uint8Array.from([...EVIL[6].subarray(0, 14), ...rng.bytes(2)])
          : Uint8Array.from([10, 66, ...rng.bytes(2)]),
        dst: ENDS[six ? 6 : 4][1],
        ...{ sport: rng.u32() & 0xffff, dport: rng.pick([...PORTS, 9, 0]) },
      };
      return forge({ ...this.#quick(rng, NOTHING, at), ...(rng.chance(0.5) && { flags: SYN }) }, rng);
    }
    const { victim, numbers } = this.#victim(rng);
    if (kind < 42) {
      const about = { peer: victim.peer, sport: victim.dport, dport: victim.sport, seq: numbers.una };
      const code = rng.below(5);
      const type = victim.family === 6 ? rng.pick([1, 2, 2, 3]) : rng.pick([3, 3, 3, 4, 11]);
      const kind = { type, code, mtu: rng.u32() >>> rng.between(16, 31), length: rng.below(2000) };
      return forgeError(EVIL[victim.family], victim.host, about, kind);
    }
    if (kind < 43) return rng.bytes(rng.below(200));
    const { peer: src, host: dst, sport, dport } = victim;
    return forge(this.#quick(rng, numbers, { src, dst, sport, dport }), rng);
  }

  /** It may be of a connection that must live. */
  #spares(frame: Uint8Array): boolean {
    for (const { live } of this.#lives)
      for (let at = 14; at + 2 <= frame.length; at++)
        if (frame[at] === live.from >> 8 && frame[at + 1] === (live.from & 255)) return true;
    return false;
  }

  /** Mends what mutation broke, where it may hurt. */
  repair(frame: Uint8Array): void {
    if (!this.#spares(frame)) mend(frame);
  }

  // ── what comes of it ──────────────────────────────────────────────────────────────────────────────────────────

  run(frame: Uint8Array): void {
    const { scene } = this;
    const { engine, b } = scene.pair;
    const runs = ++this.#runs;
    if (frame.length === 0 || frame.length > 1700) throw new EtherloomError('ERR_TCP_NO_FRAME', 'no frame');
    // By mutation it may have become what the peer itself would say.
    if (frame !== this.#made && this.#spares(frame) && sound(frame))
      throw new EtherloomError('ERR_TCP_SPARED', 'a good segment of a good connection');
    scene.raw(frame);
    engine.run({ untilNs: engine.now() });
    const answers = this.#drain();
    if (engine.crashes.length) throw new Error(`the lane trapped: ${engine.crashes[0].reason}`);
    if (runs % MOVE === 0)
      try {
        this.#move(runs % LEAP === 0);
      } catch (error) {
        // What goes wrong between segments is no refusal of one.
        throw new Error('between segments', { cause: error });
      }
    if (runs % 256 === 0) {
      const { victim } = this.#victim(this.#rng);
      const what = victim.id && b.flow(victim.id).state ? broken(b, victim.id) : undefined;
      if (what) throw new Error(`flow ${victim.id}: ${what}`);
    }
    if (runs % 1024 === 0) this.#count();
    if (!answers) throw SILENT;
  }

  /** Takes what was sent, and looks at some of it. */
  #drain(): number {
    return this.scene.evil.drain(Number.POSITIVE_INFINITY, data => {
      if ((++this.answers & 7) === 0 && !sound(data))
        throw new Error('a packet with a wrong checksum was sent');
    });
  }

  #move(leap: boolean): void {
    const { scene } = this;
    const rng = this.#rng;
    const { engine } = scene.pair;
    this.#victims.work(rng);
    const us = leap ? rng.pick([1e6, 5e6, 70e6]) : rng.between(20, 400);
    const until = engine.now() + BigInt(us) * 1000n;
    scene.run(
      () => engine.now() >= until,
      us / 1000,
      () => this.#drain(),
    );
    if (engine.now() < until) engine.advance(until - engine.now());
    // Until nothing is left to do: the numbers of the next input must be good when it comes.
    scene.pair.a.settle();
    scene.pair.b.settle();
    this.#drain();
    for (const l of this.#lives) {
      this.#progress(l);
      if (!l.live.done) continue;
      scene.over(l.live);
      this.transfers++;
      Object.assign(l, this.#live(l.port));
    }
    if (rng.chance(0.3)) this.#victims.open(rng);
    this.#stale = undefined;
  }

  /** A connection that must live moves on, whatever else happens. */
  #progress(l: Protected): void {
    const { client, server } = l.live;
    const { engine } = this.scene.pair;
    const bytes = client.bytes + server!.bytes + Number(client.closed) + Number(server!.closed);
    if (bytes !== l.bytes) {
      l.bytes = bytes;
      l.movedNs = engine.now();
    }
    if (engine.now() - l.movedNs < STUCK_NS || l.live.done) return;
    throw new Error(`a connection that must live is stuck: ${this.scene.describe()}`);
  }

  /** Nothing is lost, nothing failed. */
  #count(): void {
    const { engine } = this.scene.pair;
    const { lost, doubled } = engine.ledger();
    if (lost || doubled) throw new Error(`${lost} frames are lost, ${doubled} doubled`);
    for (const [i, { verdicts }] of engine.counters().entries())
      if (verdicts.aborted) throw new Error(`port ${i + 1}: ${verdicts.aborted} verdicts of XDP_ABORTED`);
  }

  /** Streams of the host that are in use, with the state of their flows. */
  #left(): string {
    const { b } = this.scene.pair;
    const { arena } = this.scene.pair.engine;
    const found: string[] = [];
    for (let id = 1; id < STREAMS; id++) {
      const { flags, app } = new StreamView(arena.dv, arena.header.streamsAt + id * StreamLayout.size);
      if (!(flags & (StreamFlag.OPEN | StreamFlag.CLOSED)) || app !== b.app.number) continue;
      const f = b.flow(id) as unknown as Record<string, number>;
      found.push(
        `${id} (flags ${flags}, state ${f.state}, flow ${f.flags.toString(16)}, listener ${f.listener}, port ${f.rport}, error ${f.error}, todo ${f.todo}, events ${b.events.get(id)}, due ${f.due_ns})`,
      );
    }
    return found.join(', ');
  }

  /** All connections end, and what they took comes back. @throws Error */
  async end(): Promise<void> {
    const { scene } = this;
    const { b } = scene.pair;
    this.#victims.close();
    scene.finish(300_000, () => this.#drain());
    // A retransmission timeout that was made long by what came doubles up to two minutes, eight times.
    scene.pass(1_500_000, () => this.#drain());
    this.#victims.work(this.#rng);
    this.#victims.close();
    scene.pass(100_000, () => this.#drain());
    const left = scene.streams();
    if (left) throw new Error(`${left} streams are still in use: ${this.#left()}`);
    for (const [slot, w] of b.map('tcp_backlogs')) {
      const { opening } = w as { opening: number };
      if (opening) throw new Error(`listener ${slot}: ${opening} handshakes are still under way`);
    }
    for (const name of ['tcp4', 'tcp6']) {
      const { size } = b.map(name);
      if (size) throw new Error(`${name}: ${size} connections are still there`);
    }
    this.#count();
    await scene.close();
  }
}
