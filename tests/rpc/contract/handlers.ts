/** Handlers of a random driver: they answer as a request wants it, and are watched. */
import { type RpcBody, type RpcBodyInput, streamed } from '../../../host/rpc/body.js';
import type { Rpc } from '../../../host/rpc/rpc.js';
import type { RpcContext, RpcServer } from '../../../host/rpc/server.js';
import type { Rng } from '../../support/fuzz.js';
import { Source } from './bodies.js';
import type { Asked, Oracle } from './oracle.js';

/** One that says nothing until its signal says that nobody waits. */
interface Waiting {
  asked: Asked;
  signal: AbortSignal;
}

export class Handlers {
  readonly #servers = new Map<number, RpcServer>();
  readonly #waiting: Waiting[] = [];

  constructor(
    readonly oracle: Oracle,
    readonly rng: Rng,
    readonly sources: Source[],
  ) {}

  serve(rpc: Rpc, port: number, stream: boolean): Promise<RpcServer> {
    if (!stream)
      return rpc.serve({ port }, (bytes, context) => this.#answer(this.oracle.executed(bytes), context));
    return rpc.serve({ port, stream: true }, async (body, context) => {
      const bytes = await this.#read(body);
      return bytes === undefined ? '' : this.#answer(this.oracle.executed(bytes), context);
    });
  }

  /** Undefined: the rest did not come. */
  async #read(body: RpcBody): Promise<Buffer | undefined> {
    try {
      return await body.bytes();
    } catch {
      return undefined;
    }
  }

  opened(port: number, server: RpcServer): void {
    this.#servers.set(port, server);
  }

  close(port: number): void {
    this.#servers.get(port)?.close();
    this.#servers.delete(port);
  }

  isClosed(port: number): boolean {
    return port !== 702 && !this.#servers.has(port);
  }

  #answer(asked: Asked | undefined, { signal }: RpcContext): RpcBodyInput | Promise<RpcBodyInput> {
    if (asked === undefined) throw new Error('no such request');
    const { rng } = this;
    const bytes = asked.answerBytes;
    const source = (fault: Source['fault']): Source => {
      const made = Source.random(rng, bytes, fault);
      this.sources.push(made);
      return made;
    };
    switch (asked.answer) {
      case 'late':
        return this.#turns(1 + rng.below(20)).then(() => bytes);
      case 'pieces':
        return source('none');
      case 'stream':
        return streamed(source('none'), { length: bytes.length });
      case 'breaks':
        return streamed(source('throws'), { length: bytes.length });
      case 'short':
        return streamed(source('short'), { length: bytes.length + 1 });
      case 'long':
        return streamed(source('long'), { length: bytes.length });
      case 'throws':
        throw Object.assign(new Error('as it was asked'), { code: 'EXDEV' });
      case 'never':
        this.#waiting.push({ asked, signal });
        // Whoever works on for nobody counts for its caller.
        return new Promise((_, reject) => {
          if (signal.aborted) reject(signal.reason);
          signal.addEventListener('abort', () => reject(signal.reason));
        });
      default:
        return bytes;
    }
  }

  async #turns(n: number): Promise<void> {
    for (let i = 0; i < n; i++) await new Promise(turn => setImmediate(turn));
  }

  /**
   * Those that wait in vain, and were not told so. Over Homa nobody tells before there is an answer; who is called over
   * datagrams knows nothing of a caller that is no more. @param calm none was
   */
  unheard(calm: boolean): string[] {
    return this.#waiting
      .filter(
        ({ asked: { carrier }, signal }) =>
          !signal.aborted && carrier !== 'homa' && (calm || carrier === 'tcp'),
      )
      .map(({ asked }) => `its handler is not told that nobody waits: ${asked}`);
  }
}
