/** Backends come and go while packets flow: old flows stay, new ones go where they are to. */

import type { EtherloomError } from '../../host/errors.js';
import { type ForwardInput, forwardConfig } from '../../host/forward/config.js';
import { read } from '../support/packets.js';
import { assert, suite } from '../support/suite.js';
import {
  BACKEND,
  BACKEND_MAC,
  BACKEND6,
  type Bench,
  bench,
  CLIENT6,
  input,
  one,
  PORT,
  reply,
  request,
  SYN,
} from './rig.js';

const test = suite('forward: backends');
const OTHER = '10.1.0.7';
const OTHER_MAC = '02:00:00:00:01:07';

/** A chain whose services have these backends. */
const given = (backends: string[], hops = 1): ForwardInput => {
  const { services, ...rest } = input(hops);
  return { ...rest, services: [{ ...services[0], backends }] };
};
const first = `${BACKEND}:8000@${BACKEND_MAC}`;
const other = `${OTHER}:8001@${OTHER_MAC}`;
const v6 = `[${BACKEND6}]:8000@${BACKEND_MAC}`;
const set = (b: Bench, backends: string[], hops = 1): Promise<void> =>
  b.forwarder.setBackends(forwardConfig(given(backends, hops)));

/** Opens flows; how many went to each backend. */
function open(b: Bench, from: number, count: number): Record<string, number> {
  const to: Record<string, number> = {};
  for (let i = 0; i < count; i++) {
    const { dst, dport, dmac } = one(b.forth(request({ sport: from + i, flags: SYN })));
    to[`${dst}:${dport} ${dmac}`] = (to[`${dst}:${dport} ${dmac}`] ?? 0) + 1;
  }
  return to;
}
const AT_FIRST = `${BACKEND}:8000 ${BACKEND_MAC}`;
const AT_OTHER = `${OTHER}:8001 ${OTHER_MAC}`;

for (const hops of [1, 3])
  test(`one that is taken out drains: its flows go on, both ways, new ones go elsewhere; ${hops} hops`, () =>
    bench(
      async b => {
        const spread = open(b, 2000, 60);
        assert.ok(spread[AT_FIRST] > 10 && spread[AT_OTHER] > 10, JSON.stringify(spread));
        await set(b, [other], hops);
        assert.equal(open(b, 3000, 60), { [AT_OTHER]: 60 });
        const stayed: Record<string, number> = {};
        for (let i = 0; i < 60; i++) {
          const there = one(b.forth(request({ sport: 2000 + i })));
          stayed[there.dst] = (stayed[there.dst] ?? 0) + 1;
          const back = one(b.back(reply(there)));
          assert.is(back.dport, 2000 + i);
        }
        assert.equal(stayed, { [BACKEND]: spread[AT_FIRST], [OTHER]: spread[AT_OTHER] });
        assert.equal(
          b.forwarder.config.services[0].backends.map(x => x.address),
          [OTHER],
        );
        // And back again, many times: the halves of the table take turns.
        for (let i = 0; i < 5; i++) {
          await set(b, [first], hops);
          assert.equal(open(b, 4000 + i * 100, 10), { [AT_FIRST]: 10 });
          await set(b, [first, other], hops);
          assert.equal(Object.keys(open(b, 5000 + i * 100, 40)).sort(), [AT_FIRST, AT_OTHER].sort());
        }
      },
      given([first, other], hops),
    ));

test('a family that has no backend left is refused new flows, and has them again with one', () =>
  bench(
    async b => {
      const ask = (sport: number) => b.forth(request({ src: CLIENT6, sport, flags: SYN }));
      assert.is(one(ask(2000)).dst, BACKEND6);
      await set(b, [first]);
      assert.equal(ask(2001), []);
      assert.is(b.counts().no_backend, 1);
      assert.is(one(b.forth(request({ src: CLIENT6, sport: 2000 }))).dst, BACKEND6, 'the old one goes on');
      await set(b, [first, v6]);
      assert.is(one(ask(2002)).dst, BACKEND6);
    },
    given([first, v6]),
  ));

test('as many as there is room for; anything but backends is refused, and nothing is changed then', () =>
  bench(
    async b => {
      const many = Array.from({ length: 128 }, (_, i) => `10.1.1.${i}:80@${OTHER_MAC}`);
      await set(b, many);
      assert.ok(Object.keys(open(b, 2000, 100)).length > 40);
      const refused = async (next: ForwardInput, words: RegExp) => {
        try {
          await b.forwarder.setBackends(forwardConfig(next));
        } catch (error) {
          assert.is(
            (error as EtherloomError).code,
            /address of/.test(`${words}`) ? 'ERR_FORWARD_MAC' : 'ERR_FORWARD_CONFIG',
          );
          assert.match((error as Error).message, words);
          return;
        }
        assert.unreachable(`${words}`);
      };
      const { services, ...rest } = given([first]);
      await refused({ ...rest, services: [{ ...services[0], ports: [PORT + 1] }] }, /more than backends/);
      await refused({ ...given([first]), flows: 512 }, /more than backends/);
      await refused(given([`${OTHER}:80`]), /address of 10\.1\.0\.7/);
      const [dst] = Object.keys(open(b, 3000, 1));
      assert.match(dst, /^10\.1\.1\./);
      assert.ok(read(b.forth(request({ sport: 3001, flags: SYN }))[0]).sound);
    },
    given([first]),
  ));
