/**
 * The program types that this engine runs, one row each: what they are called, what they are given, what they may do,
 * where they hang. Every part that has to tell types apart reads it here; what a row cannot say in a word stands in a
 * table of its own part, by type: fields of the context in verify/ctx_access.ts, helpers in helpers/.
 */
import { Hook, SkBuffLayout, SkBuffView, XdpContextLayout, XdpContextView } from '../layout/layout.gen.js';
import { Eth } from '../wire/layout.gen.js';
import type { ProgramType } from './spec.js';

/** Where a program can be attached, by the name of its hook. */
export type HookName = 'xdp' | 'xdp_egress' | 'xdp_gen' | 'tc_ingress' | 'socket_filter';

export interface ProgramTypeRow {
  readonly type: ProgramType;
  /** enum bpf_prog_type (include/uapi/linux/bpf.h); the first is what the kernel is given. None: Linux has no such type. */
  readonly numbers: readonly number[];
  /** Other names: the kernel's, libbpf's. */
  readonly names: readonly string[];
  /** Sections that hold such programs, as libbpf, iproute2 and old samples name them. */
  readonly sections: readonly RegExp[];
  /** Sections whose programs are entries of a devmap or a cpumap instead of hanging at a port: one group names which. */
  readonly entrySections: RegExp | undefined;
  /** Structure that r1 points to; args: as many numbers of 8 bytes as the function has arguments. */
  readonly context: 'xdp_md' | '__sk_buff' | 'args' | 'context';
  /** Bytes of it that the program sees. */
  readonly contextBytes: number;
  /** Bytes of link header before the packet that the program is shown. */
  readonly hiddenBytes: number;
  /** Reaches packet bytes through data and data_end. */
  readonly packetPointers: boolean;
  /** May use LD_ABS and LD_IND. */
  readonly legacyLoads: boolean;
  /** May use maps whose values hold a bpf_spin_lock. */
  readonly spinLocks: boolean;
  /** Where it hangs on a port; undefined for what is never attached. */
  readonly hook: { readonly name: HookName; readonly slot: Hook } | undefined;
  /** What it runs on: packets that a port receives, or those that the lane makes for a stream. */
  readonly input: 'received' | 'made';
  /** How it is attached to an interface of the kernel; undefined when it cannot be. */
  readonly kernelLink: 'xdp' | 'tcx' | undefined;
  /** Why it cannot. */
  readonly notInKernel: string | undefined;
  /** Where lanes count its verdicts one by one (Counters); without, they count what became of the packet. */
  readonly counted: 'verdicts' | 'gen' | 'egress' | undefined;
  /** Name of a return value, "" when it has none. */
  verdict(retval: number): string;
}

const XDP_VERDICTS = ['XDP_ABORTED', 'XDP_DROP', 'XDP_PASS', 'XDP_TX', 'XDP_REDIRECT'];
/** include/uapi/linux/pkt_cls.h */
const TC_VERDICTS = [
  'TC_ACT_OK',
  'TC_ACT_RECLASSIFY',
  'TC_ACT_SHOT',
  'TC_ACT_PIPE',
  'TC_ACT_STOLEN',
  'TC_ACT_QUEUED',
  'TC_ACT_REPEAT',
  'TC_ACT_REDIRECT',
  'TC_ACT_TRAP',
];
const TC_UNSPEC = 0xffff_ffff;
/** struct xdp_md and struct __sk_buff end where the engine's own fields begin. */
const XDP_MD_BYTES = XdpContextLayout.hardStart;
const SK_BUFF_BYTES = SkBuffLayout.hardStart;

const xdpVerdict = (retval: number): string => XDP_VERDICTS[retval] ?? '';

/** What the rows of programs on packets that are made for a stream have in common. */
const MADE = {
  numbers: [],
  names: [],
  entrySections: undefined,
  context: 'xdp_md',
  contextBytes: XDP_MD_BYTES,
  hiddenBytes: 0,
  packetPointers: true,
  legacyLoads: false,
  spinLocks: true,
  input: 'made',
  kernelLink: undefined,
  notInKernel: "Linux has no such hook: it is one of the two that eTran's patch adds",
  verdict: xdpVerdict,
} as const;

