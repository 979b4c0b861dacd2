/** Two hosts that have the tutorial's transport (bpf-progs/transports/window) beside UDP, and what is sent over it. */
import { fileURLToPath } from 'node:url';
import type { Datagram } from '../../host/net/burst/datagram.js';
import type { DatagramSocket } from '../../host/net/burst/datagram_socket.js';
import { datagramTransport } from '../../host/transports/datagrams/index.js';
import { type Host, until } from '../stack/rig.js';

export const OBJECT = fileURLToPath(new URL('../../bpf-progs/obj/window.bpf.o', import.meta.url));

/** As docs/own_transport.md makes it. */
export const windowTransport = (object = OBJECT) =>
  datagramTransport({ name: 'window', protocol: 253, object, headerBytes: 20, lingers: true });

/** Sends numbered payloads of `size` bytes as there is room; what is `left` is sent by later calls. */
export class Sender {
  sent = 0;

  constructor(
    readonly socket: DatagramSocket,
    readonly to: { address: string; port: number },
    readonly total: number,
    readonly size = 200,
    readonly mark = 0,
  ) {}

  more(): void {
    const peer = this.socket.peer(this.to.address, this.to.port);
    while (this.sent < this.total && !this.socket.closed) {
      const data = Buffer.alloc(this.size, this.sent);
      data.writeUInt32LE(this.sent, 0);
      data.writeUInt32LE(this.mark, 4);
      if (!this.socket.send(data, peer)) return;
      this.sent++;
    }
  }
}

/** Takes what comes, and checks that it is the next of its sender, whole. */
export class Receiver {
  /** How many came, by mark of the sender. */
  readonly got = new Map<number, number>();
  readonly #batch: Datagram[] = [];

  constructor(readonly socket: DatagramSocket) {}

  get total(): number {
    return [...this.got.values()].reduce((a, b) => a + b, 0);
  }

  take(max = 64): void {
    const n = this.socket.receive(this.#batch, max);
    for (const d of this.#batch.slice(0, n)) {
      const { buffer, byteOffset, length } = d.data;
      const data = Buffer.from(buffer as ArrayBuffer, byteOffset, length);
      const [number, mark] = [data.readUInt32LE(0), data.readUInt32LE(4)];
      const expected = this.got.get(mark) ?? 0;
      if (number !== expected)
        throw new Error(`number ${number} of sender ${mark} where ${expected} is next`);
      if (!data.subarray(8).every(b => b === (number & 255)))
        throw new Error(`number ${number} is not whole`);
      this.got.set(mark, expected + 1);
    }
    this.socket.done();
  }
}

/** Lets everything arrive. */
export async function transfer(
  hosts: readonly Host[],
  senders: readonly Sender[],
  receivers: readonly Receiver[],
  limitMs = 60_000,
): Promise<void> {
  const total = senders.reduce((sum, s) => sum + s.total, 0);
  await until(
    hosts,
    () => {
      for (const s of senders) s.more();
      for (const host of hosts) host.stack.burst.flush();
      for (const r of receivers) r.take();
      return receivers.reduce((sum, r) => sum + r.total, 0) === total;
    },
    limitMs,
  );
}

// ── packets ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export const Kind = { DATA: 1, ACK: 2 } as const;
/** Ethernet, IPv4, struct datagram_header, struct window_header. */
export const HEADERS = 14 + 20 + 8 + 12;

export interface WindowPacket {
  src: string;
  dst: string;
  sport: number;
  dport: number;
  kind: number;
  epoch: number;
  number: number;
  payload: Uint8Array;
}

/** One's-complement sum of big-endian words. */
function sumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** A frame of IPv4. @throws Error for a sum that is wrong */
export function readWindow(frame: Uint8Array): WindowPacket {
  const b = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  const length = b.readUInt16BE(14 + 20 + 4);
  const body = b.subarray(34, 34 + length);
  if (b[14 + 9] !== PROTOCOL || sumOf(b.subarray(14, 34)) !== 0xffff) throw new Error('no packet of ours');
  if (sumOf(Buffer.concat([pseudo(b.subarray(26, 34), length), body])) !== 0xffff) throw new Error('sum');
  return {
    src: b.subarray(26, 30).join('.'),
    dst: b.subarray(30, 34).join('.'),
    sport: body.readUInt16BE(0),
    dport: body.readUInt16BE(2),
    kind: body.readUInt32BE(8),
    epoch: body.readUInt32BE(12),
    number: body.readUInt32BE(16),
    payload: body.subarray(20),
  };
}

const PROTOCOL = 253;
const pseudo = (addresses: Uint8Array, length: number): Buffer =>
  Buffer.concat([addresses, Buffer.from([0, PROTOCOL, length >> 8, length & 255])]);

/** A frame from the neighbour of tests/udp/rig.ts. */
export function windowFrame(p: WindowPacket, dmac: string): Uint8Array {
  const length = 20 + p.payload.length;
  const b = Buffer.alloc(34 + length);
  b.set(Buffer.from(dmac.replaceAll(':', ''), 'hex'), 0);
  b.set(Buffer.from('020000000002', 'hex'), 6);
  b.writeUInt16BE(0x0800, 12);
  b.set([0x45, 0, (20 + length) >> 8, (20 + length) & 255, 0, 0, 0, 0, 64, PROTOCOL], 14);
  b.set(p.src.split('.').map(Number), 26);
  b.set(p.dst.split('.').map(Number), 30);
  b.writeUInt16BE(0xffff - sumOf(b.subarray(14, 34)), 24);
  b.writeUInt16BE(p.sport, 34);
  b.writeUInt16BE(p.dport, 36);
  b.writeUInt16BE(length, 38);
  b.writeUInt32BE(p.kind >>> 0, 42);
  b.writeUInt32BE(p.epoch >>> 0, 46);
  b.writeUInt32BE(p.number >>> 0, 50);
  b.set(p.payload, 54);
  const sum = sumOf(Buffer.concat([pseudo(b.subarray(26, 34), length), b.subarray(34)]));
  b.writeUInt16BE(0xffff - sum, 40);
  return b;
}

/** The answer to a packet: `number` is waited for. */
export const ack = (to: WindowPacket, number: number, dmac: string): Uint8Array =>
  windowFrame(
    {
      ...{ src: to.dst, dst: to.src, sport: to.dport, dport: to.sport },
      ...{ kind: Kind.ACK, epoch: to.epoch, number, payload: new Uint8Array(0) },
    },
    dmac,
  );
