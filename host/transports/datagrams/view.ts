/** How sockets of datagrams stand, read from `NAME_sockets` where it lies in the arena: from any thread, asking nobody. */
import type { Arena } from '../../mem/arena.js';
import type { DatagramView, LostPeer } from '../datagrams.js';
import { errnoName } from '../errno.js';
import { type Records, RecordTable } from '../records.js';

/** `struct datagram_peer`. */
const PEER_BYTES = 24;
const PORT = 16;

/** What a thread needs to look at sockets. */
export interface DatagramShared {
  sockets: Records;
}

export class SocketsView implements DatagramView {
  readonly #sockets: RecordTable;

  constructor(arena: Arena, { sockets }: DatagramShared) {
    this.#sockets = new RecordTable(arena, sockets);
  }

  errors(id: number): number {
    return this.#sockets.word(id, 'errors');
  }

  error(id: number): string | undefined {
    return errnoName(this.#sockets.word(id, 'error'));
  }

  drops(id: number): number {
    return this.#sockets.word(id, 'drops');
  }

  losses(id: number): number {
    return 'losses' in this.#sockets.records.fields ? this.#sockets.word(id, 'losses') : 0;
  }

  lost(id: number, after: number): LostPeer | undefined {
    const room = this.#sockets.records.fields.lost.size / PEER_BYTES;
    const at = this.#sockets.at(id, 'lost') + (after % room) * PEER_BYTES;
    const { dv } = this.#sockets.arena;
    const word = (n: number): number => dv.getUint32(at + 4 * n, true);
    const peer = { port: dv.getUint16(at + PORT), w0: word(0), w1: word(1), w2: word(2), w3: word(3) };
    // Its lane may have written the next one there meanwhile.
    return (this.losses(id) - after) >>> 0 > room ? undefined : peer;
  }
}
