/**
 * A bounds-checked little-endian view of untrusted bytes, for the ELF and BTF readers.
 * Every getter either returns what is there or throws a coded error that names file, offset and what was wanted.
 */
import { EtherloomError } from '../errors.js';

/** Longest name that a reader accepts; the kernel's own limit (KSYM_NAME_LEN) is 512. */
const NAME_LIMIT = 4096;
/**
 * Bytes of strings that a table gives out, in sizes of the table: names may share their ends, and some are asked for
 * twice. A hostile file has as many names as bytes, each running through all that follow.
 */
const SHARING = 16;
const SHARING_LEAST = 1 << 20;

export class ByteReader {
  private readonly view: DataView;
  private readonly text: Buffer;
  private stringBytes = 0;

  /**
   * @param code  error code thrown when a read leaves the bytes (`ERR_ELF_TRUNCATED` …)
   * @param base  offset of `bytes` inside the file, added to offsets in errors
   */
  constructor(
    readonly bytes: Uint8Array,
    readonly file: string,
    readonly code: string,
    readonly base = 0,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  /** An error at offset `at` of these bytes. */
  fail(code: string, message: string, at: number, expected: string, cause?: unknown): EtherloomError {
    return new EtherloomError(code, message, { file: this.file, offset: this.base + at, expected, cause });
  }

  /** Throws unless `size` bytes lie at `at`. */
  need(at: number, size: number, what: string): void {
    if (at < 0 || size < 0 || at + size > this.bytes.length)
      throw this.fail(
        this.code,
        `${what} needs ${size} bytes, ${Math.max(0, this.bytes.length - at)} are left`,
        at,
        `${size} bytes of ${what}`,
      );
  }

  u8(at: number, what: string): number {
    this.need(at, 1, what);
    return this.bytes[at];
  }

  u16(at: number, what: string): number {
    this.need(at, 2, what);
    return this.view.getUint16(at, true);
  }

  u32(at: number, what: string): number {
    this.need(at, 4, what);
    return this.view.getUint32(at, true);
  }

  i32(at: number, what: string): number {
    return this.u32(at, what) | 0;
  }

  u64(at: number, what: string): bigint {
    this.need(at, 8, what);
    return this.view.getBigUint64(at, true);
  }

  /** A 64-bit offset or size; above 2^53 it cannot lie in any file. */
  size(at: number, what: string): number {
    const value = this.u64(at, what);
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw this.fail(this.code, `${what} is ${value}`, at, 'a size inside the file');
    return Number(value);
  }

  /** The part [at, at + size) as a reader of its own; its errors still count from the start of the file. */
  part(at: number, size: number, what: string): ByteReader {
    this.need(at, size, what);
    return new ByteReader(this.bytes.subarray(at, at + size), this.file, this.code, this.base + at);
  }

  /** NUL-terminated string; `truncate` cuts an overlong one instead of refusing it (source lines). */
  string(at: number, what: string, truncate = false): string {
    this.need(at, 1, what);
    const limit = Math.min(this.bytes.length, at + NAME_LIMIT);
    const end = this.bytes.subarray(at, limit).indexOf(0);
    if (end < 0 && !truncate)
      throw this.fail(this.code, `${what} has no end`, at, `a NUL within ${NAME_LIMIT} bytes`);
    this.stringBytes += (end < 0 ? limit - at : end) + 1;
    const most = SHARING * this.bytes.length + SHARING_LEAST;
    if (this.stringBytes > most)
      throw this.fail(this.code, `${what}: the strings overlap too much`, at, `${most} bytes of them in all`);
    return this.text.toString('utf8', at, end < 0 ? limit : at + end);
  }
}

/** Sets an own property even when a hostile name is `__proto__`. */
export function setOwn<T>(record: Record<string, T>, name: string, value: T): void {
  Object.defineProperty(record, name, { value, writable: true, enumerable: true, configurable: true });
}
