import { causeOf, summarize } from '../../../host/bpf/kernel/log.js';
import { EtherloomError } from '../../../host/errors.js';
import type { FuzzTarget } from '../../support/fuzz.js';

const REJECTED = `func#0 @0
0: R1=ctx() R10=fp0
0: (61) r0 = *(u32 *)(r1 +0)
1: (71) r0 = *(u8 *)(r0 +0)
R0 invalid mem access 'scalar'
verification time 61 usec
stack depth 0+16
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 3 peak_states 4 mark_read 0
`;
const count = (n: number | undefined): boolean => n === undefined || (n >= 0 && !Number.isNaN(n));

/** Logs of the kernel's verifier, cut and garbled: always summarised, in numbers. */
export const target: FuzzTarget = {
  name: 'kernel_log',
  maxBytes: 8192,
  seeds: () => ['', REJECTED, REJECTED.repeat(5), 'unknown opcode 8d\n'].map(t => Buffer.from(t)),
  run: input => {
    const log = Buffer.from(input).toString('latin1');
    const s = summarize(log);
    if (![s.insn, s.processed, s.timeUs, s.states, s.peakStates, ...s.stackDepth].every(count))
      throw new Error(`not numbers: ${JSON.stringify(s)}`);
    if (s.decisive?.includes('\n')) throw new Error('the decisive line is not one line');
    if (causeOf('EINVAL', log, 2) === 'environment')
      throw new EtherloomError('ERR_KERNEL_ENVIRONMENT', 'environment');
  },
  dictionary: ['processed ', ' insns', 'stack depth ', 'verification time ', '\n', ': (', '+', 'kernel btf'],
};
