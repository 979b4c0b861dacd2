/** The way to a backend, as the kernel of a network namespace knows it. */
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import type { EtherloomError } from '../../host/errors.js';
import { routeTo } from '../../host/forward/netlink.js';
import { native } from '../../host/native/load.js';
import { inNamespace } from '../../host/nic/af_xdp/netns.js';
import { missingNamespaces, Namespace } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';

const test = suite('forward: routes');
const kernel = kernelAvailable();
const missing = missingNamespaces ?? (kernel.ok ? undefined : kernel.reason);

test(
  'an address that no route leads to is said to have none, and what would help',
  () => {
    const addon = native();
    if (!addon.ok) return assert.unreachable(addon.reason);
    const ns = new Namespace('forward');
    try {
      inNamespace(addon.native, ns.name, () => {
        for (const address of ['203.0.113.9', '2001:db8::9'])
          assert.throws(
            () => routeTo(address),
            (e: EtherloomError) =>
              e.code === 'ERR_NETLINK' &&
              /^the route to [\d.:a-f]+: there is none \(ENETUNREACH\)/.test(e.message) &&
              /ip route/.test(e.expected ?? ''),
          );
        assert.is(routeTo('127.0.0.1').ifindex, 1);
      });
    } finally {
      ns.close();
    }
  },
  { missing },
);
