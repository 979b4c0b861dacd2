/** How Homa's slots stand, read from `homa_rpcs` where it lies in the arena: from any thread, asking nobody. */
import type { Arena } from '../../mem/arena.js';
import { errnoName } from '../errno.js';
import type { MessageView } from '../messages.js';
import { type Records, RecordTable } from '../records.js';

/** What a thread needs to look at slots. */
export interface HomaShared {
  rpcs: Records;
}

/** What `info` tells, by fields of struct homa_rpc: bytes of messages (`ahead`: of what comes in, behind a gap), ticks of 1 ms. */
const FIGURES = {
  state: 'state',
  phase: 'phase',
  lane: 'lane',
  silentMs: 'silent',
  outLength: 'out_len',
  sent: 'out_next',
  mayBeSent: 'out_granted',
  inLength: 'in_len',
  received: 'in_next',
  ahead: 'spans.bytes',
  granted: 'in_granted',
} as const;

export class HomaView implements MessageView {
  readonly #rpcs: RecordTable;
  readonly #dv: DataView;

  constructor(arena: Arena, { rpcs }: HomaShared) {
    this.#rpcs = new RecordTable(arena, rpcs);
    this.#dv = arena.dv;
  }

  port(id: number): number {
    return this.#dv.getUint16(this.#rpcs.at(id, 'port'));
  }

  error(id: number): string | undefined {
    return errnoName(this.#rpcs.word(id, 'error'));
  }

  info(id: number): Record<string, number> {
    return Object.fromEntries(
      Object.entries(FIGURES).map(([name, field]) => [name, this.#rpcs.get(id, field)]),
    );
  }
}
