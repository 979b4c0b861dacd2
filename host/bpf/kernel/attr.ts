/**
 * The parts of `union bpf_attr` (include/uapi/linux/bpf.h) that we use, as offsets, and the call that takes them.
 * Used by the other files of this folder only; the addon knows no layout.
 */
import { constants } from 'node:os';
import { EtherloomError } from '../../errors.js';
import { type Native, native } from '../../native/load.js';

/** enum bpf_cmd. */
export const Cmd = {
  MAP_CREATE: 0,
  MAP_LOOKUP_ELEM: 1,
  MAP_UPDATE_ELEM: 2,
  MAP_DELETE_ELEM: 3,
  MAP_GET_NEXT_KEY: 4,
  PROG_LOAD: 5,
  PROG_TEST_RUN: 10,
  PROG_GET_FD_BY_ID: 13,
  OBJ_GET_INFO_BY_FD: 15,
  BTF_LOAD: 18,
  MAP_LOOKUP_AND_DELETE_ELEM: 21,
  MAP_FREEZE: 22,
  MAP_LOOKUP_BATCH: 24,
  MAP_UPDATE_BATCH: 26,
  MAP_DELETE_BATCH: 27,
  LINK_CREATE: 28,
} as const;

type Field = readonly [offset: number, kind: 'u32' | 'u64' | 'ptr' | 'name'];
/** One command's attribute: its length and the offsets of its fields. */
export type Layout = Readonly<Record<string, Field>>;

export const MAP_CREATE = {
  type: [0, 'u32'],
  keySize: [4, 'u32'],
  valueSize: [8, 'u32'],
  maxEntries: [12, 'u32'],
  flags: [16, 'u32'],
  innerFd: [20, 'u32'],
  name: [28, 'name'],
  btfFd: [48, 'u32'],
  btfKeyId: [52, 'u32'],
  btfValueId: [56, 'u32'],
  extra: [64, 'u64'],
} as const satisfies Layout;

export const MAP_ELEM = {
  fd: [0, 'u32'],
  key: [8, 'ptr'],
  /** Value, or the next key. */
  value: [16, 'ptr'],
  flags: [24, 'u64'],
} as const satisfies Layout;

export const MAP_BATCH = {
  from: [0, 'ptr'],
  /** Where the next call goes on. */
  next: [8, 'ptr'],
  keys: [16, 'ptr'],
  values: [24, 'ptr'],
  /** How many; after the call, how many it did. */
  count: [32, 'u32'],
  fd: [36, 'u32'],
  elemFlags: [40, 'u64'],
  flags: [48, 'u64'],
} as const satisfies Layout;

export const MAP_FREEZE = { fd: [0, 'u32'] } as const satisfies Layout;

export const PROG_LOAD = {
  type: [0, 'u32'],
  insnCount: [4, 'u32'],
  insns: [8, 'ptr'],
  license: [16, 'ptr'],
  logLevel: [24, 'u32'],
  logSize: [28, 'u32'],
  log: [32, 'ptr'],
  flags: [44, 'u32'],
  name: [48, 'name'],
  attachType: [68, 'u32'],
  btfFd: [72, 'u32'],
  funcInfoSize: [76, 'u32'],
  funcInfo: [80, 'ptr'],
  funcInfoCount: [88, 'u32'],
  lineInfoSize: [92, 'u32'],
  lineInfo: [96, 'ptr'],
  lineInfoCount: [104, 'u32'],
  attachBtfId: [108, 'u32'],
} as const satisfies Layout;

export const PROG_TEST_RUN = {
  fd: [0, 'u32'],
  retval: [4, 'u32'],
  dataSizeIn: [8, 'u32'],
  dataSizeOut: [12, 'u32'],
  dataIn: [16, 'ptr'],
  dataOut: [24, 'ptr'],
  repeat: [32, 'u32'],
  durationNs: [36, 'u32'],
  ctxSizeIn: [40, 'u32'],
  ctxSizeOut: [44, 'u32'],
  ctxIn: [48, 'ptr'],
  ctxOut: [56, 'ptr'],
} as const satisfies Layout;

