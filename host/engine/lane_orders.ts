/**
 * What a worker lane is told to do, in steps: one a visit, with rounds of packets in between, so that no stop of the loop is
 * longer than its longest step. A program that comes is taken from the port in one and instantiated in the next; programs
 * that are put in the place of others change all in one. The answers go when nothing is left to do: each is a system call
 * that wakes the host's thread, which may take this very CPU.
 *
 *   generation raised ─▶ visit: receive ─▶ round ─▶ visit: instantiate ─▶ round ─▶ … ─▶ visit: answers, acked
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { ControlAck, ControlMessage, ProgramMessage } from './control.js';
import type { Lane } from './lane.js';
import { openRunDelay } from './run_delay.js';
import type { Stop } from './stops.js';

/** Orders that are not about programs. */
type SeatMessage = Exclude<ControlMessage, ProgramMessage>;

export class LaneOrders {
  /** Taken from the port, and not done yet. */
  #inHand: ProgramMessage | undefined;
  /** Of the last order that was done. */
  #done: number;
  #answers: ControlAck[] = [];
  /** Stops that are told with the next answer: those of the order in hand, and of posting the answers before. */
  #stops: Stop[] = [];
  readonly #waitedNs: () => number;

  constructor(
    readonly lane: Lane,
    readonly port: MessagePort,
    /** ns. */
    readonly clock: () => number,
    readonly onSeat: (message: SeatMessage) => void,
  ) {
    this.#done = lane.words.get('acked');
    this.#waitedNs = openRunDelay();
  }

  /** One step. To be called while the generation is another than the one acknowledged. */
  visit(): void {
    const from = this.clock();
    const waited = this.#waitedNs();
    const answered = this.#answers.length;
    if (!this.#step()) return;
    const waitedNs = this.#waitedNs() - waited;
    this.#stops.push({ ns: this.clock() - from, waitedNs });
    if (this.#answers.length <= answered) return;
    this.#answers[answered].stops = this.#stops;
    this.#stops = [];
  }

  /** False: there was nothing to do yet. */
  #step(): boolean {
    const message = this.#inHand;
    if (message) {
      this.#inHand = undefined;
      this.#obey(message);
    } else if (this.lane.words.get('generation') === this.#done) this.#answer();
    else return this.#receive();
    return true;
  }

  #receive(): boolean {
    // The word may be seen before the message: then it comes with the next look.
    const message = receiveMessageOnPort(this.port)?.message as ControlMessage | undefined;
    if (message === undefined) return false;
    if (message.kind === 'install') this.#inHand = message;
    else if (message.kind === 'seat' || message.kind === 'unseat') {
      this.onSeat(message);
      this.#done = message.generation;
    } else this.#obey(message);
    return true;
  }

  #obey(message: ProgramMessage): void {
    const error = this.lane.do(message);
    const { generation } = message;
    this.#answers.push(error === undefined ? { generation, stops: [] } : { generation, stops: [], error });
    this.#done = generation;
  }

  #answer(): void {
    this.lane.words.set('acked', this.#done);
    if (!this.#answers.length) return;
    this.port.postMessage(this.#answers);
    this.#answers = [];
  }
}
