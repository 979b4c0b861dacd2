/** Packets for `--nic model`: UDP of some flows, at a rate, from the far end of the link. */
import type { ModelEnd } from '../nic/index.js';
import type { ModelSpec } from './nic_spec.js';

const EVERY_MS = 5;
/** Longest time that is made up for after the process stood still, s. */
const LATE = 0.1;
const ETHERNET = 14;
const IPV4 = 20;
const FIRST_PORT = 1024;

/** An Ethernet frame with IPv4 and UDP from 10.0.0.2 to 10.0.0.1, without a UDP checksum (RFC 768 allows it). */
function datagram(size: number, flow: number): Uint8Array {
  const frame = new Uint8Array(size);
  const view = new DataView(frame.buffer);
  frame.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0]);
  view.setUint16(16, size - ETHERNET);
  frame.set([64, 17], 22);
  frame.set([10, 0, 0, 2, 10, 0, 0, 1], 26);
  view.setUint16(34, FIRST_PORT + (flow % (65536 - FIRST_PORT)));
  view.setUint16(36, 7);
  view.setUint16(38, size - ETHERNET - IPV4);
  let sum = 0;
  for (let at = ETHERNET; at < ETHERNET + IPV4; at += 2) sum += view.getUint16(at);
  sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(24, ~(sum + (sum >>> 16)) & 0xffff);
  return frame;
}

export class Traffic {
  readonly #packets: Uint8Array[];
  readonly #pps: number;
  #timer: NodeJS.Timeout | undefined;
  #lastMs = 0;
  #owed = 0;
  #next = 0;

  constructor(
    readonly end: ModelEnd,
    { pps = 10_000, size = 64, flows = 16 }: ModelSpec,
  ) {
    this.#pps = pps;
    this.#packets = Array.from({ length: flows }, (_, i) => datagram(size, i));
  }

  start(): void {
    this.#lastMs = performance.now();
    this.#timer = setInterval(() => this.#send(), EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** What is due by now; what the link has no room for waits. What came back is taken. */
  #send(): void {
    const now = performance.now();
    this.#owed = Math.min(this.#owed + (this.#pps * (now - this.#lastMs)) / 1000, this.#pps * LATE + 1);
    this.#lastMs = now;
    for (; this.#owed >= 1; this.#owed--) {
      if (!this.end.send(this.#packets[this.#next])) break;
      this.#next = (this.#next + 1) % this.#packets.length;
    }
    while (this.end.receive(256).length > 0);
  }
}
