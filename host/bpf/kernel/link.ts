/**
 * A program attached to an interface of the kernel by a link: it lives as long as the descriptor, so nothing stays behind
 * when the process dies, however it dies. Used by the AF_XDP NIC and `--engine kernel`.
 */
import { EtherloomError } from '../../errors.js';
import type { ProgramSpec } from '../spec.js';
import { addon, bpf, Cmd, errnoName, LINK_CREATE, RIGHTS } from './attr.js';
import { xdpHolder } from './holder.js';
import type { KernelProgram } from './program.js';

/** enum bpf_attach_type. */
const BPF_XDP = 37;
const BPF_TCX = { ingress: 46, egress: 47 } as const;
/** linux/if_link.h: XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE. */
const XDP_FLAGS = { generic: 2, native: 4 } as const;

/** native: in the driver, before there is an sk_buff. generic: after it was made, with any driver. */
export type XdpMode = keyof typeof XDP_FLAGS;
/** Of packets that the interface receives, or of those that it sends. */
export type TcDirection = keyof typeof BPF_TCX;

/** By its section, as libbpf reads it: tc/egress, tcx/egress, classifier/egress. */
export const tcDirection = ({ section }: Pick<ProgramSpec, 'section'>): TcDirection =>
  /\/egress$/.test(section ?? '') ? 'egress' : 'ingress';

export class KernelLink<Mode extends string = XdpMode> {
  private open = true;

  private constructor(
    readonly fd: number,
    /** Number of the interface in its namespace. */
    readonly ifindex: number,
    readonly mode: Mode,
    /** Why it is this mode. */
    readonly reason: string,
  ) {}

  /**
   * Attaches an XDP program to interface `ifindex` of the calling thread's network namespace. Without `mode`: native,
   * else generic with the reason.
   * @throws EtherloomError ERR_KERNEL_ATTACH with the reasons of both, ERR_KERNEL_HELD where another program is there
   */
  static attachXdp(program: KernelProgram, ifindex: number, mode?: XdpMode): KernelLink {
    const attempts: readonly XdpMode[] = mode ? [mode] : ['native', 'generic'];
    const refusals: string[] = [];
    let held = false;
    for (const attempt of attempts) {
      const rc = createLink(program, ifindex, BPF_XDP, XDP_FLAGS[attempt]);
      if (rc >= 0) {
        const reason = mode ? 'asked for' : (refusals[0] ?? 'the driver runs XDP programs itself');
        return new KernelLink(rc, ifindex, attempt, reason);
      }
      const errno = errnoName(-rc);
      const busy = errno === 'EBUSY' || errno === 'EEXIST';
      refusals.push(refusal(attempt, errno, XDP_REFUSED, busy ? xdpHolder(ifindex) : undefined));
      held ||= busy;
    }
    throw cannot(program, refusals, held ? 'ERR_KERNEL_HELD' : 'ERR_KERNEL_ATTACH');
  }

  /**
   * Attaches a tc program by TCX, behind those that are there, without qdisc or filter; TC_ACT_UNSPEC goes on to the next.
   * @throws EtherloomError ERR_KERNEL_ATTACH: before Linux 6.6 there is no TCX
   */
  static attachTc(program: KernelProgram, ifindex: number): KernelLink<'tcx ingress' | 'tcx egress'> {
    const direction = tcDirection(program.spec);
    const rc = createLink(program, ifindex, BPF_TCX[direction], 0);
    if (rc < 0) throw cannot(program, [refusal('tcx', errnoName(-rc), TCX_REFUSED)], 'ERR_KERNEL_ATTACH');
    return new KernelLink(rc, ifindex, `tcx ${direction}`, `section ${program.spec.section}`);
  }

  /** Detaches the program. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    addon().close(this.fd);
  }
}

/** Descriptor of the link, or -errno. */
const createLink = (program: KernelProgram, ifindex: number, attachType: number, flags: number): number =>
  bpf(Cmd.LINK_CREATE, LINK_CREATE, { progFd: program.fd, ifindex, attachType, flags }).rc;

const cannot = (program: KernelProgram, refusals: readonly string[], code: string): EtherloomError =>
  new EtherloomError(code, `${program.spec.name} cannot be attached: ${refusals.join('; ')}`);

const REFUSED: Record<string, string> = {
  EPERM: `needs ${RIGHTS}`,
  ENODEV: 'the interface is gone',
  ENOMEM: 'out of memory',
};
const XDP_REFUSED: Record<string, string> = {
  ...REFUSED,
  EBUSY: 'another XDP program holds the interface',
  EOPNOTSUPP: 'the driver has no XDP',
  EEXIST: 'another XDP program holds the interface in the other mode',
  ERANGE: 'the MTU is too large for the driver; of a veth pair, that of the peer as well',
  EINVAL: 'the driver refuses with these settings (MTU, queues, offloads)',
};
const TCX_REFUSED: Record<string, string> = {
  ...REFUSED,
  EINVAL: 'this kernel has no TCX (Linux 6.6)',
  ERANGE: '64 programs are attached already',
};

const refusal = (mode: string, errno: string, why: Record<string, string>, holder?: string): string =>
  `${mode}: ${why[errno] ?? 'refused'}${holder ? `: ${holder}` : ''} (${errno})`;
