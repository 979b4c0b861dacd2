/** The peers of the NIC bench do the same work: every packet comes back, whole, by the way it is to come. */
import { missingCompiler } from '../../bench/native/build.js';
import { NicPeer, type PeerName, SPIN } from '../../bench/scenarios/nic/peers.js';
import type { Work } from '../../bench/scenarios/nic/wire.js';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { missingNamespaces } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';

const test = suite('bench: nic');
const kernel = kernelAvailable();
const missing = missingNamespaces ?? missingCompiler ?? (kernel.ok ? undefined : kernel.reason);

for (const work of ['reflect', 'forward'] as Work[])
  for (const [name, spinUs] of [
    ['native', 0],
    ['native', SPIN],
    ['etherloom', 0],
    ['kernel', 0],
  ] as [PeerName, number][])
    test(
      `${name}, ${work}, ${spinUs ? 'spinning' : 'sleeping'}: nothing is lost, nothing changed`,
      async () => {
        const peer = await NicPeer.start(name, { work, queues: 1, spinUs });
        try {
          for (const bytes of [64, 1500]) {
            const rtt = await peer.turn(wire => wire.rtt(bytes, 100));
            assert.equal([rtt.sent, rtt.lost, rtt.wrong], [100, 0, 0]);
            assert.ok(rtt.p50Us > 0 && rtt.p50Us <= rtt.p99Us);
          }
          // Who had no CPU for 50 ms on a busy machine has it later.
          let rate = 0;
          for (let turns = 0; turns < 20 && rate === 0; turns++)
            rate = await peer.turn(wire => wire.rate(64, 50));
          assert.ok(rate > 0);
        } finally {
          await peer.stop();
        }
      },
      { missing },
    );
