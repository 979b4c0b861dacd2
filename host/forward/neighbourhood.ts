/**
 * What is around a chain that is at work, and may change: its backends, which are told (setBackends), and the Ethernet
 * addresses of interfaces and backends, which are looked at again and again. All of it is written into the maps of the
 * hops that run; flows see by a generation that addresses in the table of backends are others.
 */
import type { MapConfig } from '../bpf/config.js';
import { EtherloomError } from '../errors.js';
import { Backends, checkBackendsOnly } from './backends.js';
import type { Backend, ForwardConfig } from './config.js';
import { FIRST_GENERATION, type Hop, linksConfig } from './hop.js';

/** How often, ms. A look is two questions to the kernel a backend, by netlink. */
export const LOOK_MS = 250;

/** Resolves the Ethernet address by which a backend is reached. `again`: it was known once, and is asked for again soon. */
export type Resolve = (backend: Backend, again: boolean) => string | Promise<string>;

/** Own addresses of every hop: towards clients, towards backends. */
export type OwnMacs = readonly (readonly [string, string])[];

export interface NeighbourhoodOptions {
  config: ForwardConfig;
  /** As they are loaded. */
  hops: readonly Hop[];
  /** Ethernet addresses of the backends of `config`. */
  backends: ReadonlyMap<Backend, string>;
  resolve: Resolve | undefined;
  /** Own addresses now. */
  look: () => OwnMacs;
  /** Writes entries into the maps of a hop that runs. */
  write: (hop: number, entries: MapConfig) => void;
}

export class Neighbourhood {
  readonly #options: NeighbourhoodOptions;
  readonly #tables: Backends;
  readonly #generations: number[];
  readonly #trouble = new Map<Backend, string>();
  #config: ForwardConfig;
  #macs: Map<Backend, string>;
  #own: OwnMacs;
  #looking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #failed: string | undefined;

  constructor(options: NeighbourhoodOptions) {
    const { hops, config, backends, write } = options;
    this.#options = options;
    this.#config = config;
    this.#macs = new Map(backends);
    this.#own = hops.map(hop => hop.macs);
    this.#generations = hops.map(() => FIRST_GENERATION);
    this.#tables = new Backends(hops, this.#own, write);
  }

  /** The configuration as it is now. */
  get config(): ForwardConfig {
    return this.#config;
  }

  /**
   * Changes the backends: new flows go to those of `config`, flows that are open stay where they are.
   * @throws EtherloomError ERR_FORWARD_CONFIG when anything else is another, ERR_FORWARD_MAC; nothing is changed then
   */
  async setBackends(config: ForwardConfig): Promise<void> {
    checkBackendsOnly(this.#config, config);
    const macs = await resolveAll(config, this.#options.resolve);
    this.#tables.change(config, b => macs.get(b)!);
    this.#config = config;
    this.#macs = macs;
    this.#trouble.clear();
  }

  /** Looks every 250 ms from now on; does not keep the process alive. */
  start(): void {
    this.#timer ??= setInterval(() => {
      this.refresh().catch((error: unknown) => {
        this.#failed = (error as Error).message;
      });
    }, LOOK_MS).unref();
  }

  /** For good: maps are not written any more. */
  stop(): void {
    clearInterval(this.#timer);
    this.#stopped = true;
  }

  /** Backends that cannot be reached now, and why the last look failed, in words. */
  get trouble(): string[] {
    return [...this.#trouble.values(), ...(this.#failed === undefined ? [] : [this.#failed])];
  }

  /** Looks once; looks do not overlap. What cannot be resolved keeps the address that it had. */
  refresh(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    if (this.#stopped) return;
    this.#writeOwn();
    const { resolve } = this.#options;
    if (!resolve) return;
    const macs = this.#macs;
    const asked = [...macs.keys()].filter(b => b.mac === undefined);
    const found = await Promise.allSettled(asked.map(async b => resolve(b, true)));
    // Meanwhile others may have been told, or it is over.
    if (macs !== this.#macs || this.#stopped) return;
    for (const [i, backend] of asked.entries()) {
      const answer = found[i];
      if (answer.status === 'rejected') this.#trouble.set(backend, (answer.reason as Error).message);
      else {
        this.#trouble.delete(backend);
        macs.set(backend, answer.value);
      }
    }
    // First the table, then its generation: who sees the new one finds the new addresses.
    for (const hop of this.#tables.readdress(this.#config, b => macs.get(b)!)) {
      this.#generations[hop] = (this.#generations[hop] + 1) & 0xffff;
      this.#writeLinks(hop);
    }
    this.#failed = undefined;
  }

  #writeOwn(): void {
    const before = this.#own;
    this.#own = this.#options.look();
    for (const [i, macs] of this.#own.entries())
      if (macs[0] !== before[i][0] || macs[1] !== before[i][1]) this.#writeLinks(i);
  }

  #writeLinks(hop: number): void {
    const links = linksConfig(this.#own[hop], this.#generations[hop]);
    this.#options.write(hop, { '.data': [{ key: 0, value: links }] });
  }
}

/** Ethernet addresses of all backends. @throws EtherloomError ERR_FORWARD_MAC, and what `resolve` throws */
export async function resolveAll(
  config: ForwardConfig,
  resolve: Resolve | undefined,
): Promise<Map<Backend, string>> {
  const found = new Map<Backend, string>();
  for (const backend of config.services.flatMap(s => s.backends)) {
    const mac = backend.mac ?? (await resolve?.(backend, false));
    if (!mac)
      throw new EtherloomError('ERR_FORWARD_MAC', `the Ethernet address of ${backend.address} is not known`, {
        expected: 'ADDRESS:PORT@MAC, where nobody can be asked',
      });
    found.set(backend, mac);
  }
  return found;
}
