/**
 * Where UDP is fuzzed: one stack with sockets of hostile applications, which write into shared memory whatever they like
 * (order.ts), sockets of honest ones (honest.ts), and neighbours that answer late or never (neighbours.ts).
 */
import { Engine } from '../../../host/engine/engine.js';
import { EtherloomError } from '../../../host/errors.js';
import { StreamLayout as L, StreamRequest, StreamView } from '../../../host/layout/layout.gen.js';
import { takeStreamLedger } from '../../../host/mem/streams.js';
import type { DatagramSocket } from '../../../host/net/burst/datagram_socket.js';
import { Stack } from '../../../host/net/stack.js';
import { HostNic } from '../../../host/nic/index.js';
import { Rng } from '../../support/fuzz.js';
import { packet, read } from '../../support/packets.js';
import { Honest, lifeOf } from './honest.js';
import { KNOWN, Neighbours, THEIR_MAC } from './neighbours.js';
import { Do, HOSTILE, makeOrder, type Order, Others, orderOf } from './order.js';

/** Inputs between two counts of all, and between two silences of all. */
const COUNT = 512;
const SILENCE = 4096;
const HONEST = 3;
const HOSTILE_PORT = 6000;
const HONEST_PORT = 5000;
const MTU = 1500;
/** A neighbour is given up after this; and who waits for it has heard then. */
const GIVEN_UP_MS = 3000;
/** Slots of a lane (bpf-progs/transports/udp/unresolved.h). */
const SLOTS = 256;
/** Longest step of time: neighbours age ten times a second. */
const STEP_MS = 100;
const MAX_BYTES = 6000;
/** Thrown again and again. */
const SILENT = new EtherloomError('ERR_UDP_SILENT', 'no answer');

interface Hostile {
  socket: DatagramSocket;
  /** It asked for its end by its words. */
  over: boolean;
}

export class Field {
  static readonly maxBytes = MAX_BYTES;
  /** Its own course of events, the same in every run. */
  readonly #rng = new Rng(0x0d9);
  readonly #neighbours: Neighbours;
  readonly #mac: string;
  readonly #hostile: Hostile[] = [];
  readonly #honest: Honest[] = [];
  /** By life: what a socket that was closed had to send leaves still. */
  readonly #lives = new Map<number, Honest>();
  #runs = 0;
  /** UDP packets that left. */
  #left = 0;
  /** Of the addresses that nobody ever asked for before. */
  #fresh = 0;
  /** Silences that were kept, and datagrams of honest sockets that left. */
  silences = 0;
  delivered = 0;

  private constructor(
    readonly engine: Engine,
    readonly nic: HostNic,
    readonly stack: Stack,
  ) {
    this.#mac = [...nic.port.mac].map(b => b.toString(16).padStart(2, '0')).join(':');
    this.#neighbours = new Neighbours(this.#rng, this.#mac);
    for (let i = 0; i < HOSTILE; i++) this.#hostile.push(this.#newHostile(i));
    for (let i = 0; i < HONEST; i++) this.#honest.push(this.#newHonest(i));
    this.#settle();
  }

  static async create(): Promise<Field> {
    const nic = new HostNic({ name: 'nic', mtu: MTU });
    const engine = await Engine.create({
      ...{ nics: [nic], inline: true, clock: 'virtual', warmMs: 0, frames: 4096, seed: 1 },
      streams: { count: 64, bytes: 8 << 20, apps: 4 },
    });
    const own = ['10.0.0.1/16', 'fd00::1/64'].map(address => ({ address, dad: false }));
    const stack = await Stack.create({
      engine,
      ports: { nic: { addresses: own, announce: false } },
      neighbours: [4, 6].map(f => ({ port: 'nic', address: KNOWN[f as 4 | 6], mac: THEIR_MAC })),
    });
    await engine.start();
    return new Field(engine, nic, stack);
  }

