/**
 * Bytes of a stream that were not parsed yet. Holds what was really fed and nothing more: a length field in the
 * stream never makes it grow. Knows how far into the file it stands.
 */
export class ByteQueue {
  #bytes = new Uint8Array(0);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #end = 0;
  #skipped = 0;

  /** Bytes to be had now. */
  get length(): number {
    return this.#end - this.#at;
  }

  /** Offset in the file of the next byte. */
  get offset(): number {
    return this.#skipped + this.#at;
  }

  /** Adds a chunk. It is not copied when nothing is left over, so the caller must not write to it any more. */
  append(chunk: Uint8Array): void {
    this.#skipped += this.#at;
    const left = this.length;
    // A plain view: `slice` of a Buffer would not copy.
    if (left === 0) this.#bytes = new Uint8Array(chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.length);
    else {
      const joined = new Uint8Array(left + chunk.length);
      joined.set(this.#bytes.subarray(this.#at, this.#end));
      joined.set(chunk, left);
      this.#bytes = joined;
    }
    this.#at = 0;
    this.#end = this.#bytes.length;
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
  }

  u16(ahead: number, little: boolean): number {
    return this.#view.getUint16(this.#at + ahead, little);
  }

  u32(ahead: number, little: boolean): number {
    return this.#view.getUint32(this.#at + ahead, little);
  }

  i64(ahead: number, little: boolean): bigint {
    return this.#view.getBigInt64(this.#at + ahead, little);
  }

  u8(ahead: number): number {
    return this.#bytes[this.#at + ahead];
  }

  /** The bytes from `ahead` on, not copied. */
  peek(ahead: number, bytes: number): Uint8Array {
    return this.#bytes.subarray(this.#at + ahead, this.#at + ahead + bytes);
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }
}
