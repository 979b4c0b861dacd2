/** The table's prototypes against the real kernel's: who may call, under which licence, with which arguments. */
import { helpers } from '../../../host/bpf/helpers.js';
import type { Insn } from '../../../host/bpf/insn.js';
import { KernelProgram } from '../../../host/bpf/kernel/program.js';
import type { ProgramType } from '../../../host/bpf/spec.js';
import { missingKernel } from '../../support/helper_rig.js';
import { call, exit, mov, movImm, spec } from '../../support/insns.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('helpers: prototypes');
const missing = missingKernel();

/** What the kernel says to a program of this body. */
function verdict(type: ProgramType, license: string, body: (Insn | Insn[])[]): string {
  const load = KernelProgram.load(spec([...body, movImm(0, 0), exit()], type, { license }));
  if (load.accepted) {
    load.program.close();
    return 'accepted';
  }
  return load.log;
}

const REFUSED =
  /program of this type cannot use helper|unknown func|cannot use (the )?bpf_|helper call is not allowed|not allowed in probe/;

test(
  'each helper is offered to the same program types as in the kernel',
  () => {
    const wrong: string[] = [];
    for (const h of helpers)
      for (const type of ['xdp', 'tc', 'socket_filter'] as const) {
        // The context in every argument: no argument error can hide whether the call is known.
        const body = [mov(2, 1), mov(3, 1), mov(4, 1), mov(5, 1), call(h.id)];
        const log = verdict(type, 'GPL', body);
        const offered = !REFUSED.test(log);
        if (h.name.startsWith('spin_')) continue; // refused for socket filters by a later check
        if (offered !== h.types.includes(type))
          wrong.push(`${h.name} for ${type}: the kernel says ${offered}`);
      }
    assert.equal(wrong, []);
  },
  { missing },
);

test(
  'the same helpers ask for a GPL-compatible licence',
  () => {
    const wrong: string[] = [];
    for (const h of helpers) {
      const body = [mov(2, 1), mov(3, 1), mov(4, 1), mov(5, 1), call(h.id)];
      const gpl = /GPL/.test(verdict(h.types[0], 'Proprietary', body));
      if (gpl !== (h.gpl ?? false)) wrong.push(`${h.name}: the kernel says ${gpl}`);
    }
    assert.equal(wrong, []);
  },
  { missing },
);

test(
  'each helper takes as many arguments as in the kernel, and the context where the kernel wants it',
  () => {
    const wrong: string[] = [];
    for (const h of helpers) {
      // R1 is the context; the first register that was never written and is an argument is named by the kernel.
      for (let given = 1; given <= 5; given++) {
        const body = Array.from({ length: given - 1 }, (_, i) => movImm(i + 2, 0));
        const log = verdict(h.types[0], 'GPL', [...body, call(h.id)]);
        const asked = new RegExp(`R${given + 1} !read_ok`).test(log);
        const has = given < h.args.length && h.args[given].type !== 'dontcare';
        // Earlier arguments that are wrong end the check first: then there is nothing to learn.
        if (asked && !has) wrong.push(`${h.name} has an argument ${given + 1}`);
      }
      if (h.args.length && h.args[0].type !== 'ctx') continue;
      if (!h.args.length) continue;
      const log = verdict(h.types[0], 'GPL', [
        movImm(1, 0),
        movImm(2, 0),
        movImm(3, 0),
        movImm(4, 0),
        movImm(5, 0),
        call(h.id),
      ]);
      if (!/R1 type=scalar expected=(ctx|fp)/.test(log)) wrong.push(`${h.name}: ${log.split('\n').at(-2)}`);
    }
    assert.equal(wrong, []);
  },
  { missing },
);

/** What moves packet data: a packet pointer from before the call may not be used after it. */
test(
  'the same helpers make packet pointers invalid',
  () => {
    const wrong: string[] = [];
    const simple = helpers.filter(
      h => h.args.every(a => a.type === 'ctx' || a.type === 'anything') && !h.byEngine,
    );
    for (const h of simple) {
      if (h.types[0] === 'socket_filter' || !h.types.some(t => t !== 'socket_filter')) continue;
      const type = h.types.includes('xdp') ? 'xdp' : 'tc';
      const at = type === 'xdp' ? [0, 4] : [76, 80];
      const ldxw = (dst: number, off: number): Insn => ({ op: 0x61, dst, src: 6, off, imm: 0 });
      const body: Insn[] = [
        mov(6, 1),
        ldxw(7, at[0]),
        ldxw(8, at[1]),
        mov(2, 7),
        { op: 0x07, dst: 2, src: 0, off: 0, imm: 14 },
        { op: 0x3d, dst: 8, src: 2, off: 2, imm: 0 }, // if r8 >= r2
        movImm(0, 0),
        exit(),
        ...h.args.map((a, i) => (a.type === 'ctx' ? mov(i + 1, 6) : movImm(i + 1, 0))),
        call(h.id),
        { op: 0x71, dst: 0, src: 7, off: 0, imm: 0 },
      ];
      const log = verdict(type, 'GPL', body);
      const changes = /invalid mem access|R7 !read_ok/.test(log);
      if (log !== 'accepted' && !changes) wrong.push(`${h.name}: ${log.trim().split('\n').at(-2)}`);
      if (changes !== (h.changesPacket ?? false)) wrong.push(`${h.name}: the kernel says ${changes}`);
    }
    assert.ok(simple.length > 25);
    assert.equal(wrong, []);
  },
  { missing },
);
