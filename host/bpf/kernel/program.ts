/**
 * A program in the real kernel: the oracle of our verifier and engines, and what `--engine kernel` runs.
 *   ProgramSpec ──load──▶ accepted: KernelProgram (testRun, jitedBytes, close) │ rejected: cause, decisive line, log
 */
import { EtherloomError } from '../../errors.js';
import { encodeInsns, type Insn, OP_LDDW, Pseudo } from '../insn.js';
import { programTypes } from '../program_types.js';
import { attachType, type MapSpec, type ProgramSpec } from '../spec.js';
import {
  addon,
  bpf,
  bpfOrThrow,
  Cmd,
  checked,
  errnoName,
  hintOf,
  INFO_BY_FD,
  PROG_LOAD,
  PROG_TEST_RUN,
} from './attr.js';
import { type EncodedBtf, loadBtf } from './btf.js';
import { type ProgramInfo, programInfo } from './info.js';
import { kernelMember, withKernelFunctions } from './kfuncs.js';
import { causeOf, type LogSummary, type RejectCause, summarize } from './log.js';
import { KernelMap } from './map.js';

const F_SLEEPABLE = 1 << 4;
const F_XDP_HAS_FRAGS = 1 << 5;
/** Log levels: the path to a rejection (1) or every path (2), statistics (4). */
const LOG_LEVEL = { none: 0, statistics: 4, path: 5, full: 6 } as const;
const LOG_BYTES = { first: 1 << 16, largest: 64 << 20 };
/** A signal to this thread ends a test run with repeats (EINTR) and a verification (EAGAIN): so often they are begun anew. */
const ATTEMPTS = 20;
/** struct bpf_prog_info: jited_prog_len at 16; 64 bytes reach far enough. */
const INFO = { bytes: 64, jitedLength: 16 } as const;
/** XDP programs may grow a packet by as much as a page. */
const GROWTH_BYTES = 4096;

/** enum bpf_attach_type: BPF_XDP_DEVMAP, BPF_XDP_CPUMAP. 0 for what a port or a test run takes. */
const ATTACH_TYPE = { none: 0, devmap: 33, cpumap: 35 } as const;

/** BTF in the kernel. */
export interface LoadedTypes {
  fd: number;
  encoded: EncodedBtf;
}

export interface KernelLoadOptions {
  /** Maps that exist already, by their spec; others are created, and closed with the program. */
  maps?: ReadonlyMap<MapSpec, KernelMap>;
  /** The types of the object, loaded: maps that hold objects were made with them. */
  types?: LoadedTypes;
  /** `statistics` costs nothing; `path` (default) is some 15 times slower than it on large programs. */
  log?: keyof typeof LOG_LEVEL;
  /** Further BPF_F_* load flags, as BPF_F_TEST_STATE_FREQ (8). */
  flags?: number;
}

export interface KernelAccepted extends LogSummary {
  accepted: true;
  program: KernelProgram;
  log: string;
}

export interface KernelRejected extends LogSummary {
  accepted: false;
  cause: RejectCause;
  /** `EACCES`, `EINVAL` … */
  errno: string;
  /** One line: the verifier's decisive line, or what the environment lacks. */
  reason: string;
  log: string;
}

export type KernelLoad = KernelAccepted | KernelRejected;

export interface KernelRun {
  /** r0, low 32 bits unsigned. */
  retval: number;
  /** The packet afterwards. */
  dataOut: Uint8Array;
  ctxOut: Uint8Array | undefined;
  /** Mean of all repeats, as the kernel measured it (its loop included: ~27 ns). */
  durationNs: number;
}

/** LDDW: map keys of the spec become descriptors. */
function withDescriptors(spec: ProgramSpec, maps: Record<number, KernelMap>): Insn[] {
  return spec.insns.map((insn, i) => {
    const second = i > 0 && spec.insns[i - 1].op === OP_LDDW;
    if (insn.op !== OP_LDDW || second) return insn;
    if (insn.src !== Pseudo.MAP_FD && insn.src !== Pseudo.MAP_VALUE) return insn;
    // A map the spec does not have keeps its number, which the kernel then refuses as no descriptor.
    return maps[insn.imm] ? { ...insn, imm: maps[insn.imm].fd } : { ...insn, imm: -1 };
  });
}

