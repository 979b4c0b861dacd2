/**
 * `etherloom conformance [MEM] [--interp] [--elf] < PROGRAM-HEX`: the contract of external conformance runners.
 * The program is unverified: it runs in the guarded JIT, or in the checked interpreter with --interp.
 * A runner starts this hundreds of times, so what is not needed is not imported.
 */
import { EtherloomError } from '../errors.js';
import { parseHex } from './hex.js';
import { decodeInsns, type Insn, OP_CALLX } from './insn.js';
import type { ProgramSpec } from './spec.js';

/** Memory of one run: stack, then the bytes of MEM. */
const REGION_AT = 4096;
const STACK_BYTES = 16384;
const PAGE = 65536;
const FUEL = 1n << 30n;
const INTERP_BUDGET = 1 << 27;
/** Frames that the stack has room for. */
const MAX_FRAMES = STACK_BYTES / 512;
const u64 = (v: bigint): bigint => BigInt.asUintN(64, v);

/** Helper 5 returned 0: the whole program ends with r0 = 0. */
class Unwind extends Error {}

type Helper = (r1: bigint, r2: bigint, r3: bigint, r4: bigint, r5: bigint) => bigint;

/** Bytes of the run's memory that the program may hand to helpers. */
interface Sandbox {
  u8: Uint8Array;
  lo: number;
  hi: number;
}

/** The helpers that uBPF's tests use, by number. */
function testHelpers({ u8, lo, hi }: Sandbox): readonly Helper[] {
  const at = (address: bigint, bytes: bigint): number => {
    const a = u64(address);
    if (a < BigInt(lo) || a + u64(bytes) > BigInt(hi))
      throw new EtherloomError(
        'ERR_CONFORMANCE_BOUNDS',
        `a helper was given ${u64(bytes)} bytes at 0x${a.toString(16)}`,
      );
    return Number(a);
  };
  return [
    // gather_bytes
    (a, b, c, d, e) => [a, b, c, d, e].reduce((sum, byte) => (sum << 8n) | (byte & 0xffn), 0n),
    // memfrob
    (address, n) => {
      const from = at(address, n);
      for (let i = from; i < from + Number(u64(n)); i++) u8[i] ^= 42;
      return address;
    },
    // no-op
    () => 0n,
    // sqrti
    x => BigInt(Math.floor(Math.sqrt(Number(x & 0xffffffffn)))),
    // strcmp
    (a, b) => {
      for (let i = 0n; ; i++) {
        const x = u8[at(a + i, 1n)];
        const y = u8[at(b + i, 1n)];
        if (x !== y || x === 0) return BigInt(x - y);
      }
    },
    // unwind
    result => {
      if (result === 0n) throw new Unwind();
      return result;
    },
  ];
}

const NAMES = ['gather_bytes', 'memfrob', 'no_op', 'sqrti', 'strcmp', 'unwind'];
/** Through a register the last one does not unwind: it is a plain function there. */
const CALLX_NAMES = [...NAMES.slice(0, 5), 'identity'];

interface Run {
  spec: ProgramSpec;
  memory: WebAssembly.Memory;
  /** Address of MEM, 0 without one. */
  r1: bigint;
  /** Its length. */
  r2: bigint;
  sandbox: Sandbox;
}

