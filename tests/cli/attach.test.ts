/** etherloom nics and etherloom attach: what can be used here, and programs at live interfaces in namespaces. */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { release } from 'node:os';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { parse } from '../../host/cli/program.js';
import type { EtherloomError } from '../../host/errors.js';
import { native } from '../../host/native/load.js';
import { join as joinTun } from '../../host/nic/tap/open.js';
import { Attached, MAIN, ROOT } from '../support/attached.js';
import { ip, linkName, missingTun, Namespace } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';

const test = suite('cli: nics and attach');
const CAPTURE = 'tests/fixtures/capture/real-traffic.pcapng';
const OBJECT = 'bpf-progs/obj/flow_stats.bpf.o';
const addon = native();
const kernel = kernelAvailable();
const [major, minor] = release().split('.').map(Number);
const missingTcx = major * 100 + minor < 606 ? 'Linux before 6.6 has no TCX' : undefined;
const missing = missingTun ?? (addon.ok ? undefined : addon.reason);
const missingKernel = missing ?? (kernel.ok ? undefined : kernel.reason);

function etherloom(args: string[], uid?: number) {
  const r = spawnSync(process.execPath, [MAIN, ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 30_000,
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

test('nics says of every backend that it is available, or why not', () => {
  const { code, out } = etherloom(['nics', '--json']);
  assert.is(code, 0);
  const { backends, interfaces } = JSON.parse(out);
  assert.equal(
    backends.map((b: { backend: string }) => b.backend),
    ['model', 'pcap', 'af_xdp', 'tap', 'tun', 'kernel'],
  );
  for (const b of backends) assert.ok(b.available || b.reason.length > 10, b.backend);
  assert.ok(backends[0].available && backends[1].available);
  assert.ok(interfaces.some((i: { name: string; mtu: number }) => i.name === 'lo' && i.mtu > 0));
  assert.match(etherloom(['nics']).out, /af_xdp:IFACE/);
});

test(
  'without rights every backend of the kernel names the one that is missing',
  () => {
    const { code, out } = etherloom(['nics', '--json'], 65534);
    assert.is(code, 0);
    const by = Object.fromEntries(
      JSON.parse(out).backends.map((b: { backend: string; reason?: string }) => [
        b.backend,
        b.reason ?? 'available',
      ]),
    );
    assert.match(by.af_xdp, /CAP_NET_RAW|CAP_BPF/);
    assert.match(by.tap, /\/dev\/net\/tun cannot be opened: EACCES/);
    assert.match(by.kernel, /CAP_BPF/);
  },
  { missing: missingKernel },
);

for (const [args, words] of [
  [['--nic', 'eth0'], /ERR_USAGE_NIC.*no kind of NIC/],
  [['--nic', 'model', '--duration', 'x'], /ERR_USAGE_VALUE.*duration/],
  [['--nic', 'model', '--dump', 'nothing'], /ERR_USAGE_DUMP.*totals/],
  [['--nic', 'model', '--engine', 'kernel'], /ERR_USAGE_NIC.*no interface of the kernel/],
  [['--nic', 'model', '--take', 'tcp/80'], /ERR_USAGE_TAKE.*an af_xdp NIC/],
  [
    ['--nic', 'af_xdp:lo', '--engine', 'kernel', '--take', 'tcp/80'],
    /ERR_USAGE_OPTION.*--take with --engine kernel.*sees every packet/,
  ],
  [
    ['--nic', 'af_xdp:lo', '--engine', 'kernel', '--lanes', '1'],
    /ERR_USAGE_OPTION.*--lanes with --engine kernel/,
  ],
  [
    ['--nic', 'af_xdp:lo', '--engine', 'kernel', '--address', '10.0.0.1/24'],
    /ERR_USAGE_OPTION.*--address with --engine kernel/,
  ],
  [['--nic', 'af_xdp:lo,own=yes', '--engine', 'kernel'], /ERR_USAGE_OPTION.*own= in af_xdp:lo,own=yes/],
  [['--nic', 'af_xdp:lo,queues=1', '--engine', 'kernel'], /ERR_USAGE_OPTION.*queues= in/],
  [['--nic', 'af_xdp:lo'], /ERR_USAGE_TAKE.*takes nothing.*own=yes/],
  [['--nic', 'af_xdp:lo', '--take', 'tcp:80'], /ERR_USAGE_TAKE.*PROTOCOL/],
  [['--nic', 'af_xdp:lo', '--take', 'icmp/80'], /ERR_USAGE_TAKE.*a port without a protocol/],
  [['--nic', 'af_xdp:lo', '--take', 'tcp/90-80'], /ERR_USAGE_TAKE.*port 90,80/],
  [['--nic', 'af_xdp:lo', '--take', 'any@here'], /ERR_USAGE_TAKE.*here/],
] as const)
  test(`attach ${args.join(' ')} is refused in words`, async () => {
    const said = await parse(['attach', OBJECT, ...args]).then(
      () => 'nothing',
      (e: EtherloomError) => `${e.code}: ${e.message}`,
    );
    assert.match(said, words);
  });

test('a wrong NIC is an error of usage: exit code 2', () => {
  const { code, err } = etherloom(['attach', OBJECT, '--nic', 'eth0']);
  assert.is(code, 2);
  assert.match(err, /etherloom: ERR_USAGE_NIC: --nic eth0: no kind of NIC is "eth0"/);
});

test('attach to the model counts the packets of its far end, and to a capture ends with it', () => {
  const model = etherloom([
    'attach',
    OBJECT,
    '--nic',
    'model,pps=5000,flows=3',
    '--duration',
    '1',
    '--dump',
    'flows',
    '--json',
  ]);
  assert.is(model.code, 0, model.err);
  const events = model.out
    .trim()
    .split('\n')
    .map(l => JSON.parse(l));
  const last = events[events.length - 1];
  assert.equal([events[0].event, last.event], ['started', 'stopped']);
  assert.ok(last.rxPackets > 1000 && last.rxPackets < 6000, `${last.rxPackets}`);
  assert.is(last.verdicts.pass, last.rxPackets);
  assert.is(last.maps.flows.length, 3);
  const { ledger } = last.report;
  assert.equal([ledger.lost, ledger.doubled], [0, 0]);

  const capture = etherloom(['attach', OBJECT, '--nic', `pcap:${CAPTURE}`]);
  assert.is(capture.code, 0, capture.err);
  assert.match(capture.out, /every one accounted for/);
});

test(
  'attach to a TAP: the kernel reaches the engine’s address, and Ctrl-C tells what became of every packet',
  async () => {
    const ns = new Namespace('cli');
    try {
      const nic = 'tap:tap0,queues=2';
      const a = new Attached(
        [
          OBJECT,
          '--nic',
          nic,
          '--lanes',
          '2',
          '--address',
          '10.66.0.1/24,fd66::1/64',
          '--interval',
          '0.2',
          '--dump',
          'flows',
        ],
        { ns },
      );
      await a.event('started');
      ns.configure('tap0', '10.66.0.2/24', 'fd66::2/64');
      assert.is((await ns.ping('10.66.0.1', '-c', '5')).received, 5);
      assert.is((await ns.ping('fd66::1', '-c', '3', '-i', '0.3', '-W', '3')).received, 3);
      await a.event('counters');
      const last = await a.stop();
      assert.ok((last.answered as { echoAnswered: number }).echoAnswered >= 8);
      const flows = (last.maps as { flows: { key: { protocol: number } }[] }).flows;
      assert.ok(flows.some(f => f.key.protocol === 1) && flows.some(f => f.key.protocol === 58));
      const { ledger, crashes } = last.report as {
        ledger: { lost: number; doubled: number };
        crashes: unknown[];
      };
      assert.equal([ledger.lost, ledger.doubled, crashes.length], [0, 0, 0]);
      // The interface went with the process.
      assert.not.match(ns.ip('link'), /tap0/);
    } finally {
      ns.close();
    }
  },
  { missing },
);

test(
  'attach to an inherited descriptor',
  async () => {
    if (!addon.ok) return;
    const name = linkName('tap');
    const fd = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK);
    const ns = new Namespace('cli');
    try {
      assert.is(joinTun(addon.native, fd, 'tap', name, false), undefined);
      const a = new Attached([OBJECT, '--nic', 'tap:fd=3', '--address', '10.66.0.1/24'], { fds: [fd] });
      await a.event('started');
      ns.adopt(name, '10.66.0.2/24');
      assert.is((await ns.ping('10.66.0.1', '-c', '3')).received, 3);
      await a.stop();
    } finally {
      closeSync(fd);
      ns.close();
    }
  },
  { missing },
);

test(
  'attach --engine kernel: the same object in the kernel, its maps by the same API; it dies with the process',
  async () => {
    const left = new Namespace('cli');
    const right = new Namespace('cli');
    const [a, b] = [linkName('ve'), linkName('ve')];
    try {
      ip('link', 'add', a, 'type', 'veth', 'peer', 'name', b);
      left.adopt(a, '10.66.0.1/24');
      right.adopt(b, '10.66.0.2/24');
      const line = [
        OBJECT,
        '--nic',
        `af_xdp:${a}`,
        '--engine',
        'kernel',
        '--dump',
        'flows',
        '--dump',
        'totals',
      ];
      const attached = new Attached(line, { ns: left });
      const { how } = (await attached.event('started')) as { how: string };
      assert.match(how, /in the kernel at .*, (native|generic) \(.+\)/);
      assert.match(left.ip('link', 'show', a), /prog\/xdp/);
      assert.is((await right.ping('10.66.0.1', '-c', '4')).received, 4);
      const last = await attached.stop();
      const maps = last.maps as {
        flows: { key: { protocol: number }; value: { packets: number } }[];
        totals: { value: { packets: number }[] }[];
      };
      assert.is(maps.flows.find(f => f.key.protocol === 1)?.value.packets, 4);
      assert.ok(maps.totals[0].value.reduce((n, cpu) => n + cpu.packets, 0) >= 4);
      assert.not.match(left.ip('link', 'show', a), /prog\/xdp/);

      const killed = new Attached([...line.slice(0, 2), `af_xdp:${a},attach=generic`, '--engine', 'kernel'], {
        ns: left,
      });
      await killed.event('started');
      assert.match(left.ip('link', 'show', a), /xdpgeneric/);
      const second = new Attached(line, { ns: left });
      await second.event('started').then(
        () => assert.unreachable('two programs at one interface'),
        e => assert.match(e.message, /ERR_KERNEL_HELD.*another XDP program|EBUSY|EEXIST/),
      );
      await killed.end('SIGKILL');
      const until = performance.now() + 2000;
      while (/xdp/.test(left.ip('link', 'show', a)) && performance.now() < until)
        await new Promise(r => setTimeout(r, 20));
      assert.not.match(left.ip('link', 'show', a), /xdp/);
    } finally {
      left.close();
      right.close();
    }
  },
  { missing: missingKernel, timeoutMs: 40_000 },
);

test(
  'attach --engine kernel: a tc program hangs by TCX, and goes with the process',
  async () => {
    const ns = new Namespace('cli');
    try {
      const line = ['bpf-progs/obj/tc_edge.bpf.o', '--program', 'tc_mark', '--nic', 'af_xdp:lo'];
      const attached = new Attached([...line, '--engine', 'kernel', '--dump', 'classes'], { ns });
      const { how } = (await attached.event('started')) as { how: string };
      assert.match(how, /in the kernel at lo, tcx ingress \(section tc\)/);
      assert.is((await ns.ping('127.0.0.1', '-c', '3')).received, 3);
      const last = await attached.stop();
      assert.equal([last.mode, last.maps], ['tcx ingress', { classes: [] }]);
    } finally {
      ns.close();
    }
  },
  { missing: missingKernel ?? missingTcx },
);

test(
  'attach --engine kernel whose interface goes says so, and ends with the last counters',
  async () => {
    const left = new Namespace('cli');
    const right = new Namespace('cli');
    const [a, b] = [linkName('ve'), linkName('ve')];
    try {
      ip('link', 'add', a, 'type', 'veth', 'peer', 'name', b);
      left.adopt(a, '10.66.0.1/24');
      right.adopt(b, '10.66.0.2/24');
      const attached = new Attached(
        [OBJECT, '--nic', `af_xdp:${a}`, '--engine', 'kernel', '--interval', '0.05', '--dump', 'flows'],
        { ns: left },
      );
      await attached.event('started');
      assert.is((await right.ping('10.66.0.1', '-c', '4')).received, 4);
      await new Promise(done => setTimeout(done, 200));
      left.ip('link', 'delete', a);
      const { warning } = (await attached.event('warning')) as { warning: string };
      assert.match(warning, new RegExp(`^${a} is gone`));
      const last = await attached.stop();
      assert.ok((last.rxPackets as number) >= 4, `${last.rxPackets}`);
      assert.equal(last.warnings, [warning]);
      assert.ok((last.maps as { flows: unknown[] }).flows.length > 0, 'its maps can still be read');
    } finally {
      left.close();
      right.close();
    }
  },
  { missing: missingKernel, timeoutMs: 40_000 },
);

test(
  'attach --engine kernel says what is wrong: no such interface, a program that hangs at none, a mode that is XDP’s',
  async () => {
    const words = (args: string[]): Promise<string> =>
      parse(['attach', ...args, '--engine', 'kernel']).then(
        () => '',
        e => `${e.code}: ${e.message}`,
      );
    assert.match(await words([OBJECT, '--nic', 'af_xdp:nosuch0']), /ERR_NIC_ENODEV.*no interface nosuch0/);
    assert.match(
      await words(['bpf-progs/obj/dns_tap.bpf.o', '--nic', 'af_xdp:lo']),
      /ERR_PROGRAM_TYPE.*belongs to a socket.*xdp or tc/,
    );
    for (const program of ['gen_entrance', 'egress_entrance'])
      assert.match(
        await words(['bpf-progs/obj/paced.bpf.o', '--program', program, '--nic', 'af_xdp:lo']),
        /ERR_PROGRAM_TYPE.*Linux has no such hook/,
      );
    const mark = ['bpf-progs/obj/tc_edge.bpf.o', '--program', 'tc_mark', '--nic'];
    assert.match(await words([...mark, 'af_xdp:lo,attach=native']), /ERR_USAGE_OPTION.*of type tc.*TCX/);
  },
  { missing: missingKernel },
);

test(
  'attach to an interface by AF_XDP: what is taken is answered by the engine, the rest by the kernel',
  async () => {
    const left = new Namespace('cli');
    const right = new Namespace('cli');
    const [a, b] = [linkName('ve'), linkName('ve')];
    try {
      ip('link', 'add', a, 'type', 'veth', 'peer', 'name', b);
      left.adopt(a, '10.66.0.1/24');
      right.adopt(b, '10.66.0.2/24');
      const line = [OBJECT, '--nic', `af_xdp:${a}`, '--take', 'icmp@10.66.0.9', '--address', '10.66.0.9/24'];
      const part = new Attached(line, { ns: left });
      const started = (await part.event('started')) as {
        how: string;
        attached: { mode: string; copy: string };
      };
      assert.equal([started.attached.mode, started.attached.copy], ['native', 'copy']);
      assert.match(started.how, /native \(.+\), copy \(.+\), 1 queue$/);
      // ARP is the kernel's, which does not know the address: the peer is told.
      const mac = /link\/ether (\S+)/.exec(left.ip('link', 'show', a))![1];
      right.ip('neighbour', 'replace', '10.66.0.9', 'lladdr', mac, 'dev', b);
      assert.is((await right.ping('10.66.0.9', '-c', '4')).received, 4);
      assert.is((await right.ping('10.66.0.1', '-c', '2')).received, 2);
      const last = await part.stop();
      assert.ok((last.rxPackets as number) >= 4 && (last.rxPackets as number) < 6);
      // Told once, the number in it aside, and again at the end.
      const generic = new Attached(
        [OBJECT, '--nic', `af_xdp:${a},attach=generic`, '--take', 'udp/9', '--interval', '0.05'],
        { ns: left },
      );
      await generic.event('warning');
      await new Promise(done => setTimeout(done, 300));
      const { warnings } = (await generic.stop()) as { warnings: string[] };
      assert.ok(
        warnings.some(w => w.startsWith(`${a}: generic mode on veth`)),
        warnings.join(),
      );
      assert.is(generic.events.filter(e => e.event === 'warning').length, warnings.length);

      right.ip('neighbour', 'flush', 'dev', b);
      const own = new Attached(
        [OBJECT, '--nic', `af_xdp:${a},own=yes`, '--address', '10.66.0.9/24,fd66::9/64'],
        { ns: left },
      );
      await own.event('started');
      right.ip('address', 'add', 'fd66::2/64', 'dev', b, 'nodad');
      assert.is((await right.ping('10.66.0.9', '-c', '4', '-s', '1400')).received, 4);
      const six = await right.ping('fd66::9', '-c', '3', '-i', '0.5', '-W', '4');
      assert.ok(six.received >= 2, six.out);
      assert.match(right.ip('neighbour', 'show', '10.66.0.9'), new RegExp(mac));
      await own.stop();
    } finally {
      left.close();
      right.close();
    }
  },
  { missing: missingKernel, timeoutMs: 40_000 },
);
