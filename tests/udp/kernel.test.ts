/** The kernel as the peer, over TUN and over AF_XDP on veth: Node's dgram there, our sockets here, and a name asked of a DNS server. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { Engine } from '../../host/engine/engine.js';
import { native } from '../../host/native/load.js';
import type { Socket } from '../../host/net/datagrams/socket.js';
import { Stack } from '../../host/net/stack.js';
import { afXdp, TapNic } from '../../host/nic/index.js';
import type { Nic } from '../../host/nic/nic.js';
import { linkName, missingNamespaces, missingTun, Namespace } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';
import { missingTool } from '../support/tools.js';
import { Veth } from '../support/veth.js';

const test = suite('udp: the kernel as a peer');
const PEER = fileURLToPath(new URL('dgram_peer.mjs', import.meta.url));
const addon = native();
const kernel = kernelAvailable();
const missing = {
  tun: missingTun ?? (addon.ok ? undefined : addon.reason),
  af_xdp: missingNamespaces ?? (kernel.ok ? undefined : kernel.reason) ?? missingTool('ethtool'),
};
type Way = keyof typeof missing;

interface Met {
  stack: Stack;
  ns: Namespace;
  ours: Record<4 | 6, string>;
  theirs: Record<4 | 6, string>;
}

async function open(
  way: Way,
): Promise<{ nic: Nic; ns: Namespace; net: string; joined(): void; close(): void }> {
  if (way === 'tun') {
    const ns = new Namespace('udp');
    const nic = new TapNic('tun', { name: linkName('tun') });
    const joined = (): void => ns.adopt(nic.name, '10.87.0.2/24', 'fd87::2/64');
    return { nic, ns, net: '10.87.0.x fd87::x', joined, close: () => ns.close() };
  }
  const veth = await Veth.create();
  const nic = afXdp({ interface: veth.nearLink, namespace: veth.near.name, own: true });
  const net = `10.88.${veth.net}.x fd88:${veth.net}::x`;
  return { nic, ns: veth.far, net, joined() {}, close: () => veth.close() };
}

async function meeting(way: Way, lanes: number, work: (m: Met) => Promise<void>): Promise<void> {
  const { nic, ns, net, joined, close } = await open(way);
  const at = (n: number) => {
    const [v4, v6] = net.split(' ');
    return { 4: v4.replace('x', `${n}`), 6: v6.replace('x', `${n}`) };
  };
  const [ours, theirs] = [at(1), at(2)];
  const engine = await Engine.create({
    ...{ nics: [nic], lanes, frames: 4096, pass: 'count' },
    streams: { count: 64, bytes: 16 << 20 },
  });
  try {
    joined();
    const own = [`${ours[4]}/24`, `${ours[6]}/64`].map(address => ({ address, dad: false }));
    const stack = await Stack.create({ engine, ports: { [nic.name]: { addresses: own } } });
    await engine.start();
    await work({ stack, ns, ours, theirs });
    await stack.close();
    assert.equal(engine.crashes, []);
  } finally {
    try {
      const { ledger } = await engine.stop();
      assert.is(ledger.lost + ledger.doubled, 0);
    } finally {
      close();
    }
  }
}

/** `Udp:` or `Udp6…` errors of the namespace: what the kernel found wrong of ours. */
async function wrong(ns: Namespace): Promise<number> {
  const { out } = await ns.run('cat', '/proc/net/snmp', '/proc/net/snmp6');
  const [names, values] = out
    .split('\n')
    .filter(line => line.startsWith('Udp:'))
    .map(line => line.split(' '));
  const six = /^Udp6InCsumErrors\s+(\d+)/m.exec(out);
  return Number(values[names.indexOf('InCsumErrors')]) + Number(six?.[1] ?? 0);
}

/**
 * The answer that `is` takes, to what is said up to twenty times. In the first moments after the link came up the kernel
 * answers for no neighbour of IPv6: the first waits for that.
 */
