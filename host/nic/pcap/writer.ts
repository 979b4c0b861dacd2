/**
 * Writes pcap files (little-endian, µs or ns). Records gather in one buffer; a file is written when it is full
 * and at `close`.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { EtherloomError } from '../../errors.js';
import { LINKTYPE_ETHERNET, MAX_CAPTURED } from './packet.js';
import {
  FILE_HEADER_BYTES,
  MAGIC_NS,
  MAGIC_US,
  RECORD_HEADER_BYTES,
  VERSION_MAJOR,
  VERSION_MINOR,
} from './pcap_format.js';

export interface PcapWriterOptions {
  /** Unit of the timestamps. Default `ns`. */
  resolution?: 'us' | 'ns';
  /** Bytes kept of a packet. Default 262,144. */
  snaplen?: number;
  /** LINKTYPE_*. Default Ethernet. */
  linkType?: number;
}

/** Takes the bytes of the file; they are good during the call only. */
export type PcapSink = (bytes: Uint8Array) => void;

/** Room for the largest record and for many of the usual ones. */
const BUFFER_BYTES = MAX_CAPTURED + 4096;
const NS_PER_S = 1_000_000_000n;

export class PcapWriter {
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  readonly #view = new DataView(this.#buffer.buffer);
  readonly #nsPerUnit: bigint;
  readonly #snaplen: number;
  #at = 0;
  #open = true;
  #packets = 0;

  /** Writes to `sink`. @throws EtherloomError ERR_PCAP_OPTIONS for a snap length that cannot be. */
  constructor(
    readonly sink: PcapSink,
    options: PcapWriterOptions = {},
    readonly file = 'capture',
    readonly finish?: () => void,
  ) {
    const { resolution = 'ns', snaplen = MAX_CAPTURED, linkType = LINKTYPE_ETHERNET } = options;
    if (!Number.isInteger(snaplen) || snaplen < 1 || snaplen > MAX_CAPTURED)
      throw new EtherloomError('ERR_PCAP_OPTIONS', `snaplen ${snaplen}`, {
        expected: `a whole number from 1 to ${MAX_CAPTURED}`,
      });
    this.#nsPerUnit = resolution === 'ns' ? 1n : 1000n;
    this.#snaplen = snaplen;
    const v = this.#view;
    v.setUint32(0, resolution === 'ns' ? MAGIC_NS : MAGIC_US, true);
    v.setUint16(4, VERSION_MAJOR, true);
    v.setUint16(6, VERSION_MINOR, true);
    v.setUint32(16, snaplen, true);
    v.setUint32(20, linkType, true);
    this.#at = FILE_HEADER_BYTES;
  }

  /** Makes or replaces a file, which errors call `name`. @throws EtherloomError ERR_PCAP_FILE */
  static create(file: string, options: PcapWriterOptions = {}, name = file): PcapWriter {
    const guard = <T>(what: string, act: () => T): T => {
      try {
        return act();
      } catch (cause) {
        throw new EtherloomError('ERR_PCAP_FILE', `cannot ${what} the capture: ${(cause as Error).message}`, {
          file: name,
          expected: 'a writable file',
          cause,
        });
      }
    };
    const fd = guard('create', () => openSync(file, 'w'));
    const write = (bytes: Uint8Array): void => {
      for (let at = 0; at < bytes.length; ) at += guard('write', () => writeSync(fd, bytes, at));
    };
    return new PcapWriter(write, options, name, () => closeSync(fd));
  }

  /** Packets written so far. */
  get packets(): number {
    return this.#packets;
  }

  /**
   * Adds a packet. `timestampNs` counts from 1970 (or from any other zero, in virtual time).
   * @throws EtherloomError ERR_PCAP_TIME for a time that 32 bits of seconds do not hold, ERR_PCAP_CLOSED
   */
  write(data: Uint8Array, timestampNs: bigint, originalLength = data.length): void {
    if (!this.#open)
      throw new EtherloomError('ERR_PCAP_CLOSED', 'the capture is closed', { file: this.file });
    const seconds = timestampNs / NS_PER_S;
    if (timestampNs < 0n || seconds > 0xffffffffn)
      throw new EtherloomError('ERR_PCAP_TIME', `timestamp ${timestampNs} ns`, {
        file: this.file,
        expected: '0 … 2³² seconds',
      });
    const kept = Math.min(data.length, this.#snaplen);
    if (this.#at + RECORD_HEADER_BYTES + kept > BUFFER_BYTES) this.flush();
    const v = this.#view;
    v.setUint32(this.#at, Number(seconds), true);
    v.setUint32(this.#at + 4, Number((timestampNs % NS_PER_S) / this.#nsPerUnit), true);
    v.setUint32(this.#at + 8, kept, true);
    v.setUint32(this.#at + 12, originalLength, true);
    this.#buffer.set(data.subarray(0, kept), this.#at + RECORD_HEADER_BYTES);
    this.#at += RECORD_HEADER_BYTES + kept;
    this.#packets++;
  }

  /** Hands what has gathered to the file. */
  flush(): void {
    if (this.#at) this.sink(this.#buffer.subarray(0, this.#at));
    this.#at = 0;
  }

  /** Writes the rest and closes the file. May be called again. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    try {
      this.flush();
    } finally {
      this.finish?.();
    }
  }
}

/** A pcap file in memory. */
export function encodePcap(
  packets: Iterable<{ data: Uint8Array; timestampNs: bigint; originalLength?: number }>,
  options?: PcapWriterOptions,
): Uint8Array {
  const parts: Uint8Array[] = [];
  const writer = new PcapWriter(bytes => parts.push(bytes.slice()), options);
  for (const p of packets) writer.write(p.data, p.timestampNs, p.originalLength);
  writer.close();
  return Buffer.concat(parts);
}
