/** Datagrams and their addresses, as the burst API has them: objects that are used again, text made when it is asked for. */
import type { Correspondent, Received } from '../../streams/datagram_end.js';
import { formatIp, parseIp } from '../../wire/address.js';

const scratch = new DataView(new ArrayBuffer(16));

/** The address of a correspondent, as text. */
export function addressOf({ family, w0, w1, w2, w3 }: Correspondent): string {
  scratch.setUint32(0, w0, true);
  scratch.setUint32(4, w1, true);
  scratch.setUint32(8, w2, true);
  scratch.setUint32(12, w3, true);
  return formatIp(new Uint8Array(scratch.buffer, 0, family === 4 ? 4 : 16));
}

/** Somebody to send to: made once by `DatagramSocket.peer`. */
export class Peer implements Correspondent {
  readonly family: 4 | 6;
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;

  /** @throws EtherloomError ERR_ADDRESS */
  constructor(
    address: string,
    readonly port: number,
  ) {
    const bytes = parseIp(address);
    const dv = new DataView(new ArrayBuffer(16));
    for (const [i, b] of bytes.entries()) dv.setUint8(i, b);
    this.family = bytes.length === 4 ? 4 : 6;
    this.w0 = dv.getUint32(0, true);
    this.w1 = dv.getUint32(4, true);
    this.w2 = dv.getUint32(8, true);
    this.w3 = dv.getUint32(12, true);
  }

  get address(): string {
    return addressOf(this);
  }
}

/**
 * A datagram that came. Good until the next `receive` of its socket: then the object may be another's, and its bytes are
 * given back to the ring. It can be sent to like a Peer.
 */
export class Datagram implements Received {
  family: 4 | 6 = 4;
  /** Of the sender. */
  port = 0;
  w0 = 0;
  w1 = 0;
  w2 = 0;
  w3 = 0;
  /** Bytes of the payload. */
  length = 0;
  ttl = 0;
  tos = 0;
  /** Port of the engine that it came in by. */
  ifindex = 0;
  /** Where it lies in `memory`: `first` bytes at `at`, what is left at `again`. */
  at = 0;
  first = 0;
  again = 0;

  constructor(readonly memory: Uint8Array) {}

  /** The sender's address as text. */
  get address(): string {
    return addressOf(this);
  }

  /** The payload: a view of the ring, or a copy where the ring began anew in the midst of it. */
  get data(): Uint8Array {
    if (this.first === this.length) return this.memory.subarray(this.at, this.at + this.length);
    const copy = new Uint8Array(this.length);
    this.copy(copy);
    return copy;
  }

  /** Copies as much of the payload as fits to `into`. Returns how many bytes. */
  copy(into: Uint8Array): number {
    const n = Math.min(this.length, into.length);
    const first = Math.min(n, this.first);
    into.set(this.memory.subarray(this.at, this.at + first));
    if (n > first) into.set(this.memory.subarray(this.again, this.again + n - first), first);
    return n;
  }
}
