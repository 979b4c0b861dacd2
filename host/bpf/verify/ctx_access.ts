/**
 * What programs may read and write of their context: struct xdp_md and struct __sk_buff
 * (kernel: xdp_is_valid_access, tc_cls_act_is_valid_access, sk_filter_is_valid_access, bpf_skb_is_valid_access).
 */
import { SkBuffLayout, XdpContextLayout } from '../../layout/layout.gen.js';
import { programTypes } from '../program_types.js';
import type { AttachType, ProgramType } from '../spec.js';
import type { OpsMember } from '../struct_ops.js';
import { Flag, Kind, pointer, type Reg, scalarReg } from './regs.js';
import { loadRange } from './scalar_draft.js';

interface Field {
  name: string;
  off: number;
  size: number;
  /** Narrow reads allowed. */
  narrow?: boolean;
  /** Kind of pointer that a read of the whole field gives. */
  pointer?: number;
  write?: boolean;
}

const X = XdpContextLayout;
const S = SkBuffLayout;

/** xdp_md: 32-bit reads only; data_meta, data and data_end become pointers. */
const XDP: readonly Field[] = [
  { name: 'data', off: X.data, size: 4, pointer: Kind.PACKET },
  { name: 'data_end', off: X.dataEnd, size: 4, pointer: Kind.PACKET_END },
  { name: 'data_meta', off: X.dataMeta, size: 4, pointer: Kind.PACKET_META },
  { name: 'ingress_ifindex', off: X.ingressIfindex, size: 4 },
  { name: 'rx_queue_index', off: X.rxQueueIndex, size: 4 },
];

/** Of programs that run on the way out of a port: elsewhere there is none yet. */
const XDP_OUT: readonly Field[] = [...XDP, { name: 'egress_ifindex', off: X.egressIfindex, size: 4 }];

const word = (name: string, off: number, more: Partial<Field> = {}): Field => ({
  name,
  off,
  size: 4,
  narrow: true,
  ...more,
});

/** Fields of __sk_buff that both tc programs and socket filters read. */
const SKB: readonly Field[] = [
  word('len', S.len),
  word('pkt_type', S.pktType),
  word('mark', S.mark),
  word('queue_mapping', S.queueMapping),
  word('protocol', S.protocol),
  word('vlan_present', S.vlanPresent),
  word('vlan_tci', S.vlanTci),
  word('vlan_proto', S.vlanProto),
  word('priority', S.priority),
  word('ingress_ifindex', S.ingressIfindex),
  word('ifindex', S.ifindex),
  word('tc_index', S.tcIndex),
  { name: 'cb', off: S.cb, size: 20, narrow: true, write: true },
  word('hash', S.hash),
  word('napi_id', S.napiId),
  word('gso_segs', S.gsoSegs),
  { name: 'sk', off: S.sk, size: 8, pointer: Kind.SOCK_COMMON },
  word('gso_size', S.gsoSize),
];

/** What only tc has beside those, and what it may write. */
const TC_WRITES: ReadonlySet<string> = new Set(['mark', 'tc_index', 'priority', 'queue_mapping', 'cb']);
const TC: readonly Field[] = [
  ...SKB.map(f => ({ ...f, write: TC_WRITES.has(f.name) })),
  word('tc_classid', S.tcClassid, { write: true }),
  { name: 'data', off: S.data, size: 4, pointer: Kind.PACKET },
  { name: 'data_end', off: S.dataEnd, size: 4, pointer: Kind.PACKET_END },
  { name: 'data_meta', off: S.dataMeta, size: 4, pointer: Kind.PACKET_META },
  { name: 'tstamp', off: S.tstamp, size: 8, write: true },
  word('wire_len', S.wireLen),
  { name: 'tstamp_type', off: S.tstampType, size: 1 },
  { name: 'hwtstamp', off: S.hwtstamp, size: 8 },
];

const TABLES: Record<ProgramType, readonly Field[]> = {
  xdp: XDP,
  xdp_egress: XDP_OUT,
  xdp_gen: XDP_OUT,
  tc: TC,
  socket_filter: SKB,
  // By member: argument().
  struct_ops: [],
  unspec: [],
};

export type CtxVerdict = { value: Reg | undefined } | { problem: string };

/** An argument of a struct_ops program: whole, and only read (kernel: btf_ctx_access). */
export function argument(member: OpsMember, off: number, size: number, write: boolean): CtxVerdict {
  const at = `${size} bytes at offset ${off} of the arguments of ${member.name}`;
  if (write) return { problem: `${at}: arguments are read-only` };
  if (off < 0 || off % 8 !== 0) return { problem: `${at}: an argument begins every 8 bytes` };
  const arg = member.args[off / 8];
  if (!arg) return { problem: `${at}: it has ${member.args.length}` };
  if (size !== 8) return { problem: `${at}: ${arg.name} is read as 8 bytes` };
  return { value: pointer(Kind.OBJECT, { size: arg.object.index }) };
}

/** May the program load or store `size` bytes at `off` of its context, and what does a load give? */
export function ctxAccess(
  type: ProgramType,
  off: number,
  size: number,
  write: boolean,
  signed: boolean,
  attach?: AttachType,
): CtxVerdict {
  const table = attach === 'devmap' ? XDP_OUT : TABLES[type];
  const field = table.find(f => off >= f.off && off < f.off + f.size);
  const at = `${size} bytes at offset ${off} of ${programTypes[type].context}`;
  if (!field) return { problem: `${at}: ${type} programs have no such field` };
  if (off % size !== 0) return { problem: `${at}: not aligned to its size` };
  if (off + size > field.off + field.size) return { problem: `${at}: runs past the field ${field.name}` };
  if (write) {
    if (!field.write) return { problem: `${at}: the field ${field.name} is read-only` };
    // The control block takes every size, other fields only their own.
    const fits = field.name === 'cb' ? true : size === field.size;
    return fits
      ? { value: undefined }
      : { problem: `${at}: ${field.name} is written ${field.size} bytes at once` };
  }
  if (field.pointer !== undefined) {
    if (size !== field.size || signed)
      return { problem: `${at}: ${field.name} is read as ${field.size} bytes` };
    const nullable = field.pointer === Kind.SOCK_COMMON ? Flag.NULLABLE : 0;
    return { value: pointer(field.pointer, { flags: nullable }) };
  }
  if (size !== field.size && !field.narrow)
    return { problem: `${at}: ${field.name} is read as ${field.size} bytes` };
  if (size === 8 && field.size < 8) return { problem: `${at}: runs past the field ${field.name}` };
  return { value: scalarReg(loadRange(size as 1 | 2 | 4 | 8, signed)) };
}

/** Fields of struct bpf_sock that a sock_common shows: [offset, bytes]. */
const SOCK: readonly (readonly [number, number])[] = [
  [0, 4],
  [4, 4],
  [24, 4],
  [28, 16],
  [44, 4],
  [48, 2],
  [52, 4],
  [56, 16],
  [72, 4],
];

/** Reading a socket that a program got from its context. */
export const sockAccess = (off: number, size: number): boolean =>
  off >= 0 &&
  off % size === 0 &&
  SOCK.some(([at, bytes]) => off >= at && off + size <= at + bytes) &&
  (size === 4 || (size < 4 && off >= 24));
