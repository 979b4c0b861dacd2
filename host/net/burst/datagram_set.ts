/**
 * Sockets of datagrams of one application, over every transport of the stack that has such: each has its Datagrams, and
 * what `poll` hears is for the one whose socket it is.
 */
import type { StreamApp } from '../../streams/stream_app.js';
import type { StreamEnd } from '../../streams/stream_end.js';
import type { DatagramSocket } from './datagram_socket.js';
import { type DatagramNews, type DatagramRequests, Datagrams, noDatagrams } from './datagrams.js';

export class DatagramSet {
  readonly #of = new Map<string, Datagrams>();
  #usual: Datagrams | undefined;

  constructor(readonly app: StreamApp) {}

  /** Those of the transport that is meant where none is named. */
  get usual(): Datagrams | undefined {
    return this.#usual;
  }

  /** One more transport. @param usual it is meant where none is named */
  add(name: string, requests: DatagramRequests, usual = false): Datagrams {
    const datagrams = new Datagrams(this.app, requests);
    this.#of.set(name, datagrams);
    if (usual) this.#usual = datagrams;
    return datagrams;
  }

  /** Sockets of that transport, if it is known. */
  has(name: string): Datagrams | undefined {
    return this.#of.get(name);
  }

  /** The transport is no more; its sockets are closed. */
  remove(name: string): void {
    this.#of.delete(name);
  }

  /** @throws EtherloomError ERR_STACK_DATAGRAMS */
  named(name?: string): Datagrams {
    const found = name === undefined ? this.#usual : this.#of.get(name);
    if (!found) throw noDatagrams(name, [...this.#of.keys()]);
    return found;
  }

  /** Event bits of a stream; false when it is no socket's. */
  heard(end: StreamEnd, bits: number): boolean {
    if (this.#usual?.heard(end, bits)) return true;
    for (const datagrams of this.#of.values())
      if (datagrams !== this.#usual && datagrams.heard(end, bits)) return true;
    return false;
  }

  /** As Burst.news. */
  news(into: DatagramNews[]): number {
    let n = 0;
    for (const datagrams of this.#of.values()) n = datagrams.news(into, n);
    return n;
  }

  get sockets(): DatagramSocket[] {
    return [...this.#of.values()].flatMap(datagrams => [...datagrams.sockets]);
  }

  /** Closes every socket, as Datagrams.abandon. */
  abandon(): Promise<unknown> | undefined {
    const unbound = [...this.#of.values()].flatMap(datagrams => datagrams.abandon() ?? []);
    return unbound.length > 0 ? Promise.all(unbound) : undefined;
  }
}
