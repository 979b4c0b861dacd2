/** One binary of the addon under every Node that is supported: node:20 builds it, newer ones load it. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { Attached, ROOT } from '../support/attached.js';
import { missingNamespaces } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';
import { Veth } from '../support/veth.js';

const test = suite('native: versions of Node');
const kernel = kernelAvailable();
const missing = missingNamespaces ?? (kernel.ok ? undefined : kernel.reason);

for (const major of [22, 24]) {
  const node = join(ROOT, `build/nodes/node_modules/node-${major}/bin/node`);
  const absent = existsSync(node) ? undefined : `Node ${major} is not here: npm run fetch:nodes`;
  test(
    `Node ${major} carries packets over AF_XDP with the same addon`,
    async () => {
      const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
      assert.ok(stdout.startsWith(`v${major}.`), stdout);
      const veth = await Veth.create();
      try {
        const line = ['bpf-progs/obj/reflect.bpf.o', '--nic', `af_xdp:${veth.nearLink}`, '--take', 'udp/7'];
        const attached = new Attached(line, { ns: veth.near, node });
        await attached.event('started');
        const { sent, same } = await veth.udp({ count: 200 });
        assert.is(same, sent);
        const { report } = (await attached.stop()) as { report?: { ledger: { lost: number } } };
        assert.is(report?.ledger.lost, 0, JSON.stringify(report));
      } finally {
        veth.close();
      }
    },
    { missing: missing ?? absent },
  );
}
