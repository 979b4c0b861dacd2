/** Capture files made byte by byte for tests, independent of the reader and the writer. */

export interface Record {
  data: Uint8Array;
  /** In the file's own unit. */
  seconds?: number;
  fraction?: number;
  original?: number;
  /** What the length field says, when it lies. */
  captured?: number;
}

/** Writes numbers one after the other in one byte order. */
export class Bytes {
  readonly #out: number[] = [];
  constructor(readonly little: boolean) {}

  #put(value: bigint, width: number): this {
    for (let i = 0; i < width; i++) {
      const shift = BigInt(8 * (this.little ? i : width - 1 - i));
      this.#out.push(Number((value >> shift) & 255n));
    }
    return this;
  }
  u8(v: number): this {
    return this.#put(BigInt(v), 1);
  }
  u16(v: number): this {
    return this.#put(BigInt(v), 2);
  }
  u32(v: number): this {
    return this.#put(BigInt(v), 4);
  }
  u64(v: bigint): this {
    return this.#put(v, 8);
  }
  raw(bytes: ArrayLike<number>): this {
    for (let i = 0; i < bytes.length; i++) this.#out.push(bytes[i]);
    return this;
  }
  /** Zeroes up to a multiple of 4. */
  pad(): this {
    while (this.#out.length % 4) this.#out.push(0);
    return this;
  }
  get bytes(): Uint8Array {
    return Uint8Array.from(this.#out);
  }
}

export function pcapFile(
  little: boolean,
  magic: number,
  records: Record[],
  snaplen = 65535,
  link = 1,
): Uint8Array {
  const b = new Bytes(little).u32(magic).u16(2).u16(4).u32(0).u32(0).u32(snaplen).u32(link);
  for (const r of records)
    b.u32(r.seconds ?? 0)
      .u32(r.fraction ?? 0)
      .u32(r.captured ?? r.data.length)
      .u32(r.original ?? r.data.length)
      .raw(r.data);
  return b.bytes;
}

/** The blocks of one pcapng section, in one byte order. */
export class Section {
  readonly #parts: Uint8Array[] = [];

  constructor(
    readonly little: boolean,
    version: [number, number] = [1, 0],
  ) {
    this.block(0x0a0d0d0a, this.body().u32(0x1a2b3c4d).u16(version[0]).u16(version[1]).u64(-1n).bytes);
  }

  body(): Bytes {
    return new Bytes(this.little);
  }

  block(type: number, body: Uint8Array, total = body.length + 12, trailer = total): this {
    this.#parts.push(this.body().u32(type).u32(total).raw(body).u32(trailer).bytes);
    return this;
  }

  interface(options: Uint8Array = new Uint8Array(0), snaplen = 0, link = 1): this {
    return this.block(1, this.body().u16(link).u16(0).u32(snaplen).raw(options).bytes);
  }

  option(code: number, value: Uint8Array): Uint8Array {
    return this.body().u16(code).u16(value.length).raw(value).pad().bytes;
  }

  enhanced(number: number, units: bigint, data: Uint8Array, original = data.length): this {
    const b = this.body()
      .u32(number)
      .u32(Number(units >> 32n))
      .u32(Number(units & 0xffffffffn));
    return this.block(6, b.u32(data.length).u32(original).raw(data).pad().bytes);
  }

  obsolete(number: number, units: bigint, data: Uint8Array): this {
    const b = this.body()
      .u16(number)
      .u16(0)
      .u32(Number(units >> 32n))
      .u32(Number(units & 0xffffffffn));
    return this.block(2, b.u32(data.length).u32(data.length).raw(data).pad().bytes);
  }

  simple(data: Uint8Array, original = data.length): this {
    return this.block(3, this.body().u32(original).raw(data).pad().bytes);
  }

  get bytes(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}
