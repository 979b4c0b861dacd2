/** The kernel as the peer, over AF_XDP on veth and over TUN and TAP: we serve and they connect, and the other way round. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import { native } from '../../host/native/load.js';
import { type PortNetwork, Stack } from '../../host/net/stack.js';
import { type AfXdpOptions, afXdp, TapNic } from '../../host/nic/index.js';
import type { Nic } from '../../host/nic/nic.js';
import { linkName, missingNamespaces, missingTun, Namespace } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';
import { missingTool } from '../support/tools.js';
import { Veth } from '../support/veth.js';
import { addresses, echo, Host, pattern, Sender, sha, until } from './rig.js';

const test = suite('stack: the kernel as a peer');
const PEER = fileURLToPath(new URL('net_peer.mjs', import.meta.url));
const addon = native();
const kernel = kernelAvailable();
const missingDevices = missingTun ?? (addon.ok ? undefined : addon.reason);
const missingXdp = missingNamespaces ?? (kernel.ok ? undefined : kernel.reason) ?? missingTool('ethtool');
const LIMIT_MS = 40_000;

interface Met {
  host: Host;
  /** Where the kernel is. */
  ns: Namespace;
  ours: Record<4 | 6, string>;
  theirs: Record<4 | 6, string>;
}

/** A kind of way between the engine and a namespace: a NIC, and how that namespace's end is made. */
interface Way {
  missing: string | undefined;
  /** Of the port. */
  network?: Partial<PortNetwork>;
  open(): Promise<{ nic: Nic; ns: Namespace; net: string; joined(): void; close(): void }>;
}

const tunnel = (kind: 'tun' | 'tap'): Way => ({
  missing: missingDevices,
  async open() {
    const ns = new Namespace('stack');
    const nic = new TapNic(kind, { name: linkName(kind) });
    return {
      ...{ nic, ns, net: '10.86.0.x fd86::x' },
      joined: () => ns.adopt(nic.name, '10.86.0.2/24', 'fd86::2/64'),
      close: () => ns.close(),
    };
  },
});

const WAYS: Record<string, Way> = {
  tun: tunnel('tun'),
  tap: tunnel('tap'),
  af_xdp: onVeth({ own: true }),
};

function onVeth(options: Pick<AfXdpOptions, 'own' | 'rules'>): Way {
  return {
    missing: missingXdp,
    async open() {
      const veth = await Veth.create();
      const nic = afXdp({ interface: veth.nearLink, namespace: veth.near.name, ...options });
      return {
        ...{ nic, ns: veth.far, net: `10.88.${veth.net}.x fd88:${veth.net}::x` },
        joined() {},
        close: () => veth.close(),
      };
    },
  };
}

/** The kernel keeps the interface: its address is ours, too, for two ports. */
const SHARED: Way = {
  ...onVeth({ rules: [{ protocol: 'tcp', port: 7 }] }),
  network: { arp: false, nd: false, echo: false, unreachable: false, announce: false },
};

async function meeting(
  way: Way,
  work: (m: Met) => Promise<void>,
  more: Partial<EngineOptions> = {},
): Promise<void> {
  const { nic, ns, net, joined, close } = await way.open();
  const [v4, v6] = net.split(' ');
  const at = (n: number) => ({ 4: v4.replace('x', `${n}`), 6: v6.replace('x', `${n}`) });
  const [ours, theirs] = [at(1), at(2)];
  const engine = await Engine.create({
    nics: [nic],
    ...{ frames: 4096, pass: 'count', streams: { count: 256, bytes: 64 << 20 } },
    ...more,
  });
  try {
    joined();
    const stack = await Stack.create({
      engine,
      ports: { [nic.name]: { addresses: addresses([`${ours[4]}/24`, `${ours[6]}/64`]), ...way.network } },
    });
    await engine.start();
    await work({ host: new Host(stack), ns, ours, theirs });
    await stack.close();
    assert.is(engine.crashes.length, 0, JSON.stringify(engine.crashes));
  } finally {
    try {
      const { ledger } = await engine.stop();
      assert.is(ledger.lost + ledger.doubled, 0);
    } finally {
      close();
    }
  }
}

/** Checksums and segments that the kernel found wrong, in its namespace. */
async function kernelErrors(ns: Namespace): Promise<Record<string, number>> {
  const { out } = await ns.run('cat', '/proc/net/snmp');
  const [names, values] = out
    .split('\n')
    .filter(line => line.startsWith('Tcp:'))
    .map(line => line.split(' '));
  const at = (name: string): number => Number(values[names.indexOf(name)]);
  return { InErrs: at('InErrs'), InCsumErrors: at('InCsumErrors') };
}

