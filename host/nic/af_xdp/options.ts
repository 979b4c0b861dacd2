/** What an AF_XDP NIC is asked for, and how it stands. */
import type { XdpMode } from '../../bpf/kernel/link.js';
import { EtherloomError } from '../../errors.js';
import { checkNicOptions, Option } from '../options.js';
import type { RedirectRule } from './rules.js';
import type { CopyMode } from './socket.js';

export interface AfXdpOptions {
  /** Name of the interface. */
  interface: string;
  /** Packets that the engine takes; the kernel keeps the rest. An empty list takes none: to transmit only. */
  rules?: readonly RedirectRule[];
  /** Take every packet, ARP and ICMP included: the engine owns the interface. Instead of rules. */
  own?: boolean;
  /** Network namespace of the interface: a name of `ip netns`, or a path. Default: this process's. */
  namespace?: string;
  /** Name of the port. Default: the interface's. */
  name?: string;
  /** Queues, from the first on. Default: all that the interface has. */
  queues?: number;
  /** Where the program is attached. Default: native if the driver can, else generic. */
  mode?: XdpMode;
  /** Try zero copy first. Default true. */
  zeroCopy?: boolean;
  /** Entries of each ring, a power of two. Default: the engine's, less where the frames would not do. */
  ringSlots?: number;
}

/** How an open NIC stands. */
export interface AfXdpStatus {
  /** Whether sockets are bound; false while the interface is gone. */
  attached: boolean;
  /** Where the program is attached, and why there. */
  mode: XdpMode | undefined;
  modeReason: string;
  copy: CopyMode | undefined;
  copyReason: string;
  /**
   * Packets that the kernel sends at most for one system call, with copies: 256, or as many as the ring has; 32 before
   * Linux 6.17. Undefined while not attached.
   */
  kickPackets: number | undefined;
  queues: number;
  /** Entries of each ring. */
  ringSlots: number;
  /** Times that the interface was taken again. */
  reopened: number;
  /** Why it is not attached. */
  trouble: string | undefined;
  /** Packets for the wire that ended here, for the interface was gone before the kernel took them. */
  unsent: number;
  /** Traps found: what works, but not as one would think. */
  warnings: string[];
}

/** @throws EtherloomError ERR_NIC_OPTIONS */
export function checkOptions(options: AfXdpOptions): void {
  checkNicOptions('af_xdp', options, {
    interface: Option.interface,
    rules: Option.list,
    own: Option.boolean,
    namespace: Option.namespace,
    name: Option.text,
    queues: Option.queues,
    mode: Option.oneOf('native', 'generic'),
    zeroCopy: Option.boolean,
  });
  if (options.interface === undefined)
    throw new EtherloomError('ERR_NIC_OPTIONS', 'af_xdp without an interface', {
      expected: Option.interface.expected,
    });
  if (options.rules === undefined && !options.own)
    throw new EtherloomError('ERR_NIC_OPTIONS', `af_xdp on ${options.interface} with neither rules nor own`, {
      expected: 'rules for what the engine takes, or own: true for everything',
    });
  if (options.rules !== undefined && options.own)
    throw new EtherloomError('ERR_NIC_OPTIONS', `af_xdp on ${options.interface} with rules and own`, {
      expected: 'one of the two',
    });
}
