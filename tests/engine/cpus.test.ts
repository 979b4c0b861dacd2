/** Lanes keep to the CPUs that EngineOptions.cpus names. */
import { readdirSync, readFileSync } from 'node:fs';
import { allowedCpus, checkCpus, keepTo } from '../../host/engine/cpus.js';
import { Engine } from '../../host/engine/engine.js';
import type { EtherloomError } from '../../host/errors.js';
import { type Native, native } from '../../host/native/load.js';
import { HostNic } from '../../host/nic/index.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: CPUs of lanes');
const addon = native();
const missing = !addon.ok
  ? addon.reason
  : addon.native.pin
    ? undefined
    : 'the native addon is older than this version';

/** CPUs that each thread of this process may run on, by thread. */
function threads(): Map<string, string> {
  const found = new Map<string, string>();
  for (const tid of readdirSync('/proc/self/task')) {
    try {
      const status = readFileSync(`/proc/self/task/${tid}/status`, 'utf8');
      found.set(tid, /^Cpus_allowed_list:\s*(\S+)/m.exec(status)![1]);
    } catch {
      // It ended since the folder was read.
    }
  }
  return found;
}

function refusal(work: () => unknown): EtherloomError {
  try {
    work();
  } catch (error) {
    return error as EtherloomError;
  }
  throw new Error('it was not refused');
}

test(
  'lane i keeps to the CPU at i, again from the first; the host and lanes of other engines go where they went',
  async () => {
    const all = allowedCpus();
    const cpus = [all[all.length - 1], all[0]];
    const create = (more: object): Promise<Engine> =>
      Engine.create({ nics: [new HostNic()], lanes: 3, frames: 1024, mapBytes: 4096, ...more });
    const before = threads();
    const free = await create({});
    await free.start();
    const between = threads();
    const whole = before.get(`${process.pid}`);
    for (const [tid, list] of between) if (!before.has(tid)) assert.is(list, whole, 'without the option');
    const kept = await create({ cpus });
    await kept.start();
    const lists = [...threads()].filter(([tid]) => !between.has(tid)).map(([, list]) => list);
    const wanted = [cpus[0], cpus[1], cpus[0]].map(String);
    for (const cpu of new Set(wanted))
      if (`${cpu}` !== whole)
        assert.is(
          lists.filter(list => list === cpu).length,
          wanted.filter(w => w === cpu).length,
          `lanes on CPU ${cpu} of ${lists}`,
        );
    assert.is(threads().get(`${process.pid}`), whole, 'the host');
    await kept.stop();
    await free.stop();
  },
  { missing },
);

test('a CPU that there is not, and what is no list, are refused before any lane is started', async () => {
  for (const cpus of [[4095], [0.5], [-1], [], 1, null, ['0']]) {
    let error: Partial<EtherloomError> = {};
    await Engine.create({ nics: [new HostNic()], cpus: cpus as unknown as number[] }).catch(e => (error = e));
    assert.is(error.code, 'ERR_ENGINE_OPTIONS', `${cpus}`);
    assert.match(error.message!, /option cpus: /);
  }
});

test('without the addon the option is refused with the reason, and a CPU that went later ends the lane', () => {
  const some = allowedCpus().slice(0, 1);
  const without = { ok: false, reason: 'no addon here' } as const;
  if (some.length) assert.match(refusal(() => checkCpus(some, without)).message, /no addon here/);
  const older = { ok: true, native: {} as Native } as const;
  if (some.length) assert.match(refusal(() => checkCpus(some, older)).message, /older than this version/);
  const gone = { ok: true, native: { pin: () => -22 } as unknown as Native } as const;
  const error = refusal(() => keepTo(3, gone));
  assert.is(error.code, 'ERR_LANE_CPU');
  assert.match(error.message, /CPU 3: -22/);
});
