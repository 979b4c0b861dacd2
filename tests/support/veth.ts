/** A veth pair between two namespaces: the near end for an engine, the far end for the kernel as a peer. */
import { fileURLToPath } from 'node:url';
import { ip, linkName, Namespace } from './netns.js';

const CLIENT = fileURLToPath(new URL('udp_client.mjs', import.meta.url));

export interface UdpRun {
  sent: number;
  /** Answers with the same bytes. */
  same: number;
  lost: number;
  wrong: number;
  rttUs: { p50: number; p99: number };
  /** Longest time between two answers, ms. */
  longestGapMs: number;
}

export interface UdpOptions {
  to?: string;
  port?: number;
  count?: number;
  /** Least and most bytes of payload. */
  sizes?: [number, number];
  /** Flows. */
  sockets?: number;
  /** Datagrams under way at a time and flow. */
  window?: number;
  /** Go on for so long instead of `count`. */
  forMs?: number;
  waitMs?: number;
}

export interface VethOptions {
  queues?: number;
  /** Transmit queues of the near end. Default: as `queues`. */
  txQueues?: number;
  mtu?: number;
  /** The far end leaves checksums to hardware, as veth does by default. */
  offload?: boolean;
}

let pairs = 0;

export class Veth {
  readonly near: Namespace;
  far: Namespace;
  readonly nearLink = linkName('en');
  readonly farLink = linkName('ef');
  /** Third byte of the addresses: 10.88.N.1 near, 10.88.N.2 far; fd88:N::1 and ::2. */
  readonly net = pairs++;

  private constructor(readonly options: VethOptions) {
    this.near = new Namespace('afxdp');
    this.far = new Namespace('afxdp');
  }

  static async create(options: VethOptions = {}): Promise<Veth> {
    const veth = new Veth(options);
    await veth.connect();
    return veth;
  }

  /** Makes the pair, with so many queues; again after `remove`. */
  async connect(count = this.options.queues ?? 1): Promise<void> {
    const { near, far, nearLink, farLink, options, net } = this;
    const queues = ['numrxqueues', `${count}`, 'numtxqueues', `${count}`];
    const sending = ['numrxqueues', `${count}`, 'numtxqueues', `${options.txQueues ?? count}`];
    const left = [nearLink, 'netns', near.name, ...sending];
    ip('link', 'add', ...left, 'type', 'veth', 'peer', 'name', farLink, 'netns', far.name, ...queues);
    if (options.mtu)
      for (const [ns, link] of [
        [near, nearLink],
        [far, farLink],
      ] as const)
        ns.ip('link', 'set', link, 'mtu', `${options.mtu}`);
    if (!options.offload) {
      const { code, err } = await far.run('ethtool', '-K', farLink, 'tx', 'off');
      if (code !== 0) throw new Error(err);
    }
    near.configure(nearLink, `10.88.${net}.1/24`, `fd88:${net}::1/64`);
    far.configure(farLink, `10.88.${net}.2/24`, `fd88:${net}::2/64`);
  }

  /** Writes the near end into the far end's table of neighbours for good: nobody asks, so no question can be lost. */
  knowNear(): void {
    const { near, nearLink, far, farLink, nearAddress } = this;
    const [link] = JSON.parse(near.ip('-j', 'link', 'show', nearLink)) as { address: string }[];
    far.ip('neigh', 'replace', nearAddress, 'lladdr', link.address, 'dev', farLink, 'nud', 'permanent');
  }

  /** Deletes both ends. */
  remove(): void {
    this.near.ip('link', 'delete', this.nearLink);
  }

  /** The far namespace goes with all that is in it, the pair included; an empty one takes its place, for `connect`. */
  loseFar(): void {
    this.far.close();
    this.far = new Namespace('afxdp');
  }

  get nearAddress(): string {
    return `10.88.${this.net}.1`;
  }

  get nearAddress6(): string {
    return `fd88:${this.net}::1`;
  }

  /** Datagrams from the far end's kernel, and what came back of them. */
  async udp(options: UdpOptions = {}): Promise<UdpRun> {
    const asked = JSON.stringify({ to: this.nearAddress, port: 7, ...options });
    const { code, out, err } = await this.far.run(process.execPath, CLIENT, asked);
    if (code !== 0) throw new Error(`udp_client: ${err}`);
    return JSON.parse(out) as UdpRun;
  }

  close(): void {
    this.near.close();
    this.far.close();
  }
}
