/**
 * Where the tutorial's transport is fuzzed: one stack, whose sockets talk with an honest peer in both directions while
 * strangers send it whatever they like, somebody on the way repeats and breaks what the honest peer sent, and an
 * application writes into its send ring what is no datagram.
 *
 *   input: kind, then bytes ─▶ a frame, or bytes in a ring        the honest: numbers, each once and in order, both ways
 */
import { Engine } from '../../../host/engine/engine.js';
import { EtherloomError } from '../../../host/errors.js';
import { StreamLayout as L, StreamRequest, StreamView } from '../../../host/layout/layout.gen.js';
import { takeStreamLedger } from '../../../host/mem/streams.js';
import type { Datagram } from '../../../host/net/burst/datagram.js';
import type { DatagramSocket } from '../../../host/net/burst/datagram_socket.js';
import type { DatagramNews } from '../../../host/net/burst/datagrams.js';
import { Stack } from '../../../host/net/stack.js';
import type { StackTransport } from '../../../host/net/stack_transport.js';
import { HostNic } from '../../../host/nic/index.js';
import { Rng } from '../../support/fuzz.js';
import { ack, Kind, readWindow, type WindowPacket, windowFrame, windowTransport } from '../rig.js';

const OURS = '10.0.0.1';
const HONEST = '10.0.0.2';
const STRANGER = '10.0.0.3';
const MACS = { [HONEST]: '02:00:00:00:00:02', [STRANGER]: '02:00:00:00:00:03' };
const IN = 7;
const OUT = 8;
const HOSTILE = 6;
const PEER = 9;
/** Longest rest between inputs, ms: below what makes an honest peer dead. */
const MOST_MS = 100;
/** Inputs between two counts of everything. */
const COUNT = 512;

export class Field {
  static readonly maxBytes = 1600;
  readonly #rng = new Rng(0x3d1);
  readonly #mac: string;
  readonly #in: DatagramSocket;
  readonly #out: DatagramSocket;
  #hostile: DatagramSocket;
  /** The honest peer's next number that is not acknowledged, and what it sent last: somebody repeats that. */
  #number = 0;
  readonly #past: Uint8Array[] = [];
  /** What it waits for of our datagrams, and of which epoch. */
  #waited = 0;
  #epoch: number | undefined;
  #sent = 0;
  #runs = 0;
  #loss = 0.3;
  readonly #batch: Datagram[] = [];
  readonly #news: DatagramNews[] = [];
  /** Numbers of the honest peer that its socket has got. */
  got = 0;

  private constructor(
    readonly engine: Engine,
    readonly nic: HostNic,
    readonly stack: Stack,
    readonly transport: StackTransport,
  ) {
    this.#mac = [...nic.port.mac].map(b => b.toString(16).padStart(2, '0')).join(':');
    this.#in = stack.burst.bind({ port: IN, transport: 'window' });
    this.#out = stack.burst.bind({ port: OUT, transport: 'window' });
    this.#hostile = this.#bindHostile();
    this.#settle();
  }

  static async create(): Promise<Field> {
    const nic = new HostNic({ name: 'nic' });
    const engine = await Engine.create({
      ...{ nics: [nic], inline: true, clock: 'virtual', warmMs: 0, frames: 4096, seed: 1 },
      streams: { count: 32, bytes: 8 << 20, apps: 4 },
    });
    const stack = await Stack.create({
      ...{ engine, ports: { nic: { addresses: [`${OURS}/24`], announce: false } } },
      neighbours: Object.entries(MACS).map(([address, mac]) => ({ port: 'nic', address, mac })),
    });
    const transport = await stack.load(windowTransport());
    await engine.start();
    return new Field(engine, nic, stack, transport);
  }

