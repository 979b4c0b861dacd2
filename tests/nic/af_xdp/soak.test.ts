/** AF_XDP under everything that can befall it: a short form of npm run test:soak-nic. */
import { assert, suite } from '../../support/suite.js';
import { KernelLog } from './kernel_log.js';
import { BLOWS, live } from './lives.js';
import { missing, RESUMES_MS } from './rig.js';

const test = suite('nic: af_xdp, soak');

test(
  'two lives of every blow: answers come back, frames conserved, no file left, the kernel warns of nothing',
  async () => {
    const log = new KernelLog();
    const first = await live(1, RESUMES_MS);
    const second = await live(2, RESUMES_MS);
    assert.equal([...first.faults, ...second.faults], []);
    assert.is(first.blows.length, Object.keys(BLOWS).length);
    assert.ok(first.answers > 1000, `${first.answers} answers`);
    assert.is(second.openFiles, first.openFiles);
    assert.equal(log.warnings(), []);
  },
  { missing, timeoutMs: 90_000 },
);
