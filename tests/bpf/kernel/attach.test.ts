/** attachKernel: an object at an interface of the kernel, its maps by the engine's classes, devmaps by ifindex. */
import { readFileSync } from 'node:fs';
import { attachKernel } from '../../../host/bpf/kernel/attach.js';
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import type { KernelDevMap } from '../../../host/bpf/kernel/devmap.js';
import type { HashMap } from '../../../host/bpf/maps/index.js';
import { FORWARD_OBJECT } from '../../../host/forward/hop.js';
import { ip, linkName, missingNamespaces, Namespace } from '../../support/netns.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('kernel: attachments');
const kernel = kernelAvailable();
const missing = missingNamespaces ?? (kernel.ok ? undefined : kernel.reason);
const FLOW_STATS = 'bpf-progs/obj/flow_stats.bpf.o';

/** A veth pair, one end here, the other in a namespace. */
async function onPair(work: (near: string, far: Namespace) => unknown): Promise<void> {
  const far = new Namespace('kernel');
  const [a, b] = [linkName('ka'), linkName('kb')];
  ip('link', 'add', a, 'type', 'veth', 'peer', 'name', b);
  try {
    far.adopt(b, '10.67.0.2/24');
    ip('address', 'add', '10.67.0.1/24', 'dev', a);
    ip('link', 'set', a, 'up');
    await work(a, far);
  } finally {
    ip('link', 'delete', a);
    far.close();
  }
}

test(
  'a program counts what the interface receives; it goes with close, and its maps can be read until then',
  () =>
    onPair(async (near, far) => {
      const attached = attachKernel(FLOW_STATS, near, { mode: 'generic' });
      assert.equal([attached.mode, attached.reason, attached.target.name], ['generic', 'asked for', near]);
      assert.match(ip('link', 'show', near), /xdpgeneric/);
      assert.is((await far.ping('10.67.0.1', '-c', '3')).received, 3);
      attached.detach();
      assert.not.match(ip('link', 'show', near), /xdp/);
      const flows = attached.map<HashMap<{ protocol: number }, { packets: number }>>('flows');
      const icmp = [...flows].find(([key]) => key.protocol === 1);
      assert.is(Number(icmp?.[1].packets), 3);
      attached.close();
      assert.throws(() => flows.get([...flows.keys()][0]));
    }),
  { missing },
);

test(
  'devmaps take numbers of the kernel’s interfaces, and refuse what is none',
  () =>
    onPair(near => {
      const attached = attachKernel(FORWARD_OBJECT, near);
      try {
        const ports = attached.map<KernelDevMap>('ports');
        const { ifindex } = attached.target;
        assert.is(ifindex, Number(readFileSync(`/sys/class/net/${near}/ifindex`, 'utf8')));
        ports.set(0, ifindex).set(1, { ifindex: 1 });
        assert.equal(
          [...ports],
          [
            [0, { ifindex }],
            [1, { ifindex: 1 }],
          ],
        );
        assert.ok(ports.delete(1));
        assert.is(ports.get(1), undefined);
        assert.throws(() => ports.set(0, 0), /number of an interface/);
        assert.throws(() => ports.set(0, { ifindex: 2 ** 31 - 1 }));
        assert.throws(() => ports.set(0, { ifindex, program: {} as never }), /a program that it cannot take/);
      } finally {
        attached.close();
      }
    }),
  { missing },
);

test(
  'what cannot be attached is refused with a code, and nothing stays open',
  () =>
    onPair(near => {
      const code = (work: () => unknown): string => {
        try {
          work();
          return 'nothing';
        } catch (error) {
          return (error as { code: string }).code;
        }
      };
      assert.is(
        code(() => attachKernel(FLOW_STATS, 'nosuch0')),
        'ERR_NIC_ENODEV',
      );
      assert.is(
        code(() => attachKernel(FLOW_STATS, '../lo')),
        'ERR_NIC_ENODEV',
      );
      assert.is(
        code(() => attachKernel('bpf-progs/obj/dns_tap.bpf.o', near)),
        'ERR_PROGRAM_TYPE',
      );
      assert.is(
        code(() => attachKernel(FLOW_STATS, near, { config: { nothing: [] } })),
        'ERR_CONFIG_MAP',
      );
      const first = attachKernel(FLOW_STATS, near);
      assert.is(
        code(() => attachKernel(FLOW_STATS, near)),
        'ERR_KERNEL_HELD',
      );
      first.close();
      attachKernel(FLOW_STATS, near).close();
    }),
  { missing },
);