  #bindHostile(): DatagramSocket {
    return this.stack.burst.bind({
      port: HOSTILE,
      transport: 'window',
      sendBuffer: 4096,
      receiveBuffer: 4096,
    });
  }

  make(rng: Rng): Uint8Array {
    const bytes = new Uint8Array(1 + rng.below(rng.chance(0.1) ? Field.maxBytes - 1 : 80));
    for (let i = 0; i < bytes.length; i++) bytes[i] = rng.chance(0.4) ? rng.below(3) : rng.u32();
    return bytes;
  }

  // ── what is done to it ────────────────────────────────────────────────────────────────────────────────────────

  #arrive(frame: Uint8Array): void {
    if (!this.nic.send(frame)) throw new Error('the NIC takes nothing');
  }

  /** A packet of a stranger, sound as far as the checksum: to any of our ports, of any kind and number. */
  #strange(bytes: Uint8Array): void {
    const at = (i: number): number => bytes[i] ?? 0;
    const word = (i: number): number => at(i) | (at(i + 1) << 8) | (at(i + 2) << 16) | (at(i + 3) << 24);
    const p: WindowPacket = {
      ...{
        src: STRANGER,
        dst: OURS,
        sport: at(1) | (at(2) << 8),
        dport: [IN, OUT, HOSTILE, at(3)][at(3) & 3],
      },
      ...{ kind: at(4) & 1 ? (at(4) >> 1) & 3 : word(5), number: word(9), payload: bytes.subarray(17) },
      epoch: at(4) & 8 ? (this.#epoch ?? 0) : word(13),
    };
    this.#arrive(windowFrame(p, this.#mac));
  }

  /** In the name of the honest peer, by somebody who does not see what is said: of another epoch, or of no number that was sent. */
  #forged(bytes: Uint8Array): void {
    const isAck = ((bytes[1] ?? 0) & 1) === 1;
    const number = (bytes[2] ?? 0) & 1 ? (bytes[3] ?? 0) : this.#rng.u32();
    const p = {
      ...{ src: HONEST, dst: OURS, sport: PEER, dport: isAck ? OUT : IN, payload: bytes.subarray(8) },
      kind: isAck ? Kind.ACK : Kind.DATA,
    };
    // An ACK of our epoch for what was never sent; or any of another. DATA that does not begin anew, or of an epoch before.
    const beyond = isAck && ((bytes[4] ?? 0) & 1) === 1 && this.#epoch !== undefined;
    const epoch = beyond ? this.#epoch! : (bytes[5] ?? 0) % 77;
    const later = !isAck && number !== 0 && ((bytes[4] ?? 0) & 1) === 1;
    this.#arrive(
      windowFrame(
        {
          ...p,
          epoch: later ? 78 + (bytes[5] ?? 0) : epoch,
          number: beyond ? (this.#sent + 1 + (number & 0xffffff)) >>> 0 : number,
        },
        this.#mac,
      ),
    );
  }

  /** What the honest peer sent comes again, late; or with bits that are not as they were. */
  #again(bytes: Uint8Array, broken: boolean): void {
    if (this.#past.length === 0) return;
    const frame = this.#past[(bytes[1] ?? 0) % this.#past.length].slice();
    if (broken) {
      const at = 26 + ((bytes[2] ?? 0) % (frame.length - 26));
      frame[at] ^= 1 + ((bytes[3] ?? 0) & 127);
    }
    this.#arrive(frame);
  }

  /** No sound packet at all: bytes behind a header of IP. */
  #raw(bytes: Uint8Array): void {
    const none = { sport: 0, dport: 0, kind: 0, epoch: 0, number: 0, payload: new Uint8Array(0) };
    const frame = windowFrame({ src: STRANGER, dst: OURS, ...none }, this.#mac);
    frame.set(bytes.subarray(1, 21), 34);
    this.#arrive(frame);
  }

  /** Bytes in the send ring of an application that means harm. */
  #write(bytes: Uint8Array): void {
    if (this.#hostile.closed) {
      this.#hostile.close();
      this.#settle();
      // Its port is taken until the stream is free.
      this.#pass(10);
      this.#hostile = this.#bindHostile();
      return;
    }
    const { arena } = this.engine;
    const at = arena.header.streamsAt + this.#hostile.id * L.size;
    const { sndAt, sndBytes, sndEnd } = new StreamView(arena.dv, at);
    if (sndAt === 0) return;
    const body = bytes.subarray(2, 2 + sndBytes);
    for (const [i, b] of body.entries()) arena.u8[sndAt + ((sndEnd + i) & (sndBytes - 1))] = b;
    const end = (bytes[1] ?? 0) & 1 ? sndEnd + ((body.length + 31) & -32) : this.#rng.u32();
    Atomics.store(arena.u32, (at + L.sndEnd) >> 2, end >>> 0);
    this.#hostile.end.ring((bytes[1] ?? 0) & 6 ? 0 : StreamRequest.ABORT);
  }

  // ── what the honest do ────────────────────────────────────────────────────────────────────────────────────────

  #say(): void {
    const payload = Buffer.alloc(8);
    payload.writeUInt32LE(this.#number);
    const frame = windowFrame(
      {
        ...{ src: HONEST, dst: OURS, sport: PEER, dport: IN, kind: Kind.DATA },
        ...{ epoch: 77, number: this.#number, payload },
      },
      this.#mac,
    );
    this.#past.push(frame);
    if (this.#past.length > 64) this.#past.shift();
    this.#arrive(frame);
  }

  #ask(): void {
    const payload = Buffer.alloc(8);
    payload.writeUInt32LE(this.#sent);
    if (this.#out.send(payload, this.#out.peer(HONEST, PEER))) this.#sent++;
  }

  /** A frame that left. */
  #hear(frame: Uint8Array): void {
    if (frame[23] !== 253) return;
    const p = readWindow(frame);
    if (p.src !== OURS) throw new Error(`sent from ${p.src}`);
    if (p.sport === HOSTILE || p.dst !== HONEST) return;
    if (p.kind === Kind.ACK) {
      if (p.sport !== IN || p.epoch !== 77) throw new Error(`an answer of port ${p.sport}, epoch ${p.epoch}`);
      if (p.number > this.#number + 1 || p.number < this.#number - 64)
        throw new Error(`waits for ${p.number} where ${this.#number} is the last`);
      this.#number = Math.max(this.#number, p.number);
      return;
    }
    // On the way to the peer some get lost: they are under way when forged answers come.
    if (this.#loss > 0 && this.#rng.chance(this.#loss)) return;
    this.#epoch ??= p.epoch;
    if (p.epoch !== this.#epoch) throw new Error('numbers began anew, though the peer always answered');
    const said = Buffer.from(p.payload).readUInt32LE();
    if (said !== p.number) throw new Error(`number ${p.number} carries ${said}`);
    if (p.number === this.#waited) this.#waited++;
    this.#arrive(ack(p, this.#waited, this.#mac));
  }

  #take(): void {
    for (const d of this.#batch.slice(0, this.#in.receive(this.#batch))) {
      if (d.address !== HONEST) continue;
      const number = Buffer.from(d.data).readUInt32LE();
      if (number !== this.got) throw new Error(`got ${number} where ${this.got} is next`);
      this.got++;
    }
    this.#out.receive(this.#batch);
    for (const { socket, error } of this.#news.slice(0, this.stack.burst.news(this.#news)))
      if (error && socket !== this.#hostile) throw new Error(`an honest socket heard ${error}`);
  }

  #settle(): void {
    for (let more = true; more; ) {
      more = false;
      this.stack.burst.poll([]);
      this.engine.run({ untilNs: this.engine.now() });
      this.nic.drain(Number.MAX_SAFE_INTEGER, frame => {
        more = true;
        this.#hear(frame);
      });
    }
    this.stack.burst.poll([]);
    this.#take();
  }

  #pass(ms: number): void {
    for (let left = ms; left > 0; left -= 5) {
      this.engine.advance(5_000_000n);
      this.#settle();
    }
  }

  run(input: Uint8Array): void {
    if (input.length < 2) throw new EtherloomError('ERR_WINDOW_NO_ORDER', 'too short');
    const rng = this.#rng;
    if (rng.chance(0.3)) this.#say();
    if (rng.chance(0.3)) this.#ask();
    const kind = input[0] % 8;
    if (kind < 3) this.#strange(input);
    else if (kind === 3) this.#forged(input);
    else if (kind === 4) this.#raw(input);
    else if (kind < 7) this.#again(input, kind === 6);
    else this.#write(input);
    this.#settle();
    if (rng.chance(0.1)) this.#pass(rng.below(MOST_MS));
    if (this.engine.crashes.length) throw new Error(`the lane trapped: ${this.engine.crashes[0].reason}`);
    if (++this.#runs % COUNT === 0) this.#count();
  }

  /** Nothing is lost, and the honest got on. */
  #count(): void {
    this.#loss = 0;
    this.#say();
    this.#settle();
    // Datagrams that were lost often wait for long, each for itself; who receives takes the next one only.
    for (let ms = 0; this.#waited !== this.#sent && ms < 20_000; ms += 250) this.#pass(250);
    this.#loss = 0.3;
    if (this.got !== this.#number) throw new Error(`${this.got} of ${this.#number} were delivered`);
    if (this.#waited !== this.#sent) throw new Error(`${this.#waited} of ${this.#sent} arrived`);
    const { lost, doubled } = this.engine.ledger();
    if (lost || doubled) throw new Error(`${lost} frames are lost, ${doubled} doubled`);
    const [{ verdicts }] = this.engine.counters();
    if (verdicts.aborted) throw new Error(`${verdicts.aborted} verdicts of XDP_ABORTED`);
  }

  /** @throws Error when something of it is left */
  async end(): Promise<void> {
    this.#count();
    await this.transport.close();
    await this.stack.close();
    const s = takeStreamLedger(this.engine.arena);
    if (s.open + s.closed + s.lost + s.lostIds + s.used !== 0)
      throw new Error(`streams are still in use: ${JSON.stringify(s)}`);
    const { ledger } = await this.engine.stop();
    if (ledger.lost + ledger.doubled !== 0) throw new Error(`${ledger.lost} lost, ${ledger.doubled} doubled`);
  }
}
