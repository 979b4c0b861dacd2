/**
 * The TUN/TAP NIC: a virtual interface whose other end is the kernel of this machine.
 *
 *   kernel: tap0 ══ descriptor per queue ══ lane (driver.ts), or the host ══ receive and transmit rings ══ lanes
 *
 * What the kernel sends by `tap0` arrives at the port; what the port transmits, `tap0` receives.
 */
import { randomBytes } from 'node:crypto';
import { EtherloomError } from '../../errors.js';
import { ETH_OVERHEAD, FRAME_SIZE, PortFlag } from '../../layout/layout.gen.js';
import { native as loadNative, type NativeLoad } from '../../native/load.js';
import { parseMac } from '../../wire/address.js';
import type { Nic, NicEnv } from '../nic.js';
import { checkNicOptions, Option } from '../options.js';
import { Port } from '../port.js';
import { deviceOf } from './device.js';
import type { TapPlan } from './driver.js';
import { Hand } from './hand.js';
import { exists, join, type OpenInterface, openByName, openInherited, type TapKind } from './open.js';
import { discard, GONE, type Pump, pull, push, ROOM } from './pump.js';
import { bringUp } from './request.js';
import { sumStats, TapCounts, type TapStats } from './stats.js';

/** Largest MTU of an interface: a frame with header and one tag leaves a byte of its room free (pump.ts). */
export const MAX_MTU = ROOM - 1 - ETH_OVERHEAD;
/** Packets moved by queue and poll: enough to fill rings, few enough to come back for those that leave. */
const BATCH = 256;
/** How often an interface that was deleted is looked for, ms. */
const REJOIN_MS = 100;
const DEFAULT_MTU = 1500;

export interface TapOptions {
  /** Name of the interface: joined when it exists, else made, and brought up. */
  name?: string;
  /** Instead of a name: descriptors that are joined already, one per queue. The NIC closes them. */
  fd?: number | readonly number[];
  /** Queues of the interface and of the port. Default: one per lane. */
  queues?: number;
  /** Given to an interface by name. Default: what it has. */
  mtu?: number;
  /** Hardware address of the port: the near end; `tap0` has its own. Default: a random one. */
  mac?: string;
  /** Entries of each ring, a power of two. Default: the engine's. */
  ringSlots?: number;
}

export class TapNic implements Nic {
  #name: string;
  #env: NicEnv | undefined;
  #port: Port | undefined;
  #interface: OpenInterface | undefined;
  #pumps: Pump[] = [];
  /** For each descriptor: receive rings that its packets go to. */
  #feeds: number[][] = [];
  /** When to look for a deleted interface next, ms; undefined while there is one. */
  #rejoinMs: number | undefined;
  /** Addresses of the header that packets of a TUN interface get. */
  #header: Uint8Array | undefined;
  /** First of the blocks that lanes and host count in. */
  #countsAt = 0;
  /** Lanes were given the plan: they move what their queues hold. */
  #driven = false;

  /** @throws EtherloomError ERR_NIC_OPTIONS */
  constructor(
    readonly kind: TapKind,
    readonly options: TapOptions,
    /** The addon, or none: for tests of life without it. */
    readonly addon: NativeLoad = loadNative(),
  ) {
    checkNicOptions(kind, options, {
      name: Option.interface,
      fd: Option.fds,
      queues: Option.queues,
      mtu: Option.mtu,
      mac: Option.mac,
    });
    const { name, fd } = options;
    if ((name === undefined) === (fd === undefined))
      throw new EtherloomError(
        'ERR_NIC_OPTIONS',
        `a ${kind} NIC by ${name === undefined ? 'neither' : 'both'}`,
        {
          expected: 'a name, or descriptors',
        },
      );
    this.#name = name ?? `${kind}:fd=${[fd].flat().join('+')}`;
  }

  /** The interface's, once that is known. */
  get name(): string {
    return this.#name;
  }

