/**
 * Global functions of random programs: their prototypes, and the BTF that names them. A function is one of them when its
 * first instruction sets r0 to a mark: that stays with it when mutations and shrinking move it.
 */
import type { Btf, BtfType } from '../../../host/bpf/btf/btf.js';
import { Alu, CallKind, Class, type Insn, OP_CALL, OP_LDDW, Pseudo } from '../../../host/bpf/insn.js';
import type { FuncInfo, ProgramSpec } from '../../../host/bpf/spec.js';

const MARK = 0x6700;

export interface Prototype {
  mark: number;
  /** Takes the context in r1. */
  ctx: boolean;
  /** Register of the memory argument, its size, and whether it is tagged as never NULL. */
  memory: 1 | 2;
  bytes: 8 | 32;
  nonnull: boolean;
}

/** int f(chunk *), int f(chunk *, int) with __arg_nonnull, int f(ctx *, chunk *); for chunks of 8 and 32 bytes. */
export const PROTOTYPES: readonly Prototype[] = ([8, 32] as const).flatMap((bytes, i) => [
  { mark: MARK + 3 * i, ctx: false, memory: 1 as const, bytes, nonnull: false },
  { mark: MARK + 3 * i + 1, ctx: false, memory: 1 as const, bytes, nonnull: true },
  { mark: MARK + 3 * i + 2, ctx: true, memory: 2 as const, bytes, nonnull: false },
]);

const INT = 1;
const U64 = 2;
const int = (name: string, size: number): BtfType => ({
  kind: 'int',
  name,
  size,
  bits: size * 8,
  bitOffset: 0,
  signed: false,
  char: false,
  bool: false,
});

/** Types of a program of one type, and the ids of its functions: main, static, then by prototype. */
function typesOf(ctx: string): { btf: Btf; main: number; statics: number; globals: readonly number[] } {
  const types: BtfType[] = [{ kind: 'void' }, int('int', 4), int('u64', 8)];
  const add = (type: BtfType): number => types.push(type) - 1;
  const member = { name: 'b', bitOffset: 0, bitSize: 0 };
  const context = add({ kind: 'struct', name: ctx, size: 4, members: [{ ...member, type: INT }] });
  const toContext = add({ kind: 'ptr', type: context });
  const four = add({ kind: 'array', type: U64, indexType: INT, count: 4 });
  const chunks: Record<number, number> = {
    8: add({ kind: 'struct', name: 'chunk8', size: 8, members: [{ ...member, type: U64 }] }),
    32: add({ kind: 'struct', name: 'chunk32', size: 32, members: [{ ...member, type: four }] }),
  };
  const toChunk: Record<number, number> = {
    8: add({ kind: 'ptr', type: chunks[8] }),
    32: add({ kind: 'ptr', type: chunks[32] }),
  };
  const func = (name: string, params: number[], linkage: 'static' | 'global'): number => {
    const type = add({
      kind: 'func_proto',
      ret: INT,
      params: params.map((param, i) => ({ name: `a${i}`, type: param })),
    });
    return add({ kind: 'func', name, type, linkage });
  };
  const main = func('main', [toContext], 'global');
  const statics = func('helper', [U64, U64, U64, U64], 'static');
  const globals = PROTOTYPES.map((p, i) => {
    const chunk = toChunk[p.bytes];
    const id = func(
      `global${i}`,
      p.ctx ? [toContext, chunk] : [chunk, ...(p.nonnull ? [INT] : [])],
      'global',
    );
    if (p.nonnull) add({ kind: 'decl_tag', name: 'arg:nonnull', type: id, component: p.memory - 1 });
    return id;
  });
  return { btf: { types }, main, statics, globals };
}

const TYPES: Record<string, ReturnType<typeof typesOf>> = {
  xdp: typesOf('xdp_md'),
  tc: typesOf('__sk_buff'),
  socket_filter: typesOf('__sk_buff'),
};

const isCall = (insn: Insn): boolean =>
  (insn.op === OP_CALL && insn.src === CallKind.LOCAL) || (insn.op === OP_LDDW && insn.src === Pseudo.FUNC);

/** The spec with other instructions, and with BTF for its functions when one of them is global. */
export function withInsns(spec: ProgramSpec, insns: Insn[]): ProgramSpec {
  const starts = new Set<number>();
  insns.forEach((insn, at) => {
    if (isCall(insn)) starts.add(at + 1 + insn.imm);
  });
  const prototypeAt = (at: number): number => {
    const first = insns[at];
    const marked = first?.op === (Class.ALU64 | Alu.MOV) && first.dst === 0;
    return marked ? PROTOTYPES.findIndex(p => p.mark === first.imm) : -1;
  };
  const bare: ProgramSpec = { ...spec, insns, funcs: undefined, btf: undefined };
  const rows = [...starts].filter(at => at > 0 && at < insns.length).sort((a, b) => a - b);
  if (!rows.some(at => prototypeAt(at) >= 0)) return bare;
  const { btf, main, statics, globals } = TYPES[spec.type];
  const funcs: FuncInfo[] = [{ insn: 0, name: 'main', typeId: main, linkage: 'global' }];
  for (const at of rows) {
    const which = prototypeAt(at);
    if (which < 0) funcs.push({ insn: at, name: 'helper', typeId: statics, linkage: 'static' });
    else funcs.push({ insn: at, name: `global${which}`, typeId: globals[which], linkage: 'global' });
  }
  return { ...bare, funcs, btf };
}
