/** HTTP, WebSocket and key-value load with loss and lane kills: a short form of npm run test:soak-sockets. */
import { assert, suite } from '../support/suite.js';
import { sleep } from '../support/waiting.js';
import { missing } from '../tcp/interop/missing.js';
import { accounts } from './soak/accounts.js';
import { flat } from './soak/flat.js';
import { counted, inTime } from './soak/load.js';
import { Outages, pulse } from './soak/outages.js';
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
  // A busy machine takes its time to bring lanes back.
  for (let i = 0; i < 8 && (i === 0 || world.kills <= 3); i++) await sleep(ms);
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
    assert.equal(names, ['kernel http', 'kernel ws', 'kernel kv', 'kernel udp']);
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

test('a reset is a fault unless a client cut the connection, or gave it up when nobody answered for ten seconds', () => {
  const told = (given: { cut?: number; givenUp?: number; reset?: string[]; longestMs?: number }) => {
    const { cut = 0, givenUp = 0, reset = [], longestMs = 400 } = given;
    return accounts({
      ...{ loads: { http: { ...counted(), answers: 100, cut, givenUp } }, reset, longestMs },
      ...{ client: {}, server: { EstabResets: 3 }, kills: 0, loss: 0.01, inLane: { misses: 0, failures: 0 } },
    }).join();
  };
  assert.is(told({ cut: 3 }), '');
  assert.match(told({ cut: 2 }), /3 connections were reset, clients cut 2/);
  assert.match(told({ cut: 3, reset: ['read ECONNRESET'] }), /read ECONNRESET,of those clients gave 0 up/);
  assert.match(told({ cut: 2, givenUp: 1, reset: ['read ECONNRESET'] }), /nobody was away for more than 400/);
  assert.is(told({ cut: 2, givenUp: 1, reset: ['read ECONNRESET'], longestMs: 11_000 }), '');
});

test('a process that stood still knows it, and waits for its peers the longer', async () => {
  const from = performance.now();
  const outages = new Outages();
  await sleep(300);
  const before = pulse.stoodMs;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500);
  assert.ok(pulse.stoodMs - before >= 2400, `${pulse.stoodMs - before} ms`);
  assert.ok(outages.some(from) && outages.longestMs >= 2400 && !outages.ended(1, from));
  const back = outages.begin(1);
  assert.ok(outages.ended(1, performance.now()));
  back();
  await sleep(2);
  assert.not.ok(outages.ended(1, performance.now()));
  assert.is(await inTime('an answer', Promise.resolve('here')), 'here');
});