/** Runs a client of Node's net in the namespace, while we serve. */
async function served(m: Met, asked: object): Promise<{ same: number; errors: string[] }> {
  let out: { same: number; errors: string[] } | undefined;
  let failed: Error | undefined;
  void m.ns.run(process.execPath, PEER, JSON.stringify(asked)).then(
    r => {
      if (r.code === 0) out = JSON.parse(r.out);
      else failed = new Error(r.err);
    },
    (e: Error) => (failed = e),
  );
  await until([m.host], () => out !== undefined || failed !== undefined, 30_000);
  if (failed) throw failed;
  return out!;
}

for (const [name, way] of Object.entries(WAYS)) {
  for (const lanes of name === 'tun' ? [1] : [1, 2])
    test(
      `${name}, ${lanes === 1 ? 'one lane' : 'two lanes'}: an echo for Node's net, over IPv4 and IPv6, ten connections at a time`,
      () =>
        meeting(
          way,
          async m => {
            m.host.onAccept = echo;
            m.host.stack.burst.listen({ port: 7 });
            for (const family of [4, 6] as const) {
              const asked = { connect: [m.ours[family], 7], bytes: 200_000, many: 10 };
              assert.equal(await served(m, asked), { same: 10, errors: [] });
            }
            assert.equal(await kernelErrors(m.ns), { InErrs: 0, InCsumErrors: 0 });
            assert.is(m.host.stack.counters().InCsumErrors, undefined);
          },
          { lanes },
        ),
      { missing: way.missing, timeoutMs: LIMIT_MS },
    );

  test(
    `${name}: connecting to Node's net, over IPv4 and IPv6, and to a port where nobody listens`,
    () =>
      meeting(way, async m => {
        const server = m.ns.spawn(process.execPath, PEER, JSON.stringify({ serve: 7 }));
        await once(server.stdout!, 'data');
        for (const family of [4, 6] as const) {
          const data = pattern(1_000_000, family);
          const c = m.host.connect({ host: m.theirs[family], port: 7 });
          const s = new Sender(c, data);
          m.host.hear(c, s.heard);
          await until([m.host], () => s.ended || c.closed, 20_000);
          assert.is(s.error, undefined);
          assert.is(s.sha, sha(data));
          c.close();
          const none = m.host.connect({ host: m.theirs[family], port: 9 });
          await until([m.host], () => none.closed);
          assert.is(none.error, 'ECONNREFUSED');
          none.close();
        }
        server.kill('SIGKILL');
        assert.equal(await kernelErrors(m.ns), { InErrs: 0, InCsumErrors: 0 });
      }),
    { missing: way.missing, timeoutMs: LIMIT_MS },
  );

  test(
    `${name}: a closed port refuses with a RST, a UDP port by ICMP, ping is answered`,
    () =>
      meeting(way, async m => {
        for (const family of [4, 6] as const) {
          const tcp = await served(m, { connect: [m.ours[family], 9], bytes: 1 });
          assert.equal(tcp, { same: 0, errors: ['ECONNREFUSED'] });
          const udp = await served(m, { udp: [m.ours[family], 9] });
          assert.equal(udp, { same: 0, errors: ['ECONNREFUSED'] });
          const p = await m.ns.ping(m.ours[family], '-c', '2');
          assert.is(p.received, 2, p.out);
        }
      }),
    { missing: way.missing, timeoutMs: LIMIT_MS },
  );
}

test(
  'nc as a peer, both ways',
  () =>
    meeting(WAYS.tun, async m => {
      m.host.onAccept = echo;
      m.host.stack.burst.listen({ port: 7 });
      let out: { out: string; code: number | null } | undefined;
      void m.ns.run('sh', '-c', `printf 'hello over nc' | nc -N -w 5 ${m.ours[4]} 7`).then(r => (out = r));
      await until([m.host], () => out !== undefined, 10_000);
      assert.is(out!.out, 'hello over nc');
    }),
  { missing: missingDevices ?? missingTool('nc') },
);

test(
  'an interface shared with the kernel: port 7 is ours, its other ports, ARP and ping the kernel’s',
  () =>
    meeting(SHARED, async m => {
      m.host.onAccept = echo;
      m.host.stack.burst.listen({ port: 7 });
      for (const family of [4, 6] as const) {
        const asked = { connect: [m.ours[family], 7], bytes: 100_000, many: 3 };
        assert.equal(await served(m, asked), { same: 3, errors: [] });
        const other = await served(m, { connect: [m.ours[family], 9], bytes: 1 });
        assert.equal(other, { same: 0, errors: ['ECONNREFUSED'] });
      }
      assert.is(m.host.stack.counters().OutRsts, undefined, 'refused by the kernel');
    }),
  { missing: missingXdp, timeoutMs: LIMIT_MS },
);
