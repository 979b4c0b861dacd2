// SipHash-2-4 (Aumasson, Bernstein 2012) under the key of the engine: initial sequence numbers (RFC 6528), SYN cookies,
// flow tables that nobody can aim at. Called by transport programs (kfunc). The key is never in reach of a program.
import { header } from "../core/lane";

let v0: u64 = 0;
let v1: u64 = 0;
let v2: u64 = 0;
let v3: u64 = 0;

function round(): void {
  v0 += v1;
  v1 = rotl<u64>(v1, 13) ^ v0;
  v0 = rotl<u64>(v0, 32);
  v2 += v3;
  v3 = rotl<u64>(v3, 16) ^ v2;
  v0 += v3;
  v3 = rotl<u64>(v3, 21) ^ v0;
  v2 += v1;
  v1 = rotl<u64>(v1, 17) ^ v2;
  v2 = rotl<u64>(v2, 32);
}

// @ts-ignore: decorator
@inline function absorb(m: u64): void {
  v3 ^= m;
  round();
  round();
  v0 ^= m;
}

/** Hash of the `size` bytes at `data`. */
export function el_siphash(data: usize, size: u32): u64 {
  const k0 = header().hashKey0;
  const k1 = header().hashKey1;
  v0 = k0 ^ 0x736f6d6570736575;
  v1 = k1 ^ 0x646f72616e646f6d;
  v2 = k0 ^ 0x6c7967656e657261;
  v3 = k1 ^ 0x7465646279746573;
  const end = data + (size & ~7);
  for (; data < end; data += 8) absorb(load<u64>(data));
  let last = <u64>size << 56;
  for (let i: u32 = 0; i < (size & 7); i++) last |= <u64>load<u8>(data + i) << (i << 3);
  absorb(last);
  v2 ^= 0xff;
  round();
  round();
  round();
  round();
  return v0 ^ v1 ^ v2 ^ v3;
}
