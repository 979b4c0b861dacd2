/** Ethernet addresses that change while a chain runs: of clients, of backends, of the interfaces themselves. */
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { forwardConfig } from '../../host/forward/config.js';
import { PortLayout } from '../../host/layout/layout.gen.js';
import { parseMac } from '../../host/wire/address.js';
import { missingNamespaces } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';
import { missingTool } from '../support/tools.js';
import { Peers, SERVER_PORT } from './peers.js';
import {
  BACKEND,
  BACKEND_PORT,
  BACKEND6,
  bench,
  CLIENT_MAC,
  FRONT,
  input,
  one,
  PORT,
  reply,
  request,
  SYN,
  SYN_ACK,
} from './rig.js';

const test = suite('forward: neighbours');
const kernel = kernelAvailable();
const missing =
  missingNamespaces ??
  (kernel.ok ? undefined : kernel.reason) ??
  missingTool('curl') ??
  missingTool('ethtool');

/** A service of two backends whose addresses are asked for. */
const asked = (hops: number) =>
  input(hops, {
    services: [
      {
        ports: Array.from({ length: hops }, (_, i) => PORT + i),
        backends: [`${BACKEND}:${BACKEND_PORT}`, `[${BACKEND6}]:${BACKEND_PORT}`],
      },
    ],
  });

for (const hops of [1, 3])
  test(`${hops} hops: a backend with another Ethernet address is reached there, by flows of before, too`, async () => {
    const macs = new Map([
      [BACKEND, '02:00:00:00:01:01'],
      [BACKEND6, '02:00:00:00:01:02'],
    ]);
    let gone = false;
    const resolve = ({ address }: { address: string }): string => {
      if (gone) throw new Error(`${address} does not answer`);
      return macs.get(address)!;
    };
    await bench(
      async b => {
        const before = one(b.forth(request({ flags: SYN })));
        assert.is(before.dmac, '02:00:00:00:01:01');
        macs.set(BACKEND, '02:00:00:00:09:09');
        assert.is(one(b.forth(request())).dmac, '02:00:00:00:01:01', 'nobody has looked yet');
        await b.forwarder.refresh();
        assert.is(one(b.forth(request())).dmac, '02:00:00:00:09:09');
        assert.is(one(b.forth(request({ sport: 999, flags: SYN }))).dmac, '02:00:00:00:09:09');
        const six = one(b.forth(request({ src: 'fd00::1', flags: SYN })));
        assert.is(six.dmac, '02:00:00:00:01:02');
        gone = true;
        await b.forwarder.refresh();
        assert.is(one(b.forth(request())).dmac, '02:00:00:00:09:09', 'what is not known stays');
        assert.match(b.forwarder.trouble.join(), /10\.1\.0\.1 does not answer/);
        gone = false;
        macs.set(BACKEND, '02:00:00:00:07:07');
        await b.forwarder.refresh();
        assert.is(one(b.forth(request())).dmac, '02:00:00:00:07:07');
        assert.equal(b.forwarder.trouble, []);
      },
      asked(hops),
      { resolve },
    );
  });

test('flows of a table that was turned over follow their own backend, and never another one', async () => {
  const macs: Record<string, string> = {
    [BACKEND]: '02:00:00:00:01:01',
    [BACKEND6]: '02:00:00:00:01:02',
    '10.1.0.8': '02:00:00:00:01:08',
  };
  const only = (address: string) => {
    const { services, ...rest } = asked(1);
    return forwardConfig({
      ...rest,
      services: [
        { ...services[0], backends: [`${address}:${BACKEND_PORT}`, `[${BACKEND6}]:${BACKEND_PORT}`] },
      ],
    });
  };
  await bench(
    async b => {
      one(b.forth(request({ sport: 1, flags: SYN })));
      await b.forwarder.setBackends(only('10.1.0.8'));
      one(b.forth(request({ sport: 2, flags: SYN })));
      one(b.forth(request({ src: 'fd00::1', sport: 3, flags: SYN })));
      // The half in which the first flow found its backend has others now.
      await b.forwarder.setBackends(only('10.1.0.8'));
      macs['10.1.0.8'] = '02:00:00:00:0e:08';
      macs[BACKEND6] = '02:00:00:00:0e:06';
      macs[BACKEND] = '02:00:00:00:0e:01';
      await b.forwarder.refresh();
      assert.is(
        one(b.forth(request({ sport: 1 }))).dmac,
        '02:00:00:00:01:01',
        'taken out: nobody asks for it',
      );
      assert.is(one(b.forth(request({ sport: 2 }))).dmac, '02:00:00:00:0e:08', 'of the other half');
      assert.is(one(b.forth(request({ src: 'fd00::1', sport: 3 }))).dmac, '02:00:00:00:0e:06');
      assert.is(one(b.forth(request({ sport: 4, flags: SYN }))).dmac, '02:00:00:00:0e:08');
    },
    asked(1),
    { resolve: ({ address }) => macs[address] },
  );
});

