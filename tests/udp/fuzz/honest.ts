/**
 * A socket whose application does as it should, beside those that do not: what it sends to a neighbour that is known goes at
 * once, what it sends to others goes in order, whole, at most once; what is sent to it arrives.
 */
import type { Datagram } from '../../../host/net/burst/datagram.js';
import type { DatagramSocket } from '../../../host/net/burst/datagram_socket.js';
import type { Rng } from '../../support/fuzz.js';
import { packet } from '../../support/packets.js';
import { hostAt, KNOWN, THEIR_MAC } from './neighbours.js';

const MAGIC = 0x600d_5eed;
/** Magic, life, number, length. */
const HEAD = 16;

const filled = (n: number, seed: number): Uint8Array => {
  const out = new Uint8Array(n);
  for (let i = HEAD; i < n; i++) out[i] = (i * 7 + seed) & 255;
  return out;
};

/** Which life of a socket a datagram is of; undefined for bytes that no honest one sent. */
export function lifeOf(payload: Uint8Array): number | undefined {
  const dv = new DataView(payload.buffer, payload.byteOffset, payload.length);
  return payload.length >= HEAD && dv.getUint32(0) === MAGIC ? dv.getUint32(4) : undefined;
}

export class Honest {
  readonly #got: Datagram[] = [];
  /** By address: the last number that left. */
  readonly #last = new Map<string, number>();
  #next = 1;
  /** Numbers that are to leave in the course of this step. */
  readonly #atOnce = new Set<number>();
  #expected: Uint8Array[] = [];
  sent = 0;
  left = 0;

  constructor(
    readonly socket: DatagramSocket,
    readonly life: number,
  ) {}

  #payload(length: number): Uint8Array {
    const bytes = filled(Math.max(length, HEAD), this.#next);
    const dv = new DataView(bytes.buffer);
    for (const [i, word] of [MAGIC, this.life, this.#next, bytes.length].entries()) dv.setUint32(i * 4, word);
    return bytes;
  }

  /** Sends to a host; false: there was no room. */
  send(family: 4 | 6, hi: number, lo: number, length: number): boolean {
    const bytes = this.#payload(length);
    if (!this.socket.send(bytes, this.socket.peer(hostAt(family, hi, lo), 9))) return false;
    if (hi === 0 && lo === 2) this.#atOnce.add(this.#next);
    this.#next++;
    this.sent++;
    return true;
  }

  sendAny(rng: Rng): void {
    const family = rng.chance(0.6) ? 4 : 6;
    const [hi, lo] = rng.pick([
      [0, 2],
      [0, 2],
      [1, rng.below(40)],
      [2, rng.below(20)],
    ]);
    this.send(family, hi, lo, rng.pick([HEAD, 40, rng.below(1452)]));
  }

  /** A frame with a datagram for it, which is to come. */
  arriving(rng: Rng, mac: string): Uint8Array {
    const family = rng.chance(0.6) ? 4 : 6;
    const payload = filled(rng.below(600), rng.u32());
    this.#expected.push(payload);
    return packet({
      ...{ src: KNOWN[family], dst: family === 4 ? '10.0.0.1' : 'fd00::1', protocol: 'udp', payload },
      ...{ sport: 9, dport: this.socket.port, smac: THEIR_MAC, dmac: mac },
    });
  }

  /** Takes what came. @throws Error when it is not what was sent to it */
  receive(): void {
    const n = this.socket.receive(this.#got);
    if (n !== this.#expected.length) throw new Error(`${n} datagrams came of ${this.#expected.length}`);
    for (const [i, want] of this.#expected.entries())
      if (Buffer.compare(this.#got[i].data, want) !== 0) throw new Error(`datagram ${i} came as another`);
    this.#expected = [];
    this.socket.done();
  }

  /** A datagram that left its port for `to`. @throws Error */
  check(payload: Uint8Array, to: string): void {
    const dv = new DataView(payload.buffer, payload.byteOffset, payload.length);
    const n = dv.getUint32(8);
    const want = filled(dv.getUint32(12), n);
    if (payload.length !== want.length || Buffer.compare(payload.subarray(HEAD), want.subarray(HEAD)) !== 0)
      throw new Error(`datagram ${n} left with other bytes`);
    const last = this.#last.get(to) ?? 0;
    if (n <= last) throw new Error(`to ${to} left datagram ${n} after ${last}`);
    this.#last.set(to, n);
    this.#atOnce.delete(n);
    this.left++;
  }

  /** The lane has worked: nothing is due any more. @throws Error */
  settled(): void {
    if (this.#atOnce.size > 0)
      throw new Error(`datagrams ${[...this.#atOnce].join(' ')} to a known neighbour did not leave`);
  }
}
