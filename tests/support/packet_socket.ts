/** A packet socket (AF_PACKET) on an interface of a namespace: frames as they are, past every protocol of the kernel. */
import { closeSync, openSync } from 'node:fs';
import { native } from '../../host/native/load.js';
import type { Namespace } from './netns.js';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const ETH_P_ALL = 3;

/** Does `work` with this thread in the namespace. */
function inside<T>(ns: Namespace, work: () => T): T {
  const loaded = native();
  if (!loaded.ok) throw new Error(loaded.reason);
  const own = openSync('/proc/thread-self/ns/net', 'r');
  const other = openSync(`/run/netns/${ns.name}`, 'r');
  try {
    loaded.native.setns(other);
    return work();
  } finally {
    loaded.native.setns(own);
    closeSync(own);
    closeSync(other);
  }
}

export class PacketSocket {
  readonly #fd: number;
  readonly #native;

  constructor(ns: Namespace, link: string) {
    const loaded = native();
    if (!loaded.ok) throw new Error(loaded.reason);
    this.#native = loaded.native;
    // The socket stays in the namespace that it was made in.
    this.#fd = inside(ns, () =>
      this.#native.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, ((ETH_P_ALL & 0xff) << 8) | (ETH_P_ALL >> 8)),
    );
    const index = Number(ns.ip('-o', 'link', 'show', link).split(':')[0]);
    // struct sockaddr_ll
    const address = new Uint8Array(20);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, ETH_P_ALL);
    view.setInt32(4, index, true);
    const rc = this.#native.bind(this.#fd, address);
    if (rc < 0) throw new Error(`bind to ${link}: errno ${-rc}`);
  }

  /** @throws Error with the errno */
  send(frame: Uint8Array): void {
    const rc = this.#native.write(this.#fd, frame);
    if (rc < 0) throw new Error(`a frame of ${frame.length} bytes: errno ${-rc}`);
  }

  /** A frame that came (or was sent by this machine), undefined when none waits. */
  receive(): Uint8Array | undefined {
    const room = new Uint8Array(2048);
    const n = this.#native.read(this.#fd, room);
    return n > 0 ? room.subarray(0, n) : undefined;
  }

  close(): void {
    this.#native.close(this.#fd);
  }
}
