/**
 * Capture files as a stream: bytes in, packets out, format found by its magic. Holds one record at most,
 * so a file may be larger than memory and a length in it may lie.
 */
import { EtherloomError } from '../../errors.js';
import { ByteQueue } from './byte_queue.js';
import type { CapturedPacket, CaptureInterface } from './packet.js';
import { MAGIC_NS, MAGIC_US, PcapFormat } from './pcap_format.js';
import { BLOCK_SECTION, PcapngFormat } from './pcapng_format.js';

/** One file format: takes records off the queue. */
export interface Format {
  readonly name: 'pcap' | 'pcapng';
  /** Interfaces seen so far. */
  readonly interfaces: CaptureInterface[];
  /** The next packet, or undefined when more bytes are needed. */
  next(q: ByteQueue): CapturedPacket | undefined;
  /** Called at the end of the file. @throws EtherloomError ERR_*_TRUNCATED when a record is incomplete. */
  end(q: ByteQueue): void;
}

export class CaptureParser {
  readonly #queue = new ByteQueue();
  #format: Format | undefined;

  /** @param file Name for error messages. */
  constructor(readonly file = 'capture') {}

  /** `pcap` or `pcapng`; undefined until the first four bytes were read. */
  get format(): Format['name'] | undefined {
    return this.#format?.name;
  }

  /** Interfaces described so far. */
  get interfaces(): readonly CaptureInterface[] {
    return this.#format?.interfaces ?? [];
  }

  /** Feeds bytes; the parser keeps the chunk. Take packets by `next` until it has none. */
  push(chunk: Uint8Array): void {
    this.#queue.append(chunk);
  }

  /** The next packet; undefined when more bytes are needed. @throws EtherloomError ERR_PCAP_*, ERR_PCAPNG_* */
  next(): CapturedPacket | undefined {
    if (!this.#format) {
      if (this.#queue.length < 4) return undefined;
      this.#format = this.#detect();
    }
    return this.#format.next(this.#queue);
  }

  /** Says that no more bytes come. @throws EtherloomError ERR_PCAP_TRUNCATED, ERR_PCAPNG_TRUNCATED */
  end(): void {
    if (this.#format) this.#format.end(this.#queue);
    else
      throw new EtherloomError('ERR_PCAP_TRUNCATED', `a file of ${this.#queue.length} bytes`, {
        file: this.file,
        offset: 0,
        expected: 'a pcap or pcapng file header',
      });
  }

  #detect(): Format {
    for (const little of [true, false]) {
      const magic = this.#queue.u32(0, little);
      if (magic === BLOCK_SECTION) return new PcapngFormat(this.file);
      if (magic === MAGIC_US || magic === MAGIC_NS)
        return new PcapFormat(this.file, little, magic === MAGIC_NS);
    }
    throw new EtherloomError('ERR_PCAP_MAGIC', `unknown magic ${this.#queue.u32(0, false).toString(16)}`, {
      file: this.file,
      offset: 0,
      expected: 'a1b2c3d4 or a1b23c4d (pcap) in either byte order, or 0a0d0d0a (pcapng)',
    });
  }
}

/** All packets of a capture that lies in memory. @throws EtherloomError ERR_PCAP_*, ERR_PCAPNG_* */
export function* parseCapture(bytes: Uint8Array, file?: string): Generator<CapturedPacket, void> {
  const parser = new CaptureParser(file);
  parser.push(bytes);
  for (let packet = parser.next(); packet; packet = parser.next()) yield packet;
  parser.end();
}
