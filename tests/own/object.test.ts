/** What is said to whoever names an object that is no transport of datagrams, or options that cannot be. */
import { fileURLToPath } from 'node:url';
import { datagramTransport } from '../../host/transports/datagrams/index.js';
import { AT, errnoOf, wired } from '../stack/rig.js';
import { assert, suite } from '../support/suite.js';
import { OBJECT, Receiver, Sender, transfer, windowTransport } from './rig.js';

const test = suite('own: object');

const made = { name: 'window', protocol: 253, object: OBJECT, headerBytes: 20 };
const objectOf = (name: string): string =>
  fileURLToPath(new URL(`../../bpf-progs/obj/${name}.bpf.o`, import.meta.url));

test('options that cannot be are refused by name', () => {
  for (const wrong of [
    { name: 'my transport' },
    { name: '' },
    { protocol: 256 },
    { headerBytes: undefined as unknown as number },
    { object: 7 as unknown as string },
    { entries: { window_peers: 0 } },
    { sockets: 0 },
    { ephemeral: { first: 9, last: 8 } },
  ])
    assert.is(
      errnoOf(() => datagramTransport({ ...made, ...wrong })),
      'ERR_TRANSPORT_OPTIONS',
    );
});

test('an object that lacks something is refused with what it lacks; the stack is as before', () =>
  wired(async ({ a, b }) => {
    const said = async (options: Partial<typeof made> & { entries?: Record<string, number> }) =>
      a.stack.load(datagramTransport({ ...made, ...options })).then(
        () => 'loaded',
        (e: Error & { code: string }) => `${e.code} ${e.message}`,
      );
    assert.match(await said({ name: 'mine' }), /^ERR_TRANSPORT_OBJECT .*no map mine_sockets/);
    assert.match(await said({ object: objectOf('firewall') }), /^ERR_TRANSPORT_OBJECT .*window_sockets/);
    assert.match(await said({ entries: { peers: 9 } }), /^ERR_TRANSPORT_OBJECT .*no map peers/);
    assert.match(await said({ object: '/nowhere/mine.bpf.o' }), /^ERR_FILE_READ/);
    const handles = [await a.stack.load(windowTransport()), await b.stack.load(windowTransport())];
    const receiver = new Receiver(b.stack.burst.bind({ port: 7, transport: 'window' }));
    const socket = a.stack.burst.bind({ transport: 'window' });
    await transfer([a, b], [new Sender(socket, { address: AT.b[4], port: 7 }, 10)], [receiver]);
    for (const handle of handles) await handle.close();
  }));

test('an object of UDP’s programs is UDP under its name only; entries are as was said', () =>
  wired(
    async ({ a }) => {
      const udp = datagramTransport({ name: 'udp', protocol: 17, headerBytes: 8, object: objectOf('udp') });
      const handle = await a.stack.load(udp);
      assert.is(a.stack.burst.bind({ port: 53, transport: 'udp' }).port, 53);
      await handle.close();
      const small = await a.stack.load(
        datagramTransport({ ...made, entries: { window_peers: 16 }, sockets: 2 }),
      );
      for (let i = 0; i < 2; i++) a.stack.burst.bind({ transport: 'window' });
      assert.is(
        errnoOf(() => a.stack.burst.bind({ transport: 'window' })),
        'ERR_STACK_SOCKETS',
      );
      await small.close();
    },
    { a: { datagrams: false } },
  ));