export const programTypes: Readonly<Record<ProgramType, ProgramTypeRow>> = {
  xdp: {
    type: 'xdp',
    numbers: [6],
    names: [],
    // xdp xdp.frags xdp/devmap xdp.frags/cpumap; before libbpf 1.0 any xdp… was taken (xdp_prog, xdp1, xdp_devmap/x).
    sections: [/^xdp(?!_(egress|gen)(\/|$))/],
    // As libbpf reads it: xdp/devmap, xdp.frags/cpumap; xdp_devmap/x before libbpf 1.0.
    entrySections: /^xdp(?:(?:\.frags)?\/(devmap|cpumap)$|_(devmap|cpumap)(?:\/|$))/,
    context: 'xdp_md',
    contextBytes: XDP_MD_BYTES,
    hiddenBytes: 0,
    packetPointers: true,
    legacyLoads: false,
    spinLocks: true,
    hook: { name: 'xdp', slot: Hook.XDP },
    input: 'received',
    kernelLink: 'xdp',
    notInKernel: undefined,
    counted: 'verdicts',
    verdict: xdpVerdict,
  },
  // The two hooks that eTran adds to the kernel, with everything of xdp but where they run (core/generate.ts).
  xdp_egress: {
    ...MADE,
    type: 'xdp_egress',
    sections: [/^xdp_egress(\/|$)/],
    hook: { name: 'xdp_egress', slot: Hook.XDP_EGRESS },
    counted: 'egress',
  },
  xdp_gen: {
    ...MADE,
    type: 'xdp_gen',
    sections: [/^xdp_gen(\/|$)/],
    hook: { name: 'xdp_gen', slot: Hook.XDP_GEN },
    counted: 'gen',
  },
  tc: {
    type: 'tc',
    numbers: [3, 4],
    names: ['sched_cls', 'sched_act', 'classifier', 'action'],
    sections: [
      // tc tc/ingress tcx/egress netkit/primary classifier/x action, and tc_…, tc-… of older samples.
      /^(tcx?|classifier|action|netkit)([/_.-].*)?$/,
      /^(cls|act)([/_-].*)?$/,
      // iproute2's __section_tail(ID, KEY): a classifier that sits in the prog_array of that id.
      /^(0x[0-9a-f]+|\d+)\/(0x[0-9a-f]+|\d+)$/,
    ],
    entrySections: undefined,
    context: '__sk_buff',
    contextBytes: SK_BUFF_BYTES,
    hiddenBytes: 0,
    packetPointers: true,
    legacyLoads: true,
    spinLocks: true,
    hook: { name: 'tc_ingress', slot: Hook.TC_INGRESS },
    input: 'received',
    kernelLink: 'tcx',
    notInKernel: undefined,
    counted: undefined,
    verdict: retval => (retval === TC_UNSPEC ? 'TC_ACT_UNSPEC' : (TC_VERDICTS[retval] ?? '')),
  },
  socket_filter: {
    type: 'socket_filter',
    numbers: [1],
    names: ['socket'],
    // socket socket/x socket_filter; samples number them: socket1.
    sections: [/^socket(_filter)?([/\d_.-].*)?$/],
    entrySections: undefined,
    context: '__sk_buff',
    contextBytes: SK_BUFF_BYTES,
    hiddenBytes: Eth.size,
    packetPointers: false,
    legacyLoads: true,
    spinLocks: false,
    hook: { name: 'socket_filter', slot: Hook.SOCKET_FILTER },
    input: 'received',
    kernelLink: undefined,
    notInKernel: 'there it belongs to a socket, not to an interface',
    counted: undefined,
    // It returns how many bytes to keep.
    verdict: retval => (retval === 0 ? 'drop' : 'keep'),
  },
  // A function that the engine calls: r1 points to its arguments, 8 bytes each (struct_ops.ts).
  struct_ops: {
    type: 'struct_ops',
    numbers: [27],
    names: [],
    sections: [/^struct_ops(\/|$)/],
    entrySections: undefined,
    context: 'args',
    contextBytes: 0,
    hiddenBytes: 0,
    packetPointers: false,
    legacyLoads: false,
    spinLocks: true,
    hook: undefined,
    input: 'received',
    kernelLink: undefined,
    notInKernel: 'there it is a member of a struct_ops map, not of an interface',
    counted: undefined,
    verdict: () => '',
  },
  // Programs of other types: read and shown, neither verified nor run.
  unspec: {
    type: 'unspec',
    numbers: [0],
    names: [],
    sections: [],
    entrySections: undefined,
    context: 'context',
    contextBytes: 0,
    hiddenBytes: 0,
    packetPointers: false,
    legacyLoads: false,
    spinLocks: false,
    hook: undefined,
    input: 'received',
    kernelLink: undefined,
    notInKernel: 'this engine does not know what it is',
    counted: undefined,
    verdict: () => '',
  },
};

const rows = Object.values(programTypes);

/** Every name of the JSON form and of assembly text. */
export const programTypeNames: readonly ProgramType[] = rows.map(r => r.type);

/** Types of programs that hang at a hook. */
export const runnableTypes: readonly ProgramType[] = rows.filter(r => r.hook).map(r => r.type);

/** Types of programs that are verified and run. */
export const isRunnable = (type: ProgramType): boolean => type !== 'unspec';

/** Types whose rows have it so. */
export const typesWhere = (has: (row: ProgramTypeRow) => boolean): readonly ProgramType[] =>
  rows.filter(r => r.hook && has(r)).map(r => r.type);

/** A type by any of its names or numbers, `BPF_PROG_TYPE_XDP` as well; undefined when it is none of ours. */
export function programTypeNamed(given: string | number): ProgramType | undefined {
  if (typeof given === 'number') return rows.find(r => r.numbers.includes(given))?.type;
  const name = given.toLowerCase().replace(/^bpf_prog_type_/, '');
  return rows.find(r => r.type === name || r.names.includes(name) || r.numbers.some(n => String(n) === name))
    ?.type;
}

/** Type of the programs in a section, 'unspec' when they are not of ours. */
export const sectionType = (section: string): ProgramType =>
  rows.find(r => r.sections.some(pattern => pattern.test(section)))?.type ?? 'unspec';

/** The row of the programs that hang at a hook. */
export const hookRow = (hook: HookName): ProgramTypeRow => rows.find(r => r.hook?.name === hook)!;

/** The context of a program of `type` that lies at `at`. */
export const contextView = (type: ProgramType, dv: DataView, at: number): XdpContextView | SkBuffView =>
  programTypes[type].context === 'xdp_md' ? new XdpContextView(dv, at) : new SkBuffView(dv, at);
