/** HTTP, WebSocket and key-value load with loss and lane kills: a short form of npm run test:soak-sockets. */
import { assert, suite } from '../support/suite.js';
import { sleep } from '../support/waiting.js';
import { missing } from '../tcp/interop/missing.js';
import { flat } from './soak/flat.js';
import { type Sample, SoakWorld } from './soak/world.js';

const test = suite('sockets: soak');

/** Every load got on, nothing is wrong, and what was to happen has happened. */
function fine({ loads, kills, again, faults }: Sample): void {
  assert.equal(faults, []);
  for (const [name, { answers, connections }] of Object.entries(loads))
    assert.ok(answers > 10 && connections > 0, `${name}: ${answers} answers`);
  assert.ok(kills > 3 && again > 3, `${kills} kills, ${again} segments sent again`);
}

async function soak(ms: number, kernel: boolean): Promise<Sample> {
  const world = await SoakWorld.open({ seed: 5, killMs: 1000, loss: 0.005, kernel });
  await sleep(ms);
  return world.close();
}

test(
  'between two hosts whose lanes are killed: every answer is right, nobody hears an error, nothing is left',
  async () => fine(await soak(5_000, false)),
  { timeoutMs: 90_000 },
);

test(
  'with clients of the kernel across AF_XDP as well',
  async () => {
    const last = await soak(12_000, true);
    fine(last);
    const names = Object.keys(last.loads).filter(name => name.startsWith('kernel'));
    assert.equal(names, ['kernel http', 'kernel ws', 'kernel kv']);
  },
  { missing, timeoutMs: 120_000 },
);

test('memory that grows from minute to minute is a fault, one high minute is none', () => {
  const held = (mb: number) => ({ heapBytes: mb * 1e6, residentBytes: 200e6, openFiles: 30 });
  const steady = [10, 20, 20, 20, 20, 21, 20, 19, 40, 20, 20];
  assert.equal(flat(steady.map(held)).faults, []);
  assert.match(
    flat(Array.from({ length: 11 }, (_, i) => held(20 + i))).faults.join(),
    /heap grew by \+5\.0 MB/,
  );
  const files = steady.map((mb, i) => ({ ...held(mb), openFiles: 30 + i }));
  assert.match(flat(files).faults.join(), /5 more files are open/);
  assert.match(flat(steady.slice(0, 4).map(held)).said, /too short/);
});
