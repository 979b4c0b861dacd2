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
      if (number !== expected) throw new Error(`number ${number} of sender ${mark} where ${expected} is next`);
      if (!data.subarray(8).every(b => b === (number & 255))) throw new Error(`number ${number} is not whole`);
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
      for (const r of receivers) r.take();
      return receivers.reduce((sum, r) => sum + r.total, 0) === total;
    },
    limitMs,
  );
}