export const INFO_BY_FD = { fd: [0, 'u32'], length: [4, 'u32'], info: [8, 'ptr'] } as const satisfies Layout;

export const PROG_BY_ID = { id: [0, 'u32'] } as const satisfies Layout;

export const LINK_CREATE = {
  progFd: [0, 'u32'],
  ifindex: [4, 'u32'],
  attachType: [8, 'u32'],
  flags: [12, 'u32'],
} as const satisfies Layout;

export const BTF_LOAD = {
  btf: [0, 'ptr'],
  log: [8, 'ptr'],
  size: [16, 'u32'],
  logSize: [20, 'u32'],
  logLevel: [24, 'u32'],
} as const satisfies Layout;

const FIELD_BYTES = { u32: 4, u64: 8, ptr: 8, name: 16 } as const;
/** The kernel's BPF_OBJ_NAME_LEN with its terminating zero. */
const NAME_CHARS = 15;

/** The kernel's own error numbers that libc has no name for. */
const KERNEL_ERRNO: Record<number, string> = { 524: 'ENOTSUPP' };
const errnoNames = new Map(Object.entries(constants.errno).map(([name, n]) => [n, name]));

/** Name of an errno, `E<number>` when it has none. */
export function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? KERNEL_ERRNO[errno] ?? `E${errno}`;
}

/** The addon. @throws EtherloomError ERR_KERNEL_NO_ADDON with the reason. */
export function addon(): Native {
  const loaded = native();
  if (!loaded.ok) throw new EtherloomError('ERR_KERNEL_NO_ADDON', loaded.reason);
  return loaded.native;
}

export interface CallResult {
  /** Result, or -errno. */
  rc: number;
  /** The attribute after the call: some commands answer in it. */
  attr: DataView;
}

/** Fills an attribute by its layout and calls bpf(2). Fields left out are zero. */
export function bpf<L extends Layout>(
  cmd: number,
  layout: L,
  fields: { [K in keyof L]?: number | bigint | string | Uint8Array },
): CallResult {
  const length = Math.max(...Object.values(layout).map(([at, kind]) => at + FIELD_BYTES[kind]));
  const bytes = new Uint8Array((length + 7) & ~7);
  const attr = new DataView(bytes.buffer);
  const pointers: (number | Uint8Array)[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const [at, kind] = layout[name];
    if (kind === 'ptr') pointers.push(at, value as Uint8Array);
    else if (kind === 'u64') attr.setBigUint64(at, BigInt(value as number | bigint), true);
    else if (kind === 'u32') attr.setUint32(at, value as number, true);
    else bytes.set(new TextEncoder().encode((value as string).replace(/\W/g, '_').slice(0, NAME_CHARS)), at);
  }
  return { rc: addon().bpf(cmd, bytes, pointers), attr };
}

/** bpf() for calls that have no expected failure. @throws EtherloomError ERR_KERNEL_<ERRNO>. */
export function bpfOrThrow<L extends Layout>(
  what: string,
  cmd: number,
  layout: L,
  fields: { [K in keyof L]?: number | bigint | string | Uint8Array },
): CallResult {
  return checked(what, bpf(cmd, layout, fields));
}

/** What a process needs for programs in the kernel. Without CAP_PERFMON the verifier refuses to calculate with pointers. */
export const RIGHTS = 'CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN';

/** What an errno of any call means for whoever runs this, '' for all others. */
export function hintOf(errno: string): string {
  if (errno === 'EPERM') return `needs ${RIGHTS}`;
  if (errno === 'EMFILE') return 'this process may open no more files: ulimit -n';
  return errno === 'ENFILE' ? 'this system may open no more files: sysctl fs.file-max' : '';
}

/** What a call answered. @throws EtherloomError ERR_KERNEL_<ERRNO>. */
export function checked(what: string, result: CallResult): CallResult {
  if (result.rc < 0) {
    const name = errnoName(-result.rc);
    const hint = hintOf(name);
    throw new EtherloomError(
      `ERR_KERNEL_${name}`,
      `the kernel refused ${what}: ${name}${hint ? ` (${hint})` : ''}`,
    );
  }
  return result;
}
