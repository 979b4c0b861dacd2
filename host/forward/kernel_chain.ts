/**
 * The same chain in the kernel itself: the same object, constants and tables, attached by links that die with this
 * process. Hops are joined by veth pairs, packets pass from one to the next by XDP_REDIRECT.
 *
 *   clients ══ in [hop 0] ─devmap─▶ pair 0 ─▶ [hop 1] ─devmap─▶ … [hop n-1] ─devmap─▶ out ══ backends
 *
 * A veth takes redirected packets only when its other end polls (NAPI): the far ends of `in` and `out` need an XDP
 * program of their own, or `ethtool -K IFACE gro on`. An interface that is deleted and made anew is taken again.
 */
import { configureKernelMaps } from '../bpf/config.js';
import { errnoName } from '../bpf/kernel/attr.js';
import { KernelCollection } from '../bpf/kernel/collection.js';
import { KernelLink, type XdpMode } from '../bpf/kernel/link.js';
import { possibleCpus } from '../bpf/kernel/map.js';
import { lookupBatch } from '../bpf/kernel/map_batch.js';
import { u32 } from '../bpf/kernel/program.js';
import { EtherloomError } from '../errors.js';
import type { ForwardConfig } from './config.js';
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
import { type Interface, interfaceOf, resolveMac, sweepPairs, VethPair } from './interfaces.js';
import { LOOK_MS, Neighbourhood, type OwnMacs, type Resolve, resolveAll } from './neighbourhood.js';

export interface KernelForwarderOptions {
  config: ForwardConfig;
  /** Interfaces of this network namespace: towards clients, towards backends. `out` may be `in` for a single hop. */
  in: string;
  out: string;
  /**
   * native, or generic: with any driver, after the kernel made its packet of it. Default: native where every driver can,
   * else generic everywhere, since a checksum that is left to the card needs one way throughout.
   */
  attach?: XdpMode;
  /** Ethernet address of a backend, asked again every 250 ms. Default: the kernel's neighbour. */
  resolve?: Resolve;
}

/** A hop at work: its two ends, and the links that hold its program there. */
interface KernelHop {
  hop: Hop;
  kernel: KernelCollection;
  ends: [Interface, Interface];
  /** One for each end; the same where both ends are one interface. */
  links: [KernelLink, KernelLink];
}

const SIDES = [PORT_IN, PORT_OUT] as const;

export class KernelForwarder {
  readonly #hops: KernelHop[] = [];
  readonly #pairs: VethPair[] = [];
  #neighbourhood: Neighbourhood | undefined;
  #timer: NodeJS.Timeout | undefined;
  #gone = new Map<string, string>();

  private constructor(
    /** How every hop is attached, and why so. */
    readonly attach: XdpMode,
    readonly attachReason: string,
  ) {}

  /**
   * Makes the pairs, loads and attaches every hop: packets flow when it resolves. All or nothing.
   * @throws EtherloomError ERR_FORWARD_INTERFACE, ERR_FORWARD_IP, ERR_FORWARD_MAC, ERR_NETLINK, ERR_KERNEL_*
   */
  static async create(options: KernelForwarderOptions): Promise<KernelForwarder> {
    sweepPairs();
    const { attach } = options;
    const open = async (mode: XdpMode, reason: string): Promise<KernelForwarder> => {
      const forwarder = new KernelForwarder(mode, reason);
      try {
        await forwarder.#open(options);
        return forwarder;
      } catch (error) {
        forwarder.close();
        throw error;
      }
    };
    if (attach) return open(attach, 'asked for');
    try {
      return await open('native', 'the drivers run XDP programs themselves');
    } catch (error) {
      if (!(error instanceof EtherloomError) || error.code !== 'ERR_KERNEL_ATTACH') throw error;
      return open('generic', error.message);
    }
  }

