/** Objects of some MB at most that would keep a loader busy for minutes: each is loaded and printed, or refused, at once. */
import { formatMaps, summarizeMaps } from '../../host/bpf/btf/print.js';
import { loadElf } from '../../host/bpf/elf/load.js';
import type { EtherloomError } from '../../host/errors.js';
import { hostileElfs } from '../support/hostile_elf.js';
import { assert, suite } from '../support/suite.js';

const test = suite('elf: hostile objects');
/** CPU time of one, ms; the slowest takes a third on an idle machine. */
const MOST_MS = 3000;

for (const { what, bytes, code } of hostileElfs())
  test(`${what}: ${code ?? 'loaded and printed'}`, () => {
    const before = process.cpuUsage();
    let refused: EtherloomError | undefined;
    try {
      const collection = loadElf(bytes, 'hostile.o');
      formatMaps(collection);
      summarizeMaps(collection);
    } catch (error) {
      refused = error as EtherloomError;
    }
    const { user, system } = process.cpuUsage(before);
    assert.is(refused?.code, code, refused?.message);
    if (refused) assert.equal([refused.file, typeof refused.offset], ['hostile.o', 'number']);
    const ms = (user + system) / 1000;
    assert.ok(ms < MOST_MS, `${Math.round(ms)} ms for ${bytes.length} bytes`);
  });