function createMaps(
  spec: ProgramSpec,
  given: ReadonlyMap<MapSpec, KernelMap> | undefined,
  own: KernelMap[],
  btfFd: number | undefined,
) {
  const bySpec = new Map(given);
  const byName = new Map<string, KernelMap>();
  const maps: Record<number, KernelMap> = {};
  for (const [key, mapSpec] of Object.entries(spec.maps)) {
    let map = bySpec.get(mapSpec);
    if (!map) {
      map = KernelMap.create(mapSpec, mapSpec.btf?.types === spec.btf ? btfFd : undefined);
      own.push(map);
      bySpec.set(mapSpec, map);
    }
    maps[Number(key)] = map;
    byName.set(mapSpec.name, map);
  }
  // Slots of maps of maps. Program arrays are filled by KernelCollection: their programs do not exist yet.
  for (const map of own) {
    if (!map.spec.type.endsWith('_of_maps')) continue;
    for (const { key, name } of map.spec.values ?? []) {
      const inner = byName.get(name);
      if (inner) map.update(u32(key), u32(inner.fd));
    }
  }
  return maps;
}

export function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

export class KernelProgram {
  private open = true;

  private constructor(
    readonly spec: ProgramSpec,
    readonly fd: number,
    /** Every map of the spec, by its key there. */
    readonly maps: Readonly<Record<number, KernelMap>>,
    private readonly owned: readonly KernelMap[],
  ) {}

  /**
   * Creates what maps are missing and loads the program. A rejection is a result, not an error; everything made
   * for it is closed again.
   * @throws EtherloomError ERR_KERNEL_NO_ADDON, ERR_KERNEL_<ERRNO> when a map or the BTF is refused, ERR_KERNEL_KFUNC for a
   * kfunc, ERR_KERNEL_STRUCT_OPS for a member, that this kernel does not have
   */
  static load(spec: ProgramSpec, options: KernelLoadOptions = {}): KernelLoad {
    const owned: KernelMap[] = [];
    let info: ProgramInfo | undefined;
    let btfFd: number | undefined;
    let sharedFd: number | undefined;
    let program: KernelProgram | undefined;
    try {
      info = programInfo(spec, options.types?.encoded);
      const shared = options.types && info?.btf === options.types.encoded ? options.types.fd : undefined;
      if (info) btfFd = shared ?? loadBtf(info.btf);
      if (shared !== undefined) sharedFd = shared;
      const maps = createMaps(spec, options.maps, owned, btfFd);
      const { rc, log } = loadInsns(
        spec,
        withKernelFunctions(spec, withDescriptors(spec, maps)),
        info,
        btfFd,
        options,
      );
      const summary = summarize(log);
      if (rc >= 0) {
        program = new KernelProgram(spec, rc, maps, owned);
        return { accepted: true, program, log, ...summary };
      }
      const errno = errnoName(-rc);
      const cause = causeOf(errno, log, spec.insns.length);
      const hint = hintOf(errno);
      const denied = `bpf(2) answered ${errno}${hint ? `: ${hint}` : ' without a log'}`;
      return { accepted: false, cause, errno, reason: summary.decisive ?? denied, log, ...summary };
    } finally {
      if (btfFd !== undefined && btfFd !== sharedFd) addon().close(btfFd);
      if (!program) for (const map of owned) map.close();
    }
  }