  /** @throws EtherloomError ERR_NIC_UNAVAILABLE, ERR_NIC_FD, ERR_NIC_MTU */
  open(env: NicEnv): Port {
    if (this.#port) throw new EtherloomError('ERR_NIC_OPEN', `${this.name} is open already`);
    const opened = this.#openInterface(env.lanes);
    const devices = opened.fds.map(fd => deviceOf(fd, this.addon.ok ? this.addon.native : undefined));
    try {
      this.#name = opened.name ?? this.#name;
      const mtu = opened.mtu ?? DEFAULT_MTU;
      this.#checkMtu(mtu, `at most ${MAX_MTU}: ip link set ${this.name} mtu ${DEFAULT_MTU}`);
      const mac = this.options.mac ? parseMac(this.options.mac) : randomMac();
      this.#port = Port.create(env.arena, {
        name: this.name,
        ifindex: env.ifindex,
        lanes: env.lanes,
        queues: this.options.queues ?? (opened.fds.length > 1 ? opened.fds.length : env.lanes),
        mtu,
        mac,
        ringSlots: this.options.ringSlots ?? env.ringSlots,
      });
      // TUN: from whoever is at the other end of the line, whom nobody need ask for.
      const peer = randomMac();
      const header = this.kind === 'tun' ? Uint8Array.from([...mac, ...peer]) : undefined;
      if (header) this.#port.setPeer(peer);
      const { arena, core, lanes } = env;
      this.#header = header;
      this.#countsAt = TapCounts.alloc(arena, lanes + 1);
      const stats = TapCounts.of(arena, this.#countsAt, lanes);
      const hand = new Hand(arena, lanes);
      this.#pumps = devices.map(device => ({ arena, core, device, hand, stats, header }));
      for (const [i, { fd }] of devices.entries())
        if (i < this.#port.queueCount) this.#port.queue(i).fd = fd + 1;
      const feeds = Array.from({ length: this.#port.queueCount }, (_, i) => this.#port!.queue(i).rxFeedAt);
      // Else one descriptor serves all queues, chosen by RSS.
      const own = feeds.length === devices.length;
      this.#feeds = devices.map((_, i) => (own ? [feeds[i]] : feeds));
      this.#interface = opened;
      this.#env = env;
      return this.#port;
    } catch (error) {
      for (const d of devices) d.close();
      throw error;
    }
  }

  #checkMtu(mtu: number, expected: string): void {
    if (mtu > MAX_MTU)
      throw new EtherloomError(
        'ERR_NIC_MTU',
        `${this.name} with an MTU of ${mtu}: its packets fit no frame of ${FRAME_SIZE} bytes`,
        { expected },
      );
  }

  #openInterface(lanes: number): OpenInterface {
    const { fd, name, mtu, queues } = this.options;
    const { addon } = this;
    if (mtu !== undefined) this.#checkMtu(mtu, `at most ${MAX_MTU}`);
    if (fd !== undefined) return openInherited(this.kind, [fd].flat(), addon.ok ? addon.native : undefined);
    if (!addon.ok)
      throw new EtherloomError('ERR_NIC_UNAVAILABLE', `${name}: ${addon.reason}`, {
        expected: `the native addon, or a descriptor that is open already (${this.kind}:fd=N)`,
      });
    return openByName(this.kind, { name: name!, queues: queues ?? lanes, mtu }, addon.native);
  }

  /** Lanes read and write the descriptors themselves when there is one for each queue, and the addon to wait for it. */
  plan(): TapPlan | undefined {
    if (!this.addon.ok || this.#pumps.length !== this.port.queueCount) return undefined;
    this.#driven = true;
    const { at: portAt, txOutAt } = this.port;
    return { kind: 'tap', portAt, txOutAt, countsAt: this.#countsAt, header: this.#header };
  }

  /** What all threads counted. */
  get stats(): TapStats {
    if (!this.#env) return { received: 0, sent: 0, tooLong: 0, notIp: 0, refused: {} };
    return sumStats(this.#env.arena, this.#countsAt, this.#env.lanes + 1);
  }

  get port(): Port {
    if (!this.#port) throw new EtherloomError('ERR_NIC_CLOSED', `${this.name} belongs to no engine yet`);
    return this.#port;
  }

  /** Descriptors of the interface, one per queue. */
  get fds(): readonly number[] {
    return this.#pumps.map(p => p.device.fd);
  }

  /** Whether the interface is there; false from when it is deleted until it is there again. */
  get present(): boolean {
    return this.#rejoinMs === undefined;
  }

  poll(): number {
    if (!this.#env || !this.#pumps.length) return 0;
    if (this.#driven && this.present && this.#lost()) this.#lose();
    if (this.#rejoinMs !== undefined && !this.#rejoin()) return 0;
    const sent = this.#send(this.#firstOwn);
    let moved = sent === GONE ? 0 : sent;
    if (this.#driven) return moved;
    for (let i = 0; i < this.#pumps.length && this.present; i++) {
      const got = pull(this.#pumps[i], this.#feeds[i], this.port.at, BATCH);
      if (got === GONE) this.#lose();
      else moved += got;
    }
    return moved;
  }

  /** First transmit ring that the host empties: those before it are of lanes that own a queue. */
  get #firstOwn(): number {
    return this.#driven ? Math.min(this.#pumps.length, this.#env!.lanes) : 0;
  }

  /** A lane found the interface of a queue deleted. */
  #lost(): boolean {
    return this.#pumps.some((_, i) => this.port.queue(i).fd === 0);
  }

  /** Writes what the port transmitted, at most a batch of each ring from `first` on. Returns packets written, or GONE. */
  #send(first: number): number {
    const { core, lanes } = this.#env!;
    let moved = 0;
    for (let i = first; i < this.port.txCount; i++) {
      const put = push(this.#pumps[i % this.#pumps.length], this.port.txOut(i), BATCH);
      if (put === GONE) {
        this.#lose();
        return GONE;
      }
      // A lossless lane may be waiting for this room.
      if (put && i < lanes) core.exports.ring_wake(i);
      moved += put;
    }
    return moved;
  }

  /** The interface was deleted: packets for it end here until it is there again. */
  #lose(): void {
    this.#rejoinMs = performance.now() + REJOIN_MS;
    this.port.setFlag(PortFlag.UP, false);
    for (const i of this.#pumps.keys()) if (i < this.port.queueCount) this.port.queue(i).fd = 0;
  }

  /** Joins the interface again if it is there, or makes it if this NIC had made it. */
  #rejoin(): boolean {
    for (let i = this.#firstOwn; i < this.port.txCount; i++) discard(this.#pumps[0], this.port.txOut(i));
    if (performance.now() < this.#rejoinMs!) return false;
    this.#rejoinMs = performance.now() + REJOIN_MS;
    const { addon, name, kind } = this;
    if (!addon.ok || !this.#interface || !(this.#interface.made || exists(addon.native, name))) return false;
    const many = this.#pumps.length > 1;
    for (const { device } of this.#pumps) if (join(addon.native, device.fd, kind, name, many)) return false;
    if (this.#interface.made) bringUp(addon.native, name);
    this.#rejoinMs = undefined;
    for (const [i, { device }] of this.#pumps.entries())
      if (i < this.port.queueCount) this.port.queue(i).fd = device.fd + 1;
    this.port.setFlag(PortFlag.UP, true);
    return true;
  }

  get busy(): boolean {
    return false;
  }

  /** Sends what is left and closes the descriptors: an interface that was made here goes with them. */
  close(): void {
    if (!this.#pumps.length) return;
    while (this.present && this.#send(0) > 0);
    for (const { device } of this.#pumps.splice(0)) device.close();
  }
}

/** Locally administered, unicast. */
function randomMac(): Uint8Array {
  const mac = Uint8Array.from(randomBytes(6));
  mac[0] = (mac[0] & 0xfc) | 2;
  return mac;
}

/** A TAP interface: Ethernet frames. */
export const tap = (options: TapOptions): TapNic => new TapNic('tap', options);
/** A TUN interface: IP packets, which the lanes see behind an Ethernet header. */
export const tun = (options: TapOptions): TapNic => new TapNic('tun', options);
