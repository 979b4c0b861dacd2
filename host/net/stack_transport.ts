/** A transport that a stack was given while it runs, beside those that it was made with: `stack.load(transport)`. */
import type { LoadedAny } from '../transports/contract.js';

/** How a transport is taken out. */
export interface UnloadOptions {
  /** Of the engine's time, ms: so long sockets may still send what they have. Default 1000. */
  lingerMs?: number;
}

export class StackTransport<L extends LoadedAny = LoadedAny> {
  readonly #unload: (lingerMs: number | undefined) => Promise<void>;
  #closing: Promise<void> | undefined;

  /** @internal Made by Stack. */
  constructor(
    readonly name: string,
    /** IP protocol. */
    readonly protocol: number,
    /** Its control plane. */
    readonly loaded: L,
    unload: (lingerMs: number | undefined) => Promise<void>,
  ) {
    this.#unload = unload;
  }

  /** What its programs counted on all lanes, by name; what never happened is not there. */
  counters(): Record<string, number> {
    return this.loaded.counters();
  }

  /**
   * Takes it out while the others go on: nobody binds any more, its sockets close and send what they had, at most
   * `lingerMs`; then its programs and maps go. Its packets are nobody's from then on.
   * @throws EtherloomError ERR_STACK_TRANSPORT while there is an RPC whose calls went over it; ERR_STACK_CLOSE when lanes do not
   * let go of its streams in 5 s: another `close` goes on from there
   */
  close({ lingerMs }: UnloadOptions = {}): Promise<void> {
    this.#closing ??= this.#unload(lingerMs).catch(error => {
      this.#closing = undefined;
      throw error;
    });
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
