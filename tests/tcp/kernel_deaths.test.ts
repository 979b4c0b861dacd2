/** Over AF_XDP with the kernel as the peer: lanes are killed in mid-transfer, and every byte arrives all the same. */
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { Engine } from '../../host/engine/engine.js';
import { StreamEvent, StreamRequest } from '../../host/layout/layout.gen.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import { afXdp } from '../../host/nic/index.js';
import { StreamApps } from '../../host/streams/stream_apps.js';
import { missingNamespaces } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';
import { missingTool } from '../support/tools.js';
import { Veth } from '../support/veth.js';
import { TcpEngine } from './engine.js';
import { pattern } from './pair.js';

const test = suite('tcp: deaths, the kernel as the peer');
const kernel = kernelAvailable();
const missing = missingNamespaces ?? (kernel.ok ? undefined : kernel.reason) ?? missingTool('ethtool');

const PEER = fileURLToPath(new URL('bulk_peer.mjs', import.meta.url));
const PORT = 5001;
const BYTES = 100_000_000;
const KILLS = 5;
const RING = 1 << 20;

test(
  '100 MB each way, five deaths: sha256 equal, frames and streams conserved',
  async () => {
    const veth = await Veth.create({ queues: 2 });
    const peer = veth.far.spawn(process.execPath, PEER, `${PORT}`, `${BYTES}`);
    const lines = createInterface({ input: peer.stdout! })[Symbol.asyncIterator]();
    const said = async (): Promise<Record<string, unknown>> => JSON.parse((await lines.next()).value);
    const nic = afXdp({ interface: veth.nearLink, namespace: veth.near.name, rules: [{ protocol: 'tcp' }] });
    const engine = await Engine.create({
      ...{ nics: [nic], lanes: 2, frames: 8192, mapBytes: 16 << 20 },
      streams: { count: 64, bytes: 16 << 20 },
    });
    try {
      const far = `10.88.${veth.net}.2`;
      const [, mac] = /link\/ether (\S+)/.exec(veth.far.ip('link', 'show', veth.farLink))!;
      engine.routes.add({ prefix: `${far}/32`, port: 1 });
      engine.routes.addNeighbour({ port: 1, address: far, mac });
      const tcp = await TcpEngine.on(engine, { [nic.name]: [veth.nearAddress] });
      await engine.start();
      await said();
      const end = tcp.connect(veth.nearAddress, 40_000, far, PORT, { sndBytes: RING, rcvBytes: RING }, 1, 1);
      tcp.app.flush();

      const data = pattern(1 << 22, 7);
      const [went, came] = [createHash('sha256'), createHash('sha256')];
      const into = new Uint8Array(1 << 16);
      let sent = 0;
      let got = 0;
      let kills = 0;
      let shut = false;
      let ended = false;
      const until = performance.now() + 90_000;
      while (!ended) {
        tcp.take();
        while (sent < BYTES) {
          const at = sent % data.length;
          const n = end.write(data.subarray(at, Math.min(data.length, at + BYTES - sent)));
          went.update(data.subarray(at, at + n));
          sent += n;
          if (n === 0) break;
        }
        if (sent === BYTES && !shut) {
          shut = true;
          end.request(StreamRequest.SHUTDOWN);
        }
        for (let n = end.read(into); n > 0; n = end.read(into)) {
          came.update(into.subarray(0, n));
          got += n;
        }
        ended = got === BYTES && ((tcp.events.get(end.id) ?? 0) & StreamEvent.HUP) !== 0;
        tcp.app.flush();
        // Two on the way there, three on the way back.
        if (kills < KILLS && sent + got > ((kills + 1) * 2 * BYTES) / (KILLS + 1)) {
          // The lane of the flow, and the one that its packets may come in at.
          engine.killLane(kills++ === 2 ? 0 : 1);
        }
        if (performance.now() > until)
          assert.unreachable(
            `${sent} sent, ${got} got, ${kills} kills, ${JSON.stringify(tcp.counters())}, state ${tcp.flow(end.id).state}`,
          );
        if (!tcp.app.pending) await tcp.app.wait(5);
      }
      end.request(StreamRequest.CLOSE);
      end.release();
      tcp.app.flush();
      const other = await said();
      assert.equal([other.got, got], [BYTES, BYTES]);
      assert.is(went.digest('hex'), other.came, 'there');
      assert.is(came.digest('hex'), other.went, 'back');
      for (let i = 0; i < 2000 && new StreamApps(engine).streamsOf(1) !== 0; i++) await sleep(1);
      await engine.settled();
      assert.is(engine.crashes.length, KILLS);
      assert.is(tcp.counters().InCsumErrors, undefined);
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
