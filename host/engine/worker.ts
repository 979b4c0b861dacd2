/**
 * One life of a worker lane: the thread, its port, and what is known of its end. The supervisor makes a new one when
 * the lane is replaced.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { Piscina } from 'piscina';
import { EtherloomError } from '../errors.js';
import { LanePhase } from '../layout/layout.gen.js';
import type { ControlAck, ControlMessage, LaneExit, LaneTask, LaneWords } from './control.js';
import type { LaneCrash } from './report.js';

/** A thread that was ended has this long to be gone, ms. */
export const GONE_MS = 5000;
/** A thread must run its loop after this long, ms. */
const START_MS = 20_000;

export const sleep = (ms: number): Promise<void> => new Promise(done => setTimeout(done, ms));

export class LaneWorker {
  readonly startedMs = Date.now();
  /** Orders up to this one are in the programs that it was started with. */
  readonly generation: number;
  /** What its task ended with, when it was told to stop. */
  exit: LaneExit | undefined;
  /** What its task was rejected with. */
  failure: unknown;
  /** Resolves when its task is over. */
  ended: Promise<void> = Promise.resolve();
  /** Set when the supervisor itself ended it. */
  killed: LaneCrash['how'] | undefined;
  /** Its loop runs, or ran. */
  started = false;
  /** The thread is gone and its end is noted: nothing of it writes the arena any more. */
  dead = false;
  /** Packets that died with it, once what it left is mended. */
  lost: number | undefined;
  readonly #port: MessagePort;
  readonly #abort = new AbortController();
  #gone: Promise<unknown> | undefined;
  #beat = -1;
  #beatMs = Date.now();

  constructor(
    readonly pool: Piscina,
    readonly words: LaneWords,
    readonly task: Omit<LaneTask, 'port' | 'generation'>,
    /** Deaths in a row before this life. */
    readonly deaths: number,
    onAcks: (acks: readonly ControlAck[]) => void,
    /** What of the task must be transferred. */
    readonly transfer: readonly MessagePort[] = [],
  ) {
    this.generation = words.get('generation');
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.on('message', onAcks);
    port1.unref();
    this.#run(port2);
  }

  get lane(): number {
    return this.task.lane;
  }

  #run(port: MessagePort): void {
    const task: LaneTask = { ...this.task, port, generation: this.generation };
    this.ended = this.pool
      .run(task, { transferList: [port, ...this.transfer], signal: this.#abort.signal })
      .then(
        exit => {
          this.exit = exit;
        },
        error => {
          this.failure = error;
        },
      );
    this.#again = () => {
      this.failure = undefined;
      this.#run(port);
    };
  }
  #again: () => void = () => {};

  /** Resolves when its loop runs, or has run. @throws EtherloomError ERR_LANE_START, ERR_LANE_STUCK */
  async running(): Promise<void> {
    const until = performance.now() + START_MS;
    while (this.words.get('phase') === LanePhase.IDLE) {
      await sleep(1);
      const late = performance.now() > until;
      // A thread that was ended is replaced by piscina after a while; until then every thread is busy.
      if (this.failure && /No task queue/.test(String((this.failure as Error).message)) && !late)
        this.#again();
      else if (this.failure || late) break;
    }
    this.started = true;
    if (this.words.get('phase') === LanePhase.IDLE) {
      // Should it start yet, nobody would know of it.
      this.end();
      this.#port.close();
      await this.gone();
      this.dead = true;
      throw new EtherloomError('ERR_LANE_START', `lane ${this.lane} did not start`, {
        cause: this.failure,
        expected: `its loop to run within ${START_MS} ms`,
      });
    }
    void this.ended.then(() => this.#port.close());
    // Asked for while it was starting.
    if (this.killed) this.end();
  }

  post(message: ControlMessage, transfer: readonly MessagePort[] = []): void {
    this.#port.postMessage(message, [...transfer]);
  }

  /** How long it has not moved, ms. */
  stillMs(): number {
    const now = Date.now();
    const beat = this.words.get('epoch');
    if (this.words.get('phase') !== LanePhase.RUNNING || beat !== this.#beat) {
      this.#beat = beat;
      this.#beatMs = now;
    }
    return now - this.#beatMs;
  }

  /** Ends the thread. */
  end(): void {
    const before = this.pool.threads;
    this.#abort.abort();
    // piscina drops the thread from its list at once and ends it in its own time.
    const ended = before.filter(t => !this.pool.threads.includes(t) && t.threadId !== -1);
    this.#gone = Promise.all(ended.map(t => new Promise(done => t.once('exit', done))));
  }

  /** Resolves when the thread that was ended is gone. @throws EtherloomError ERR_LANE_STUCK */
  async gone(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const expected = `its thread to be gone ${GONE_MS} ms after it was ended`;
        reject(new EtherloomError('ERR_LANE_STUCK', `lane ${this.lane} does not end`, { expected }));
      }, GONE_MS);
    });
    await Promise.race([this.#gone, late]).finally(() => clearTimeout(timer));
  }
}
