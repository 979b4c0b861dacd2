/** The tutorial's transport on worker lanes: sockets of other lanes, lanes that are killed, sockets of other threads. */
import type { Datagram } from '../../host/net/burst/datagram.js';
import type { DatagramNews } from '../../host/net/burst/datagrams.js';
import { AT, until, wired } from '../stack/rig.js';
import { assert, suite } from '../support/suite.js';
import { Sender, windowTransport } from './rig.js';

const test = suite('own: lanes');
const LANES = { inline: false, clock: 'real', lanes: 2 } as const;

test(
  'two lanes killed in turn: what was sent arrives in order, nothing is missing, no frame is lost',
  () =>
    wired(
      async ({ a, b, engine }) => {
        for (const { stack } of [a, b]) await stack.load(windowTransport());
        const servers = [0, 1].map(lane => b.stack.burst.bind({ port: 7 + lane, lane, transport: 'window' }));
        const n = 3000;
        const senders = [0, 1, 2, 3].map(i => {
          const socket = a.stack.burst.bind({ lane: i & 1, transport: 'window' });
          return new Sender(socket, { address: AT.b[4], port: 7 + (i >> 1) }, n, 100, i);
        });
        const next = senders.map(() => 0);
        let again = 0;
        const batch: Datagram[] = [];
        const news: DatagramNews[] = [];
        const total = (): number => next.reduce((sum, x) => sum + x, 0);
        const goOn = (upto: number): Promise<void> =>
          until(
            [a, b],
            () => {
              for (const s of senders) s.more();
              for (const { stack } of [a, b]) {
                stack.burst.flush();
                for (const e of news.slice(0, stack.burst.news(news)))
                  if (e.error) throw new Error(`a socket heard ${e.error}`);
              }
              for (const server of servers)
                for (const d of batch.slice(0, server.receive(batch))) {
                  const bytes = Buffer.from(d.data);
                  const [number, mark] = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)];
                  // A lane that dies between a delivery and its note delivers again: the README says so.
                  if (number === next[mark] - 1) again++;
                  else if (number === next[mark]) next[mark]++;
                  else throw new Error(`number ${number} of ${mark} where ${next[mark]} is next`);
                }
              return total() >= upto;
            },
            60_000,
          );
        for (let kill = 1; kill <= 6; kill++) {
          await goOn(kill * 1500);
          engine.killLane(kill & 1);
        }
        await goOn(4 * n);
        assert.ok(again <= 6, `${again} came again`);
        await engine.settled();
        assert.is(engine.crashes.length, 6);
      },
      { engine: LANES },
    ),
  { timeoutMs: 120_000 },
);
