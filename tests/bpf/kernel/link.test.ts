/** Links: a program at an interface of the kernel, seen in what becomes of pings, and gone with its descriptor. */
import { release } from 'node:os';
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import { KernelLink, tcDirection } from '../../../host/bpf/kernel/link.js';
import { KernelProgram } from '../../../host/bpf/kernel/program.js';
import { native } from '../../../host/native/load.js';
import { inNamespace } from '../../../host/nic/af_xdp/netns.js';
import { exit, movImm, spec } from '../../support/insns.js';
import { missingNamespaces, Namespace } from '../../support/netns.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('kernel: links');
const kernel = kernelAvailable();
const missing = missingNamespaces ?? (kernel.ok ? undefined : kernel.reason);
const [major, minor] = release().split('.').map(Number);
const missingTcx = major * 100 + minor < 606 ? 'Linux before 6.6 has no TCX' : undefined;
const TC_ACT_SHOT = 2;

test('a tc program is for packets that leave where its section says so', () => {
  const of = (section: string): string => tcDirection({ section });
  assert.equal(['tc', 'tc/ingress', 'classifier', 'action'].map(of), Array(4).fill('ingress'));
  assert.equal(['tc/egress', 'tcx/egress', 'classifier/egress'].map(of), Array(3).fill('egress'));
});

for (const section of ['tc', 'tcx/egress'])
  test(
    `${section}: attached by TCX it drops what it is to drop, closed it drops nothing`,
    async () => {
      const loaded = KernelProgram.load(spec([movImm(0, TC_ACT_SHOT), exit()], 'tc', { section }));
      if (!loaded.accepted) return assert.unreachable(loaded.reason);
      const addon = native();
      if (!addon.ok) return assert.unreachable(addon.reason);
      const ns = new Namespace('kernel');
      const ping = async (): Promise<number> => (await ns.ping('127.0.0.1', '-c', '3', '-W', '0.3')).received;
      try {
        assert.is(await ping(), 3);
        const link = inNamespace(addon.native, ns.name, () => KernelLink.attachTc(loaded.program, 1));
        assert.is(link.mode, section === 'tc' ? 'tcx ingress' : 'tcx egress');
        assert.is(await ping(), 0);
        link.close();
        assert.is(await ping(), 3);
        try {
          inNamespace(addon.native, ns.name, () => KernelLink.attachTc(loaded.program, 99));
          assert.unreachable('there is no interface 99');
        } catch (error) {
          assert.is((error as { code?: string }).code, 'ERR_KERNEL_ATTACH');
          assert.match(
            (error as Error).message,
            /test cannot be attached: tcx: the interface is gone \(ENODEV\)/,
          );
        }
      } finally {
        loaded.program.close();
        ns.close();
      }
    },
    { missing: missing ?? missingTcx },
  );
