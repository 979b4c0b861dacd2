/** A client's host that stands still: its clock goes on, its ticks do not. */
import { Engine } from '../../host/engine/engine.js';
import { Stack } from '../../host/net/stack.js';
import { HostNic } from '../../host/nic/index.js';
import { StreamApps } from '../../host/streams/stream_apps.js';
import { homa } from '../../host/transports/homa/index.js';
import { assert, suite } from '../support/suite.js';
import { ClientSlot, Server, workClient } from './slots.js';

const test = suite('homa: hosts that stand still');
const MACS = ['02:00:00:00:00:01', '02:00:00:00:00:02'];
const MS = 1_000_000n;

/** A host with an engine, and a clock, of its own. */
async function host(i: 0 | 1) {
  const mac = Uint8Array.from(MACS[i].split(':'), x => Number.parseInt(x, 16));
  const nic = new HostNic({ name: `h${i}`, mac });
  const engine = await Engine.create({
    ...{ nics: [nic], inline: true, clock: 'virtual', warmMs: 0, frames: 4096, seed: 1 },
    streams: { count: 64, bytes: 16 << 20, apps: 8 },
  });
  const stack = await Stack.create({
    ...{ engine, messages: homa({ seed: 1 }) },
    ports: { [`h${i}`]: { addresses: [{ address: `10.0.0.${i + 1}/24`, dad: false }], announce: false } },
    neighbours: [{ port: `h${i}`, address: `10.0.0.${2 - i}`, mac: MACS[1 - i] }],
  });
  const app = StreamApps.of(engine).open();
  await engine.start();
  return { nic, engine, stack, app, messages: stack.messages! };
}

for (const pauseMs of [300, 1500, 2500, 5000])
  test(`a call whose host stands still for ${pauseMs} ms, and whose answer is lost, is executed once`, async () => {
    const [a, b] = [await host(0), await host(1)];
    try {
      b.messages.serve({ app: b.app.number, port: 99 });
      const server = new Server(b.app, m => m.bytes);
      const client = a.messages.client({ app: a.app.number });
      const [id] = a.messages.openSlots(client, 1, { ifindex: a.engine.port('h0').ifindex });
      const slot = new ClientSlot(a.app.end(id));
      let still = true;
      const settle = (): void => {
        for (let quiet = 0; quiet < 3; quiet++) {
          workClient(a.app, [slot]);
          while (a.engine.step() !== 0);
          for (const { data } of a.nic.receive()) {
            quiet = 0;
            b.nic.send(data.slice());
          }
          server.work();
          while (b.engine.step() !== 0);
          for (const { data } of b.nic.receive()) if (!still) a.nic.send(data.slice());
        }
      };
      slot.call({ address: '10.0.0.2', port: 99 }, Buffer.from('once'));
      settle();
      assert.is(server.requests.length, 1);
      for (let ms = 0; ms < pauseMs; ms++) {
        b.engine.advance(MS);
        server.work();
        while (b.engine.step() !== 0);
        b.nic.receive();
      }
      a.engine.advance(BigInt(pauseMs) * MS);
      still = false;
      for (let ms = 0; ms < 600; ms++) {
        a.engine.advance(MS);
        b.engine.advance(MS);
        settle();
      }
      assert.is(server.requests.length, 1);
      assert.is(slot.answers.length + (slot.failed ? 1 : 0), 1);
    } finally {
      await a.engine.stop();
      await b.engine.stop();
    }
  });