test('answers go to where the client’s last packet came from', () =>
  bench(b => {
    const there = one(b.forth(request({ flags: SYN })));
    assert.is(one(b.back(reply(there, { flags: SYN_ACK }))).dmac, CLIENT_MAC);
    one(b.forth(request({ smac: '02:00:00:00:0a:0b' })));
    assert.is(one(b.back(reply(there))).dmac, '02:00:00:00:0a:0b');
  }, input(2)));

test('an interface with another Ethernet address sends from it', () =>
  bench(async b => {
    const there = one(b.forth(request({ flags: SYN })));
    const { arena, ports } = b.forwarder.engine;
    const [first, last] = [ports[0], ports[ports.length - 1]];
    const put = (at: number, mac: string) => arena.u8.set(parseMac(mac), at + PortLayout.mac);
    put(last.at, '02:00:00:00:0c:01');
    put(first.at, '02:00:00:00:0c:02');
    await b.forwarder.refresh();
    assert.is(one(b.forth(request())).smac, '02:00:00:00:0c:01');
    assert.is(one(b.back(reply(there))).smac, '02:00:00:00:0c:02');
  }, input(2)));

/** Tries until the service answers; ms since the call. */
async function answered(peers: Peers, patienceMs: number): Promise<number> {
  const from = performance.now();
  for (;;) {
    const { out } = await peers.client.run(
      ...(['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '0.3'] as const),
      `http://${FRONT}:${PORT}/1000`,
    );
    const tookMs = performance.now() - from;
    if (out === '200') return tookMs;
    if (tookMs > patienceMs) throw new Error(`no answer for ${Math.round(tookMs)} ms`);
  }
}

for (const engine of ['kernel', 'etherloom'])
  test(
    `${engine}: pairs that are deleted and made anew, with other Ethernet addresses at both ends, carry on at once`,
    async () => {
      const peers = new Peers(1, 100);
      try {
        if (engine === 'kernel') await peers.takeRedirected();
        // Who moves says so. Linux does not by default: then a neighbour that does not answer any more is believed for
        // its kernel's delay_first_probe_time (5 s) and three questions, and nobody else knows better.
        await peers.server.run('sysctl', '-qw', 'net.ipv4.conf.all.arp_notify=1');
        await peers.serve();
        const chain = await peers.forward(
          ...['--ports', `${PORT},${PORT + 1}`, '--backend', `${BACKEND}:${SERVER_PORT}`],
          ...['--protocol', 'tcp', '--engine', engine],
        );
        await answered(peers, 2000);
        peers.server.ip('link', 'delete', 's0');
        await new Promise(done => setTimeout(done, 300));
        peers.wireServer();
        if (engine === 'kernel') await peers.takeRedirected();
        await answered(peers, 1000);
        peers.client.ip('link', 'delete', 'c0');
        await new Promise(done => setTimeout(done, 300));
        peers.wireClient();
        if (engine === 'kernel') await peers.takeRedirected();
        await answered(peers, 1000);
        // The same interfaces, and a server with another card.
        peers.server.ip('link', 'set', 's0', 'down', 'address', '02:00:00:00:0d:0d');
        peers.server.ip('link', 'set', 's0', 'up');
        await answered(peers, 1000);
        assert.match(await chain.stop(), /"stopped"/);
      } finally {
        peers.close();
      }
    },
    { missing, timeoutMs: 60_000 },
  );
