/**
 * One address of a port from the day that it is given: asked for (duplicate address detection), announced, defended.
 *
 *   TENTATIVE ─ probes, nobody answers ─▶ PREFERRED ─ announcements ─▶ …  conflict: defended, at most every 10 s
 *       └ somebody has it ─▶ DUPLICATE (never used)
 *
 * IPv4 by RFC 5227, IPv6 by RFC 4862 §5.4. The packets are assembly/responder/solicit.ts; here is only the time.
 */
import { EtherloomError } from '../errors.js';
import { AddressState } from '../layout/layout.gen.js';
import { formatIp, parsePrefix } from '../wire/address.js';

export interface AddressOptions {
  /** `10.0.0.1/24`, `fd00::1/64`; without length a network of its own. */
  address: string;
  /** VLAN that it belongs to; 0, the default, is untagged. */
  vlan?: number;
  /** Ask first whether somebody has it. Default: for IPv6, not for IPv4, as hosts do. */
  dad?: boolean;
}

const S = 1_000_000_000n;
const MS = 1_000_000n;
/** RFC 5227 §1.1. */
const PROBE_NUM = 3;
const PROBE_MIN = S;
const PROBE_SPREAD = S;
const ANNOUNCE_WAIT = 2n * S;
const ANNOUNCE_NUM = 2;
const ANNOUNCE_INTERVAL = 2n * S;
const DEFEND_INTERVAL = 10n * S;
/** RFC 4862 §5.1 and RFC 4861 §10: one probe, and how long an answer may take. */
const PROBES_V6 = 1;
const RETRANS_TIMER = S;
/** Longest wait before the first probe: stations that start together do not speak together. */
const PROBE_WAIT = S;
/** A packet that found no frame or no room is sent again after this. */
const AGAIN = 50n * MS;

/** Sends something about the address; false when it could not. */
export interface AddressWire {
  probe(): boolean;
  announce(): boolean;
}

export class PortAddress {
  readonly bytes: Uint8Array;
  readonly bits: number;
  readonly vlan: number;
  readonly text: string;
  state: number;
  /** When something is to be done, ns; undefined when nothing is. */
  dueNs: bigint | undefined;
  readonly #dad: boolean;
  #probes = 0;
  #announcements = 0;
  #defendedNs: bigint | undefined;

  /** @throws EtherloomError ERR_ADDRESS, ERR_RESPONDER for what no station can have */
  constructor(
    readonly options: AddressOptions,
    /** The port's hardware address: makes the waits of two stations differ, and those of one repeat. */
    readonly mac: Uint8Array,
  ) {
    const { bytes, bits } = parsePrefix(options.address);
    this.bytes = bytes;
    this.bits = bits;
    this.vlan = options.vlan ?? 0;
    this.text = formatIp(bytes);
    if (!Number.isInteger(this.vlan) || this.vlan < 0 || this.vlan > 4094)
      throw new EtherloomError('ERR_RESPONDER', `VLAN ${options.vlan} of ${options.address}`, {
        expected: '0 … 4094',
      });
    const v4 = bytes.length === 4;
    const group = v4
      ? bytes[0] === 0 || bytes[0] === 127 || bytes[0] >= 224
      : bytes[0] === 0xff || bytes.every(b => b === 0);
    if (group || this.isBroadcast)
      throw new EtherloomError('ERR_RESPONDER', `${options.address} is no address of a station`, {
        expected: 'a unicast address',
      });
    this.#dad = options.dad ?? !v4;
    this.state = this.#dad ? AddressState.TENTATIVE : AddressState.PREFERRED;
  }

  get v4(): boolean {
    return this.bytes.length === 4;
  }

  /** Directed broadcast of its network, as in memory; 0 for IPv6 and for networks of one or two stations (RFC 3021). */
  get broadcast(): number {
    if (!this.v4 || this.bits > 30) return 0;
    const all = new DataView(this.bytes.buffer, this.bytes.byteOffset).getUint32(0);
    const host = 2 ** (32 - this.bits) - 1;
    const out = new DataView(new ArrayBuffer(4));
    out.setUint32(0, (all | host) >>> 0);
    return out.getUint32(0, true);
  }

  private get isBroadcast(): boolean {
    const memory = new DataView(this.bytes.buffer, this.bytes.byteOffset).getUint32(0, true);
    return this.broadcast !== 0 && memory === this.broadcast;
  }

  /** Begins at `now`. `announce`: tell everybody once it is ours. */
  start(now: bigint, announce: boolean): void {
    this.#announcements = announce ? ANNOUNCE_NUM : 0;
    if (this.#dad) this.dueNs = now + this.#wait(PROBE_WAIT);
    else if (announce) this.dueNs = now;
  }

  /** The port has another hardware address: what is ours is told again. */
  again(now: bigint): void {
    if (this.state !== AddressState.PREFERRED) return;
    this.#announcements = ANNOUNCE_NUM;
    this.dueNs = now;
  }

  /** A time from 0 to `most`, the same for the same station, address and step. */
  #wait(most: bigint): bigint {
    let h = 0x811c9dc5;
    for (const byte of [...this.mac, ...this.bytes, this.#probes]) h = Math.imul(h ^ byte, 0x01000193);
    return (most * BigInt((h ^ (h >>> 15)) >>> 0)) >> 32n;
  }

  /** Does what is due. True when its state changed. */
  poll(now: bigint, wire: AddressWire): boolean {
    if (this.dueNs === undefined || now < this.dueNs) return false;
    if (this.state === AddressState.TENTATIVE) return this.#ask(now, wire);
    if (this.#announcements > 0) {
      const sent = wire.announce();
      if (sent) this.#announcements--;
      const next = sent ? ANNOUNCE_INTERVAL : AGAIN;
      this.dueNs = this.#announcements ? now + next : undefined;
    } else this.dueNs = undefined;
    return false;
  }

  #ask(now: bigint, wire: AddressWire): boolean {
    const most = this.v4 ? PROBE_NUM : PROBES_V6;
    if (this.#probes < most) {
      if (!wire.probe()) {
        this.dueNs = now + AGAIN;
        return false;
      }
      this.#probes++;
      const last = this.#probes === most;
      if (!this.v4) this.dueNs = now + RETRANS_TIMER;
      else this.dueNs = now + (last ? ANNOUNCE_WAIT : PROBE_MIN + this.#wait(PROBE_SPREAD));
      return false;
    }
    this.state = AddressState.PREFERRED;
    this.dueNs = this.#announcements ? now : undefined;
    return true;
  }

  /** Somebody else showed the address as theirs. True when the state changed: the address is given up. */
  conflict(now: bigint): boolean {
    if (this.state === AddressState.TENTATIVE) {
      this.state = AddressState.DUPLICATE;
      this.dueNs = undefined;
      return true;
    }
    if (this.state !== AddressState.PREFERRED) return false;
    // RFC 5227 §2.4 (c): one announcement in ten seconds, so that two who both defend do not shout each other down.
    if (this.#defendedNs !== undefined && now < this.#defendedNs + DEFEND_INTERVAL) return false;
    this.#defendedNs = now;
    this.#announcements = Math.max(this.#announcements, 1);
    this.dueNs = now;
    return false;
  }
}
