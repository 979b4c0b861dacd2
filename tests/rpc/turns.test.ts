/** A server that is never done with one peer's requests answers the others' all the same: links, sockets and carriers take turns. */
import type { Events, RpcEvent } from '../../host/rpc/event.js';
import { ReadyList, type Visited } from '../../host/rpc/ready_list.js';
import { homa } from '../../host/transports/homa/index.js';
import { windowTransport } from '../own/rig.js';
import { assert, suite } from '../support/suite.js';
import { SERVER, world } from './rig.js';

const test = suite('rpc: turns');
/** Requests that a poll tells of: fewer than come from one poll to the next. */
const BATCH = 4;
/** Calls that the greedy one has in flight. */
const MANY = 400;
const PORT = 700;
const OTHER = 701;

for (const { greedy, other } of [
  { greedy: 'tcp', other: 'tcp' },
  { greedy: 'tcp', other: 'homa' },
  { greedy: 'homa', other: 'tcp' },
  { greedy: 'window', other: 'window' },
  { greedy: 'tcp', other: 'window' },
])
  test(`one peer over ${greedy} always has requests: a single one over ${other} is answered`, () =>
    world(
      {
        carrier: greedy,
        link: { delayNs: 5000 },
        ...([greedy, other].includes('homa') ? { stack: () => ({ messages: homa() }) } : {}),
        ...([greedy, other].includes('window') ? { load: () => windowTransport() } : {}),
      },
      async ({ engine, client, caller, callee }) => {
        const server = callee.burst;
        const rpc = await client.rpc({ carrier: other });
        await server.listen({ port: PORT });
        await server.listen({ port: OTHER });
        const events: RpcEvent[] = [];
        const bytes = Buffer.alloc(8);
        const from = { greedy: caller.burst, other: rpc.burst };
        const to = { greedy: from.greedy.peer(SERVER, PORT), other: from.other.peer(SERVER, OTHER) };
        let answered = 0;
        /** Polls that told of as many as there can be. */
        let full = 0;
        const round = (ns = 2000n): void => {
          const n = server.poll(events, BATCH);
          if (n === BATCH) full++;
          for (let k = 0; k < n; k++) if (events[k].kind === 'request') events[k].reply(bytes);
          server.flush();
          for (const burst of [from.greedy, from.other]) {
            const m = burst.poll(events);
            for (let k = 0; k < m; k++) {
              assert.is(events[k].kind, 'response');
              if (events[k].tag === 'other') answered++;
            }
            burst.flush();
          }
          engine.advance(ns);
          while (engine.step() > 0);
        };
        // Connections and slots of both are made first.
        from.greedy.begin(to.greedy, bytes, 'greedy');
        from.other.begin(to.other, bytes, 'other');
        for (let i = 0; i < 2000 && (answered < 1 || from.greedy.inFlight > 0); i++) round(1_000_000n);
        const more = (): void => {
          while (from.greedy.inFlight < MANY && from.greedy.begin(to.greedy, bytes, 'greedy') > 0);
          from.greedy.flush();
        };
        for (let i = 0; i < 200; i++) {
          more();
          round();
        }
        full = 0;
        from.other.begin(to.other, bytes, 'other');
        from.other.flush();
        let rounds = 0;
        for (; rounds < 200 && answered < 2; rounds++) {
          more();
          round();
        }
        assert.is(answered, 2, `not in ${rounds} rounds`);
        assert.ok(full >= rounds - 20, `the server was idle: ${full} full polls of ${rounds}`);
        await rpc.close();
      },
    ));

test('whoever had its turn stands behind all others, and is visited once a poll', () => {
  const list = new ReadyList<Visited & { name: string }>();
  const events = { n: 0, most: 2, full: false } as unknown as Events;
  const visits: string[] = [];
  const visited = (name: string, more: number, touched = false): Visited & { name: string } => ({
    ...{ name, ready: false, touched, over: false, done() {} },
    work: () => {
      visits.push(name);
      return more-- > 0;
    },
  });
  for (const each of [visited('a', 2), visited('b', 0), visited('c', 1)]) list.add(each);
  list.work(events);
  assert.equal(visits.splice(0), ['a', 'b', 'c']);
  list.work(events);
  assert.equal(visits.splice(0), ['a', 'c']);
  list.work(events);
  assert.equal(visits.splice(0), ['a']);
  assert.not(list.some);
});
