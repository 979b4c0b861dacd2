/**
 * An inline engine in virtual time as a host under test: the script's packets come in at the port of a HostNic, behind an
 * Ethernet header, and what the port transmits comes out without it. What an application asks for is the subclass's, which
 * knows the transport.
 */
import type { Engine } from '../../../../host/engine/engine.js';
import type { HostNic } from '../../../../host/nic/index.js';
import { Eth, EtherType } from '../../../../host/wire/layout.gen.js';
import type { Answer, Arrival, Call } from '../driver.js';
import type { VirtualHost } from './driver.js';

/** Address of the script's end of the link. */
export const PEER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);
const NS_PER_MS = 1e6;

export abstract class InlineHost implements VirtualHost {
  readonly #start: bigint;
  readonly #sent: Arrival[] = [];

  /** The engine is inline, started, and has a virtual clock; `nic` is one of its NICs. */
  constructor(
    readonly engine: Engine,
    readonly nic: HostNic,
  ) {
    this.#start = engine.now();
  }

  abstract call(call: Call): Omit<Answer, 'at'> | Promise<Omit<Answer, 'at'>>;

  get time(): number {
    return Number(this.engine.now() - this.#start) / NS_PER_MS;
  }

  get due(): number | undefined {
    const ns = this.engine.nextDueNs();
    return ns === undefined ? undefined : Number(ns - this.#start) / NS_PER_MS;
  }

  inject(packet: Uint8Array): void {
    const frame = new Uint8Array(Eth.size + packet.length);
    frame.set(this.nic.port.mac, Eth.dst);
    frame.set(PEER_MAC, Eth.src);
    new DataView(frame.buffer).setUint16(Eth.type, packet[0] >> 4 === 6 ? EtherType.IPV6 : EtherType.IPV4);
    frame.set(packet, Eth.size);
    if (!this.nic.send(frame)) throw new Error('the port has no room for a packet of the script');
    this.settle();
  }

  /** Runs the engine, time standing still, until nothing moves; keeps what it sent. */
  settle(): void {
    let work: number;
    do {
      work = this.engine.step();
      work += this.nic.drain(Number.POSITIVE_INFINITY, frame => {
        this.#sent.push({ at: this.time, packet: frame.slice(Eth.size) });
      });
    } while (work);
  }

  collect(): Arrival[] {
    return this.#sent.splice(0);
  }

  advance(to: number): void {
    const ns = this.#start + BigInt(Math.round(to * NS_PER_MS)) - this.engine.now();
    if (ns > 0n) this.engine.advance(ns);
    this.settle();
  }

  async close(): Promise<void> {
    await this.engine.stop();
  }
}
