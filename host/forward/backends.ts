/**
 * Backends of a chain that is at work. The table has two halves: new backends are written to the one that is not in use,
 * then each listener is turned to them by one update. A flow keeps the backend that it was opened to, so one that is taken
 * out drains: nothing new comes to it, what it has goes on.
 *
 *   listener ─▶ { first, count } ─▶ backends │ in use │ …… │ the next │ …… │
 */
import { isDeepStrictEqual } from 'node:util';
import type { MapConfig, MapEntry } from '../bpf/config.js';
import { EtherloomError } from '../errors.js';
import type { Backend, ForwardConfig } from './config.js';
import { backendName, type ChainMacs, type Hop, hopConfig, planHops, roomForBackends } from './hop.js';

interface Turn {
  first: number;
  count: number;
}

const entriesOf = (config: MapConfig, name: string): MapEntry[] => (config[name] ?? []) as MapEntry[];

/** The backends of one hop. */
class Table {
  readonly #room: number;
  #inUse = 0;
  /** Keys of the listeners, by what they say: one whose backends are all gone stays, with none. */
  readonly #listeners = new Map<string, MapEntry>();
  /** What stands in both halves: flows that are open may use the one that is not in use. */
  readonly #standing = new Map<number, MapEntry>();

  constructor(hop: Hop) {
    const config = hopConfig(hop);
    this.#note(entriesOf(config, 'backends'));
    this.#room = roomForBackends(config);
    for (const l of entriesOf(config, 'listeners')) this.#listeners.set(JSON.stringify(l.key), l);
  }

  /** What is to be written for the hop as it is to be: first this, then that. @throws EtherloomError ERR_FORWARD_CONFIG */
  next(hop: Hop): [backends: MapConfig, listeners: MapConfig] {
    const config = hopConfig(hop);
    const backends = entriesOf(config, 'backends');
    if (backends.length > this.#room)
      throw new EtherloomError('ERR_FORWARD_CONFIG', `${backends.length} backends while it runs`, {
        expected: `at most ${this.#room}, or a new start`,
      });
    const base = this.#inUse === 0 ? this.#room : 0;
    const turned = new Map<string, MapEntry>();
    for (const [name, { key }] of this.#listeners)
      turned.set(name, { key, value: { first: base, count: 0 } });
    for (const { key, value } of entriesOf(config, 'listeners')) {
      const { first, count } = value as Turn;
      turned.set(JSON.stringify(key), { key, value: { first: base + first, count } });
    }
    for (const [name, entry] of turned) this.#listeners.set(name, entry);
    this.#inUse = base;
    const moved = backends.map(b => ({ ...b, key: base + (b.key as number) }));
    this.#note(moved);
    return [{ backends: moved }, { listeners: [...turned.values()] }];
  }

  /** The entries that have other Ethernet addresses in the hop as it is now. */
  readdressed(hop: Hop): MapEntry[] {
    const now = new Map(entriesOf(hopConfig(hop), 'backends').map(e => [backendName(e.value), e.value]));
    const changed = [...this.#standing.values()].flatMap(({ key, value }) => {
      const fresh = now.get(backendName(value));
      return fresh === undefined || isDeepStrictEqual(fresh, value) ? [] : [{ key, value: fresh }];
    });
    this.#note(changed);
    return changed;
  }

  #note(entries: readonly MapEntry[]): void {
    for (const entry of entries) this.#standing.set(entry.key as number, entry);
  }
}

export class Backends {
  readonly #tables: readonly Table[];

  constructor(
    hops: readonly Hop[],
    readonly macs: ChainMacs['hops'],
    /** Fills maps of a hop. */
    readonly write: (hop: number, contents: MapConfig) => void,
  ) {
    this.#tables = hops.map(hop => new Table(hop));
  }

  /** Has new flows go to the backends of `config`. Backwards: a hop is only sent to when it knows where to. */
  change(config: ForwardConfig, macOf: (backend: Backend) => string): void {
    const hops = planHops(config, { hops: this.macs, backend: macOf });
    const steps = hops.map((hop, i) => this.#tables[i].next(hop));
    for (const [i, [backends, listeners]] of [...steps.entries()].reverse()) {
      this.write(i, backends);
      this.write(i, listeners);
    }
  }

  /** Writes the Ethernet addresses that have changed; the hops whose table has. */
  readdress(config: ForwardConfig, macOf: (backend: Backend) => string): number[] {
    return planHops(config, { hops: this.macs, backend: macOf }).flatMap((hop, i) => {
      const backends = this.#tables[i].readdressed(hop);
      if (!backends.length) return [];
      this.write(i, { backends });
      return [i];
    });
  }
}

/** @throws EtherloomError ERR_FORWARD_CONFIG when something else than backends is to be another */
export function checkBackendsOnly(now: ForwardConfig, next: ForwardConfig): void {
  const rest = (c: ForwardConfig): unknown => ({
    ...c,
    services: c.services.map(({ backends: _, ...service }) => service),
  });
  if (!isDeepStrictEqual(rest(now), rest(next)))
    throw new EtherloomError('ERR_FORWARD_CONFIG', 'more than backends is to change while it runs', {
      expected: 'the same addresses, ports, protocols, flows and ages, or a new start',
    });
}
