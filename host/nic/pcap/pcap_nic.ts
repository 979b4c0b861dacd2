/**
 * The pcap NIC: a capture file arrives at the port, what the port transmits becomes a capture file.
 *
 *   in.pcapng ──▶ RSS ──▶ receive rings ══ lanes ══▶ transmit rings ──▶ out.pcap
 *                                              └─ pass ─▶ engine.drain ──▶ nic.record ──┘
 *
 * A packet that leaves keeps the time at which it was captured.
 */
import { statSync } from 'node:fs';
import { EtherloomError } from '../../errors.js';
import { HostNic, type HostNicOptions } from '../host_nic.js';
import type { NicEnv, NicKind } from '../nic.js';
import { MAX_PACKET, type Port } from '../port.js';
import { FrameTimes } from './frame_times.js';
import { type CapturedPacket, LINKTYPE_ETHERNET } from './packet.js';
import { CaptureReader } from './reader.js';
import { PcapWriter, type PcapWriterOptions } from './writer.js';

export interface PcapNicOptions extends HostNicOptions, PcapWriterOptions {
  /** Packets to receive: a pcap or pcapng file, or packets in memory. Default: none, the NIC only records. */
  in?: string | readonly CapturedPacket[];
  /** Where packets that leave are written: a pcap file to be made, or a writer. Default: they are counted and freed. */
  out?: string | PcapWriter;
  /** Times that the capture is played. Default 1. */
  rounds?: number;
  /** 0: as fast as the lanes take it. 1: at the recorded pace, by the engine's clock; 2: twice that. Default 0. */
  speed?: number;
}

export interface PcapNicStats {
  /** Packets that one round holds, the oversized not counted. */
  packets: number;
  /** Packets given to the port, over all rounds. */
  received: number;
  /** Packets in one round that fit no frame and are left out. */
  oversized: number;
  /** Where in the file the first of them is. */
  firstOversizedAt: number | undefined;
  /** Packets in one round that were cut at the snap length: they arrive as they are. */
  cut: number;
  /** Packets written. */
  written: number;
}

/** Packets given to the port per poll: enough to fill rings, few enough to come back for those that leave. */
const FEED_BATCH = 1024;
/** What pcap's 32 bits of seconds hold. */
const MAX_TIME_NS = (1n << 32n) * 1_000_000_000n;

/** All packets of a source that is no regular file, copied; undefined for what can be read again. */
function readPipe(source: PcapNicOptions['in']): CapturedPacket[] | undefined {
  if (typeof source !== 'string' || (statSync(source, { throwIfNoEntry: false })?.isFile() ?? true))
    return undefined;
  return Array.from(new CaptureReader(source), p => ({ ...p, data: p.data.slice() }));
}

export class PcapNic extends HostNic {
  override readonly kind: NicKind = 'pcap';
  readonly #writer: PcapWriter | undefined;
  readonly #ownWriter: boolean;
  readonly stats: PcapNicStats = {
    packets: 0,
    received: 0,
    oversized: 0,
    firstOversizedAt: undefined,
    cut: 0,
    written: 0,
  };
  #times: FrameTimes | undefined;
  #rounds: number;
  #source: Iterator<CapturedPacket> | undefined;
  /** What a pipe gave: it can be read but once. */
  readonly #piped: readonly CapturedPacket[] | undefined;
  /** Read, and waiting for room or for its time. */
  #waiting: CapturedPacket | undefined;
  #roundStartNs = 0n;
  #firstNs: bigint | undefined;

