/**
 * An interface that the engine owns is to hear every group: neighbour discovery asks at one that the kernel has not
 * joined, so a card's filter would keep it back. Asked for by a membership of a packet socket (packet(7)), which goes with
 * the socket, and so with the process.
 */
import type { Native } from '../../native/load.js';
import { inNamespace } from './netns.js';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_MR_ALLMULTI = 2;
/** struct packet_mreq: i32 interface, u16 type, u16 length and 8 B of an address, which this type has not. */
const REQUEST_BYTES = 16;

export class AllMulticast {
  #socket: number;

  /** @param ifindex number of the interface, in `namespace` or this thread's */
  constructor(
    readonly native: Native,
    namespace: string | undefined,
    ifindex: number,
  ) {
    // Of no protocol: it receives nothing.
    this.#socket = inNamespace(native, namespace, () => native.socket(AF_PACKET, SOCK_RAW, 0));
    if (this.#socket < 0) return;
    const request = new DataView(new ArrayBuffer(REQUEST_BYTES));
    request.setInt32(0, ifindex, true);
    request.setUint16(4, PACKET_MR_ALLMULTI, true);
    const value = new Uint8Array(request.buffer);
    if (native.setsockopt(this.#socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, value) < 0) this.close();
  }

  /** Whether the kernel has granted it. */
  get granted(): boolean {
    return this.#socket >= 0;
  }

  close(): void {
    if (this.#socket >= 0) this.native.close(this.#socket);
    this.#socket = -1;
  }
}
