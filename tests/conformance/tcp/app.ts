/** The application's side of a script: a socket of the host under test. Calls never wait. */
import type { Answer, Call, SocketOption } from './driver.js';
import { appByte, pattern, peerByte } from './flow.js';
import type { Stage } from './stage.js';
import { placeOf, ScriptFailure } from './transcript.js';

/** Call → how it reads in a transcript. */
function callText(call: Call): string {
  const { do: verb, ...rest } = call;
  const words = Object.entries(rest)
    .filter(([k]) => k !== 'socket' && k !== 'as')
    .map(([k, v]) =>
      v instanceof Uint8Array
        ? `${v.length} bytes`
        : v === false
          ? ''
          : `${k} ${Array.isArray(v) ? v.join(' ') : v}`,
    )
    .filter(w => !w.endsWith(' '));
  return [verb, ...words].join(' ').trimEnd();
}

const answerText = (a: Answer): string =>
  a.error ??
  a.text ??
  (a.bytes ? `${a.bytes.length} bytes` : a.value === undefined ? 'done' : String(a.value));

/** Asks the host and notes it. */
export async function ask(stage: Stage, call: Call): Promise<Answer> {
  const answer = await stage.host.call(call);
  stage.last = answer;
  stage.transcript.note(answer, `· ${callText(call)} = ${answerText(answer)}`);
  return answer;
}

export class App {
  /** Bytes written and read so far: positions of the streams. */
  written = 0;
  readBytes = 0;

  constructor(
    readonly stage: Stage,
    readonly socket: number,
    readonly port: number,
    readonly peerPort: number,
  ) {}

  #fail(stack: string | undefined, what: string, expected: string, got: string): never {
    throw new ScriptFailure(
      what,
      [`expected ${expected}`, `got      ${got}`],
      placeOf(stack),
      this.stage.transcript,
    );
  }

  /** Must be answered so: the name of an errno, or undefined for success. */
  async #must(call: Call, error: string | undefined, stack: string | undefined): Promise<Answer> {
    const answer = await ask(this.stage, call);
    if (answer.error !== error)
      this.#fail(stack, `${call.do} was answered differently`, error ?? 'success', answerText(answer));
    return answer;
  }

  /** Writes bytes of the application's stream; all of them must be taken. */
  async writes(length: number, options: { urgent?: boolean } = {}): Promise<void> {
    const { stack } = new Error();
    const taken = await this.writesSome(length, options);
    if (taken !== length) this.#fail(stack, 'not all was written', `${length}`, `${taken}`);
  }

  /** Writes what fits. Returns how much that was: 0 when nothing does. */
  async writesSome(length: number, options: { urgent?: boolean } = {}): Promise<number> {
    const { stack } = new Error();
    const bytes = pattern(appByte, this.written, length);
    const call: Call = { do: 'write', socket: this.socket, bytes, urgent: options.urgent ?? false };
    const answer = await ask(this.stage, call);
    if (answer.error !== undefined && answer.error !== 'EAGAIN')
      this.#fail(stack, 'write was answered differently', 'success', answer.error);
    const taken = answer.value ?? 0;
    this.written += taken;
    return taken;
  }

  async writeFails(error: string): Promise<void> {
    const bytes = pattern(appByte, this.written, 1);
    await this.#must({ do: 'write', socket: this.socket, bytes, urgent: false }, error, new Error().stack);
  }

  /** Exactly the next `length` bytes of the peer's stream are there to be read. */
  async reads(length: number): Promise<void> {
    const { stack } = new Error();
    for (let got = 0; got < length; ) {
      const call: Call = { do: 'read', socket: this.socket, most: length - got, urgent: false };
      const { bytes } = await this.#must(call, undefined, stack);
      if (!bytes?.length) this.#fail(stack, 'the stream ended', `${length} bytes`, `${got} bytes`);
      const wrong = bytes.findIndex((b, i) => b !== peerByte(this.readBytes + i));
      if (wrong >= 0)
        this.#fail(
          stack,
          'another byte was read',
          `${peerByte(this.readBytes + wrong)} at ${this.readBytes + wrong}`,
          `${bytes[wrong]}`,
        );
      got += bytes.length;
      this.readBytes += bytes.length;
    }
  }

  /** Nothing is there to be read. */
  async readsNothing(): Promise<void> {
    await this.readFails('EAGAIN');
  }

  async readFails(error: string): Promise<void> {
    await this.#must(
      { do: 'read', socket: this.socket, most: 65536, urgent: false },
      error,
      new Error().stack,
    );
  }

  /** The stream has ended. */
  async readsEnd(): Promise<void> {
    const { stack } = new Error();
    const call: Call = { do: 'read', socket: this.socket, most: 65536, urgent: false };
    const { bytes } = await this.#must(call, undefined, stack);
    if (bytes?.length) this.#fail(stack, 'the stream goes on', 'the end', `${bytes.length} bytes`);
  }

  /** The urgent byte of a position, or an errno. */
  async readsUrgent(position: number | string): Promise<void> {
    const { stack } = new Error();
    const call: Call = { do: 'read', socket: this.socket, most: 1, urgent: true };
    const { bytes } = await this.#must(call, typeof position === 'string' ? position : undefined, stack);
    if (typeof position === 'number' && bytes?.[0] !== peerByte(position))
      this.#fail(stack, 'another urgent byte', `${peerByte(position)}`, `${bytes?.[0]}`);
  }

  async shutdown(how: 'read' | 'write' | 'both' = 'write'): Promise<void> {
    await this.#must({ do: 'shutdown', socket: this.socket, how }, undefined, new Error().stack);
  }

  async shutdownFails(error: string): Promise<void> {
    await this.#must({ do: 'shutdown', socket: this.socket, how: 'write' }, error, new Error().stack);
  }

  /** Lets go of the socket; the connection ends in its own time. */
  async close(): Promise<void> {
    await this.#must({ do: 'close', socket: this.socket }, undefined, new Error().stack);
  }

  /** ABORT of RFC 9293 §3.10.5. */
  async abort(): Promise<void> {
    await this.#must({ do: 'abort', socket: this.socket }, undefined, new Error().stack);
  }

  async set(name: SocketOption, value: number): Promise<void> {
    await this.#must({ do: 'set', socket: this.socket, name, value }, undefined, new Error().stack);
  }

  /** What poll says: every word of `is`, no word of `isNot`. Words: in, out, hup, rdhup, err, pri. */
  async polls(is: string, isNot = ''): Promise<void> {
    const { stack } = new Error();
    const { text = '' } = await ask(this.stage, { do: 'poll', socket: this.socket });
    const words = text.split(' ');
    const bad =
      is.split(' ').some(w => w && !words.includes(w)) || isNot.split(' ').some(w => w && words.includes(w));
    if (bad)
      this.#fail(stack, 'poll says otherwise', `${is || 'nothing'}${isNot ? `, not ${isNot}` : ''}`, text);
  }

  /** The pending error, which asking takes away: an errno's name, or `none`. */
  async errorIs(error: string): Promise<void> {
    const { stack } = new Error();
    const { text = '' } = await ask(this.stage, { do: 'error', socket: this.socket });
    if (text !== error) this.#fail(stack, 'another error is pending', error, text);
  }

  /** State of the connection as RFC 9293 names it; CLOSED when the host has forgotten it. */
  async stateIs(state: string): Promise<void> {
    await this.stage.stateIs(state, this);
  }
}