  #newHostile(i: number): Hostile {
    const small = { sendBuffer: i === 0 ? 16384 : 4096, receiveBuffer: 4096 };
    return { socket: this.stack.burst.bind({ port: HOSTILE_PORT + i, ...small }), over: false };
  }

  #newHonest(i: number): Honest {
    const life = this.#lives.size + 1;
    const honest = new Honest(this.stack.burst.bind({ port: HONEST_PORT + i }), life);
    this.#lives.set(life, honest);
    return honest;
  }

  // ── what a hostile application does ───────────────────────────────────────────────────────────────────────────

  make(rng: Rng): Uint8Array {
    return makeOrder(rng, MAX_BYTES);
  }

  #write({ socket }: Hostile, o: Order): void {
    const { arena } = this.engine;
    const at = arena.header.streamsAt + socket.id * L.size;
    const view = new StreamView(arena.dv, at);
    const { sndAt, sndBytes, sndEnd } = view;
    if (sndAt === 0) return;
    const from = o.bits & Do.PAST ? o.word : sndEnd;
    for (let i = 0; i < o.bytes.length && i < sndBytes; i++)
      arena.u8[sndAt + ((from + i) & (sndBytes - 1))] = o.bytes[i];
    const end = o.bits & Do.BELIEVE ? o.word : sndEnd + ((o.bytes.length + 31) & -32);
    const put = (offset: number, value: number): void =>
      void Atomics.store(arena.u32, (at + offset) >> 2, value >>> 0);
    put(L.sndEnd, end);
    if (o.bits & Do.READ) put(L.rcvRead, o.read);
    if (o.bits & Do.WANTED) put(L.sndWanted, o.word);
    socket.end.ring(
      (o.bits & Do.CLOSE ? StreamRequest.CLOSE : 0) | (o.bits & Do.ABORT ? StreamRequest.ABORT : 0),
    );
  }

  #attack(o: Order): void {
    const h = this.#hostile[o.who];
    if (o.bits & Do.AGAIN || (h.over && this.#rng.chance(0.2))) {
      h.socket.close();
      this.#settle();
      this.#hostile[o.who] = this.#newHostile(o.who);
      return;
    }
    this.#write(h, o);
    if (o.bits & (Do.CLOSE | Do.ABORT)) h.over = true;
    if (o.bits & Do.EMPTY) h.socket.receive([]);
  }

  // ── what the others do ────────────────────────────────────────────────────────────────────────────────────────

  #arrive(frame: Uint8Array): void {
    if (!this.nic.send(frame)) throw new Error('the NIC takes nothing');
  }

  #others({ others, bytes }: Order): void {
    const rng = this.#rng;
    for (let n = others & Others.SEND; n > 0; n--) rng.pick(this.#honest).sendAny(rng);
    if (others & Others.ARRIVE) {
      this.#arrive(rng.pick(this.#honest).arriving(rng, this.#mac));
      const family = rng.pick([4, 6] as const);
      const dst = family === 4 ? '10.0.0.1' : 'fd00::1';
      const payload = bytes.subarray(0, 1400);
      const ports = { sport: 9, dport: HOSTILE_PORT + rng.below(HOSTILE) };
      const at = { src: KNOWN[family], dst, smac: THEIR_MAC, dmac: this.#mac };
      this.#arrive(packet({ ...at, ...ports, protocol: 'udp', payload }));
    }
    // Somebody says unasked where he is.
    if ((others & 0x78) === Others.NOISE)
      this.#arrive(
        this.#neighbours.answerOf(rng.pick([4, 6] as const), rng.pick([0, 1, 2]), 3 + rng.below(253)),
      );
    if ((others & 0xf0) === Others.FORGET && rng.chance(0.05)) {
      const i = rng.below(HONEST);
      this.#honest[i].socket.close();
      this.#settle();
      this.#honest[i] = this.#newHonest(i);
    }
  }

  // ── what comes of it ──────────────────────────────────────────────────────────────────────────────────────────

  /** Lets the lane work until nothing is to be done at this time. Returns how many packets left. */
  #settle(): number {
    const { engine, stack, nic } = this;
    let n = 0;
    for (;;) {
      stack.burst.poll([]);
      engine.run({ untilNs: engine.now() });
      const now = engine.now();
      let more = false;
      nic.drain(Number.MAX_SAFE_INTEGER, frame => {
        n++;
        more = true;
        if (!this.#neighbours.asked(frame, now)) this.#look(frame);
      });
      for (const answer of this.#neighbours.due(now)) {
        this.#arrive(answer);
        more = true;
      }
      if (!more) break;
    }
    stack.burst.poll([]);
    return n;
  }

  /** A packet of UDP, or of ICMP, that left. */
  #look(frame: Uint8Array): void {
    const v6 = frame[12] === 0x86;
    const protocol = frame[v6 ? 20 : 23];
    if (protocol === 1 || protocol === 58) return;
    this.#left++;
    const seen = read(frame);
    const { sport, l4 } = seen;
    const what = `port ${sport} sent ${Buffer.from(frame.subarray(0, 80)).toString('hex')}`;
    if (protocol !== 17 || !seen.sound) throw new Error(`${what}: not sound`);
    if (frame.length > 14 + MTU || l4.length !== ((l4[4] << 8) | l4[5]))
      throw new Error(`${what}: its length`);
    if (l4[6] === 0 && l4[7] === 0) throw new Error(`${what}: no checksum`);
    if (seen.src !== (v6 ? 'fd00::1' : '10.0.0.1') || seen.smac !== this.#mac)
      throw new Error(`${what}: not from us`);
    if (sport >= HOSTILE_PORT && sport < HOSTILE_PORT + HOSTILE) return;
    const payload = l4.subarray(8);
    const honest = this.#lives.get(lifeOf(payload) ?? 0);
    if (honest?.socket.port !== sport) throw new Error(`${what}: its socket never sent that`);
    honest.check(payload, seen.dst);
    this.delivered++;
  }

  #pass(ms: number): number {
    let n = 0;
    for (let left = ms; left > 0; left -= STEP_MS) {
      this.engine.advance(BigInt(Math.min(left, STEP_MS)) * 1_000_000n);
      n += this.#settle();
    }
    return n;
  }

  run(input: Uint8Array): void {
    const order = orderOf(input);
    if (!order) throw new EtherloomError('ERR_UDP_NO_ORDER', 'too short');
    const runs = ++this.#runs;
    this.#attack(order);
    this.#others(order);
    let answers = this.#settle();
    for (const h of this.#honest) {
      h.receive();
      h.settled();
    }
    answers += this.#pass(order.ms);
    if (this.engine.crashes.length) throw new Error(`the lane trapped: ${this.engine.crashes[0].reason}`);
    try {
      if (runs % SILENCE === 0) this.#silence();
      if (runs % COUNT === 0) this.#count();
    } catch (error) {
      // What goes wrong between inputs is no refusal of one.
      throw new Error(`between inputs: ${(error as Error).message}`, { cause: error });
    }
    if (!answers) throw SILENT;
  }

  /** Nothing is lost, nothing failed, and what was counted left. */
  #count(): void {
    const { engine } = this;
    const { lost, doubled } = engine.ledger();
    if (lost || doubled) throw new Error(`${lost} frames are lost, ${doubled} doubled`);
    const [{ verdicts }] = engine.counters();
    if (verdicts.aborted) throw new Error(`${verdicts.aborted} verdicts of XDP_ABORTED`);
    const { OutDatagrams = 0 } = this.stack.counters('datagrams');
    if (OutDatagrams !== this.#left)
      throw new Error(`${OutDatagrams} left as counted, ${this.#left} as seen`);
  }

  #counted(name: string): number {
    return this.stack.counters('datagrams')[name] ?? 0;
  }

  /** An address that was never asked for: those of 3.x answer promptly, those from 4.0 on never. */
  #freshHost(answers: boolean): [number, number] {
    const n = this.#fresh++;
    return answers ? [3, n & 255] : [4 + ((n >> 8) % 250), n & 255];
  }

  /**
   * The hostile rest, their datagrams are given up; then all slots must be free again, and the honest ones be served by
   * neighbours that answer.
   */
  #silence(): void {
    const rng = this.#rng;
    for (let i = 0; i < HOSTILE; i++) {
      this.#hostile[i].socket.close();
      this.#settle();
      this.#hostile[i] = this.#newHostile(i);
    }
    this.#pass(GIVEN_UP_MS + 2 * STEP_MS);
    const [one, two] = this.#honest;
    const before = { discards: this.#counted('UnresolvedDiscards'), noRoutes: this.#counted('OutNoRoutes') };
    for (let i = 0; i < SLOTS; i++) one.send(6, ...this.#freshHost(false), 16);
    this.#settle();
    this.#pass(GIVEN_UP_MS + 2 * STEP_MS);
    const discards = this.#counted('UnresolvedDiscards') - before.discards;
    const noRoutes = this.#counted('OutNoRoutes') - before.noRoutes;
    if (discards !== 0 || noRoutes !== SLOTS)
      throw new Error(`${SLOTS} wait: ${discards} were dropped for others, ${noRoutes} were given up`);
    const left = two.left;
    const hosts = Array.from({ length: 4 }, () => this.#freshHost(true));
    for (let i = 0; i < 80; i++) two.send(i & 1 ? 4 : 6, ...hosts[(i >> 1) & 3], rng.below(700));
    this.#settle();
    this.#pass(1200);
    if (two.left - left !== 80) throw new Error(`to neighbours that answered ${two.left - left} of 80 left`);
    this.silences++;
  }

  /** All sockets end, and what they took comes back. @throws Error */
  async end(): Promise<void> {
    for (const { socket } of [...this.#hostile, ...this.#honest]) socket.close();
    this.#settle();
    this.#pass(GIVEN_UP_MS + 2 * STEP_MS);
    this.#count();
    await this.stack.close();
    const s = takeStreamLedger(this.engine.arena);
    if (s.open + s.closed + s.lost + s.lostIds + s.used !== 0)
      throw new Error(`streams are still in use: ${JSON.stringify(s)}`);
    const { ledger } = await this.engine.stop();
    if (ledger.lost + ledger.doubled !== 0)
      throw new Error(`${ledger.lost} frames lost, ${ledger.doubled} doubled`);
  }
}
