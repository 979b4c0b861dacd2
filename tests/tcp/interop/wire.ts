/**
 * A link between an engine and the kernel as its peer: AF_XDP on veth, or TUN. What the link does to packets is done by
 * a router between the two, in a namespace of its own, so that a loss is a loss: the sender hears nothing of it.
 *
 *   engine ══ veth or tun ══ [ far ]                                       a plain link
 *   engine ══ veth or tun ══ [ middle: nft drops and marks, tbf ] ══ veth ══ [ far ]
 */
import { type AfXdpNic, afXdp, type TapNic, tun } from '../../../host/nic/index.js';
import { ip, linkName, Namespace } from '../../support/netns.js';
import { KernelCounts } from './counters.js';

export interface WireSettings {
  nic: 'af_xdp' | 'tun';
  /** Of the whole path. Default 1500. */
  mtu?: number;
  /** Behind the router, where only ICMP tells of it. Default: `mtu`. */
  pathMtu?: number;
  /** Share of packets lost, each way. */
  loss?: number;
  /** Share of ECN-capable packets that get a CE mark, each way. */
  ce?: number;
  /** Bottleneck of a token bucket with 50 ms of queue, bit/s, each way. */
  rate?: number;
  /** The kernel may send and receive segments larger than packets (GSO, GRO). Its checksums are always its own. */
  offload?: boolean;
  /** Of the kernel's end. Default reno: a namespace may not always have cubic by default. */
  congestion?: 'reno' | 'bbr';
}

/** Longest wait in the token bucket's queue, s. */
const QUEUE_S = 0.05;
/** Timer ticks a second of kernels with the fewest that are in use: what a token bucket must hold at least. */
const TICKS = 250;
/** RFC 8200 §5. */
const LEAST_MTU6 = 1280;
const OFFLOADS = ['tso', 'gso', 'gro'];

let wires = 0;

function sh(ns: Namespace, line: string): Promise<void> {
  return ns.run('sh', '-c', line).then(({ code, err }) => {
    if (code !== 0) throw new Error(`${line}: ${err}`);
  });
}

export class Wire {
  readonly near: Namespace | undefined;
  readonly middle: Namespace | undefined;
  readonly far = new Namespace('interop');
  /** The engine's interface, and the far end's. */
  readonly nearLink = linkName('ei');
  readonly farLink: string;
  /** The router's interfaces, towards the engine and the far end; on a plain link the far end's own. */
  readonly #toNear: string;
  readonly #toFar: string;
  readonly #net = wires++;

  private constructor(readonly settings: WireSettings) {
    if (settings.nic === 'af_xdp') this.near = new Namespace('interop');
    const { loss, ce, rate, pathMtu } = settings;
    if (loss || ce || rate || pathMtu) this.middle = new Namespace('interop');
    this.#toNear = settings.nic === 'tun' ? this.nearLink : linkName('er');
    this.#toFar = linkName('er');
    this.farLink = this.middle ? linkName('ef') : this.#toNear;
  }

  static async create(settings: WireSettings): Promise<Wire> {
    const wire = new Wire(settings);
    try {
      if (wire.near) await wire.#veth();
      if (wire.middle) await wire.#behind(wire.middle);
      const { congestion = 'reno' } = settings;
      await sh(
        wire.far,
        `cd /proc/sys/net/ipv4 && echo 1 > tcp_ecn && echo ${congestion} > tcp_congestion_control`,
      );
      // A connection says nothing to the next of what it has seen of the path.
      await sh(wire.far, 'echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save');
    } catch (error) {
      wire.close();
      throw error;
    }
    return wire;
  }

  /** The engine's address. */
  address(family: 4 | 6 = 4): string {
    return family === 4 ? `10.81.${this.#net}.1` : `fd81:${this.#net}::1`;
  }

  /** The kernel's. */
  peer(family: 4 | 6 = 4): string {
    const net = this.middle ? 82 : 81;
    return family === 4 ? `10.${net}.${this.#net}.2` : `fd${net}:${this.#net}::2`;
  }

