/** UDP's programs replaced while datagrams are under way: each arrives once. */
import type { Datagram } from '../../host/net/burst/datagram.js';
import { UDP_OBJECT } from '../../host/transports/udp/index.js';
import { AT, until, wired } from '../stack/rig.js';
import { assert, suite } from '../support/suite.js';

const test = suite('swap: udp');

for (const [what, engine, options] of [
  ['in virtual time', {}, { rounds: 30, upgrades: 30 }],
  ['on two worker lanes', { inline: false, clock: 'real', lanes: 2 } as const, { rounds: 100, upgrades: 20 }],
] as const)
  test(
    `${what}: datagrams under ${options.upgrades} upgrades of both ends, each once`,
    () =>
      wired(
        async ({ a, b, engine }) => {
          const server = b.stack.burst.bind({ port: 53 });
          const client = a.stack.burst.bind();
          const heard = new Map<string, number>();
          const got: Datagram[] = [];
          const take = (): void => {
            for (let n = server.receive(got); n > 0; n = server.receive(got))
              for (const d of got.slice(0, n)) {
                const text = `${Buffer.from(d.data)}`;
                heard.set(text, (heard.get(text) ?? 0) + 1);
              }
          };
          let sent = 0;
          let upgrading: Promise<unknown> | undefined;
          for (let round = 0; round < options.rounds; round++) {
            for (let i = 0; i < 20; i++)
              if (client.send(Buffer.from(`${sent}`), client.peer(AT.b[round & 1 ? 6 : 4], 53))) sent++;
            if (round < options.upgrades)
              upgrading = engine.transports.upgrade(round & 1 ? 'a/udp' : 'b/udp', UDP_OBJECT);
            if (engine.inline) await upgrading;
            await until([a, b], () => {
              take();
              return heard.size === sent;
            });
            await upgrading;
          }
          assert.ok(sent >= options.rounds * 15, `${sent} sent`);
          assert.equal(
            [...heard.values()].filter(n => n !== 1),
            [],
          );
          const states = engine.transports.list().map(t => `${t.stack}/${t.name} ${t.generation}`);
          const each = 1 + options.upgrades / 2;
          assert.equal(states, ['a/tcp 1', `a/udp ${each}`, 'b/tcp 1', `b/udp ${each}`]);
          assert.is(a.stack.counters('datagrams').OutDatagrams, sent);
          assert.is(b.stack.counters('datagrams').InDatagrams, sent);
        },
        { engine, a: { name: 'a' }, b: { name: 'b' } },
      ),
    { timeoutMs: 120_000 },
  );
