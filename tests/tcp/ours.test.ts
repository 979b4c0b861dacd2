/** Scripts as those of conformance/, for what no other host can be asked: long silences, and what the application changes. */
import { play } from '../conformance/tcp/runner.js';
import type { Script, ScriptOptions } from '../conformance/tcp/script.js';
import { flight } from '../conformance/tcp/scripts/recovery.js';
import type { Stage } from '../conformance/tcp/stage.js';
import { VirtualDriver } from '../conformance/tcp/virtual/driver.js';
import { assert, suite } from '../support/suite.js';
import { EngineCore } from './core.js';
import { SocketHost } from './sockets.js';

const test = suite('tcp: scripts for ours alone');
const core = await EngineCore.create();
const driver = new VirtualDriver('etherloom', setup => new SocketHost(setup, core.begin(setup)));

function plays(claim: string, options: Partial<ScriptOptions>, work: (t: Stage) => Promise<void>): void {
  const script: Script = { topic: 'ours', claim, options: { rfc: '9293 §1', ...options }, play: work };
  test(claim, async () => {
    const { failure } = await play(script, driver);
    assert.is(failure, undefined, failure);
  });
}

/** The stream that the engine opened last. */
const newest = (): number => [...core.tcp.ends.keys()].at(-1)!;

for (const minutes of [1, 40])
  plays(`after ${minutes} minutes of silence one report of a hole costs one retransmission`, {}, async t => {
    const app = await t.accepted({ sackOk: true, rttMs: 100 });
    await flight(t, app, 1);
    await t.sleep(100);
    t.send('ACK', { ack: 1001 });
    await t.sleep(minutes * 60_000);
    await flight(t, app, 8, 1001);
    await t.sleep(100);
    t.send('ACK', { ack: 1001, sack: [[2001, 3001]] });
    const sent = (await t.drain(60)).map(s => s.seq);
    if (sent.join() !== '1001') t.fail('what was sent again is not the hole', [sent.join(' ')], undefined);
  });

plays('without SACK three duplicate ACKs count, also 2 GiB after the last loss', {}, async t => {
  const app = await t.accepted();
  const flows = core.tcp.map('tcp_flows');
  const flow = core.tcp.flow(newest()) as unknown as { snd_una: number };
  flows.set(newest(), { ...flow, high_seq: (flow.snd_una - 0x8000_0100) >>> 0 });
  await flight(t, app, 5);
  for (let i = 0; i < 3; i++) t.send('ACK', { ack: 1 });
  await t.gets('ACK', { seq: 1, len: 1000, after: [0, 50] });
});

plays('a FIN that is sent again is a FIN, whatever was written behind it', { rtoMinMs: 200 }, async t => {
  const app = await t.accepted({ rttMs: 10 });
  await app.writes(100);
  await t.gets('ACK', { seq: 1, len: 100 });
  t.send('ACK', { ack: 101 });
  await app.shutdown();
  await t.gets('FIN ACK', { seq: 101 });
  core.write(newest(), new Uint8Array([100, 101, 102]));
  core.flush();
  await t.gets('FIN ACK', { seq: 101, len: 0, limitMs: 900 });
  await app.stateIs('FIN_WAIT_1');
  t.send('ACK', { ack: 102 });
  await app.stateIs('FIN_WAIT_2');
});

for (const [name, first, then] of [
  ['Reno to DCTCP', 0, 2],
  ['DCTCP to Reno', 2, 0],
] as const)
  plays(`marks before a change from ${name} are not told for ever`, { ecn: 'passive' }, async t => {
    const app = await t.accepted({ ecn: true });
    core.setOptions(newest(), { flags: 0, algorithm: first }, 0);
    t.send('ACK', { len: 500, ecn: 3 });
    const told = await t.drain(200);
    if (!told.some(s => s.flags.includes('ECE'))) t.fail('the mark was not told at all', [], undefined);
    core.setOptions(newest(), { flags: 0, algorithm: then }, 0);
    let last = '';
    for (let i = 0; i < 6; i++) {
      t.send(i % 3 ? 'ACK' : 'CWR ACK', { len: 500, ecn: 2 });
      for (const s of await t.drain(200)) last = s.flags;
    }
    if (last.includes('ECE')) t.fail('ECE goes on', [last], undefined);
    await app.reads(3500);
  });

test('the engine ends', () => core.tcp.engine.stop());
