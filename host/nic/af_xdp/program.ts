/**
 * The NIC's program in the kernel: bpf-progs/nic/xsk_redirect, its maps, and the link that holds it at the interface.
 * Program and maps live as long as the NIC; the link goes with the interface and is made anew.
 */
import { fileURLToPath } from 'node:url';
import { KernelCollection } from '../../bpf/kernel/collection.js';
import { KernelLink, type XdpMode } from '../../bpf/kernel/link.js';
import { possibleCpus } from '../../bpf/kernel/map.js';
import { openObject } from '../../bpf/open.js';
import type { Native } from '../../native/load.js';
import { inNamespace } from './netns.js';
import { encodeRules, type RedirectRule } from './rules.js';

// The same relative place from host/nic/af_xdp (tsx) and dist/nic/af_xdp (built).
const OBJECT = fileURLToPath(new URL('../../../bpf-progs/obj/xsk_redirect.bpf.o', import.meta.url));
const NAME = 'xsk_redirect';
/** Entries of the map `seen`. */
const SEEN = { taken: 0, left: 1, noSocket: 2, partial: 3 } as const;

/** What the program counted, packets. */
export interface Seen {
  /** Given to the engine. */
  taken: number;
  /** Left to the kernel: no rule asked for them. */
  left: number;
  /** Asked for, but come by a queue that has no socket: left to the kernel. */
  noSocket: number;
  /**
   * Of those taken or without socket: TCP or UDP whose checksum the sender left to hardware. With `own` only the first
   * 4,096 packets of each CPU are looked at, then one in 64.
   */
  partial: number;
}

const u32 = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n).buffer);

export class RedirectProgram {
  #link: KernelLink | undefined;

  private constructor(readonly kernel: KernelCollection) {}

  /** @throws EtherloomError ERR_KERNEL_* */
  static load(): RedirectProgram {
    const kernel = KernelCollection.load(openObject(OBJECT), { log: 'statistics' });
    try {
      kernel.program(NAME);
      return new RedirectProgram(kernel);
    } catch (error) {
      kernel.close();
      throw error;
    }
  }

  /**
   * Says what is taken. Packets that arrive meanwhile may meet half of the old rules and half of the new.
   * @throws EtherloomError ERR_NIC_RULE, ERR_ADDRESS
   */
  setRules(rules: readonly RedirectRule[], own: boolean): void {
    const encoded = encodeRules(rules);
    const { maps } = this.kernel;
    for (const [i, rule] of encoded.entries()) maps.rules.update(u32(i), rule);
    maps.settings.update(u32(0), Uint8Array.from([...u32(rules.length), ...u32(own ? 1 : 0)]));
  }

  /** Names the socket of a queue. The kernel forgets it when the socket is closed. */
  setSocket(queue: number, fd: number): void {
    this.kernel.maps.sockets.update(u32(queue), u32(fd));
  }

  /** @throws EtherloomError ERR_KERNEL_ATTACH with the reasons, ERR_KERNEL_HELD where another program is there */
  attach(native: Native, namespace: string | undefined, ifindex: number, mode?: XdpMode): KernelLink {
    this.detach();
    const program = this.kernel.program(NAME);
    return (this.#link = inNamespace(native, namespace, () => KernelLink.attachXdp(program, ifindex, mode)));
  }

  detach(): void {
    this.#link?.close();
    this.#link = undefined;
  }

  get link(): KernelLink | undefined {
    return this.#link;
  }

  get seen(): Seen {
    const count = (key: number): number => {
      const copies = this.kernel.maps.seen.lookup(u32(key));
      if (!copies) return 0;
      const view = new DataView(copies.buffer, copies.byteOffset);
      let sum = 0n;
      for (let cpu = 0; cpu < possibleCpus(); cpu++) sum += view.getBigUint64(cpu * 8, true);
      return Number(sum);
    };
    const { taken, left, noSocket, partial } = SEEN;
    return { taken: count(taken), left: count(left), noSocket: count(noSocket), partial: count(partial) };
  }

  close(): void {
    this.detach();
    this.kernel.close();
  }
}