  /**
   * Reads the whole input once, so that a damaged file is refused before a packet of it is received.
   * @throws EtherloomError ERR_PCAP_*, ERR_PCAPNG_*, ERR_PCAP_LINKTYPE for frames that are not Ethernet
   */
  constructor(readonly capture: PcapNicOptions) {
    super({ name: 'pcap', ...capture, sink: capture.out === undefined });
    const { rounds = 1, speed = 0 } = capture;
    if (!Number.isInteger(rounds) || rounds < 0)
      throw new EtherloomError('ERR_PCAP_OPTIONS', `${rounds} rounds`, { expected: 'a whole number' });
    if (!(speed >= 0 && Number.isFinite(speed)))
      throw new EtherloomError('ERR_PCAP_OPTIONS', `speed ${speed}`, { expected: 'a factor of at least 0' });
    this.#piped = readPipe(capture.in);
    for (const p of this.#packets()) this.#survey(p);
    this.#rounds = this.stats.packets ? rounds : 0;
    this.#ownWriter = typeof capture.out === 'string';
    this.#writer = typeof capture.out === 'string' ? PcapWriter.create(capture.out, capture) : capture.out;
  }

  override open(env: NicEnv): Port {
    this.#times = FrameTimes.of(env.arena);
    return super.open(env);
  }

  /** Gives packets to the port until its rings are full, and writes what it transmitted. */
  override poll(): number {
    const taken = this.#writer
      ? this.drain(Number.POSITIVE_INFINITY, data => this.record(data))
      : super.poll();
    return this.#feed() + taken;
  }

  /** Writes a packet that lies in a frame: one that passed, from `engine.drain`. It keeps its time. */
  record(data: Uint8Array): void {
    if (!this.#writer)
      throw new EtherloomError('ERR_PCAP_OPTIONS', `${this.name} has nowhere to write`, { expected: 'out' });
    this.#writer.write(data, this.#times!.get(data.byteOffset));
    this.stats.written++;
  }

  override get busy(): boolean {
    return this.#waiting !== undefined || this.#source !== undefined || this.#rounds > 0 || super.busy;
  }

  /** With `speed`: when the next packet is due; with a link: when something arrives over it. */
  override nextDueNs(): bigint | undefined {
    const p = this.#next();
    const dues = [p && this.capture.speed ? this.#dueNs(p) : undefined, super.nextDueNs()];
    return dues.reduce((a, b) => (a === undefined || (b !== undefined && b < a) ? b : a));
  }

  /** Plays the capture again, `rounds` times, after what is still to come. */
  again(rounds = 1): void {
    if (this.stats.packets) this.#rounds += rounds;
  }

  override close(): void {
    void super.close();
    if (this.#source) this.#source.return?.();
    this.#source = undefined;
    this.#waiting = undefined;
    this.#rounds = 0;
    if (this.#writer) this.drain(Number.POSITIVE_INFINITY, data => this.record(data));
    if (this.#ownWriter) this.#writer?.close();
    else this.#writer?.flush();
  }

  #packets(): Iterable<CapturedPacket> {
    const source = this.#piped ?? this.capture.in ?? [];
    return typeof source === 'string' ? new CaptureReader(source) : source;
  }

  #survey(p: CapturedPacket): void {
    const place = {
      file: typeof this.capture.in === 'string' ? this.capture.in : this.name,
      offset: p.offset,
    };
    if (p.interface.linkType !== LINKTYPE_ETHERNET)
      throw new EtherloomError('ERR_PCAP_LINKTYPE', `link type ${p.interface.linkType}`, {
        ...place,
        expected: `Ethernet (${LINKTYPE_ETHERNET})`,
      });
    if (p.timestampNs < 0n || p.timestampNs >= MAX_TIME_NS)
      throw new EtherloomError('ERR_PCAP_TIME', `timestamp ${p.timestampNs} ns`, {
        ...place,
        expected: '0 … 2³² seconds',
      });
    if (p.data.length > MAX_PACKET) {
      this.stats.oversized++;
      this.stats.firstOversizedAt ??= p.offset;
      return;
    }
    this.stats.packets++;
    if (p.data.length < p.originalLength) this.stats.cut++;
  }

  /** The packet that comes next, from this round or the one after. */
  #next(): CapturedPacket | undefined {
    while (!this.#waiting) {
      if (!this.#source) {
        if (this.#rounds === 0) return undefined;
        this.#rounds--;
        this.#source = this.#packets()[Symbol.iterator]();
        this.#firstNs = undefined;
      }
      const { done, value } = this.#source.next();
      if (done) this.#source = undefined;
      else if (value.data.length <= MAX_PACKET) this.#waiting = value;
    }
    return this.#waiting;
  }

  #dueNs(p: CapturedPacket): bigint {
    if (this.#firstNs === undefined) {
      this.#firstNs = p.timestampNs;
      this.#roundStartNs = this.env.now();
    }
    const since = Number(p.timestampNs - this.#firstNs) / this.capture.speed!;
    return this.#roundStartNs + BigInt(Math.round(since));
  }

  #feed(): number {
    let n = 0;
    for (; n < FEED_BATCH; n++) {
      const p = this.#next();
      if (!p || (this.capture.speed && this.#dueNs(p) > this.env.now())) break;
      const at = this.place(p.data);
      if (at === 0) break;
      this.#times!.set(at, p.timestampNs);
      this.#waiting = undefined;
    }
    this.stats.received += n;
    // So that `busy` is false as soon as the last packet is in the ring.
    this.#next();
    return n;
  }
}
