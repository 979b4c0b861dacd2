/**
 * The same chain in the kernel itself: the same object, constants and tables, attached natively by links that die with
 * this process. Hops are joined by veth pairs, packets pass from one to the next by XDP_REDIRECT.
 *
 *   clients ══ in [hop 0] ─devmap─▶ pair 0 ─▶ [hop 1] ─devmap─▶ … [hop n-1] ─devmap─▶ out ══ backends
 *
 * A veth takes redirected packets only when its other end polls (NAPI): the far ends of `in` and `out` need an XDP
 * program of their own, or `ethtool -K IFACE gro on`.
 */
import { configureKernelMaps } from '../bpf/config.js';
import { errnoName } from '../bpf/kernel/attr.js';
import { KernelCollection } from '../bpf/kernel/collection.js';
import { KernelLink, type XdpMode } from '../bpf/kernel/link.js';
import { possibleCpus } from '../bpf/kernel/map.js';
import { lookupBatch } from '../bpf/kernel/map_batch.js';
import { u32 } from '../bpf/kernel/program.js';
import { EtherloomError } from '../errors.js';
import { Backends, checkBackendsOnly } from './backends.js';
import type { Backend, ForwardConfig } from './config.js';
import {
  addCounts,
  type Count,
  type Flow,
  type HopCounters,
  isAlive,
  REASONS,
  readFlow,
} from './counters.js';
import {
  FORWARD_PROGRAM,
  type Hop,
  hopConfig,
  hopObject,
  innerMac,
  PORT_IN,
  PORT_OUT,
  PORTS_MAP,
  planHops,
} from './hop.js';
import { type Interface, interfaceOf, resolveMac, VethPair } from './interfaces.js';

export interface KernelForwarderOptions {
  config: ForwardConfig;
  /** Interfaces of this network namespace: towards clients, towards backends. `out` may be `in` for a single hop. */
  in: string;
  out: string;
  /** native, or generic: with any driver, after the kernel made its packet of it. Default native. */
  attach?: XdpMode;
  /** Ethernet address of a backend. Default: the kernel's neighbour. */
  resolve?: (backend: Backend) => string | Promise<string>;
}

let made = 0;

export class KernelForwarder {
  readonly #hops: { hop: Hop; kernel: KernelCollection }[] = [];
  readonly #links: KernelLink[] = [];
  readonly #pairs: VethPair[] = [];
  #backends: Backends | undefined;
  #config: ForwardConfig;

  private constructor(
    config: ForwardConfig,
    readonly attach: XdpMode,
    readonly resolve: NonNullable<KernelForwarderOptions['resolve']>,
  ) {
    this.#config = config;
  }

  /** As it is now. */
  get config(): ForwardConfig {
    return this.#config;
  }

  /**
   * Makes the pairs, loads and attaches every hop: packets flow when it resolves. All or nothing.
   * @throws EtherloomError ERR_FORWARD_INTERFACE, ERR_FORWARD_IP, ERR_FORWARD_MAC, ERR_KERNEL_*
   */
  static async create(options: KernelForwarderOptions): Promise<KernelForwarder> {
    const { config, attach = 'native', resolve = resolveMac } = options;
    const forwarder = new KernelForwarder(config, attach, resolve);
    try {
      await forwarder.#open(options);
      return forwarder;
    } catch (error) {
      forwarder.close();
      throw error;
    }
  }

