/** Real peers in namespaces, Linux's TCP at both ends: the chain in the kernel, and in the engine over AF_XDP. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { Forwarder } from '../../host/forward/chain.js';
import { forwardConfig } from '../../host/forward/config.js';
import { chainRules } from '../../host/forward/rules.js';
import { afXdp } from '../../host/nic/af_xdp/index.js';
import { missingNamespaces } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';
import { bodyHash } from './body.js';
import { Peers, SERVER_PORT } from './peers.js';
import { BACKEND, BACKEND6, FRONT, FRONT6, input, REAR, REAR6 } from './rig.js';

const test = suite('forward: real peers');
const kernel = kernelAvailable();
const tool = (name: string): string | undefined =>
  spawnSync(name, ['--version'], { stdio: 'ignore' }).error ? `${name} is not installed` : undefined;
const missing =
  missingNamespaces ??
  (kernel.ok ? undefined : kernel.reason) ??
  tool('curl') ??
  tool('ethtool') ??
  tool('socat');

const UDP_CLIENT = fileURLToPath(new URL('udp_client.mjs', import.meta.url));
const LARGE = 100_000_000;
const SMALL = 300_000;
const ports = (hops: number): string =>
  Array.from({ length: hops }, (_, i) => SERVER_PORT - hops + i).join(',');

interface Started {
  nics: { nic: string; mode: string; modeReason: string; copy?: string }[];
}

interface Final {
  event: string;
  warnings: string[];
  hops: { counts: Record<string, { packets: number }> }[];
  frames?: number;
}

/** Everything that a chain must carry, and what the peers' kernels think of it. */
async function everything(peers: Peers, hops: number, ...engine: string[]): Promise<void> {
  const forward = await peers.forward(
    ...['--ports', ports(hops), '--backend', `${BACKEND}:${SERVER_PORT}`],
    ...['--backend', `[${BACKEND6}]:${SERVER_PORT}`, ...engine],
  );
  const before = await peers.snmp();
  const first = SERVER_PORT - hops;
  const get = (host: string, bytes: number) =>
    peers.client.run('sh', '-c', `curl -sS -g --max-time 60 http://${host}:${first}/${bytes} | sha256sum`);
  for (const [host, bytes] of [
    [FRONT, LARGE],
    [`[${FRONT6}]`, LARGE / 4],
  ] as const) {
    const large = await get(host, bytes);
    assert.is(large.out.slice(0, 64), bodyHash(bytes), `${host}: ${large.err}`);
    const many = await Promise.all(Array.from({ length: 16 }, () => get(host, SMALL)));
    for (const one of many) assert.is(one.out.slice(0, 64), bodyHash(SMALL), `${host}: ${one.err}`);
    // 4,000 bytes are three fragments.
    const lengths = ['5', '1200', '4000'];
    const address = host.replace(/[[\]]/g, '');
    const udp = await peers.client.run(process.execPath, UDP_CLIENT, address, `${first}`, ...lengths);
    assert.is(udp.out.trim(), lengths.join(' '), `${host}: UDP: ${udp.err}`);
  }
  const after = await peers.snmp();
  for (const bad of ['TcpInCsumErrors', 'UdpInCsumErrors', 'TcpEstabResets', 'TcpOutRsts', 'IpInHdrErrors'])
    assert.is((after[bad] ?? 0) - (before[bad] ?? 0), 0, bad);

  const said = await forward.stop();
  const final = JSON.parse(said.trim().split('\n').at(-1)!) as Final;
  assert.is(final.event, 'stopped');
  assert.is(final.hops.length, hops);
  for (const [i, { counts }] of final.hops.entries()) {
    // A port that a client used before opens its old flow again.
    const connections = counts.opened.packets + counts.reopened.packets;
    assert.ok(connections >= 2 * (1 + 16 + 1), `hop ${i} opened ${connections}`);
    for (const bad of ['no_flow', 'no_port', 'no_backend', 'no_fragment', 'ttl', 'malformed'])
      assert.is(counts[bad].packets, 0, `hop ${i}: ${bad}`);
  }
  assert.ok(final.hops[0].counts.completed.packets > 0, 'veth leaves checksums to a card that is none');
  const { nics } = JSON.parse(said.split('\n').find(line => line.includes('"started"'))!) as Started;
  assert.equal(
    nics.map(n => [n.nic, n.mode]),
    [
      ['in', 'native'],
      ['out', 'native'],
    ],
  );
  if (!engine.includes('kernel')) {
    assert.is(nics[0].copy, 'copy');
    assert.match(final.warnings.join('\n'), /^in: \d+ packets came with partial checksums/m);
    assert.match(said, /"event":"warning","warning":"(in|out): /, 'told when first seen');
  }
  if (!engine.includes('kernel')) assert.ok(final.frames! > 0, 'frames were counted');
}

test(
  'inner hops take nothing from the rings of the interfaces: 2,048 entries, whether 1 hop or 16',
  async () => {
    const peers = new Peers();
    try {
      for (const hops of [1, 16]) {
        const [front, rear] = ['in', 'out'].map(name =>
          afXdp({ interface: name, namespace: peers.middle.name, own: true }),
        );
        const forwarder = await Forwarder.create({
          config: forwardConfig(input(hops)),
          in: front,
          out: rear,
          engine: { inline: true },
        });
        assert.equal([front.status.ringSlots, rear.status.ringSlots], [2048, 2048], `${hops} hops`);
        await forwarder.start();
        await forwarder.stop();
      }
    } finally {
      peers.close();
    }
  },
  { missing, timeoutMs: 60_000 },
);

for (const hops of [1, 4])
  for (const engine of ['kernel', 'etherloom'])
    test(
      `${hops} hops in ${engine === 'kernel' ? 'the kernel' : 'the engine over AF_XDP'}: 100 MB, 16 at once, UDP, IPv6; no reset, no wrong checksum`,
      async () => {
        const peers = new Peers();
        try {
          if (engine === 'kernel') await peers.takeRedirected();
          await peers.serve();
          await everything(peers, hops, '--engine', engine);
        } finally {
          peers.close();
        }
      },
      { missing, timeoutMs: 120_000 },
    );

test(
  'two queues on two lanes over AF_XDP: flows are spread, every body is whole, no reset',
  async () => {
    const peers = new Peers(2);
    try {
      await peers.serve();
      const mac = /link\/ether (\S+)/.exec(peers.server.ip('link', 'show', 's0'))![1];
      const [first, last] = [SERVER_PORT - 2, SERVER_PORT - 1];
      const config = forwardConfig({
        address: FRONT,
        source: REAR,
        services: [{ ports: [first, last], backends: [`${BACKEND}:${SERVER_PORT}@${mac}`] }],
      });
      const rules = chainRules(config, false);
      const [front, rear] = [
        afXdp({ interface: 'in', namespace: peers.middle.name, rules: rules.front }),
        afXdp({ interface: 'out', namespace: peers.middle.name, rules: rules.rear }),
      ];
      const forwarder = await Forwarder.create({ config, in: front, out: rear, engine: { lanes: 2 } });
      await forwarder.start();
      const before = await peers.snmp();
      const get = async (bytes: number): Promise<void> => {
        const url = `http://${FRONT}:${first}/${bytes}`;
        const got = await peers.client.run('sh', '-c', `curl -sS --max-time 60 ${url} | sha256sum`);
        assert.is(got.out.slice(0, 64), bodyHash(bytes), got.err);
      };
      await get(LARGE / 4);
      for (let i = 0; i < 3; i++) await Promise.all(Array.from({ length: 16 }, () => get(SMALL)));
      const after = await peers.snmp();
      for (const bad of ['TcpInCsumErrors', 'TcpEstabResets', 'TcpOutRsts'])
        assert.is((after[bad] ?? 0) - (before[bad] ?? 0), 0, bad);
      const { ports, hops, engine } = await forwarder.stop();
      assert.equal([front.status.queues, rear.status.queues, engine.crashes.length], [2, 2, 0]);
      for (const name of ['in', 'out']) {
        const { blocks } = ports.find(p => p.port === name)!;
        for (const lane of [0, 1]) {
          const received = blocks.filter(b => b.lane === lane).reduce((n, b) => n + b.rxPackets, 0);
          assert.ok(received > 500, `lane ${lane} received ${received} at ${name}`);
        }
      }
      for (const { counts } of hops)
        for (const bad of ['no_flow', 'no_port', 'no_backend', 'malformed'] as const)
          assert.is(counts[bad].packets, 0, bad);
    } finally {
      peers.close();
    }
  },
  { missing, timeoutMs: 60_000 },
);

for (const engine of ['kernel', 'etherloom'])
  test(
    `SIGHUP takes over the backends of the file: a download goes on, new connections go to another; ${engine}`,
    async () => {
      const peers = new Peers();
      const folder = mkdtempSync(join(tmpdir(), 'etherloom-backends-'));
      const file = join(folder, 'chain.json');
      const write = (port: number, more: object = {}): void => {
        const services = [{ ports: [7999], backends: [`${BACKEND}:${port}`], protocols: ['tcp'] }];
        writeFileSync(file, JSON.stringify({ address: FRONT, source: REAR, services, ...more }));
      };
      try {
        if (engine === 'kernel') await peers.takeRedirected();
        await peers.serve();
        await peers.serve(SERVER_PORT + 1);
        write(SERVER_PORT);
        const forward = await peers.forward('--config', file, '--engine', engine);
        const connections = async (port: number): Promise<number> =>
          (await peers.server.run('ss', '-Htan', `sport = :${port}`)).out
            .split('\n')
            .filter(l => /^(ESTAB|FIN-WAIT|CLOS|LAST-ACK)/.test(l)).length;
        const get = (bytes: number, ...args: string[]) =>
          peers.client.run(
            'sh',
            '-c',
            `curl -sS --max-time 30 ${args.join(' ')} http://${FRONT}:7999/${bytes} | sha256sum`,
          );
        const large = get(20_000_000, '--limit-rate', '4M');
        while ((await connections(SERVER_PORT)) === 0) await new Promise(done => setTimeout(done, 20));
        const reload = async (event: RegExp): Promise<void> => {
          forward.kill('SIGHUP');
          while (!event.test(forward.output())) await new Promise(done => setTimeout(done, 20));
        };
        write(SERVER_PORT + 1);
        await reload(/"event":"backends".*8001/);
        const before = await connections(SERVER_PORT);
        const second = get(6_000_000, '--limit-rate', '3M');
        for (const from = performance.now(); performance.now() - from < 5000; )
          if (await connections(SERVER_PORT + 1)) break;
        assert.is(await connections(SERVER_PORT + 1), 1, 'the other one has it');
        assert.ok((await connections(SERVER_PORT)) <= before, 'the first has none more');
        assert.is((await second).out.slice(0, 64), bodyHash(6_000_000));
        write(SERVER_PORT, { flows: 8 });
        await reload(/"event":"refused","code":"ERR_FORWARD_CONFIG"/);
        assert.is((await get(SMALL)).out.slice(0, 64), bodyHash(SMALL));
        const { out, err } = await large;
        assert.is(out.slice(0, 64), bodyHash(20_000_000), err);
        await forward.stop();
      } finally {
        peers.close();
        rmSync(folder, { recursive: true });
      }
    },
    { missing, timeoutMs: 60_000 },
  );

test(
  'SIGHUP brings the first backend of a family: its calls are taken from the kernel from then on',
  async () => {
    const peers = new Peers();
    const folder = mkdtempSync(join(tmpdir(), 'etherloom-backends-'));
    const file = join(folder, 'chain.json');
    const write = (...backends: string[]): void => {
      const services = [{ ports: [7999], backends, protocols: ['tcp'] }];
      writeFileSync(file, JSON.stringify({ address: [FRONT, FRONT6], source: [REAR, REAR6], services }));
    };
    const get = (host: string) =>
      peers.client.run('curl', '-sSg', '--max-time', '3', '-o', '/dev/null', `http://${host}:7999/10`);
    try {
      await peers.serve();
      write(`${BACKEND}:${SERVER_PORT}`);
      const forward = await peers.forward('--config', file);
      assert.is((await get(FRONT)).code, 0);
      assert.is((await get(`[${FRONT6}]`)).code, 7, 'the kernel refuses it: nobody listens');
      write(`${BACKEND}:${SERVER_PORT}`, `[${BACKEND6}]:${SERVER_PORT}`);
      forward.kill('SIGHUP');
      while (!/"event":"backends"/.test(forward.output())) await new Promise(done => setTimeout(done, 20));
      for (const host of [FRONT, `[${FRONT6}]`]) assert.is((await get(host)).code, 0, host);
      await forward.stop();
    } finally {
      peers.close();
      rmSync(folder, { recursive: true });
    }
  },
  { missing, timeoutMs: 60_000 },
);

test(
  'a forwarder that is killed leaves no program behind',
  async () => {
    const peers = new Peers();
    try {
      const forward = await peers.forward(
        '--ports',
        '7999',
        '--backend',
        `${BACKEND}:8000`,
        '--engine',
        'kernel',
      );
      assert.match(peers.middle.ip('link', 'show', 'in'), /prog\/xdp/);
      await forward.stop('SIGKILL');
      // Links go when their descriptors do, which the kernel does a moment after the process.
      for (let i = 0; i < 500 && /prog\/xdp/.test(peers.middle.ip('link', 'show')); i++)
        await new Promise(done => setTimeout(done, 20));
      assert.not.match(peers.middle.ip('link', 'show'), /prog\/xdp/);
    } finally {
      peers.close();
    }
  },
  { missing, timeoutMs: 60_000 },
);

for (const signal of ['SIGKILL', 'SIGHUP'] as const)
  test(
    signal === 'SIGKILL'
      ? 'pairs of a forwarder that was killed are removed by the next one, those of one that lives are not'
      : 'a forwarder whose terminal is closed puts its pairs away',
    async () => {
      const peers = new Peers();
      const pairs = (): string[] => peers.middle.ip('-o', 'link').match(/\bel[0-9a-z]+-\w+/g) ?? [];
      const start = () =>
        peers.forward(
          ...['--ports', '7997,7998,7999', '--engine', 'kernel'],
          ...['--backend', `${BACKEND}:8000`],
        );
      try {
        const first = await start();
        const before = new Set(pairs());
        assert.is(before.size, 4, `two pairs: ${[...before]}`);
        await first.stop(signal);
        if (signal === 'SIGHUP') {
          assert.equal(pairs(), []);
          return;
        }
        assert.is(new Set(pairs()).size, 4, 'they outlive it');
        const second = await start();
        const after = pairs();
        assert.is(new Set(after).size, 4);
        assert.not(
          after.some(name => before.has(name)),
          'others',
        );
        // A third finds no interface that is free, but sweeps first.
        await start().then(
          () => assert.unreachable('two programs at one interface'),
          (e: Error) => assert.match(e.message, /ERR_KERNEL_HELD/),
        );
        assert.equal(pairs(), after);
        await second.stop();
        assert.equal(pairs(), []);
      } finally {
        peers.close();
      }
    },
    { missing, timeoutMs: 60_000 },
  );

test(
  'pairs between hops have the smaller MTU of the two interfaces, and unequal ones are told',
  async () => {
    const peers = new Peers();
    try {
      peers.middle.ip('link', 'set', 'in', 'mtu', '3000');
      peers.middle.ip('link', 'set', 'out', 'mtu', '2000');
      const chain = await peers.forward(
        ...['--ports', '7998,7999', '--engine', 'kernel', '--backend', `${BACKEND}:8000`],
      );
      const mtus = peers.middle.ip('-o', 'link').match(/el[0-9a-z]+-\S+ .*?mtu \d+/g) ?? [];
      assert.is(mtus.length, 2);
      for (const line of mtus) assert.match(line, /mtu 2000$/);
      const said = await chain.stop();
      assert.match(said, /"warning","warning":"MTU 3000 at in, 2000 at out/);
    } finally {
      peers.close();
    }
  },
  { missing, timeoutMs: 60_000 },
);

test(
  'drivers without XDP get the whole chain in generic mode, with the reason and what to do about segments',
  async () => {
    const peers = new Peers();
    try {
      const chain = await peers.start(
        peers.middle,
        /"started"/,
        ...peers.command('--in', 'af_xdp:in', '--out', 'af_xdp:lo', '--engine', 'kernel'),
        ...[
          '--ports',
          '7998,7999',
          '--source',
          REAR,
          '--address',
          FRONT,
          '--backend',
          `${BACKEND}:80@02:00:00:00:00:09`,
          '--json',
        ],
      );
      const { nics } = JSON.parse(chain.output().split('\n')[0]) as Started;
      assert.equal(
        nics.map(n => n.mode),
        ['generic', 'generic'],
      );
      assert.match(nics[0].modeReason, /native: the driver has no XDP \(EOPNOTSUPP\)/);
      assert.match(peers.middle.ip('link', 'show', 'in'), /xdpgeneric/);
      assert.match(await chain.stop(), /generic: packets that the kernel has put together.*ethtool -K/);
    } finally {
      peers.close();
    }
  },
  { missing, timeoutMs: 60_000 },
);
