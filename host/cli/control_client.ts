/** The other end of an engine's control socket: who asks it something. */
import { existsSync, lstatSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import type { ProbationReport, TransportState, UpgradeReport } from '../engine/transports.js';
import { EtherloomError } from '../errors.js';

/** Longest answers, characters. */
const MAX_ANSWER = 1 << 20;
/** For so long a socket that is not there is waited for: its engine may just begin, ms. */
const APPEARS_MS = 5000;
const LOOK_MS = 50;

export interface ControlAnswers {
  list: { transports: TransportState[] };
  upgrade: UpgradeReport & { probation?: ProbationReport };
}

/** For so long whoever listens there may say nothing to the first question, ms. What comes after may take its time. */
const SILENT_MS = 30_000;
/** Longest path of a Unix socket, bytes: sockaddr_un.sun_path without the 0 at its end (unix(7)). */
const MAX_PATH = 107;
const EXPECTED = 'the control socket of an engine that runs, opened by --control or engine.openControl()';

/** Why nobody is spoken to, by the code of the attempt. */
function because(code: string, path: string): string {
  if (code === 'ENOENT') return `there is no engine at ${path} (yet)`;
  if (code === 'EACCES' || code === 'EPERM') return 'it belongs to another user';
  if (code !== 'ECONNREFUSED') return `cannot speak to the engine: ${code}`;
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isSocket() ? 'nobody listens there: its engine has ended' : 'it is no socket';
}

const refused = (file: string, message: string, cause?: unknown): EtherloomError =>
  new EtherloomError('ERR_CONTROL_CONNECT', message, { file, expected: EXPECTED, cause });

/** Says lines to a socket, and hears one for each. */
class Conversation {
  readonly #socket: Socket;
  #heard = '';
  #bytes = 0;
  #failed: EtherloomError | undefined;
  #told: () => void = () => {};

  constructor(readonly path: string) {
    const socket = createConnection(path);
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('error', cause =>
      this.#fail(refused(path, because((cause as NodeJS.ErrnoException).code ?? cause.message, path), cause)),
    );
    socket.on('data', (text: string) => {
      this.#heard += text;
      this.#bytes += text.length;
      if (this.#bytes > MAX_ANSWER) this.#fail(this.#answer(`more than ${MAX_ANSWER} characters`));
      else if (text.includes('\n')) this.#told();
    });
    socket.on('close', () => this.#fail(this.#answer('it was closed before it answered')));
  }

  #answer(message: string, cause?: unknown): EtherloomError {
    return new EtherloomError('ERR_CONTROL_ANSWER', message, { file: this.path, expected: EXPECTED, cause });
  }

  #fail(error: EtherloomError): void {
    this.#failed ??= error;
    this.#told();
  }

  /** The next line. @param ms how long it may take */
  async #line(ms?: number): Promise<string> {
    const late = ms && setTimeout(() => this.#fail(this.#answer(`no answer in ${ms / 1000} s`)), ms);
    try {
      for (;;) {
        const end = this.#heard.indexOf('\n');
        if (end >= 0) {
          const line = this.#heard.slice(0, end);
          this.#heard = this.#heard.slice(end + 1);
          return line;
        }
        if (this.#failed) throw this.#failed;
        await new Promise<void>(told => {
          this.#told = told;
        });
      }
    } finally {
      clearTimeout(late || undefined);
    }
  }

  /** @param member what the result of such a request has. @throws EtherloomError ERR_CONTROL_*; the engine's refusal */
  async ask<T>(
    id: number,
    method: string,
    params: object,
    member: keyof T & string,
    ms?: number,
  ): Promise<T> {
    this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
    const line = await this.#line(ms);
    let said: { result?: T; error?: { code: unknown; message: unknown } } | null;
    try {
      said = JSON.parse(line);
    } catch (cause) {
      throw this.#answer('an answer that is no JSON', cause);
    }
    const { error, result } = said ?? {};
    if (error) throw new EtherloomError(String(error.code), String(error.message));
    if (typeof result === 'object' && result !== null && Object.hasOwn(result, member)) return result;
    throw this.#answer(`an answer to ${method} without ${member}`);
  }

  end(): void {
    this.#socket.destroy();
  }
}

/** By method: what its result has in any case. */
const MEMBERS = { list: 'transports', upgrade: 'transport' } as const;

/**
 * Asks, as soon as the socket is there.
 * @throws EtherloomError ERR_CONTROL_CONNECT when nobody listens there or may be spoken to; ERR_CONTROL_ANSWER; what the engine
 * refuses for, with its code
 */
export async function ask<M extends keyof ControlAnswers>(
  path: string,
  method: M,
  params: object = {},
  silentMs: number = SILENT_MS,
): Promise<ControlAnswers[M]> {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH)
    throw refused(path, `a path of ${bytes} bytes, and Unix sockets have at most ${MAX_PATH}`);
  const late = performance.now() + APPEARS_MS;
  while (!existsSync(path) && performance.now() < late) await new Promise(next => setTimeout(next, LOOK_MS));
  const conversation = new Conversation(path);
  try {
    // Whether it is an engine is known soon; how long it takes to do something is its own affair.
    await conversation.ask<{ pid: number }>(0, 'about', {}, 'pid', silentMs);
    return await conversation.ask<ControlAnswers[M]>(1, method, params, MEMBERS[method] as never);
  } finally {
    conversation.end();
  }
}
