/** Lanes that do not say that they have changed: what may run stays loaded, and nothing is undone. */
import type { ArrayMap } from '../../host/bpf/maps/index.js';
import { Engine } from '../../host/engine/engine.js';
import { InlineLanes } from '../../host/engine/inline_lanes.js';
import type { EtherloomError } from '../../host/errors.js';
import { HostNic } from '../../host/nic/index.js';
import { LiveObject } from '../../host/transports/upgrade/live_object.js';
import { assert, suite } from '../support/suite.js';
import { missingClang, small } from './objects.js';

const test = suite('swap: lanes that are not heard of');

test(
  'the new programs run and have their maps; the next upgrade ends the old ones',
  async () => {
    const nic = new HostNic({ name: 'p' });
    const engine = await Engine.create({ nics: [nic], inline: true, clock: 'virtual', warmMs: 0 });
    const live = await LiveObject.load(
      { engine, apps: undefined as never, table: 300, stack: 'here' },
      {
        ...{ name: 'small', object: small(1), sizes: {}, globals: { '.rodata': { setting: 77 } } },
        ...{ counters: 'small_counters', errors: [] },
      },
    );
    const attachment = engine.attach(live.program('small').placed, 'p');
    await engine.start();
    const verdicts = (): number[] => {
      const { tx, drop } = engine.counters()[0].verdicts as Record<string, number>;
      return [tx ?? 0, drop ?? 0];
    };
    const packet = (): void => {
      assert.ok(nic.send(new Uint8Array(64)));
      engine.run({ untilNs: engine.now() });
      nic.receive();
    };
    packet();
    assert.equal(verdicts(), [0, 1]);
    // Every lane changes; what each says of it gets lost.
    const { tell } = InlineLanes.prototype;
    InlineLanes.prototype.tell = function (orders) {
      const lanes = tell.call(this, orders);
      const lost = orders.some(order => order.kind === 'alias');
      return lost ? lanes.map(acks => acks.map(ack => ({ ...ack, error: 'lost' }))) : lanes;
    };
    let code: string;
    try {
      code = await live.upgrade(small(2)).then(
        () => 'none',
        error => (error as EtherloomError).code,
      );
    } finally {
      InlineLanes.prototype.tell = tell;
    }
    assert.is(code, 'ERR_SUPERSEDE_UNHEARD');
    assert.is(live.generation, 2);
    packet();
    assert.equal(verdicts(), [1, 1]);
    live.map<ArrayMap>('small_extra').set(1, 9n);
    await live.upgrade(small(1));
    packet();
    assert.equal(verdicts(), [1, 2]);
    assert.is(live.map<ArrayMap>('small_extra').get(1), 9n);
    await engine.detach(attachment);
    await live.close();
    assert.is(engine.arena.maps.usedBytes, 0);
    await engine.stop();
  },
  { missing: missingClang },
);
