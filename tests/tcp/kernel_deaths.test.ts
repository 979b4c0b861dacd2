/** Over AF_XDP with the kernel as the peer: lanes are killed in mid-transfer, and every byte arrives all the same. */
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { Engine } from '../../host/engine/engine.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import type { StackEvent } from '../../host/net/burst/sockets.js';
import { Stack } from '../../host/net/stack.js';
import { afXdp } from '../../host/nic/index.js';
import { type ConnectionOptions, tcp } from '../../host/transports/tcp/index.js';
import { missingNamespaces } from '../support/netns.js';
import { pattern } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { missingTool } from '../support/tools.js';
import { Veth } from '../support/veth.js';

const test = suite('tcp: deaths, the kernel as the peer');
const kernel = kernelAvailable();
const missing = missingNamespaces ?? (kernel.ok ? undefined : kernel.reason) ?? missingTool('ethtool');

const PEER = fileURLToPath(new URL('bulk_peer.mjs', import.meta.url));
const PORT = 5001;
const BYTES = 100_000_000;
const KILLS = 5;
const RING = 1 << 20;
const LIMIT_MS = 90_000;

test(
  '100 MB each way, five deaths: sha256 equal, frames and streams conserved',
  async () => {
    const veth = await Veth.create({ queues: 2 });
    const peer = veth.far.spawn(process.execPath, PEER, `${PORT}`, `${BYTES}`);
    const lines = createInterface({ input: peer.stdout! })[Symbol.asyncIterator]();
    const said = async (): Promise<Record<string, unknown>> => JSON.parse((await lines.next()).value);
    const nic = afXdp({ interface: veth.nearLink, namespace: veth.near.name, own: true });
    const engine = await Engine.create({
      ...{ nics: [nic], lanes: 2, frames: 8192, mapBytes: 16 << 20, pass: 'count' },
      streams: { count: 64, bytes: 16 << 20 },
    });
    try {
      const stack = await Stack.create({
        engine,
        ports: { [nic.name]: { addresses: [{ address: `${veth.nearAddress}/24`, dad: false }] } },
        transport: tcp({ defaults: { sendBuffer: RING, receiveBuffer: RING } }),
      });
      await engine.start();
      await said();
      const c = stack.burst.connect({ host: `10.88.${veth.net}.2`, port: PORT, lane: 1 });
      const events: StackEvent<ConnectionOptions>[] = [];
      const data = pattern(1 << 22, 7);
      const [went, came] = [createHash('sha256'), createHash('sha256')];
      const into = new Uint8Array(1 << 16);
      let sent = 0;
      let got = 0;
      let kills = 0;
      const late = performance.now() + LIMIT_MS;
      while (!c.closed) {
        const news = stack.burst.poll(events);
        while (c.connected && sent < BYTES) {
          const at = sent % data.length;
          const n = c.write(data.subarray(at, Math.min(data.length, at + BYTES - sent)));
          went.update(data.subarray(at, at + n));
          sent += n;
          if (n === 0) break;
          if (sent === BYTES) c.shutdown();
        }
        for (let n = c.read(into); n > 0; n = c.read(into)) {
          came.update(into.subarray(0, n));
          got += n;
        }
        // Two on the way there, three on the way back.
        if (kills < KILLS && sent + got > ((kills + 1) * 2 * BYTES) / (KILLS + 1)) {
          // The lane of the flow, and the one that its packets may come in at.
          engine.killLane(kills++ === 2 ? 0 : 1);
        }
        if (performance.now() > late)
          assert.unreachable(
            `${sent} sent, ${got} got, ${kills} kills, ${JSON.stringify(stack.counters())}, ${c.state}`,
          );
        if (!news) await stack.burst.wait(5);
      }
      assert.is(c.error, undefined);
      for (let n = c.read(into); n > 0; n = c.read(into)) {
        came.update(into.subarray(0, n));
        got += n;
      }
      c.close();
      const other = await said();
      assert.equal([other.got, got], [BYTES, BYTES]);
      assert.is(went.digest('hex'), other.came, 'there');
      assert.is(came.digest('hex'), other.went, 'back');
      await engine.settled();
      assert.is(engine.crashes.length, KILLS);
      assert.is(stack.counters().InCsumErrors, undefined);
      await stack.close();
    } finally {
      const { ledger } = await engine.stop();
      const inFlight = Object.values(ledger.inFlight).reduce((x, y) => x + y, 0);
      assert.is(ledger.free + inFlight, ledger.total);
      const { lost, doubled, lostIds, open, used } = takeStreamLedger(engine.arena);
      assert.equal(
        { lost, doubled, lostIds, open, used },
        { lost: 0, doubled: 0, lostIds: 0, open: 0, used: 0 },
      );
      veth.close();
    }
  },
  { missing, timeoutMs: 120_000 },
);
