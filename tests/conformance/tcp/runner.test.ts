/** The runner itself, in virtual time: what it lets pass, what it notices, how it tells. */
import { assert, suite } from '../../support/suite.js';
import type { Setup } from './driver.js';
import { oracleVerdict, play } from './runner.js';
import type { Script } from './script.js';
import { allScripts } from './scripts/index.js';
import type { Stage } from './stage.js';
import { storedTable, table } from './table.js';
import { VirtualDriver } from './virtual/driver.js';
import { type Faults, ToyHost } from './virtual/toy.js';
import { any } from './want.js';

const test = suite('conformance: tcp runner');

const claimed = (claim: string): Script => {
  const script = allScripts().find(s => s.claim === claim);
  if (!script) throw new Error(`no script claims: ${claim}`);
  return script;
};
const own = (body: (t: Stage) => Promise<void>, options: Setup = {}): Script => ({
  topic: 'runner',
  claim: 'own',
  options: { rfc: '0 §0', ...options },
  play: body,
});
const toy = (faults: Faults = {}): VirtualDriver =>
  new VirtualDriver('toy', (setup, address, peer) => new ToyHost(setup, address, peer, faults));

const OPENED = claimed('a SYN to a listener is answered by SYN-ACK, and the ACK establishes');
const REPEATED = claimed('a SYN-ACK that nobody answers is sent again after a second, then after two');
const REFUSED = claimed('a SYN to a port where nobody listens is refused by RST');

test('a host that does as it should passes, over IPv4 and IPv6', async () => {
  for (const script of [OPENED, REPEATED, REFUSED])
    for (const family of [4, 6] as const) {
      const { failure } = await play({ ...script, options: { ...script.options, family } }, toy());
      assert.is(failure, undefined, failure);
    }
});

test('waiting costs no time when time is virtual', async () => {
  const { failure, ms } = await play(REPEATED, toy());
  assert.is(failure, undefined);
  assert.ok(ms < 1000, `${ms} ms`);
});

const NOTICED: [what: string, faults: Faults, script: Script, told: RegExp][] = [
  ['a wrong acknowledgment', { ackError: 1 }, OPENED, /ack +expected 1, got 2/],
  ['a wrong checksum', { checksumError: 1 }, OPENED, /tcp: bad checksum/],
  ['silence', { deaf: true }, OPENED, /nothing came within 3000 ms/],
  ['a segment too many', { twice: true }, OPENED, /something came, silence for 50 ms was expected/],
  ['a segment too many at the end', { twice: true }, REFUSED, /the script is over, but more has come/],
  [
    'a timer that is too early',
    { synAckAfterMs: 500 },
    REPEATED,
    /after +expected 900 … 1400 ms, got 500\.0 ms/,
  ],
  [
    'a timer that is too late',
    { synAckAfterMs: 1600 },
    REPEATED,
    /after +expected 900 … 1400 ms, got 1600\.0 ms/,
  ],
];
for (const [what, faults, script, told] of NOTICED)
  test(`${what} is noticed`, async () => {
    const { failure } = await play(script, toy(faults));
    assert.match(failure ?? 'passed', told);
  });

test('standing rules are kept without a script looking', async () => {
  const data = own(async t => {
    await t.accepted();
    t.send('ACK', { len: 10 });
    await t.acked();
  });
  assert.is((await play(data, toy())).failure, undefined);
  assert.match(
    (await play(data, toy({ mssEverywhere: true }))).failure ?? 'passed',
    /MSS, window scale and SACK-permitted stand in SYNs only/,
  );
});

test('a failure tells what was expected, what came, what differs, where, and all packets so far', async () => {
  const { failure } = await play(OPENED, toy({ ackError: 5 }));
  assert.is(
    (failure ?? '').replace(/handshake\.ts:\d+/, 'handshake.ts:LINE'),
    [
      'another segment came (handshake.ts:LINE)',
      '  expected SYN ACK seq 0 len 0 ack 1 mss anything win ≥ 1',
      '  got      :40000 SYN ACK seq 0 ack 6 win 4000 <mss 1460>',
      '  ack  expected 1, got 6',
      '  acknowledges 6, but only 1 was sent',
      '  so far, ms (→ to the host, ← from it, · its application):',
      '      0.0 · listen port 7000 backlog 16 = done',
      '      0.0 → :40000 SYN seq 0 win 65535 <mss 1000>',
      '      0.0 ← :40000 SYN ACK seq 0 ack 6 win 4000 <mss 1460>',
    ].join('\n'),
  );
});

test('an error of the script itself is a failure, not a crash', async () => {
  const broken = own(async t => {
    t.send('SYNN');
  });
  assert.match((await play(broken, toy())).failure ?? 'passed', /"SYNN" is no TCP flag/);
});

test('a host that cannot be set up is a failure of the script', async () => {
  const none = new VirtualDriver('none', () => {
    throw new Error('no host today');
  });
  assert.match((await play(OPENED, none)).failure ?? 'passed', /no host today/);
});

test('a difference that is written down must be one', async () => {
  const differs = { ...OPENED, options: { ...OPENED.options, linux: { differs: 'it is deaf' } } };
  assert.is(oracleVerdict(await play(differs, toy({ deaf: true }))), undefined);
  assert.match(
    oracleVerdict(await play(differs, toy())) ?? '',
    /does this after all; the script says: it is deaf/,
  );
  assert.match(
    oracleVerdict(await play(OPENED, toy({ deaf: true }))) ?? '',
    /^handshake: a SYN to a listener/,
  );
});

test('sequence numbers of the host that wrap around are told from its first', async () => {
  // The toy begins at 2^32 − 16.
  const far = own(async t => {
    await t.accepted();
    t.send('ACK', { len: 100 });
    await t.gets('ACK', { seq: 1, ack: 101 });
    t.send('ACK', { len: 100, seq: 101 });
    await t.gets('ACK', { seq: 1, ack: any });
  });
  assert.is((await play(far, toy())).failure, undefined);
});

test('there are at least 150 scripts, and each says where it is written', () => {
  const scripts = allScripts();
  assert.ok(scripts.length >= 150, `${scripts.length}`);
  for (const s of scripts)
    for (const place of s.options.rfc.split('; '))
      assert.match(place, /^(\d{3,4}( §\S|$)|§|CERT )/, `${s.claim}: "${place}"`);
});

test('the table of scripts is the one in the repository', () => {
  assert.is(table(allScripts()), storedTable(), 'tsx tests/conformance/tcp/table.ts writes it');
});
