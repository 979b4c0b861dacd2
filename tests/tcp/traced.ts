/**
 * One connection over a wire in hand (relay.ts): every segment of the sender is seen as it leaves, and delivered, dropped or
 * marked, by its number. For what a law says of one packet; for wires by chance there is the model NIC (pair.ts).
 */
import type { StreamEnd } from '../../host/streams/stream_end.js';
import { drain } from './bulk.js';
import type { TcpOptions } from './options.js';
import { ADDRESSES } from './pair.js';
import { Relay } from './relay.js';
import { FlowWatch } from './watch.js';

const IP = 14;
const TCP = 34;
const CE = 3;
const RING = 1 << 20;

/** A segment with data, IPv4. */
export interface Passing {
  /** In the order of sending, from 0. */
  number: number;
  seq: number;
  /** When it was sent, ns. */
  at: bigint;
}

export type Fate = 'drop' | 'mark' | undefined;

export class Traced {
  readonly watch: FlowWatch;
  readonly sent: Passing[] = [];
  fate: (p: Passing) => Fate = () => undefined;
  from!: StreamEnd;
  to!: StreamEnd;

  private constructor(readonly relay: Relay) {
    this.watch = new FlowWatch(relay.a);
    relay.path = (frame, from) => (from === 'a' && this.#passes(frame) === 'drop' ? [] : [frame]);
  }

  /** Connected. @param rttMs of the wire */
  static async create(
    rttMs: number,
    client: Partial<TcpOptions>,
    server: Partial<TcpOptions> = {},
  ): Promise<Traced> {
    const relay = await Relay.create(rttMs * 500_000);
    const t = new Traced(relay);
    relay.b.listen(4, 80, 4, { rcvBytes: RING, ...server });
    t.from = relay.a.connect(ADDRESSES[0], 1000, ADDRESSES[1], 80, { sndBytes: RING, ...client });
    relay.run(() => relay.b.accepted.length > 0, 5000);
    t.to = relay.b.ends.get(relay.b.accepted.shift()!)!;
    // Asked for, the send ring is there.
    t.run(
      () => t.from.room > 0,
      1,
      () => t.from.room,
    );
    return t;
  }

  #passes(frame: Uint8Array): Fate {
    const dv = new DataView(frame.buffer, frame.byteOffset);
    if (dv.getUint16(12) !== 0x800 || dv.getUint16(IP + 2) - 20 - (frame[TCP + 12] >> 4) * 4 <= 0)
      return undefined;
    const p = { number: this.sent.length, seq: dv.getUint32(TCP + 4), at: this.relay.engine.now() };
    this.sent.push(p);
    const fate = this.fate(p);
    if (fate === 'mark') mark(frame);
    return fate;
  }

  /** Position of a segment in the stream. */
  position(p: Passing): number {
    return (p.seq - this.sent[0].seq) >>> 0;
  }

  get ms(): number {
    return Number(this.relay.engine.now()) / 1e6;
  }

  /** A member of the sender's flow. */
  field(path: string): number {
    return this.watch.u32(this.from.id, path);
  }

  /** Its congestion state: enum tcp_ca. */
  get state(): number {
    return this.watch.u8(this.from.id, 'ca');
  }

  get segments(): number {
    return this.field('cc.cwnd') / this.field('mss');
  }

  counters(): Record<string, number> {
    return this.relay.a.counters();
  }

  /** Lets time pass until `done`, at most `limitMs`; the receiver reads. Returns whether it was. */
  run(done: () => boolean, limitMs: number, work: () => void = () => {}): boolean {
    return this.relay.run(done, limitMs, () => {
      drain(this.to);
      work();
    });
  }

  async close(): Promise<void> {
    await this.relay.engine.stop();
  }
}

/** CE, and the header's sum with it. */
function mark(packet: Uint8Array): void {
  packet[IP + 1] |= CE;
  const dv = new DataView(packet.buffer, packet.byteOffset);
  dv.setUint16(IP + 10, 0);
  let sum = 0;
  for (let at = IP; at < IP + 20; at += 2) sum += dv.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  dv.setUint16(IP + 10, ~sum & 0xffff);
}
