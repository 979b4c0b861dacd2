/** Orders that were posted to worker lanes and are not answered yet. */
import { EtherloomError } from '../errors.js';
import type { ControlAck, ControlMessage } from './control.js';

interface Waiting {
  lane: number;
  message: ControlMessage;
  resolve: (ack: ControlAck) => void;
  reject: (e: unknown) => void;
}

export class Mailbox {
  #waiting: Waiting[] = [];

  /** Resolves with the answer to `message`. */
  expect(lane: number, message: ControlMessage): Promise<ControlAck> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ lane, message, resolve, reject });
    });
  }

  /** The answer of a lane. One that nobody waits for any more is left alone. */
  settle(lane: number, ack: ControlAck): void {
    const at = this.#waiting.findIndex(w => w.lane === lane && w.message.generation === ack.generation);
    if (at < 0) return;
    const [w] = this.#waiting.splice(at, 1);
    if (ack.error) w.reject(new EtherloomError('ERR_PROGRAM_INSTANCE', `lane ${lane}: ${ack.error}`));
    else w.resolve(ack);
  }

  /**
   * What lane `lane` was told up to `generation` has come about in another way: a new lane was started with all programs
   * of that time, or the lane is no more (no generation given).
   */
  done(lane: number, generation?: number): void {
    for (const w of this.#waiting.filter(w => w.lane === lane))
      if (generation === undefined || ((w.message.generation - generation) | 0) <= 0)
        this.settle(lane, { generation: w.message.generation, stops: [] });
  }

  /** Nothing that was asked will be answered. */
  fail(cause: unknown): void {
    for (const w of this.#waiting.splice(0)) w.reject(cause);
  }
}
