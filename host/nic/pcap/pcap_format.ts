/**
 * The classic capture format (draft-ietf-opsawg-pcap), both byte orders, µs and ns.
 *
 *   magic │ major minor │ zone │ sigfigs │ snaplen │ link type        24 bytes, once
 *   seconds │ µs or ns │ captured │ original │ data …                 16 + captured bytes, each
 */
import { EtherloomError } from '../../errors.js';
import type { ByteQueue } from './byte_queue.js';
import { type CapturedPacket, type CaptureInterface, MAX_CAPTURED } from './packet.js';
import type { Format } from './parser.js';

export const MAGIC_US = 0xa1b2c3d4;
export const MAGIC_NS = 0xa1b23c4d;
export const FILE_HEADER_BYTES = 24;
export const RECORD_HEADER_BYTES = 16;
export const VERSION_MAJOR = 2;
export const VERSION_MINOR = 4;
/** Link type without the frame-check-sequence bits above it. */
const LINKTYPE_MASK = 0x03ffffff;

export class PcapFormat implements Format {
  readonly name = 'pcap';
  readonly interfaces: CaptureInterface[] = [];
  readonly #nsPerUnit: bigint;

  constructor(
    readonly file: string,
    readonly little: boolean,
    nanoseconds: boolean,
  ) {
    this.#nsPerUnit = nanoseconds ? 1n : 1000n;
  }

  next(q: ByteQueue): CapturedPacket | undefined {
    if (this.interfaces.length === 0 && !this.#header(q)) return undefined;
    if (q.length < RECORD_HEADER_BYTES) return undefined;
    const { little } = this;
    const captured = q.u32(8, little);
    if (captured > MAX_CAPTURED)
      throw new EtherloomError('ERR_PCAP_LENGTH', `a record of ${captured} bytes`, {
        file: this.file,
        offset: q.offset + 8,
        expected: `a captured length of at most ${MAX_CAPTURED}`,
      });
    if (q.length < RECORD_HEADER_BYTES + captured) return undefined;
    const packet = {
      data: q.peek(RECORD_HEADER_BYTES, captured).slice(),
      originalLength: q.u32(12, little),
      timestampNs: BigInt(q.u32(0, little)) * 1_000_000_000n + BigInt(q.u32(4, little)) * this.#nsPerUnit,
      interface: this.interfaces[0],
      offset: q.offset,
    };
    q.skip(RECORD_HEADER_BYTES + captured);
    return packet;
  }

  end(q: ByteQueue): void {
    if (this.interfaces.length && q.length === 0) return;
    const header = this.interfaces.length === 0;
    const missing = header
      ? `a file header of ${FILE_HEADER_BYTES} bytes`
      : q.length < RECORD_HEADER_BYTES
        ? `a record header of ${RECORD_HEADER_BYTES} bytes`
        : `${q.u32(8, this.little)} bytes of packet after the record header`;
    throw new EtherloomError('ERR_PCAP_TRUNCATED', `the file ends after ${q.length} bytes of a record`, {
      file: this.file,
      offset: q.offset,
      expected: missing,
    });
  }

  #header(q: ByteQueue): boolean {
    if (q.length < FILE_HEADER_BYTES) return false;
    const major = q.u16(4, this.little);
    const minor = q.u16(6, this.little);
    // Before 2.3 the two lengths of a record were exchanged; no such file was written in this century.
    if (major !== VERSION_MAJOR || minor < 3)
      throw new EtherloomError('ERR_PCAP_VERSION', `version ${major}.${minor}`, {
        file: this.file,
        offset: q.offset + 4,
        expected: `version ${VERSION_MAJOR}.${VERSION_MINOR}`,
      });
    this.interfaces.push({
      index: 0,
      linkType: q.u32(20, this.little) & LINKTYPE_MASK,
      snaplen: q.u32(16, this.little),
    });
    q.skip(FILE_HEADER_BYTES);
    return true;
  }
}
