/**
 * The next-generation capture format (draft-ietf-opsawg-pcapng): sections of either byte order, each with its
 * interfaces; unknown blocks are skipped without being held.
 *
 *   block:  type │ total length │ body … │ total length again          lengths in bytes, multiples of 4
 *   0a0d0d0a section: byte-order magic, version, options    1 interface: link type, snaplen, options
 *   6 enhanced packet: interface, time (64 bits), captured, original, data    3 simple packet    2 packet (obsolete)
 */
import { EtherloomError } from '../../errors.js';
import type { ByteQueue } from './byte_queue.js';
import { type CapturedPacket, type CaptureInterface, MAX_CAPTURED } from './packet.js';
import type { Format } from './parser.js';

export const BLOCK_SECTION = 0x0a0d0d0a;
const BLOCK_INTERFACE = 1;
const BLOCK_PACKET = 2;
const BLOCK_SIMPLE = 3;
const BLOCK_ENHANCED = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

/** Type and two lengths. */
const FRAME_BYTES = 12;
const SECTION_BYTES = FRAME_BYTES + 16;
const INTERFACE_BYTES = FRAME_BYTES + 8;
const SIMPLE_BYTES = FRAME_BYTES + 4;
const ENHANCED_BYTES = FRAME_BYTES + 20;
/** Blocks that must be held whole; options of an interface description are short, a packet's may hold a comment. */
const MAX_HELD = MAX_CAPTURED + (1 << 16);
/** Far more than any machine has; keeps a hostile file from turning 20 bytes each into objects without end. */
const MAX_INTERFACES = 65_536;

const OPTION_END = 0;
const OPTION_IF_NAME = 2;
const OPTION_IF_TSRESOL = 9;
const OPTION_IF_TSOFFSET = 14;
const NS_PER_S = 1_000_000_000n;

interface SectionInterface {
  public: CaptureInterface;
  toNs(units: bigint): bigint;
}

/** if_tsresol: 10^-n s, or 2^-n s with the high bit set. */
function resolution(tsresol: number, offsetS: bigint): (units: bigint) => bigint {
  const n = BigInt(tsresol & 0x7f);
  const offset = offsetS * NS_PER_S;
  if (tsresol & 0x80) return units => ((units * NS_PER_S) >> n) + offset;
  if (n <= 9n) return units => units * 10n ** (9n - n) + offset;
  const divisor = 10n ** (n - 9n);
  return units => units / divisor + offset;
}

export class PcapngFormat implements Format {
  readonly name = 'pcapng';
  readonly interfaces: CaptureInterface[] = [];
  #little = true;
  #section: SectionInterface[] | undefined;
  /** Bytes still to be skipped of a block that is not looked at. */
  #skip = 0;
  /** Its total length, to compare with the one at its end. */
  #skipTotal = 0;
  #blockAt = 0;

  constructor(readonly file: string) {}