  /**
   * BPF_PROG_TEST_RUN. XDP and tc want at least an Ethernet header (14 bytes). A run that a signal ended is begun anew;
   * what its repeats had changed in maps stays.
   * @throws EtherloomError ERR_KERNEL_<ERRNO>
   */
  testRun({ data, ctx, repeat = 1 }: { data: Uint8Array; ctx?: Uint8Array; repeat?: number }): KernelRun {
    const dataOut = new Uint8Array(data.length + GROWTH_BYTES);
    const ctxOut = ctx && new Uint8Array(ctx.length);
    const fields = {
      fd: this.fd,
      dataSizeIn: data.length,
      dataIn: data,
      dataSizeOut: dataOut.length,
      dataOut,
      repeat,
      ctxSizeIn: ctx?.length,
      ctxIn: ctx,
      ctxSizeOut: ctxOut?.length,
      ctxOut,
    };
    let ran = bpf(Cmd.PROG_TEST_RUN, PROG_TEST_RUN, fields);
    for (let i = 1; i < ATTEMPTS && ended(ran.rc, 'EINTR'); i++)
      ran = bpf(Cmd.PROG_TEST_RUN, PROG_TEST_RUN, fields);
    const { attr } = checked(`a test run of ${this.spec.name}`, ran);
    const field = (name: 'retval' | 'dataSizeOut' | 'durationNs') =>
      attr.getUint32(PROG_TEST_RUN[name][0], true);
    return {
      retval: field('retval'),
      dataOut: dataOut.subarray(0, field('dataSizeOut')),
      ctxOut,
      durationNs: field('durationNs'),
    };
  }

  /** Bytes of native code that the kernel's JIT made; 0 when it is off. */
  get jitedBytes(): number {
    const info = new Uint8Array(INFO.bytes);
    bpfOrThrow(`information on ${this.spec.name}`, Cmd.OBJ_GET_INFO_BY_FD, INFO_BY_FD, {
      fd: this.fd,
      length: info.length,
      info,
    });
    return new DataView(info.buffer).getUint32(INFO.jitedLength, true);
  }

  /** Closes the program and the maps that load() created for it. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    addon().close(this.fd);
    for (const map of this.owned) map.close();
  }
}

const ended = (rc: number, by: string): boolean => rc < 0 && errnoName(-rc) === by;

/** BPF_PROG_LOAD, again with a larger log when the first does not hold it. */
function loadInsns(
  spec: ProgramSpec,
  insns: Insn[],
  info: ProgramInfo | undefined,
  btfFd: number | undefined,
  options: KernelLoadOptions,
): { rc: number; log: string } {
  const { numbers, notInKernel } = programTypes[spec.type];
  if (numbers.length === 0)
    throw new EtherloomError('ERR_KERNEL_TYPE', `${spec.name} is of type ${spec.type}: ${notInKernel}`);
  const member = spec.type === 'struct_ops' ? kernelMember(spec) : undefined;
  const level = LOG_LEVEL[options.log ?? 'path'];
  const flags = (spec.flags?.frags ? F_XDP_HAS_FRAGS : 0) | (spec.flags?.sleepable ? F_SLEEPABLE : 0);
  for (let size = LOG_BYTES.first, signals = 0; ; ) {
    const log = level ? new Uint8Array(size) : undefined;
    const { rc } = bpf(Cmd.PROG_LOAD, PROG_LOAD, {
      type: numbers[0],
      attachType: member?.index ?? ATTACH_TYPE[attachType(spec) ?? 'none'],
      attachBtfId: member?.btfId,
      insnCount: insns.length,
      insns: encodeInsns(insns),
      license: new TextEncoder().encode(`${spec.license}\0`),
      logLevel: level,
      logSize: log?.length,
      log,
      flags: flags | (options.flags ?? 0),
      name: spec.name,
      btfFd,
      funcInfoSize: info?.funcs && 8,
      funcInfo: info?.funcs,
      funcInfoCount: info?.funcs && info.funcs.length / 8,
      lineInfoSize: info?.lines && 16,
      lineInfo: info?.lines,
      lineInfoCount: info?.lines && info.lines.length / 16,
    });
    if (ended(rc, 'ENOSPC') && level && size < LOG_BYTES.largest) {
      size *= 8;
      continue;
    }
    if (ended(rc, 'EAGAIN') && ++signals < ATTEMPTS) continue;
    const end = log ? log.indexOf(0) : 0;
    return { rc, log: log ? Buffer.from(log.buffer, 0, end < 0 ? log.length : end).toString() : '' };
  }
}
