/**
 * One who speaks to the control socket. Requests are served one after another, and nothing is read while one is, nor while the
 * answer to one is not taken: what a peer says or leaves lying costs the engine a few pieces of a stream.
 */
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { EtherloomError } from '../errors.js';
import { Lines, MAX_LINE, refusal } from './control_protocol.js';

/** For how long a peer may be silent, take to say a line, or leave an answer, ms. */
export const PATIENCE_MS = 30_000;
/** For how long one that was refused may go on before it is cut off, ms: it is to read why. */
const DISMISS_MS = 1000;
/** Requests after which others of the thread have their turn. */
const MOST_AT_ONCE = 16;

/** Tells a peer why it is not served, and ends the connection. */
export function dismiss(socket: Socket, error: EtherloomError): void {
  if (socket.writable) socket.end(refusal(null, error));
  socket.resume();
  const late = setTimeout(() => socket.destroy(), DISMISS_MS).unref();
  socket.once('end', () => socket.destroySoon());
  socket.once('close', () => clearTimeout(late));
}

export class ControlPeer {
  #over = false;
  #late: NodeJS.Timeout | undefined;

  /**
   * @param socket with allowHalfOpen: who asks and says no more is answered yet
   * @param serve a line and its answer, which never rejects
   */
  constructor(
    readonly socket: Socket,
    readonly serve: (line: string) => Promise<string>,
    readonly patienceMs: number,
  ) {
    socket.on('close', () => this.#patience());
    this.#read().catch(() => socket.destroy());
  }

  async #read(): Promise<void> {
    const { socket } = this;
    const lines = new Lines();
    let served = 0;
    this.#listen();
    // The iterator's own end would take the answers with it that are not sent yet.
    for await (const piece of socket.iterator({ destroyOnReturn: false })) {
      for (const line of lines.take(piece)) {
        if (this.#over) break;
        if (line === undefined) {
          const expected = `at most ${MAX_LINE} bytes`;
          this.#dismiss(new EtherloomError('ERR_CONTROL_LINE', 'a longer line', { expected }));
          break;
        }
        if (line.trim() === '') continue;
        this.#patience();
        await this.#say(await this.serve(line));
        if (++served % MOST_AT_ONCE === 0) await setImmediate();
        if (socket.destroyed) return;
        this.#listen();
      }
    }
    this.#patience();
    socket.end();
  }

  /** Resolves when the answer is on its way: one that is not taken keeps the next request from being read. */
  async #say(text: string): Promise<void> {
    const { socket } = this;
    if (!socket.writable || socket.write(text)) return;
    this.#patience(() => socket.destroy());
    await new Promise<void>(done => {
      socket.once('close', done);
      socket.once('drain', () => {
        socket.off('close', done);
        done();
      });
    });
  }

  /** A whole line is due. */
  #listen(): void {
    const error = new EtherloomError('ERR_CONTROL_IDLE', 'no request came', {
      expected: `a line within ${this.patienceMs} ms`,
    });
    this.#patience(() => this.#dismiss(error));
  }

  #dismiss(error: EtherloomError): void {
    this.#over = true;
    this.#patience();
    dismiss(this.socket, error);
  }

  /** Waits for so long and no longer; without `done` no more. */
  #patience(done?: () => void): void {
    clearTimeout(this.#late);
    this.#late = done && setTimeout(done, this.patienceMs).unref();
  }
}
