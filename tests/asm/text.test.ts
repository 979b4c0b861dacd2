import { assemble } from '../../host/bpf/asm/assemble.js';
import { disassemble } from '../../host/bpf/asm/disassemble.js';
import { assembleSpec } from '../../host/bpf/asm/spec.js';
import { encodeInsns } from '../../host/bpf/insn.js';
import { EtherloomError } from '../../host/errors.js';
import { assert, suite } from '../support/suite.js';

const test = suite('asm/text');

const refusal = (text: string): EtherloomError => {
  try {
    assembleSpec(text, { file: 'x.s' });
  } catch (error) {
    if (error instanceof EtherloomError) return error;
    throw error;
  }
  throw new Error(`accepted: ${text}`);
};
const hex = (text: string): string => Buffer.from(encodeInsns(assemble(text).insns)).toString('hex');

test('each way of writing an instruction gives the same bytes', () => {
  const same: [string, ...string[]][] = [
    [
      '6112040000000000',
      'r2 = *(u32 *)(r1 +4)',
      'r2 = *(u32 *)(r1 + 0x4)',
      'w2 = *(u32*)(r1+4)',
      '0: (61) r2 = *(u32 *)(r1 +4) ; R1=ctx()',
    ],
    ['b70100000a000000', 'r1 = 10', 'r1 = 0xa', 'r1 = +10', '(b7) r1 = 10'],
    ['18010000ffffffff00000000ffffff7f', 'r1 = 0x7fffffffffffffff ll', 'r1 = 9223372036854775807 ll'],
    ['18010000050000000000000000000000', 'r1 = 5 ll', 'r1 = 0x5 ll', '(18) r1 = 0x5'],
    ['2501030005000000', 'if r1 > 5 goto pc+3', 'if r1 > 0x5 goto +3', 'if r1 > 0x5 goto +0x3 <LBB0_2>'],
    ['5501ffffffffffff', 'if r1 != -1 goto -1', 'if r1 != 0xffffffff goto pc-1'],
    [
      '8500000001000000',
      'call 1',
      'call bpf_map_lookup_elem',
      'call map_lookup_elem#1',
      'call 0x1',
      'call bpf_map_lookup_elem#1',
    ],
    ['8510000005000000', 'call pc+5', 'call +5', 'call +0x5'],
    ['db21f8ff00000000', 'lock *(u64 *)(r1 -8) += r2', 'lock *(u64 *)(r1 - 0x8) += r2'],
    ['db210000f1000000', 'r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)', 'r0 = cmpxchg_64(r1 + 0, r0, r2)'],
    ['c3210000e1000000', 'r2 = atomic_xchg((u32 *)(r1 +0), r2)', 'w2 = xchg32_32(r1 + 0x0, w2)'],
    ['bf12080000000000', 'r2 = (s8)r1', 'r2 = (s8) r1'],
    ['0c12000000000000', 'w2 += w1', '(0c) w2 += w1'],
    ['c401000003000000', 'w1 s>>= 3', 'w1 s>>= 0x3'],
    ['dc01000010000000', 'r1 = be16 r1'],
    ['bc21000000000000', 'w1 = w2', 'r1 = w2'],
  ];
  for (const [bytes, ...texts] of same) for (const text of texts) assert.is(hex(text), bytes, text);
});

test('labels, functions and maps resolve over the whole text', () => {
  const { insns, funcs, maps, labels } = assemble(`
      r1 = map[flows]
      r2 = map[flows][0]+8
      r3 = subprog[callback]
      if r1 == 0 goto end   # forward
again: r0 += 1
      goto again            // back
end:  call helper
      exit
helper: r0 = 0
      exit
callback:
      r0 = 1
      exit`);
  assert.is(maps.get('flows'), 1);
  assert.equal([insns[0].src, insns[0].imm, insns[2].src, insns[3].imm], [1, 1, 2, 8]);
  assert.is(4 + 1 + insns[4].imm, labels.get('callback'));
  assert.is(6 + 1 + insns[6].off, labels.get('end'));
  assert.is(8 + 1 + insns[8].off, labels.get('again'));
  assert.is(9 + 1 + insns[9].imm, labels.get('helper'));
  assert.equal(
    funcs.map(f => f.name),
    ['main', 'helper', 'callback'],
  );
});