async function answered(
  socket: Socket,
  data: Uint8Array,
  port: number,
  address: string,
  is: (answer: Buffer) => boolean,
): Promise<Buffer> {
  let got: Buffer | undefined;
  let failed: NodeJS.ErrnoException | undefined;
  const onMessage = (m: Buffer): void => {
    if (is(m)) got ??= m;
  };
  const onError = (error: NodeJS.ErrnoException): void => {
    failed = error;
  };
  socket.on('message', onMessage).on('error', onError);
  for (let attempt = 0; attempt < 20 && !got && !failed; attempt++) {
    socket.send(data, port, address);
    for (let i = 0; i < 30 && !got && !failed; i++) await new Promise(done => setTimeout(done, 10));
  }
  socket.off('message', onMessage).off('error', onError);
  if (got) return got;
  throw failed ?? new Error(`no answer from ${address} port ${port}`);
}

/** A query for the A record of a name (RFC 1035 §4.1). */
function query(id: number, name: string): Buffer {
  const labels = name.split('.').flatMap(l => [l.length, ...Buffer.from(l)]);
  return Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1]);
}

for (const way of ['tun', 'af_xdp'] as const) {
  for (const lanes of way === 'tun' ? [1] : [1, 2])
    test(
      `${way}, ${lanes === 1 ? 'one lane' : 'two lanes'}: an echo for Node's dgram, over IPv4 and IPv6, every size to 1400`,
      () =>
        meeting(way, lanes, async ({ stack, ns, ours }) => {
          const socket = stack.createSocket('udp6');
          socket.on('message', (m, { port, address }) => socket.send(m, port, address));
          socket.bind(7);
          await once(socket, 'listening');
          for (const family of [4, 6] as const) {
            const asked = JSON.stringify({ ask: [ours[family], 7], count: 60 });
            const { code, out, err } = await ns.run(process.execPath, PEER, asked);
            assert.is(code, 0, err);
            assert.equal(JSON.parse(out), { same: 60 });
          }
          assert.is(await wrong(ns), 0);
          assert.is(stack.counters('datagrams').InCsumErrors, undefined);
          socket.close();
        }),
      { missing: missing[way], timeoutMs: 40_000 },
    );

  test(
    `${way}: asking Node's dgram, a DNS server for names, and a port that nobody has`,
    () =>
      meeting(way, 1, async ({ stack, ns, theirs }) => {
        const echo = ns.spawn(process.execPath, PEER, JSON.stringify({ serve: 7 }));
        const names = { 'etherloom.test': '192.0.2.53' };
        const dns = ns.spawn(process.execPath, PEER, JSON.stringify({ dns: 53, names }));
        await Promise.all([once(echo.stdout!, 'data'), once(dns.stdout!, 'data')]);
        for (const family of [4, 6] as const) {
          const socket = stack.createSocket(family === 4 ? 'udp4' : 'udp6');
          for (const n of [0, 1, 33, 1000, family === 4 ? 1472 : 1452]) {
            const data = Buffer.alloc(n, n);
            await answered(socket, data, 7, theirs[family], m => m.equals(data));
          }
          const found = await answered(
            socket,
            query(4711, 'etherloom.test'),
            53,
            theirs[family],
            m => m.length > 12 && m.readUInt16BE(0) === 4711,
          );
          assert.equal(
            [found.readUInt16BE(0), found.readUInt16BE(2), found.readUInt16BE(6)],
            [4711, 0x8180, 1],
          );
          assert.equal([...found.subarray(-4)], [192, 0, 2, 53]);
          const none = await answered(
            socket,
            query(4712, 'nobody.test'),
            53,
            theirs[family],
            m => m.length > 12 && m.readUInt16BE(0) === 4712,
          );
          assert.equal([none.readUInt16BE(0), none.readUInt16BE(2) & 15], [4712, 3]);
          socket.connect(9, theirs[family]);
          await once(socket, 'connect');
          const failed = once(socket, 'error');
          const again = setInterval(() => socket.send('anybody?'), 100);
          const [error] = await failed;
          clearInterval(again);
          assert.is(error.code, 'ECONNREFUSED');
          socket.close();
        }
        echo.kill('SIGKILL');
        dns.kill('SIGKILL');
        assert.is(await wrong(ns), 0);
      }),
    { missing: missing[way], timeoutMs: 40_000 },
  );
}
