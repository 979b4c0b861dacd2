/** The tutorial's transport: every datagram once and in order, whatever the wire does; a window; peers that are dead. */
import { AT, wired } from '../stack/rig.js';
import { assert, suite } from '../support/suite.js';
import { Receiver, Sender, transfer, windowTransport } from './rig.js';

const test = suite('own: window');

for (const family of [4, 6] as const)
  test(`IPv${family}: a hundred datagrams in order, and none again`, () =>
    wired(async ({ a, b }) => {
      const [at, bt] = [await a.stack.load(windowTransport()), await b.stack.load(windowTransport())];
      const receiver = new Receiver(b.stack.burst.bind({ port: 7, transport: 'window' }));
      const socket = a.stack.burst.bind({ transport: 'window' });
      await transfer([a, b], [new Sender(socket, { address: AT.b[family], port: 7 }, 100)], [receiver]);
      assert.equal(at.counters(), {});
      assert.equal(bt.counters(), {});
    }));
