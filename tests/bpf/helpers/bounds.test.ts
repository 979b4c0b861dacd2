/** What helpers do at the ends of a packet's frame: nothing outside of it is touched, whatever the headers claim. */
import { helperId } from '../../../host/bpf/helpers.js';
import { compileProgram } from '../../../host/bpf/jit/compile.js';
import { instantiateProgram } from '../../../host/bpf/jit/instantiate.js';
import { verify } from '../../../host/bpf/verify/verify.js';
import { TEST_RUN_MAX, testRunSlot } from '../../../host/engine/test_run.js';
import { arena, core, frame, runHere, type Step } from '../../support/helper_rig.js';
import { Alu, aluImm, call, exit, ldx, mov, movImm, Size, spec } from '../../support/insns.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('helpers: bounds');
const step = (helper: string, ...args: NonNullable<Step['args']>): Step => ({ helper, args });
const ENCAP_L3_IPV6 = 4;
const [NET, MAC] = [0, 1];
const SLOT = 4000;

test('skb_adjust_room makes no room behind the last byte of a packet', () => {
  const { results, ctx } = runHere({
    type: 'tc',
    packet: frame(98),
    steps: [
      step('skb_change_tail', 'ctx', TEST_RUN_MAX, 0),
      // 14 + 20 bytes are left, at the very end of the frame; IPv6 is claimed for them.
      step('skb_adjust_room', 'ctx', 34 - TEST_RUN_MAX, MAC, 0),
      step('skb_adjust_room', 'ctx', 1, MAC, ENCAP_L3_IPV6),
      step('skb_adjust_room', 'ctx', 1, NET, 0),
      step('skb_change_proto', 'ctx', 0x0008, 0),
      step('skb_adjust_room', 'ctx', 1, NET, 0),
    ],
  });
  assert.equal(results.map(Number), [0, 0, 0, -12, 0, -12]);
  assert.is(ctx[0], 15);
});

test('a repeated run finds the header marks where the first one did', () => {
  const call3 = (name: string, ...args: number[]) => [
    mov(1, 6),
    ...args.map((n, i) => movImm(i + 2, n)),
    call(helperId(name)!),
  ];
  const program = spec(
    [
      mov(6, 1),
      ...call3('skb_change_head', 20, 0),
      ...call3('skb_adjust_room', 8, MAC, 0),
      // Behind the room that was made.
      mov(1, 6),
      movImm(2, 8),
      mov(3, 10),
      aluImm(Alu.ADD, 3, -8),
      movImm(4, 8),
      movImm(5, 1),
      call(helperId('skb_load_bytes_relative')!),
      ldx(Size.W, 0, 10, -8),
      exit(),
    ],
    'tc',
  );
  const compiled = compileProgram(verify(program), {});
  instantiateProgram(compiled, core, arena, SLOT);
  for (const repeat of [1, 2, 500]) {
    const { retval } = testRunSlot(arena, core, SLOT, 'tc', frame(98), { repeat });
    assert.is(retval >>> 0, 0x1110_0f0e, `${repeat} runs`);
  }
});
