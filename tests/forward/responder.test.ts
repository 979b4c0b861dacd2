/** Where no kernel answers for the forwarder's addresses, its ports do. */

import { Forwarder } from '../../host/forward/chain.js';
import { forwardConfig } from '../../host/forward/config.js';
import { modelLink } from '../../host/nic/index.js';
import { packet, read } from '../support/packets.js';
import { assert, suite } from '../support/suite.js';
import { CLIENT, FRONT, input, one, request, SYN } from './rig.js';

const test = suite('forward: ports that answer');

test('a port with a responder answers ARP and echo for its address, and forwards all the same', async () => {
  const front = modelLink({ name: 'front' });
  const rear = modelLink({ name: 'rear' });
  const forwarder = await Forwarder.create({
    config: forwardConfig({
      ...input(2),
      address: FRONT,
      source: '10.1.0.2' as const,
      services: [{ ports: [7996, 7997], backends: ['10.1.0.1:8000@02:00:00:00:01:01'] }],
    }),
    in: front.a,
    out: rear.a,
    respond: { in: true },
    engine: { inline: true, clock: 'virtual', frames: 1024, warmMs: 0 },
  });
  await forwarder.start();
  const ask = (data: Uint8Array): Uint8Array[] => {
    assert.ok(front.b.send(data));
    forwarder.engine.run();
    return front.b.receive().map(p => p.data);
  };
  try {
    forwarder.engine.run({ untilNs: forwarder.engine.now() + 5_000_000_000n });
    front.b.receive();
    const arp = Uint8Array.from([
      ...[255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 0x99, 8, 6],
      ...[0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 0x99, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2],
    ]);
    const [answer] = ask(arp);
    assert.ok(answer, 'an answer to ARP');
    assert.equal([answer[21], ...answer.subarray(28, 32)], [2, 10, 0, 0, 2]);
    const echo = one(
      ask(
        packet({
          src: CLIENT,
          dst: FRONT,
          protocol: 'icmp',
          smac: '02:00:00:00:00:99',
          dmac: '02:00:00:00:00:01',
        }),
      ),
    );
    assert.equal([echo.src, echo.l4[0]], [FRONT, 0]);
    assert.ok(front.b.send(request({ flags: SYN })));
    forwarder.engine.run();
    assert.is(read(rear.b.receive()[0].data).dport, 8000);
  } finally {
    await forwarder.stop();
  }
});
