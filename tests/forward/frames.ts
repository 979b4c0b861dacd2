/** Frames that are not plain: options, extension headers, fragments, quotations, checksums left to the card. */
import { parseIp } from '../../host/wire/address.js';
import { checksum, type PacketFields, packet } from '../support/packets.js';

const ETH = 14;
const be16 = (n: number): number[] => [(n >> 8) & 255, n & 255];
export const word = (bytes: Uint8Array, at: number): number => (bytes[at] << 8) | bytes[at + 1];
const isV6 = (frame: Uint8Array): boolean => frame[12] === 0x86;

/** Puts the IPv4 header's length and checksum right. */
function mend4(frame: Uint8Array): Uint8Array {
  frame.set(be16(frame.length - ETH), ETH + 2);
  frame.set([0, 0], ETH + 10);
  frame.set(be16(checksum(frame.subarray(ETH, ETH + (frame[ETH] & 15) * 4))), ETH + 10);
  return frame;
}

/** An IPv4 frame with options, a multiple of four bytes. */
export function withOptions(frame: Uint8Array, options: number[]): Uint8Array {
  const out = Uint8Array.from([...frame.subarray(0, ETH + 20), ...options, ...frame.subarray(ETH + 20)]);
  out[ETH] = 0x45 + options.length / 4;
  return mend4(out);
}

/** An IPv6 frame with extension headers before its transport; `body` begins at the header's length byte. */
export function withExtensions(
  frame: Uint8Array,
  extensions: { type: number; body: number[] }[],
): Uint8Array {
  const last = frame[ETH + 6];
  const types = [...extensions.map(e => e.type), last];
  const headers = extensions.flatMap((e, i) => [types[i + 1], ...e.body]);
  const out = Uint8Array.from([...frame.subarray(0, ETH + 40), ...headers, ...frame.subarray(ETH + 40)]);
  out[ETH + 6] = types[0];
  out.set(be16(out.length - ETH - 40), ETH + 4);
  return out;
}

/** Hop-by-hop or destination options of 8 × n bytes, padding only. */
export const padding = (type: number, n = 1): { type: number; body: number[] } => ({
  type,
  body: [n - 1, 1, n * 8 - 4, ...new Array<number>(n * 8 - 4).fill(0)],
});

/** Cuts an IP packet into fragments with at most `size` bytes (a multiple of 8) each. */
export function fragments(frame: Uint8Array, size: number, id: number): Uint8Array[] {
  const v6 = isV6(frame);
  const head = v6 ? 40 : 20;
  const payload = frame.subarray(ETH + head);
  const out: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += size) {
    const part = payload.subarray(at, at + size);
    const more = at + size < payload.length ? 1 : 0;
    if (v6) {
      const f = Uint8Array.from([
        ...frame.subarray(0, ETH + 40),
        ...[frame[ETH + 6], 0, ...be16(at | more), ...be16(id >>> 16), ...be16(id & 0xffff)],
        ...part,
      ]);
      f[ETH + 6] = 44;
      f.set(be16(part.length + 8), ETH + 4);
      out.push(f);
    } else {
      const f = Uint8Array.from([...frame.subarray(0, ETH + 20), ...part]);
      f.set(be16(id), ETH + 4);
      f.set(be16((at >> 3) | (more << 13)), ETH + 6);
      out.push(mend4(f));
    }
  }
  return out;
}

/** Puts fragments together again; undefined when they are not of one packet, or a header's checksum is wrong. */
export function reassemble(parts: readonly Uint8Array[]): Uint8Array | undefined {
  const v6 = isV6(parts[0]);
  const head = v6 ? 40 : 20;
  const frag = v6 ? 8 : 0;
  const payload: number[] = [];
  const name = (f: Uint8Array): string =>
    Buffer.from(f.subarray(ETH + (v6 ? 8 : 12), ETH + head)).toString('hex') +
    Buffer.from(f.subarray(v6 ? ETH + 44 : ETH + 4, v6 ? ETH + 48 : ETH + 6)).toString('hex');
  for (const f of parts) {
    if (name(f) !== name(parts[0])) return undefined;
    if (!v6 && checksum(f.subarray(ETH, ETH + 20)) !== 0) return undefined;
    const at = v6 ? word(f, ETH + 42) & 0xfff8 : (word(f, ETH + 6) & 0x1fff) << 3;
    f.subarray(ETH + head + frag).forEach((b, i) => {
      payload[at + i] = b;
    });
  }
  const out = Uint8Array.from([...parts[0].subarray(0, ETH + head), ...payload]);
  if (v6) {
    out[ETH + 6] = parts[0][ETH + 40];
    out.set(be16(payload.length), ETH + 4);
    return out;
  }
  out.set([0, 0], ETH + 6);
  return mend4(out);
}

/** Where the transport header of a plain frame is, and the checksum in it. */
const l4 = (frame: Uint8Array): number => ETH + (isV6(frame) ? 40 : (frame[ETH] & 15) * 4);
export const checkAt = (frame: Uint8Array): number =>
  l4(frame) + ((isV6(frame) ? frame[ETH + 6] : frame[ETH + 9]) === 17 ? 6 : 16);

/** The frame as a sender leaves it that lets its card sum (CHECKSUM_PARTIAL): the pseudo header's sum only. */
export function partial(frame: Uint8Array): Uint8Array {
  const out = frame.slice();
  const v6 = isV6(frame);
  const at = l4(frame);
  const protocol = v6 ? frame[ETH + 6] : frame[ETH + 9];
  const addresses = v6 ? frame.subarray(ETH + 8, ETH + 40) : frame.subarray(ETH + 12, ETH + 20);
  const sum =
    ~checksum(addresses, Uint8Array.of(0, protocol), Uint8Array.from(be16(frame.length - at))) & 0xffff;
  out.set(be16(sum), checkAt(frame));
  return out;
}

/** An ICMP or ICMPv6 error about the packet in `frame`, of which it quotes `quoted` bytes from the IP header on. */
export function icmpError(frame: Uint8Array, fields: PacketFields, quoted = 576): Uint8Array {
  return packet({
    protocol: 'icmp',
    type: isV6(frame) ? 1 : 3,
    code: isV6(frame) ? 4 : 3,
    sport: 0,
    payload: frame.slice(ETH, ETH + quoted),
    ...fields,
  });
}

/** The packet that an ICMP error quotes, as a frame. */
export function quotation(error: Uint8Array): Uint8Array {
  const at = l4(error) + 8;
  return Uint8Array.from([...error.subarray(0, ETH), ...error.subarray(at)]);
}

export const bytesOf = (address: string): number[] => [...parseIp(address)];
