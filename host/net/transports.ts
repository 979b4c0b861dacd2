/**
 * The transports of a stack: loaded one by one, each put into the stack's entrance with its addresses known, and taken out
 * again while packets of the others pass.
 *
 *   load ─▶ maps, programs ─▶ own addresses ─▶ entrance        remove ─▶ out of the entrance ─▶ grace ─▶ programs, maps given back
 */
import { EtherloomError } from '../errors.js';
import type { AnyTransport, LoadedAny, TransportEnv } from '../transports/contract.js';
import type { Entrance } from '../transports/entrance.js';
import type { Network } from './network.js';

interface Known {
  protocol: number;
  /** undefined: it is being loaded. */
  loaded: LoadedAny | undefined;
}

export class StackTransports {
  readonly #known = new Map<string, Known>();
  #closed = false;

  constructor(
    readonly env: TransportEnv,
    readonly network: Network,
    readonly entrance: Entrance,
  ) {}

  /** Those that are at work. */
  get all(): LoadedAny[] {
    return [...this.#known.values()].flatMap(({ loaded }) => loaded ?? []);
  }

  /**
   * @throws EtherloomError ERR_STACK_TRANSPORT when the stack has one of that name, or of that protocol; what the transport's
   * own `load` throws
   */
  async load<L extends LoadedAny>(transport: AnyTransport<L>): Promise<L> {
    const { name, protocol } = transport;
    for (const [other, { protocol: its }] of this.#known)
      if (other === name || its === protocol)
        throw new EtherloomError(
          'ERR_STACK_TRANSPORT',
          `the stack has "${other}", of IP protocol ${its}, already`,
          { expected: 'a name and a protocol of its own for each transport of a stack' },
        );
    const known: Known = { protocol, loaded: undefined };
    this.#known.set(name, known);
    try {
      const loaded = await transport.load(this.env);
      if (this.#closed) {
        await loaded.close();
        throw new EtherloomError('ERR_STACK_CLOSED', `the stack was closed while "${name}" was loaded`);
      }
      for (const address of this.network.addresses) loaded.own(address, true);
      this.entrance.put(protocol, loaded.programs);
      known.loaded = loaded;
      return loaded;
    } catch (error) {
      this.#known.delete(name);
      throw error;
    }
  }

  /** Takes one out. No stream of it may be open any more. */
  async remove(name: string): Promise<void> {
    const known = this.#known.get(name);
    if (!known?.loaded) return;
    this.entrance.remove(known.protocol);
    await known.loaded.close();
    this.#known.delete(name);
  }

  /** Gives all back. The entrance is closed. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const [name, { loaded }] of [...this.#known]) {
      await loaded?.close();
      this.#known.delete(name);
    }
  }
}