  /** What the engine's interface is joined to. */
  get #neighbour(): Namespace {
    return this.middle ?? this.far;
  }

  /** Station that the engine sends to. */
  gateway(family: 4 | 6 = 4): string {
    return family === 4 ? `10.81.${this.#net}.2` : `fd81:${this.#net}::2`;
  }

  /** A NIC for an engine, which owns the interface. */
  nic(): AfXdpNic | TapNic {
    const { near, nearLink } = this;
    if (!near) return tun({ name: nearLink, mtu: this.settings.mtu ?? 1500 });
    return afXdp({ interface: nearLink, namespace: near.name, own: true });
  }

  /** Joins the interface that the NIC has made, if it made one. Call it when the engine has opened its NICs. */
  async ready(): Promise<void> {
    if (!this.near) {
      this.#neighbour.adopt(this.nearLink, ...this.#both(`${this.gateway(4)}/24`, `${this.gateway(6)}/64`));
      await this.#offloads(this.#neighbour, this.nearLink);
    }
    await this.#spoil();
  }

  /** Families that the path's links carry. */
  get families(): readonly (4 | 6)[] {
    return (this.settings.mtu ?? 1500) < LEAST_MTU6 ? [4] : [4, 6];
  }

  #both(four: string, six: string): string[] {
    return this.families.length === 1 ? [four] : [four, six];
  }

  /** For the kernel at both ends: the near one is as the far one is. */
  async plain(): Promise<void> {
    const on = this.settings.offload;
    this.near!.configure(this.nearLink, ...this.#both(`${this.address(4)}/24`, `${this.address(6)}/64`));
    await this.#offloads(this.near!, this.nearLink, on);
    await this.#offloads(this.far, this.farLink, on);
  }

  async #veth(): Promise<void> {
    const near = this.near!;
    const end = this.#neighbour;
    const { nearLink } = this;
    const mtu = ['mtu', `${this.settings.mtu ?? 1500}`];
    const far = ['peer', 'name', this.#toNear, 'netns', end.name, ...mtu];
    ip('link', 'add', nearLink, 'netns', near.name, ...mtu, 'type', 'veth', ...far);
    near.ip('link', 'set', nearLink, 'up');
    end.configure(this.#toNear, ...this.#both(`${this.gateway(4)}/24`, `${this.gateway(6)}/64`));
    await this.#offloads(end, this.#toNear);
  }

  /** The router's far side, and the far end behind it. */
  async #behind(middle: Namespace): Promise<void> {
    const { far, farLink, settings } = this;
    const mtu = ['mtu', `${settings.pathMtu ?? settings.mtu ?? 1500}`];
    const end = ['peer', 'name', farLink, 'netns', far.name, ...mtu];
    ip('link', 'add', this.#toFar, 'netns', middle.name, ...mtu, 'type', 'veth', ...end);
    const net = this.#net;
    middle.configure(this.#toFar, ...this.#both(`10.82.${net}.254/24`, `fd82:${net}::fe/64`));
    far.configure(farLink, ...this.#both(`10.82.${net}.2/24`, `fd82:${net}::2/64`));
    far.ip('route', 'add', 'default', 'via', `10.82.${net}.254`);
    if (this.families.length > 1) far.ip('-6', 'route', 'add', 'default', 'via', `fd82:${net}::fe`);
    await sh(middle, 'cd /proc/sys/net && echo 1 > ipv4/ip_forward && echo 1 > ipv6/conf/all/forwarding');
    await this.#offloads(middle, this.#toFar);
    await this.#offloads(far, farLink);
  }

  /** What leaves and arrives is as long as packets are, with whole checksums. */
  async #offloads(ns: Namespace, link: string, tx = false): Promise<void> {
    const on = this.settings.offload && !this.middle;
    const words = OFFLOADS.flatMap(o => [o, on ? 'on' : 'off']);
    const { code, err } = await ns.run('ethtool', '-K', link, ...words, 'tx', tx ? 'on' : 'off');
    if (code !== 0 && !/Could not change any|Cannot/.test(err)) throw new Error(err);
  }

  async #spoil(): Promise<void> {
    const { middle, settings } = this;
    if (!middle) return;
    const { loss = 0, ce = 0, rate } = settings;
    const of = (share: number): string => `numgen random mod 100000 < ${Math.round(share * 1e5)}`;
    const rules: string[] = [];
    for (const family of ['ip', 'ip6'])
      if (ce) rules.push(`${family} ecn != not-ect ${of(ce)} ${family} ecn set ce counter name marked`);
    if (loss) rules.push(`meta l4proto tcp ${of(loss)} counter name lost drop`);
    const table = `add table inet wire
      add counter inet wire lost
      add counter inet wire marked
      add chain inet wire forward { type filter hook forward priority 0; policy accept; }
      ${rules.map(r => `add rule inet wire forward ${r}`).join('\n')}`;
    if (rules.length) await sh(middle, `nft -f - <<'END'\n${table}\nEND`);
    if (!rate) return;
    const burst = Math.max(3200, Math.ceil((rate / 8 / TICKS) * 1.2));
    const limit = Math.ceil((rate / 8) * QUEUE_S) + burst;
    for (const link of [this.#toNear, this.#toFar])
      await sh(middle, `tc qdisc add dev ${link} root tbf rate ${rate}bit burst ${burst} limit ${limit}`);
  }

  /** What the router did: packets lost and marked, and dropped by its queues. */
  async spoiled(): Promise<{ lost: number; marked: number; queue: number }> {
    const { middle } = this;
    if (!middle) return { lost: 0, marked: 0, queue: 0 };
    const { out } = await middle.run('nft', 'list', 'counters');
    const named = (name: string): number =>
      Number(new RegExp(`counter ${name} \\{\\s*packets (\\d+)`).exec(out)?.[1] ?? 0);
    const { out: queues } = await middle.run('tc', '-s', 'qdisc', 'show');
    const dropped = [...queues.matchAll(/dropped (\d+)/g)].reduce((n, m) => n + Number(m[1]), 0);
    return { lost: named('lost'), marked: named('marked'), queue: dropped };
  }

  /** What the far end's kernel has counted so far. */
  counts(): Promise<KernelCounts> {
    return KernelCounts.of(this.far);
  }

  close(): void {
    for (const ns of [this.near, this.middle, this.far]) ns?.close();
  }
}
