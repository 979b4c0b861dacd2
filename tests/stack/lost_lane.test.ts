/** A lane that is given up: who had a connection there is told, gets its memory back, and what lives elsewhere goes on. */
import type { Engine } from '../../host/engine/engine.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import { StackApp } from '../../host/net/burst/stack_app.js';
import { HostNic } from '../../host/nic/index.js';
import type { ConnectionOptions } from '../../host/transports/tcp/index.js';
import { handMade, udpFrame } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';
import {
  AT,
  type C,
  type E,
  echo,
  type Host,
  pattern,
  Sender,
  sha,
  until,
  type Wired,
  wired,
} from './rig.js';

const test = suite('stack: a lane that is given up');
const LIMIT = { timeoutMs: 60_000 };
const LANES = { inline: false, clock: 'real', lanes: 2, restarts: 0 } as const;
/** Traps on what comes in by a queue: rx_queue_index of struct xdp_md. */
const trapAt = (queue: number) =>
  handMade(
    `(if (i32.eq (i32.load offset=16 (local.get 0)) (i32.const ${queue})) (then unreachable)) i64.const 1`,
    { name: 'trap' },
  );

/** Ends of connections that were told that they are over, and why. */
class Ends {
  readonly closed = new Map<C, string | undefined>();
  readonly heard =
    (c: C) =>
    (e: E): void => {
      if (e.closed) this.closed.set(c, e.error);
    };
}

/** Two hosts, and a port whose first packet in lane `lane` is the lane's last. */
function doomed(
  lane: number,
  work: (w: Wired & { doom: () => Promise<void> }) => Promise<void>,
  options: Parameters<typeof wired>[1],
): Promise<void> {
  const killer = new HostNic({ name: 'killer' });
  const doom = async (engine: Engine): Promise<void> => {
    const failed = new Promise<{ code: string }>(done => engine.once('failed', done));
    for (let flow = 0; flow < 64; flow++) killer.send(udpFrame(flow));
    assert.is((await failed).code, 'ERR_LANE_CRASHED');
    assert.equal(engine.lostLanes, [lane]);
  };
  return wired(
    async w => {
      w.engine.attach(await w.engine.load(trapAt(lane)), 'killer');
      await work({ ...w, doom: () => doom(w.engine) });
    },
    { engine: LANES, nics: [killer], ...options },
  );
}

