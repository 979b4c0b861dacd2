/**
 * A program attached to an interface of the kernel by a link: it lives as long as the descriptor, so nothing stays behind
 * when the process dies, however it dies. Used by the AF_XDP NIC and `--engine kernel`.
 */
import { EtherloomError } from '../../errors.js';
import { addon, bpf, Cmd, errnoName, LINK_CREATE } from './attr.js';
import type { KernelProgram } from './program.js';

/** enum bpf_attach_type. */
const BPF_XDP = 37;
/** linux/if_link.h: XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE. */
const XDP_FLAGS = { generic: 2, native: 4 } as const;

/** native: in the driver, before there is an sk_buff. generic: after it was made, with any driver. */
export type XdpMode = keyof typeof XDP_FLAGS;

export class KernelLink {
  private open = true;

  private constructor(
    readonly fd: number,
    /** Number of the interface in its namespace. */
    readonly ifindex: number,
    readonly mode: XdpMode,
    /** Why it is this mode. */
    readonly reason: string,
  ) {}

  /**
   * Attaches an XDP program to interface `ifindex` of the calling thread's network namespace. Without `mode`: native,
   * else generic with the reason.
   * @throws EtherloomError ERR_KERNEL_ATTACH with the reasons of both
   */
  static attachXdp(program: KernelProgram, ifindex: number, mode?: XdpMode): KernelLink {
    const attempts: readonly XdpMode[] = mode ? [mode] : ['native', 'generic'];
    const refusals: string[] = [];
    for (const attempt of attempts) {
      const { rc } = bpf(Cmd.LINK_CREATE, LINK_CREATE, {
        progFd: program.fd,
        ifindex,
        attachType: BPF_XDP,
        flags: XDP_FLAGS[attempt],
      });
      if (rc >= 0) {
        const reason = mode ? 'asked for' : (refusals[0] ?? 'the driver runs XDP programs itself');
        return new KernelLink(rc, ifindex, attempt, reason);
      }
      refusals.push(refusal(attempt, errnoName(-rc)));
    }
    throw new EtherloomError(
      'ERR_KERNEL_ATTACH',
      `${program.spec.name} cannot be attached: ${refusals.join('; ')}`,
    );
  }

  /** Detaches the program. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    addon().close(this.fd);
  }
}

function refusal(mode: XdpMode, errno: string): string {
  const why: Record<string, string> = {
    EPERM: 'needs CAP_NET_ADMIN and CAP_BPF',
    EBUSY: 'another XDP program is attached (see ip link)',
    ENODEV: 'the interface is gone',
    EOPNOTSUPP: 'the driver has no XDP',
    EEXIST: 'a program is attached in the other mode (see ip link)',
    ERANGE: 'the MTU is too large for the driver',
    EINVAL: 'the driver refuses with these settings (MTU, queues, offloads)',
    ENOMEM: 'out of memory',
  };
  return `${mode}: ${why[errno] ?? 'refused'} (${errno})`;
}
