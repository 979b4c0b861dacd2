/** The peers of the TCP bench do their work: bytes and messages arrive, on the shm NIC, over AF_XDP and in the kernel. */
import { missingCompiler } from '../../bench/native/build.js';
import { missingEthtool } from '../../bench/scenarios/hops/chain.js';
import { KernelWire } from '../../bench/scenarios/tcp/kernel.js';
import { ShmPair } from '../../bench/scenarios/tcp/shm.js';
import { overXdp } from '../../bench/scenarios/tcp/xdp.js';
import { nicAvailable } from '../../host/nic/available.js';
import { missingNamespaces } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';

const test = suite('bench: tcp');
const missing = missingNamespaces ?? missingCompiler ?? missingEthtool();
const xdp = nicAvailable('af_xdp');
const MS = 200;
const LIMIT = { timeoutMs: 60_000 };

test(
  'two lanes on the shm NIC: bulk, then messages on every connection',
  async () => {
    const pair = await ShmPair.create({ connections: 4, ring: 16 << 10 });
    try {
      for (const connections of [1, 4]) {
        const { rate, p50Us, p99Us } = await pair.ask(connections, 64, MS);
        assert.ok(rate > 0 && p50Us > 0 && p99Us >= p50Us, `${rate} messages/s, ${p50Us} and ${p99Us} µs`);
      }
      assert.ok((await pair.bulk(MS)) > 0);
    } finally {
      await pair.close();
    }
  },
  LIMIT,
);

test(
  'the kernel over veth: bulk, and messages whether it sleeps or spins',
  async () => {
    const wire = new KernelWire('all', 'data and ACKs');
    try {
      assert.ok((await wire.bulk(MS)) > 0);
      for (const how of ['sleep', 'spin'] as const) assert.ok((await wire.ask(2, 64, MS, how)).p50Us > 0);
    } finally {
      wire.close();
    }
  },
  { ...LIMIT, missing },
);

test(
  'our TCP and the kernel over AF_XDP, both ways',
  async () => {
    assert.ok((await overXdp(512 << 10, 'data', end => end.send(MS))) > 0);
    assert.ok((await overXdp(512 << 10, 'nothing', end => end.receive(MS))) > 0);
  },
  { ...LIMIT, missing: missing ?? (xdp.ok ? undefined : xdp.reason) },
);