test(
  'every connection of it is told ECONNABORTED, whatever it was doing; its peer times out; what came can still be read',
  () =>
    doomed(
      0,
      async ({ a, b, engine, doom }) => {
        const hosts: Host[] = [a, b];
        const ends = new Ends();
        const peers = new Ends();
        const options: ConnectionOptions = { userTimeoutMs: 500 };
        b.onAccept = peers.heard;
        b.stack.burst.listen({ port: 7, options });
        a.onAccept = ends.heard;
        const listener = a.stack.burst.listen({ port: 8 });

        const own = Array.from({ length: 4 }, (_, i) => {
          const c = a.connect({ host: AT.b[i & 1 ? 6 : 4], port: 7 });
          a.hear(c, ends.heard(c));
          return c;
        });
        const came = b.connect({ host: AT.a[4], port: 8, options });
        b.hear(came, peers.heard(came));
        // Nobody is there: the handshake goes on until the lane is no more.
        const lonely = a.connect({ host: '10.0.0.9', port: 9 });
        a.hear(lonely, ends.heard(lonely));
        // An application of its own, that sleeps.
        const app = StackApp.attach<ConnectionOptions>(a.stack.openApp());
        const asked = app.connect({ host: AT.b[4], port: 7 });
        await until(hosts, () => own.every(c => c.connected) && came.connected);
        const other = await asked;
        const heard: E[] = [];
        while (!other.connected) {
          await until(hosts, () => true);
          await app.wait(10);
          app.poll(heard);
        }
        // Who calls may be told before who is called: own, the application's, and what b calls itself.
        await until(hosts, () => [a, b].every(h => [...h.stack.burst.connections].length === 6));
        const accepted = [...a.stack.burst.connections].find(c => c.listener === listener)!;
        const far = [...b.stack.burst.connections].filter(c => c.remote.port === own[0].local.port);
        assert.is(far.length, 1);
        await until(hosts, () => [...b.stack.burst.connections].every(c => c.room >= 5000));
        assert.is(far[0].write(pattern(5000, 1)), 5000);
        await until(hosts, () => own[0].readable === 5000);
        const woken = app.wait(10_000);
        await doom();

        // What is written now is acknowledged by nobody.
        for (const c of b.stack.burst.connections) c.write(pattern(1000, 2));
        await until(hosts, () => ends.closed.size === 6 && peers.closed.size === 6);
        assert.equal(
          [...own, lonely, accepted].map(c => ends.closed.get(c)),
          Array.from({ length: 6 }, () => 'ECONNABORTED'),
        );
        assert.is(await woken, true);
        app.poll(heard);
        assert.equal(
          [heard[0].connection === other, heard[0].closed, heard[0].error],
          [true, true, 'ECONNABORTED'],
        );
        assert.equal(
          [...peers.closed.values()],
          Array.from({ length: 6 }, () => 'ETIMEDOUT'),
        );

        const into = new Uint8Array(8192);
        assert.is(own[0].read(into), 5000);
        assert.is(sha(into.subarray(0, 5000)), sha(pattern(5000, 1)));
        assert.is(own[0].state, 'CLOSED');

        // Its number and memory come back when its application lets go, one after the other.
        const held = (): number => takeStreamLedger(engine.arena).closed;
        for (const c of [...b.stack.burst.connections]) c.close();
        await until(hosts, () => held() === 7);
        for (const c of [...own, lonely, accepted]) c.close();
        await until(hosts, () => held() === 1);
        app.close();
        await until(hosts, () => held() === 0);

        assert.throws(
          () => a.stack.burst.connect({ host: AT.b[4], port: 7 }),
          (e: { errno?: string }) => e.errno === 'ENETDOWN',
        );
      },
      { link: { queues: 1, firstLanes: [0, 1] } },
    ),
  LIMIT,
);

test(
  'connections of other lanes go on, new ones go there, and a listener’s places come back',
  () =>
    doomed(
      // Queues of a wire of the model NIC are filled by lane 0.
      1,
      async ({ a, b, doom }) => {
        const hosts: Host[] = [a, b];
        const ends = new Ends();
        const laneOf = (c: C): number => c.info().lane;
        const far = new Map<number, number>();
        b.onAccept = c => {
          far.set(c.remote.port, laneOf(c));
          return echo(c);
        };
        b.stack.burst.listen({ port: 7, backlog: 64 });
        const senders = Array.from({ length: 16 }, (_, i) => {
          const c = a.connect({ host: AT.b[i & 1 ? 6 : 4], port: 7 });
          const s = new Sender(c, pattern(1_000_000, i));
          a.hear(c, e => {
            ends.heard(c)(e);
            if (!e.closed || !e.error) s.heard(e);
          });
          return s;
        });
        await until(hosts, () => senders.every(s => s.connection.connected) && far.size === 16);
        const alive = senders.filter(
          s => laneOf(s.connection) === 0 && far.get(s.connection.local.port) === 0,
        );
        const dead = senders.filter(s => laneOf(s.connection) === 1);
        assert.ok(alive.length > 0 && dead.length > 0, `${alive.length} and ${dead.length} of 16`);
        await doom();
        await until(
          hosts,
          () => alive.every(s => s.ended) && dead.every(s => ends.closed.has(s.connection)),
          30_000,
        );
        assert.equal(
          alive.map(s => s.error ?? (s.sha === sha(s.data) ? 'same' : 'other')),
          alive.map(() => 'same'),
        );
        assert.ok(dead.every(s => ends.closed.get(s.connection) === 'ECONNABORTED'));
        const more = Array.from({ length: 8 }, () => a.connect({ host: AT.b[4], port: 7 }));
        await until(hosts, () => more.some(c => c.connected), 5000);
        assert.equal(
          more.map(c => laneOf(c)),
          more.map(() => 0),
        );
        assert.throws(
          () => a.stack.burst.connect({ host: AT.b[4], port: 7, lane: 1 }),
          (e: { errno?: string }) => e.errno === 'ENETDOWN',
        );
      },
      {},
    ),
  LIMIT,
);
