/** The kernel as oracle: programs, maps and verdicts through the addon. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import type { Btf } from '../../../host/bpf/btf/btf.js';
import { type Insn, OP_EXIT, OP_LDDW, Pseudo } from '../../../host/bpf/insn.js';
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import { KernelCollection } from '../../../host/bpf/kernel/collection.js';
import { KernelMap } from '../../../host/bpf/kernel/map.js';
import { KernelProgram } from '../../../host/bpf/kernel/program.js';
import type { MapSpec, ProgramSpec } from '../../../host/bpf/spec.js';
import { verify } from '../../../host/bpf/verify/verify.js';
import { assert, suite } from '../../support/suite.js';

const kernel = kernelAvailable();
const missing = kernel.ok ? undefined : kernel.reason;
const test = suite('kernel: bpf(2)');

const mov = (dst: number, imm: number): Insn => ({ op: 0xb7, dst, src: 0, off: 0, imm });
const exit: Insn = { op: OP_EXIT, dst: 0, src: 0, off: 0, imm: 0 };
const call = (id: number): Insn => ({ op: 0x85, dst: 0, src: 0, off: 0, imm: id });
const lddw = (dst: number, src: number, imm: number, high = 0): Insn[] => [
  { op: OP_LDDW, dst, src, off: 0, imm },
  { op: 0, dst: 0, src: 0, off: 0, imm: high },
];
const array = (over: Partial<MapSpec> = {}): MapSpec => ({
  name: 'values',
  type: 'array',
  keySize: 4,
  valueSize: 8,
  maxEntries: 2,
  flags: 0,
  ...over,
});
const spec = (insns: Insn[], over: Partial<ProgramSpec> = {}): ProgramSpec => ({
  name: 'test',
  type: 'xdp',
  license: 'GPL',
  insns,
  maps: {},
  ...over,
});
const u32 = (n: number) => new Uint8Array(Uint32Array.of(n).buffer);
const packet = new Uint8Array(64);
const openFds = () => readdirSync('/proc/self/fd').length;

function accepted(load: ReturnType<typeof KernelProgram.load>): KernelProgram {
  if (!load.accepted) throw new Error(`kernel rejected: ${load.reason}\n${load.log}`);
  return load.program;
}

test(
  'an accepted program runs and answers with its verdict, packet and native size',
  () => {
    const load = KernelProgram.load(spec([mov(0, 2), exit]));
    const program = accepted(load);
    assert.is(load.processed, 2);
    const run = program.testRun({ data: packet, repeat: 10 });
    assert.is(run.retval, 2);
    assert.is(run.dataOut.length, 64);
    assert.ok(program.jitedBytes > 0);
    program.close();
  },
  { missing },
);

test(
  'a signal to this thread does not end a test run: it is begun anew',
  async () => {
    const program = accepted(KernelProgram.load(spec([mov(0, 2), exit])));
    const kill = `for i in 1 2 3; do kill -USR2 ${process.pid}; sleep 0.03; done`;
    let signals = 0;
    const count = () => void signals++;
    process.on('SIGUSR2', count);
    try {
      const killer = spawn('sh', ['-c', kill], { stdio: 'ignore' });
      const ended = once(killer, 'exit');
      // Each is longer than the three signals are apart.
      for (let i = 0; i < 3; i++) {
        const run = program.testRun({ data: packet, repeat: 5_000_000 });
        assert.equal([run.retval, run.dataOut.length], [2, 64]);
      }
      await ended;
      await new Promise(done => setTimeout(done, 20));
      assert.ok(signals >= 1, 'signals came');
    } finally {
      process.off('SIGUSR2', count);
      program.close();
    }
  },
  { missing },
);

test(
  'egress_ifindex is for programs of section xdp/devmap, here and in the kernel',
  () => {
    const reads = (section: string): ProgramSpec =>
      spec([{ op: 0x61, dst: 0, src: 1, off: 20, imm: 0 }, exit], { section });
    for (const [section, allowed] of [
      ['xdp', false],
      ['xdp/devmap', true],
      ['xdp/cpumap', false],
    ] as const) {
      const load = KernelProgram.load(reads(section));
      assert.is(load.accepted, allowed, section);
      if (load.accepted) load.program.close();
      if (allowed) verify(reads(section));
      else assert.throws(() => verify(reads(section)), /no such field/, section);
    }
  },
  { missing },
);

test(
  'a rejection is a result with the decisive line, its instruction and the cause',
  () => {
    const load = KernelProgram.load(spec([mov(1, 0), { op: 0xbf, dst: 0, src: 6, off: 0, imm: 0 }, exit]));
    assert.is(load.accepted, false);
    if (load.accepted) return;
    assert.is(load.reason, 'R6 !read_ok');
    assert.is(load.insn, 1);
    assert.is(load.cause, 'safety');
    assert.is(load.errno, 'EACCES');
  },
  { missing },
);

test(
  'a helper the kernel does not know is a matter of the environment',
  () => {
    const load = KernelProgram.load(spec([call(60_000), exit]));
    assert.is(load.accepted, false);
    if (!load.accepted) assert.is(load.cause, 'environment');
  },
  { missing },
);

test(
  'kfuncs go to the kernel by name: one that it has runs, one that it lacks is named',
  () => {
    const kfunc: Insn = { op: 0x85, dst: 0, src: 2, off: 0, imm: 5 };
    const length = (bytes: number) => [mov(2, bytes), kfunc, exit];
    const pull = (bytes: number) => spec(length(bytes), { kfuncs: { 5: 'bpf_xdp_pull_data' } });
    for (const [bytes, retval] of [
      [packet.length, 0],
      [packet.length + 1, -22 >>> 0],
    ] as const) {
      const program = accepted(KernelProgram.load(pull(bytes)));
      assert.is(program.testRun({ data: packet }).retval, retval);
      program.close();
    }
    const before = openFds();
    const unknown: [ProgramSpec['kfuncs'], RegExp][] = [
      [{ 5: 'el_not_in_linux' }, /calls el_not_in_linux, which this kernel does not have/],
      [undefined, /calls kernel function 5, which this kernel does not have/],
    ];
    for (const [kfuncs, what] of unknown)
      assert.throws(() => KernelProgram.load(spec(length(1), { kfuncs })), what);
    assert.is(openFds(), before);
  },
  { missing },
);

test(
  'frozen contents reach the program as constants',
  () => {
    const contents = new Uint8Array(8);
    contents[4] = 77;
    const rodata = array({ name: '.rodata', maxEntries: 1, flags: 128, contents, frozen: true });
    const program = accepted(
      KernelProgram.load(
        spec([...lddw(1, Pseudo.MAP_VALUE, 5, 4), { op: 0x71, dst: 0, src: 1, off: 0, imm: 0 }, exit], {
          maps: { 5: rodata },
        }),
      ),
    );
    assert.is(program.testRun({ data: packet }).retval, 77);
    assert.throws(() => program.maps[5].update(u32(0), contents), /EPERM/);
    program.close();
  },
  { missing },
);

test(
  'maps hold what is written: lookup, iteration, deletion',
  () => {
    const map = KernelMap.create(array({ type: 'hash', name: 'flows', maxEntries: 8 }));
    for (let i = 0; i < 4; i++) map.update(u32(i), new Uint8Array(8).fill(i));
    assert.is(map.lookup(u32(3))![7], 3);
    assert.is([...map.keys()].length, 4);
    assert.is(map.delete(u32(3)), true);
    assert.is(map.delete(u32(3)), false);
    assert.is(map.lookup(u32(3)), undefined);
    map.close();
  },
  { missing },
);

test(
  'a callback program without types is given func_info, as the kernel requires',
  () => {
    // bpf_loop(4, callback, NULL, 0), callback: return 0
    const insns = [
      mov(1, 4),
      ...lddw(2, Pseudo.FUNC, 5),
      mov(3, 0),
      mov(4, 0),
      call(181),
      exit,
      mov(0, 0),
      exit,
    ];
    const program = accepted(KernelProgram.load(spec(insns)));
    assert.is(program.testRun({ data: packet }).retval, 4);
    program.close();
  },
  { missing },
);

test(
  'a spin lock in a map value is known through the BTF of the map',
  () => {
    const int = { bits: 32, bitOffset: 0, signed: false, char: false, bool: false, size: 4 };
    const types: Btf = {
      types: [
        { kind: 'void' },
        { kind: 'int', name: 'unsigned int', ...int },
        {
          kind: 'struct',
          name: 'bpf_spin_lock',
          size: 4,
          members: [{ name: 'val', type: 1, bitOffset: 0, bitSize: 0 }],
        },
        {
          kind: 'struct',
          name: 'value',
          size: 8,
          members: [
            { name: 'lock', type: 2, bitOffset: 0, bitSize: 0 },
            { name: 'count', type: 1, bitOffset: 32, bitSize: 0 },
          ],
        },
      ],
    };
    // value = lookup(map, &0); spin_lock(value) — and exit without unlocking
    const insns = [
      { op: 0x62, dst: 10, src: 0, off: -4, imm: 0 },
      { op: 0xbf, dst: 2, src: 10, off: 0, imm: 0 },
      { op: 0x07, dst: 2, src: 0, off: 0, imm: -4 },
      ...lddw(1, Pseudo.MAP_FD, 1),
      call(1),
      { op: 0x15, dst: 0, src: 0, off: 2, imm: 0 },
      { op: 0xbf, dst: 1, src: 0, off: 0, imm: 0 },
      call(93),
      mov(0, 0),
      exit,
    ];
    const load = KernelProgram.load(
      spec(insns, { maps: { 1: array({ btf: { types, keyId: 1, valueId: 3 } }) } }),
    );
    assert.is(load.accepted, false);
    if (!load.accepted) assert.match(load.reason, /bpf_spin_lock-ed region/);
  },
  { missing },
);

test(
  'a collection fills its program array: the tail call arrives',
  () => {
    const jumps = array({
      name: 'jumps',
      type: 'prog_array',
      valueSize: 4,
      values: [{ key: 1, name: 'leaf' }],
    });
    const root = spec([...lddw(2, Pseudo.MAP_FD, 0), mov(3, 1), call(12), mov(0, 1), exit], {
      name: 'root',
      maps: { 0: jumps },
    });
    const leaf = spec([mov(0, 2), exit], { name: 'leaf' });
    const collection = KernelCollection.load({
      file: 'test',
      license: 'GPL',
      programs: { root, leaf },
      maps: { jumps },
    });
    assert.is(collection.program('root').testRun({ data: packet }).retval, 2);
    collection.close();
  },
  { missing },
);

test(
  'nothing stays open: neither after close nor after a rejection or a refused map',
  () => {
    const before = openFds();
    accepted(KernelProgram.load(spec([mov(0, 1), exit], { maps: { 0: array(), 1: array() } }))).close();
    KernelProgram.load(spec([exit], { maps: { 0: array() } }));
    assert.throws(() =>
      KernelProgram.load(spec([exit], { maps: { 0: array(), 1: array({ maxEntries: 0 }) } })),
    );
    assert.is(openFds(), before);
  },
  { missing },
);
