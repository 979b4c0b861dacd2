/** An application that dies takes its connections with it, and nothing else. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Piscina } from 'piscina';
import { StreamEvent, StreamRequest } from '../../host/layout/layout.gen.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import { assert, suite } from '../support/suite.js';
import type { AppTask } from './app_peer.js';
import { Crowd } from './crowd.js';
import { ADDRESSES, Pair } from './pair.js';

const test = suite('tcp: applications');
const STREAMS = 12;
const ECONNRESET = 104;

test(
  'a thread that is killed in mid-transfer: its peers are reset, its memory comes back, others do not notice',
  async () => {
    const pair = await Pair.create({
      ...{ streams: 256, seed: 4 },
      engine: {
        ...{ inline: false, clock: 'real', lanes: 2, warmMs: 4, mapBytes: 32 << 20 },
        streams: { count: 256, bytes: 64 << 20 },
      },
    });
    const { engine, a, b } = pair;
    const [local, remote] = ADDRESSES;
    const dying = a.apps.open();
    const streams = Array.from({ length: STREAMS }, (_, i) =>
      a.prepare(dying.number, { local, localPort: 9000 + i, remote, port: 90, lane: i & 1 }),
    );
    b.listen(4, 90, STREAMS);
    const task: AppTask = { memory: engine.arena.memory, app: dying.number, streams };
    const pool = new Piscina({ filename: new URL('./app_peer.ts', import.meta.url).href, maxThreads: 1 });
    pool.run(task).catch(() => {});
    const read = new Uint8Array(1 << 16);
    let got = 0;
    const victims = new Set<number>();
    const until = performance.now() + 20_000;
    while ((victims.size < STREAMS || got < 20_000_000) && performance.now() < until) {
      b.take();
      for (let id = b.accepted.shift(); id !== undefined; id = b.accepted.shift()) victims.add(id);
      for (const id of victims)
        for (let n = b.ends.get(id)!.read(read); n > 0; n = b.ends.get(id)!.read(read)) got += n;
      b.app.flush();
      await b.app.wait(2);
    }
    assert.is(victims.size, STREAMS);
    assert.ok(got >= 20_000_000, `${got} bytes`);

    // Beside it: transfers of the other application over the same lanes.
    const crowd = new Crowd(engine, a, b, { connections: 8, forth: 2_000_000, back: 500_000 });
    const others = crowd.pump(30_000);
    await pool.destroy();
    a.apps.close(dying.number);
    await others;
    assert.equal(crowd.wrong, []);

    const reset = (id: number): boolean => ((b.events.get(id) ?? 0) & StreamEvent.ERR) !== 0;
    for (let i = 0; i < 5000 && ![...victims].every(reset); i++) {
      b.take();
      await sleep(1);
    }
    for (const id of victims) {
      assert.ok(reset(id), `stream ${id} was not told`);
      assert.is(b.flow(id).error, ECONNRESET);
      b.ends.get(id)!.request(StreamRequest.CLOSE);
      b.ends.get(id)!.release();
    }
    b.app.flush();
    for (let i = 0; i < 5000 && a.apps.streamsOf(dying.number) + a.apps.streamsOf(b.app.number) !== 0; i++)
      await sleep(1);
    assert.is(a.apps.streamsOf(dying.number), 0);
    assert.is(a.apps.open().number, dying.number, 'its number is free');
    for (const host of [a, b]) assert.is([...host.map('tcp4')].length, 0);
    const { ledger, crashes } = await engine.stop();
    assert.equal(crashes, []);
    assert.is(ledger.free + Object.values(ledger.inFlight).reduce((x, y) => x + y, 0), ledger.total);
    const { lost, doubled, lostIds, open, closed, used } = takeStreamLedger(engine.arena);
    assert.equal(
      { lost, doubled, lostIds, open, closed, used },
      { lost: 0, doubled: 0, lostIds: 0, open: 0, closed: 0, used: 0 },
    );
  },
  { timeoutMs: 60_000 },
);