  next(q: ByteQueue): CapturedPacket | undefined {
    for (;;) {
      if (this.#skip > 0) {
        const n = Math.min(this.#skip, q.length);
        q.skip(n);
        this.#skip -= n;
        if (this.#skip > 0) return undefined;
      }
      if (this.#skipTotal > 0) {
        if (q.length < 4) return undefined;
        this.#trailer(q, 0, this.#skipTotal);
        q.skip(4);
        this.#skipTotal = 0;
      }
      if (q.length < FRAME_BYTES) return undefined;
      this.#blockAt = q.offset;
      const type = q.u32(0, this.#little);
      if (type === BLOCK_SECTION) this.#byteOrder(q);
      else if (!this.#section)
        throw this.#error('ERR_PCAPNG_SECTION', 'a block before any section', 0, 'block type 0a0d0d0a');
      const total = q.u32(4, this.#little);
      const minimum = MINIMUM.get(type) ?? FRAME_BYTES;
      if (total % 4 || total < minimum)
        throw this.#error(
          'ERR_PCAPNG_LENGTH',
          `a block of type ${type.toString(16)} with ${total} bytes`,
          4,
          `a multiple of 4, at least ${minimum}`,
        );
      if (!MINIMUM.has(type)) {
        q.skip(8);
        this.#skip = total - FRAME_BYTES;
        this.#skipTotal = total;
        continue;
      }
      if (total > MAX_HELD)
        throw this.#error(
          'ERR_PCAPNG_LENGTH',
          `a block of type ${type.toString(16)} with ${total} bytes`,
          4,
          `at most ${MAX_HELD}`,
        );
      if (q.length < total) return undefined;
      this.#trailer(q, total - 4, total);
      const packet = this.#block(q, type, total);
      q.skip(total);
      if (packet) return packet;
    }
  }

  end(q: ByteQueue): void {
    if (this.#section && q.length === 0 && this.#skip === 0 && this.#skipTotal === 0) return;
    const inSkip = this.#skip > 0 || this.#skipTotal > 0;
    const missing =
      !inSkip && q.length < FRAME_BYTES
        ? `a block of at least ${FRAME_BYTES} bytes`
        : `a block of ${inSkip ? this.#skipTotal : q.u32(4, this.#little)} bytes`;
    throw new EtherloomError('ERR_PCAPNG_TRUNCATED', 'the file ends within a block', {
      file: this.file,
      offset: inSkip ? this.#blockAt : q.offset,
      expected: missing,
    });
  }

  #error(code: string, message: string, ahead: number, expected: string): EtherloomError {
    return new EtherloomError(code, message, { file: this.file, offset: this.#blockAt + ahead, expected });
  }

  /** A section's first twelve bytes say how to read them: the type is a palindrome, the magic is not. */
  #byteOrder(q: ByteQueue): void {
    if (q.u32(8, true) === BYTE_ORDER_MAGIC) this.#little = true;
    else if (q.u32(8, false) === BYTE_ORDER_MAGIC) this.#little = false;
    else
      throw this.#error('ERR_PCAPNG_BYTE_ORDER', 'no byte-order magic', 8, '1a2b3c4d in either byte order');
  }

  #trailer(q: ByteQueue, ahead: number, total: number): void {
    const again = q.u32(ahead, this.#little);
    if (again !== total)
      throw this.#error(
        'ERR_PCAPNG_TRAILER',
        `the block ends with length ${again}`,
        total - 4,
        `${total}, as at its beginning`,
      );
  }

  #block(q: ByteQueue, type: number, total: number): CapturedPacket | undefined {
    const little = this.#little;
    switch (type) {
      case BLOCK_SECTION: {
        const major = q.u16(12, little);
        const minor = q.u16(14, little);
        // 1.2 was written by mistake in place of 1.0 and means the same.
        if (major !== 1 || (minor !== 0 && minor !== 2))
          throw this.#error('ERR_PCAPNG_VERSION', `version ${major}.${minor}`, 12, 'version 1.0');
        this.#section = [];
        return undefined;
      }
      case BLOCK_INTERFACE:
        this.#interface(q, total);
        return undefined;
      case BLOCK_ENHANCED:
        return this.#packet(q, total, q.u32(8, little));
      case BLOCK_PACKET:
        return this.#packet(q, total, q.u16(8, little));
      default:
        return this.#simple(q, total);
    }
  }

  #packet(q: ByteQueue, total: number, number: number): CapturedPacket {
    const little = this.#little;
    const from = this.#interfaceOf(number);
    const captured = q.u32(20, little);
    const room = total - ENHANCED_BYTES;
    if (captured > room)
      throw this.#error('ERR_PCAPNG_LENGTH', `a packet of ${captured} bytes`, 20, `at most ${room}`);
    const units = (BigInt(q.u32(12, little)) << 32n) | BigInt(q.u32(16, little));
    return {
      data: q.peek(28, captured).slice(),
      originalLength: q.u32(24, little),
      timestampNs: from.toNs(units),
      interface: from.public,
      offset: this.#blockAt,
    };
  }

  /** Belongs to the first interface, has no time, and its length follows from the snap length. */
  #simple(q: ByteQueue, total: number): CapturedPacket {
    const from = this.#interfaceOf(0);
    const originalLength = q.u32(8, this.#little);
    const { snaplen } = from.public;
    const captured = Math.min(originalLength, snaplen || originalLength, total - SIMPLE_BYTES);
    return {
      data: q.peek(12, captured).slice(),
      originalLength,
      timestampNs: 0n,
      interface: from.public,
      offset: this.#blockAt,
    };
  }

  #interfaceOf(number: number): SectionInterface {
    const section = this.#section!;
    const found = section[number];
    if (!found)
      throw this.#error(
        'ERR_PCAPNG_INTERFACE',
        `a packet of interface ${number}`,
        8,
        section.length ? `0 … ${section.length - 1}` : 'an interface description before it',
      );
    return found;
  }

  #interface(q: ByteQueue, total: number): void {
    if (this.interfaces.length === MAX_INTERFACES)
      throw this.#error(
        'ERR_PCAPNG_INTERFACE',
        'one interface too many',
        0,
        `at most ${MAX_INTERFACES} in a file`,
      );
    const little = this.#little;
    const described: CaptureInterface = {
      index: this.interfaces.length,
      linkType: q.u16(8, little),
      snaplen: q.u32(12, little),
    };
    let tsresol = 6;
    let tsoffset = 0n;
    const end = total - 4;
    for (let at = INTERFACE_BYTES - 4; at < end; ) {
      const code = end - at >= 4 ? q.u16(at, little) : -1;
      const bytes = end - at >= 4 ? q.u16(at + 2, little) : 0;
      if (code === OPTION_END) break;
      if (code < 0 || at + 4 + bytes > end)
        throw this.#error(
          'ERR_PCAPNG_OPTION',
          `option ${code} of ${bytes} bytes`,
          at,
          `at most ${Math.max(0, end - at - 4)} bytes`,
        );
      const wrong = (right: number): EtherloomError =>
        this.#error('ERR_PCAPNG_OPTION', `option ${code} of ${bytes} bytes`, at + 2, `${right} bytes`);
      if (code === OPTION_IF_NAME)
        described.name = Buffer.from(q.peek(at + 4, bytes))
          .toString('utf8')
          .replace(/\0.*$/s, '');
      if (code === OPTION_IF_TSRESOL) {
        if (bytes !== 1) throw wrong(1);
        tsresol = q.u8(at + 4);
      }
      if (code === OPTION_IF_TSOFFSET) {
        if (bytes !== 8) throw wrong(8);
        tsoffset = q.i64(at + 4, little);
      }
      at += 4 + Math.ceil(bytes / 4) * 4;
    }
    this.interfaces.push(described);
    this.#section!.push({ public: described, toNs: resolution(tsresol, tsoffset) });
  }
}

/** Blocks that are looked at, with their least length. */
const MINIMUM = new Map<number, number>([
  [BLOCK_SECTION, SECTION_BYTES],
  [BLOCK_INTERFACE, INTERFACE_BYTES],
  [BLOCK_SIMPLE, SIMPLE_BYTES],
  [BLOCK_ENHANCED, ENHANCED_BYTES],
  [BLOCK_PACKET, ENHANCED_BYTES],
]);