test('errors name line, column, offset and what was expected', () => {
  const cases: [string, string, string, RegExp][] = [
    ['r1 = 5\nr2 == 3', 'ERR_ASM_SYNTAX', 'line 2, column 4', /expected =, \+=/],
    ['r11 = 5', 'ERR_ASM_SYNTAX', 'line 1, column 1', /expected an instruction/],
    [
      'r1 = 5000000000',
      'ERR_ASM_SYNTAX',
      'line 1, column 6',
      /expected a 32-bit constant, or "5000000000 ll"/,
    ],
    ['  r1 = *(u24 *)(r2 +0)', 'ERR_ASM_SYNTAX', 'line 1, column 10', /u8, u16, u32, u64/],
    ['r1 = *(u8 *)(w2 +0)', 'ERR_ASM_SYNTAX', 'line 1, column 14', /expected r0–r10/],
    ['r1 = *(u8 *)(r2 +40000)', 'ERR_ASM_SYNTAX', 'line 1, column 17', /−32768–32767/],
    ['r1 += w2', 'ERR_ASM_SYNTAX', 'line 1, column 7', /expected r2/],
    ['r1 = be16 r2', 'ERR_ASM_SYNTAX', 'line 1, column 11', /expected r1/],
    ['goto nowhere', 'ERR_ASM_LABEL', 'line 1, column 6', /label nowhere is nowhere/],
    ['a: exit\na: exit', 'ERR_ASM_LABEL', 'line 2, column 1', /stands twice/],
    ['call bpf_nonsense', 'ERR_ASM_NAME', 'line 1, column 6', /no helper, no kfunc and no label/],
    ['call bpf_map_lookup_elem#2', 'ERR_ASM_NAME', 'line 1, column 6', /bpf_map_lookup_elem#1/],
    ['r1 = map[flows]\nexit', 'ERR_ASM_NAME', 'map flows is not defined', /\.map flows TYPE/],
    ['.map m hsah key=1', 'ERR_ASM_SYNTAX', 'line 1, column 1', /\.map NAME TYPE/],
    ['.bogus 1', 'ERR_ASM_SYNTAX', 'line 1, column 1', /directive \.bogus/],
    ['7: exit', 'ERR_ASM_SYNTAX', 'line 1, column 1', /instruction 7 where number 0 comes/],
    ['(bf) r1 = 5', 'ERR_ASM_SYNTAX', 'the line says (bf)', /equal opcodes/],
    ['exit exit', 'ERR_ASM_SYNTAX', 'line 1, column 6', /end of line/],
    ['r1 = 5 $', 'ERR_ASM_SYNTAX', 'line 1, column 8', /end of line/],
    ['r1 = ?', 'ERR_ASM_SYNTAX', 'line 1, column 6', /unexpected "\?"/],
    ['r0 = cmpxchg_64(r1 + 0, r3, r2)', 'ERR_ASM_SYNTAX', 'line 1, column 25', /r0 or w0/],
  ];
  for (const [text, code, where, message] of cases) {
    const error = refusal(text);
    assert.is(error.code, code, error.message);
    assert.ok(error.message.includes(where), `${error.message} should say ${where}`);
    assert.match(error.message, message);
    assert.is(error.file, 'x.s');
    assert.ok(error.expected);
  }
  assert.is(refusal('r1 = 5\nr2 == 3').offset, 10, 'offset counts from the start of the text');
});

test('a jump that does not reach is refused, and gotol reaches', () => {
  const far = `${'r0 = 0\n'.repeat(40_000)}end: exit`;
  assert.is(refusal(`goto end\n${far}`).code, 'ERR_ASM_RANGE');
  assert.is(assemble(`gotol end\n${far}`).insns[0].imm, 40_000);
});

test('both notations, labels and numbers, as they print', () => {
  const { insns } = assemble(`
      r2 = 0x1122334455667788 ll
      *(u16 *)(r10 -4) = 7
      if w2 s< -1 goto out
      r0 = atomic64_fetch_or((u64 *)(r10 -8), r0)
      call bpf_ktime_get_ns
      call sub
out:  exit
sub:  r0 = *(s16 *)(r1 +2)
      exit`);
  assert.is(
    disassemble(insns, { numbers: true }),
    [
      ' 0: (18) r2 = 0x1122334455667788 ll',
      ' 2: (6a) *(u16 *)(r10 -4) = 7',
      ' 3: (c6) if w2 s< 0xffffffff goto L7',
      ' 4: (db) r0 = atomic64_fetch_or((u64 *)(r10 -8), r0)',
      ' 5: (85) call bpf_ktime_get_ns#5',
      ' 6: (85) call func_8',
      'L7:',
      ' 7: (95) exit',
      'func_8:',
      ' 8: (89) r0 = *(s16 *)(r1 +2)',
      ' 9: (95) exit',
      '',
    ].join('\n'),
  );
  assert.is(
    disassemble(insns, { notation: 'clang', labels: false }),
    [
      '\tr2 = 0x1122334455667788 ll',
      '\t*(u16 *)(r10 - 0x4) = 0x7',
      '\tif w2 s< -0x1 goto +0x3',
      '\tr0 = atomic_fetch_or((u64 *)(r10 - 0x8), r0)',
      '\tcall 0x5',
      '\tcall +0x1',
      '\texit',
      '\tr0 = *(s16 *)(r1 + 0x2)',
      '\texit',
      '',
    ].join('\n'),
  );
});
