/** How sockets of datagrams stand, read from `NAME_sockets` where it lies in the arena: from any thread, asking nobody. */
import type { Arena } from '../../mem/arena.js';
import type { DatagramView } from '../datagrams.js';
import { errnoName } from '../errno.js';
import { type Records, RecordTable } from '../records.js';

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
}