function prepare(insns: Insn[], mem: Uint8Array): Run {
  const lo = REGION_AT;
  const memAt = lo + STACK_BYTES;
  // A region that ends with the last byte of MEM: one further is a fault.
  const hi = memAt + mem.length;
  const pages = Math.ceil(hi / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const u8 = new Uint8Array(memory.buffer);
  u8.set(mem, memAt);
  return {
    spec: { name: 'stdin', type: 'unspec', license: 'GPL', insns, maps: {} },
    memory,
    r1: mem.length ? BigInt(memAt) : 0n,
    r2: BigInt(mem.length),
    sandbox: { u8, lo, hi },
  };
}

async function runJit({ spec, memory, r1, r2, sandbox }: Run): Promise<bigint> {
  const { compileGuarded } = await import('./jit/compile.js');
  const { GuardedProgram } = await import('./jit/guarded.js');
  const compiled = compileGuarded(spec, {
    helpers: new Map(NAMES.map((name, id) => [id, name])),
    callx: new Map(CALLX_NAMES.map((name, id) => [id, name])),
  });
  const functions = testHelpers(sandbox);
  const imports: Record<string, Helper> = { identity: v => v };
  NAMES.forEach((name, i) => {
    imports[name] = (...args) => BigInt.asIntN(64, functions[i](...args));
  });
  const { lo, hi } = sandbox;
  const program = new GuardedProgram(compiled, { memory, lo, hi, stack: lo + STACK_BYTES }, imports);
  return program.enter(r1, r2, FUEL);
}

async function runInterpreter({ spec, r1, r2, sandbox }: Run): Promise<bigint> {
  const [{ Machine }, { InterpFault, Regions }, { checkWellformed }] = await Promise.all([
    import('./interp/machine.js'),
    import('./interp/regions.js'),
    import('./wellformed.js'),
  ]);
  checkWellformed(spec.insns, spec.name, { callx: true });
  const { u8, lo, hi } = sandbox;
  const regions = new Regions();
  const top = lo + STACK_BYTES;
  const stack = regions.add({ name: 'stack', lo: top, hi: top, write: true });
  if (hi > top) regions.add({ name: 'memory', lo: top, hi, write: true });
  const functions = testHelpers(sandbox);
  const absent = (pc: number, what: string): never => {
    throw new InterpFault('helper', pc, what);
  };
  const machine = new Machine(
    spec.insns,
    {
      dv: new DataView(u8.buffer),
      regions,
      helper(m, id, pc) {
        const [, a, b, c, d, e] = m.regs;
        if (id === 5 && spec.insns[pc].op === OP_CALLX) return a;
        return u64((functions[id] ?? absent(pc, `helper ${id} does not exist`))(a, b, c, d, e));
      },
      kfunc: (_m, id, pc) => absent(pc, `kfunc ${id} does not exist`),
      mapAddress: (key, _value, _offset, pc) => absent(pc, `no map is bound to key ${key}`),
      packetLoad: () => undefined,
    },
    { left: INTERP_BUDGET },
    stack,
    MAX_FRAMES,
  );
  machine.regs[1] = r1;
  machine.regs[2] = r2;
  return machine.call(0, top);
}

/** Instructions of an ELF object: its first program, or its .text when it has no section with a program's name. */
async function elfInsns(bytes: Uint8Array): Promise<Insn[]> {
  const { loadElf } = await import('./elf/load.js');
  const [first] = Object.values(loadElf(bytes, 'stdin').programs);
  if (first) return first.insns;
  const { readElf } = await import('./elf/reader.js');
  const text = readElf(bytes, 'stdin').sections.find(s => s.name === '.text');
  if (!text)
    throw new EtherloomError('ERR_CONFORMANCE_ELF', 'the object holds no program', {
      file: 'stdin',
      expected: 'a program section, or .text',
    });
  return decodeInsns(bytes.subarray(text.offset, text.offset + text.size), 'stdin');
}

interface Options {
  mem: Uint8Array;
  interp: boolean;
  elf: boolean;
}

function parseArguments(argv: readonly string[]): Options {
  const options: Options = { mem: new Uint8Array(), interp: false, elf: false };
  argv.forEach((arg, i) => {
    if (arg === '--interp') options.interp = true;
    else if (arg === '--elf') options.elf = true;
    else if (i === 0 && !arg.startsWith('--')) options.mem = parseHex(arg, 'MEM', 'ERR_CONFORMANCE_HEX');
    else
      throw new EtherloomError('ERR_CONFORMANCE_USAGE', `unknown argument ${arg}`, {
        expected: '[MEM] [--interp] [--elf]',
      });
  });
  return options;
}

async function readAll(stdin: AsyncIterable<Uint8Array | string>): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of stdin)
    text += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
  return text;
}

/**
 * Runs the command. r0 goes to stdout as lower-case hex; a failure's message, too.
 * @param argv after the word `conformance`
 * @returns exit code: 0 ran, 1 failed, 2 usage
 */
export async function runConformance(
  argv: readonly string[],
  stdin: AsyncIterable<Uint8Array | string>,
  stdout: { write(text: string): unknown },
): Promise<number> {
  try {
    const options = parseArguments(argv);
    const bytes = parseHex(await readAll(stdin), 'stdin', 'ERR_CONFORMANCE_HEX');
    const insns = options.elf ? await elfInsns(bytes) : decodeInsns(bytes, 'stdin');
    const run = prepare(insns, options.mem);
    let r0: bigint;
    try {
      r0 = options.interp ? await runInterpreter(run) : await runJit(run);
    } catch (error) {
      if (!(error instanceof Unwind)) throw error;
      r0 = 0n;
    }
    stdout.write(`${u64(r0).toString(16)}\n`);
    return 0;
  } catch (error) {
    stdout.write(`${error instanceof Error ? error.message : error}\n`);
    return error instanceof EtherloomError && error.code === 'ERR_CONFORMANCE_USAGE' ? 2 : 1;
  }
}
