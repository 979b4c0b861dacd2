/**
 * A host that can do no more than take a connection, acknowledge and repeat itself: what the runner is tested with. Each of
 * its faults is something that a script must notice.
 */
import type { Answer, Arrival, Call, Setup } from '../driver.js';
import { decode, encode, flagBits, type Segment } from '../segment.js';
import type { VirtualHost } from './driver.js';

export interface Faults {
  /** Added to every acknowledgment. */
  ackError?: number;
  /** Added to every checksum. */
  checksumError?: number;
  /** ms after which a SYN-ACK is repeated; 1000 is right. */
  synAckAfterMs?: number;
  /** Everything is said twice. */
  twice?: boolean;
  /** It never answers. */
  deaf?: boolean;
  /** It sends this MSS option on segments that are no SYN. */
  mssEverywhere?: boolean;
}

const ISS = 0xfffffff0;

export class ToyHost implements VirtualHost {
  time = 0;
  due: number | undefined;
  readonly #sent: Arrival[] = [];
  #pause: number;
  #again: Segment | undefined;
  #peer: { port: number; next: number } | undefined;
  #established = false;
  readonly #listening = new Set<number>();

  constructor(
    readonly setup: Setup,
    readonly address: string,
    readonly peer: string,
    readonly faults: Faults = {},
  ) {
    this.#pause = faults.synAckAfterMs ?? 1000;
  }

  #say(s: Segment): void {
    const { ackError = 0, checksumError, twice, deaf, mssEverywhere } = this.faults;
    if (deaf) return;
    const said = { ...s, ack: (s.ack + ackError) >>> 0, options: mssEverywhere ? { mss: 1460 } : s.options };
    const packet = encode({ src: this.address, dst: this.peer }, said, { checksum: checksumError });
    for (let i = 0; i < (twice ? 2 : 1); i++) this.#sent.push({ at: this.time, packet });
  }

  inject(packet: Uint8Array): void {
    const s = decode(packet)?.segment;
    if (!s) return;
    const has = (flag: string): boolean => (s.flags & flagBits(flag)) !== 0;
    const answer = (flags: string, seq: number, ack: number): Segment => ({
      srcPort: s.dstPort,
      dstPort: s.srcPort,
      seq: seq >>> 0,
      ack: ack >>> 0,
      flags: flagBits(flags),
      window: 4000,
      urgent: 0,
      options: flags.includes('SYN') ? { mss: 1460 } : {},
      payload: new Uint8Array(0),
      ecn: 0,
    });
    if (!this.#listening.has(s.dstPort)) this.#say(answer('RST ACK', 0, s.seq + 1));
    else if (has('SYN')) {
      this.#peer = { port: s.srcPort, next: s.seq + 1 };
      this.#again = answer('SYN ACK', ISS, this.#peer.next);
      this.#say(this.#again);
      this.due = this.time + this.#pause;
    } else if (this.#peer) {
      this.#established = true;
      this.due = undefined;
      if (s.payload.length === 0) return;
      this.#peer.next = s.seq + s.payload.length;
      this.#say(answer('ACK', ISS + 1, this.#peer.next));
    }
  }

  collect(): Arrival[] {
    return this.#sent.splice(0);
  }

  call(call: Call): Omit<Answer, 'at'> {
    if (call.do === 'listen') this.#listening.add(call.port);
    if (call.do === 'accept') return this.#established ? {} : { error: 'EAGAIN' };
    if (call.do === 'state')
      return { text: this.#established ? 'ESTABLISHED' : this.#peer ? 'SYN_RECEIVED' : 'CLOSED' };
    return {};
  }

  advance(to: number): void {
    this.time = to;
    if (this.due === undefined || this.due > to) return;
    this.#say(this.#again!);
    this.#pause *= 2;
    this.due = to + this.#pause;
  }

  close(): void {}
}