  async #open({ config, ...options }: KernelForwarderOptions): Promise<void> {
    const count = config.services[0].ports.length;
    const first = interfaceOf(options.in);
    const last = interfaceOf(options.out);
    const macs = await this.#resolved(config);
    const stem = `el${process.pid.toString(36)}${(made++).toString(36)}`;
    for (let i = 0; i < count - 1; i++)
      this.#pairs.push(
        VethPair.create(
          { name: `${stem}h${i}a`, mac: innerMac(i, 1) },
          { name: `${stem}h${i}b`, mac: innerMac(i + 1, 0) },
        ),
      );
    const ends = Array.from({ length: count }, (_, i): [Interface, Interface] => [
      i === 0 ? first : this.#pairs[i - 1].b,
      i === count - 1 ? last : this.#pairs[i].a,
    ]);
    const plan = planHops(config, {
      hops: ends.map(([a, b]) => [a.mac, b.mac] as const),
      backend: b => macs.get(b)!,
    });
    // Backwards: a hop is only sent to when it is there.
    for (const [i, planned] of [...plan.entries()].reverse()) {
      // An sk_buff keeps its partial checksum from hop to hop; the kernel completes it at the end.
      const hop: Hop =
        this.attach === 'generic'
          ? { ...planned, keepPartial: true, complete: { forth: true, back: true } }
          : planned;
      this.#attachHop(hop, ends[i]);
    }
    this.#hops.reverse();
    const planned = this.#hops.map(h => h.hop);
    const sides = ends.map(([a, b]) => [a.mac, b.mac] as const);
    this.#backends = new Backends(planned, sides, (i, contents) =>
      configureKernelMaps(this.#hops[i].kernel, contents),
    );
  }

  async #resolved(config: ForwardConfig): Promise<Map<Backend, string>> {
    const macs = new Map<Backend, string>();
    for (const b of config.services.flatMap(s => s.backends)) macs.set(b, b.mac ?? (await this.resolve(b)));
    return macs;
  }

  /**
   * Changes the backends while packets flow: new flows go to those of `config`, flows that are open stay where they are.
   * @throws EtherloomError ERR_FORWARD_CONFIG when anything else is another, ERR_FORWARD_MAC; nothing is changed then
   */
  async setBackends(config: ForwardConfig): Promise<void> {
    checkBackendsOnly(this.#config, config);
    const macs = await this.#resolved(config);
    this.#backends!.change(config, b => macs.get(b)!);
    this.#config = config;
  }

  #attachHop(hop: Hop, [a, b]: readonly [Interface, Interface]): void {
    const contents = hopConfig(hop);
    const kernel = KernelCollection.load(hopObject(hop, contents), { log: 'none' });
    this.#hops.push({ hop, kernel });
    const program = kernel.program(FORWARD_PROGRAM);
    configureKernelMaps(kernel, contents);
    // Back where it came from is XDP_TX, which needs no entry.
    if (a.ifindex !== b.ifindex) {
      kernel.maps[PORTS_MAP].update(u32(PORT_IN), u32(a.ifindex));
      kernel.maps[PORTS_MAP].update(u32(PORT_OUT), u32(b.ifindex));
    }
    for (const ifindex of new Set([a.ifindex, b.ifindex]))
      this.#links.push(KernelLink.attachXdp(program, ifindex, this.attach));
  }

  get hopCount(): number {
    return this.#hops.length;
  }

  /** Counters of all hops. @throws EtherloomError ERR_KERNEL_<ERRNO> */
  counters(): { hops: HopCounters[] } {
    return {
      hops: this.#hops.map(({ kernel }, hop) => {
        const counts = Object.fromEntries(
          REASONS.map((reason, i) => {
            const copies = kernel.maps.counters.lookup(u32(i))!;
            const view = new DataView(copies.buffer, copies.byteOffset, copies.byteLength);
            return [reason, addCounts(view, 0, possibleCpus(), 16)];
          }),
        ) as Record<(typeof REASONS)[number], Count>;
        return { hop, flows: this.flows(hop).length, limit: this.config.flows, counts };
      }),
    };
  }

  /** The flows of a hop that are alive now. @throws EtherloomError ERR_KERNEL_<ERRNO> */
  flows(hop: number): Flow[] {
    const now = process.hrtime.bigint();
    const entries = lookupBatch(this.#hops[hop].kernel.maps.flows);
    if (typeof entries === 'number')
      throw new EtherloomError(`ERR_KERNEL_${errnoName(-entries)}`, `the flows of hop ${hop} cannot be read`);
    return entries.flatMap(([key, value]) => {
      const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
      if (!isAlive(view, 0, now)) return [];
      const slot = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
      return [readFlow(view, 0, this.config.firstPort + slot, now)];
    });
  }

  /** Detaches everything and removes the pairs. */
  close(): void {
    for (const link of this.#links.splice(0)) link.close();
    for (const { kernel } of this.#hops.splice(0)) kernel.close();
    for (const pair of this.#pairs.splice(0)) pair.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
