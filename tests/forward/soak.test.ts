/** A forwarder whose links come and go: a life of what npm run test:soak-nic does for an hour. */
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { missingNamespaces } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';
import { missingTool } from '../support/tools.js';
import { BLOWS, forwarderLife } from './lives.js';

const test = suite('forward: soak');
const kernel = kernelAvailable();
const missing = missingNamespaces ?? (kernel.ok ? undefined : kernel.reason) ?? missingTool('ethtool');
const RESUMES_MS = 1000;

test(
  'links down and up, deleted and made again: bytes come within a second, no transfer fails, frames are conserved',
  async () => {
    const life = await forwarderLife(1, RESUMES_MS);
    assert.equal(life.faults, []);
    assert.is(life.blows.length, Object.keys(BLOWS).length);
    assert.ok(life.whole > 100, `${life.whole} transfers`);
  },
  { missing, timeoutMs: 60_000 },
);