  async #open({ config, resolve = resolveMac, ...options }: KernelForwarderOptions): Promise<void> {
    const count = config.services[0].ports.length;
    const first = interfaceOf(options.in);
    const last = interfaceOf(options.out);
    const macs = await resolveAll(config, resolve);
    // What does not fit one of the two gets through neither.
    const mtu = Math.min(first.mtu, last.mtu);
    for (let i = 0; i < count - 1; i++)
      this.#pairs.push(VethPair.create([innerMac(i, 1), innerMac(i + 1, 0)], mtu));
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
    this.#neighbourhood = new Neighbourhood({
      config,
      hops: plan,
      backends: macs,
      resolve,
      look: () => this.#ownMacs(),
      write: (hop, entries) => configureKernelMaps(this.#hops[hop].kernel, entries),
    });
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
    this.#neighbourhood.start();
  }

  #attachHop(hop: Hop, ends: [Interface, Interface]): void {
    const contents = hopConfig(hop);
    const kernel = KernelCollection.load(hopObject(hop, contents), { log: 'none' });
    const links: KernelLink[] = [];
    try {
      const program = kernel.program(FORWARD_PROGRAM);
      configureKernelMaps(kernel, contents);
      const [a, b] = ends;
      links.push(KernelLink.attachXdp(program, a.ifindex, this.attach));
      links.push(a.ifindex === b.ifindex ? links[0] : KernelLink.attachXdp(program, b.ifindex, this.attach));
      const made: KernelHop = { hop, kernel, ends, links: [links[0], links[1]] };
      this.#hops.unshift(made);
      this.#joinEnds(made);
    } catch (error) {
      for (const link of links) link.close();
      kernel.close();
      throw error;
    }
  }

  /** Where the hop sends to. Back where it came from is XDP_TX, which needs no entry. */
  #joinEnds({ kernel, ends: [a, b] }: KernelHop): void {
    if (a.ifindex === b.ifindex) return;
    kernel.maps[PORTS_MAP].update(u32(PORT_IN), u32(a.ifindex));
    kernel.maps[PORTS_MAP].update(u32(PORT_OUT), u32(b.ifindex));
  }

  // ── interfaces that go and come back ──────────────────────────────────────────────────────────────────────────

  /** Takes an interface again that was made anew under its name: another number, another address. */
  #look(): void {
    for (const one of this.#hops)
      for (const side of SIDES) {
        const { name, ifindex } = one.ends[side];
        if (this.#pairs.some(p => p.a.name === name || p.b.name === name)) continue;
        try {
          const now = interfaceOf(name);
          if (now.ifindex !== ifindex) this.#retake(one, side, now);
          else one.ends[side] = now;
          this.#gone.delete(name);
        } catch (error) {
          this.#gone.set(name, (error as Error).message);
        }
      }
  }

  #retake(one: KernelHop, side: (typeof SIDES)[number], now: Interface): void {
    const [a, b] = one.links;
    one.links[side].close();
    const link = KernelLink.attachXdp(one.kernel.program(FORWARD_PROGRAM), now.ifindex, this.attach);
    one.links = a === b ? [link, link] : side === PORT_IN ? [link, b] : [a, link];
    one.ends = a === b ? [now, now] : side === PORT_IN ? [now, one.ends[1]] : [one.ends[0], now];
    this.#joinEnds(one);
  }

  #ownMacs(): OwnMacs {
    return this.#hops.map(({ ends: [a, b] }) => [a.mac, b.mac] as const);
  }

  /** The configuration as it is now. */
  get config(): ForwardConfig {
    return this.#neighbourhood!.config;
  }

  /**
   * Changes the backends while packets flow: new flows go to those of `config`, flows that are open stay where they are.
   * @throws EtherloomError ERR_FORWARD_CONFIG when anything else is another, ERR_FORWARD_MAC; nothing is changed then
   */
  setBackends(config: ForwardConfig): Promise<void> {
    return this.#neighbourhood!.setBackends(config);
  }

  /** Looks now whether interfaces and backends have other Ethernet addresses: what it does by itself every 250 ms. */
  refresh(): Promise<void> {
    this.#look();
    return this.#neighbourhood!.refresh();
  }

  /** Interfaces that are gone and backends that cannot be reached, in words. */
  get trouble(): string[] {
    return [...this.#gone.values(), ...(this.#neighbourhood?.trouble ?? [])];
  }

  /** Traps found: what works, but not as one would think. */
  get warnings(): string[] {
    const [first, last] = [this.#hops[0].ends[0], this.#hops[this.#hops.length - 1].ends[1]];
    const found: string[] = [];
    if (this.attach === 'generic')
      found.push(
        `generic: packets that the kernel has put together, or a veth peer has not cut, fit no MTU and are dropped; ` +
          `ethtool -K IFACE gro off lro off on ${[...new Set([first.name, last.name])].join(' and ')}, ` +
          'tso off gso off on their veth peers',
      );
    if (first.mtu !== last.mtu)
      found.push(
        `MTU ${first.mtu} at ${first.name}, ${last.mtu} at ${last.name}: larger datagrams than the smaller are dropped`,
      );
    return found;
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
    clearInterval(this.#timer);
    this.#neighbourhood?.stop();
    for (const { links, kernel } of this.#hops.splice(0)) {
      for (const link of links) link.close();
      kernel.close();
    }
    for (const pair of this.#pairs.splice(0)) pair.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
