/** TUN and TAP against the kernel: two namespaces whose only way to each other is the engine. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine, type EngineOptions } from '../../../host/engine/engine.js';
import { native } from '../../../host/native/load.js';
import {
  capture,
  faults,
  HostNic,
  MAX_MTU,
  readCapture,
  TapNic,
  type TapOptions,
} from '../../../host/nic/index.js';
import type { Nic } from '../../../host/nic/nic.js';
import { ip, linkName, missingTun, Namespace } from '../../support/netns.js';
import { PacketSocket } from '../../support/packet_socket.js';
import { packet } from '../../support/packets.js';
import { handMade, numberOf, udpFrame } from '../../support/programs.js';
import { assert, suite } from '../../support/suite.js';
import { missingTool, run } from '../../support/tools.js';

const test = suite('nic: tun and tap');
const addon = native();
const missing = missingTun ?? (addon.ok ? undefined : addon.reason);

/** Sends everything out of the other of ports 1 and 2. */
const cross = handMade(
  `(call $redirect_set (i32.const 1) (i32.sub (i32.const 3) (i32.load offset=12 (local.get 0))) (i32.const 0) (i32.const 0) (i64.const 0))
   i64.const 4`,
  { helpers: { redirect_set: '(param i32 i32 i32 i32 i64)' } },
);

interface Wire {
  engine: Engine;
  nics: TapNic[];
  left: Namespace;
  right: Namespace;
}

/** Two interfaces in two namespaces, joined by the engine, that sees them through `wrap`. */
async function wired(
  kind: 'tap' | 'tun',
  more: Partial<EngineOptions>,
  work: (wire: Wire) => Promise<void>,
  options: TapOptions = {},
  wrap: (nic: TapNic) => Nic = nic => nic,
): Promise<void> {
  const left = new Namespace('tap');
  const right = new Namespace('tap');
  const nics = [linkName(kind), linkName(kind)].map(name => new TapNic(kind, { name, ...options }));
  const engine = await Engine.create({ nics: nics.map(wrap), frames: 1024, mapBytes: 1 << 16, ...more });
  try {
    for (const nic of nics) engine.attach(await engine.load(cross), nic.name);
    await engine.start();
    left.adopt(nics[0].name, '10.77.0.1/24', 'fd77::1/64');
    right.adopt(nics[1].name, '10.77.0.2/24', 'fd77::2/64');
    await work({ engine, nics, left, right });
    const { ledger } = await engine.stop();
    assert.is(ledger.lost + ledger.doubled, 0);
  } finally {
    await engine.stop();
    left.close();
    right.close();
  }
}

for (const kind of ['tap', 'tun'] as const)
  test(
    `ping over ${kind}, IPv4 and IPv6, every size that the MTU allows`,
    () =>
      wired(kind, {}, async ({ left, nics }) => {
        for (const [address, largest] of [
          ['10.77.0.2', 1472],
          ['fd77::2', 1452],
        ] as const)
          for (const size of [0, 56, largest]) {
            const p = await left.ping(address, '-c', '3', '-s', `${size}`, '-M', 'do');
            assert.is(p.received, 3, p.out);
          }
        assert.ok(nics[0].stats.received >= 18 && nics[0].stats.sent >= 18);
        assert.is(nics[0].stats.tooLong, 0);
      }),
    { missing },
  );

test(
  'two queues on two lanes carry a TCP transfer complete',
  () =>
    wired('tap', { lanes: 2 }, async ({ left, right, nics, engine }) => {
      assert.is(nics[0].fds.length, 2);
      const bytes = 2_000_000;
      const got = right.run('sh', '-c', `socat -u TCP-LISTEN:5001,reuseaddr STDOUT | sha256sum`);
      await right.run('sh', '-c', 'until ss -ltn | grep -q 5001; do sleep 0.02; done');
      const sent = await left.run(
        'sh',
        '-c',
        `head -c ${bytes} /dev/urandom > /tmp/${left.name}; socat -u FILE:/tmp/${left.name} TCP:10.77.0.2:5001; sha256sum < /tmp/${left.name}; rm /tmp/${left.name}`,
      );
      assert.is((await got).out, sent.out);
      const [a] = engine.counters();
      assert.ok(a.rxBytes > bytes);
    }),
  { missing },
);

test(
  'VLAN tagged frames pass a TAP as they are',
  () =>
    wired('tap', {}, async ({ left, right, nics }) => {
      const folder = mkdtempSync(join(tmpdir(), 'etherloom-tap-'));
      try {
        const file = join(folder, 'right.pcapng');
        const capture = right.run(
          'dumpcap',
          '-q',
          '-i',
          nics[1].name,
          '-f',
          'vlan',
          '-c',
          '8',
          '-a',
          'duration:10',
          '-w',
          file,
        );
        const frames = [packet({ vlans: [5] }), packet({ vlans: [7, 8], payload: new Uint8Array(1400) })];
        const wire = new PacketSocket(left, nics[0].name);
        // The capture has begun when it sees them: until then they are sent again.
        const sending = setInterval(() => {
          for (const f of frames) wire.send(f);
        }, 50);
        const { code, err } = await capture;
        clearInterval(sending);
        wire.close();
        assert.is(code, 0, err);
        const seen = [...readCapture(file)].map(p => Buffer.from(p.data).toString('hex'));
        for (const f of frames) assert.ok(seen.includes(Buffer.from(f).toString('hex')));
      } finally {
        rmSync(folder, { recursive: true });
      }
    }),
  { missing: missing ?? missingTool('dumpcap') },
);

test(
  'an interface that is too wide is refused with its MTU; one widened later loses the long packets only',
  async () => {
    const name = linkName('tap');
    const wide = new TapNic('tap', { name, mtu: 9000 });
    const refusal = (e: { code: string; message: string }) =>
      e.code === 'ERR_NIC_MTU' && /MTU of 9000/.test(e.message) && e.message.includes(`at most ${MAX_MTU}`);
    await Engine.create({ nics: [wide], frames: 256 }).then(
      () => assert.unreachable(),
      e => assert.ok(refusal(e), e.message),
    );
    ip('tuntap', 'add', name, 'mode', 'tap');
    ip('link', 'set', name, 'mtu', '9000');
    await Engine.create({ nics: [new TapNic('tap', { name })], frames: 256 }).then(
      () => assert.unreachable(),
      e => assert.ok(refusal(e), e.message),
    );
    ip('link', 'delete', name);
    await wired('tap', {}, async ({ left, right, nics }) => {
      left.ip('link', 'set', nics[0].name, 'mtu', '9000');
      right.ip('link', 'set', nics[1].name, 'mtu', '9000');
      assert.is((await left.ping('10.77.0.2', '-c', '3', '-W', '1', '-s', '3000')).received, 0);
      assert.ok(nics[0].stats.tooLong >= 3);
      assert.is((await left.ping('10.77.0.2', '-c', '3', '-s', '1400')).received, 3);
    });
  },
  { missing },
);

test(
  'what cannot be opened says why: another kind of interface, another holder, no interface at all',
  async () => {
    const name = linkName('tap');
    ip('tuntap', 'add', name, 'mode', 'tap');
    try {
      const words = async (nic: TapNic, code: string, pattern: RegExp): Promise<void> => {
        await Engine.create({ nics: [nic], frames: 256 }).then(
          e => e.stop().then(() => assert.unreachable()),
          e => {
            assert.is(e.code, code, e.message);
            assert.match(e.message, pattern);
          },
        );
      };
      await words(new TapNic('tun', { name }), 'ERR_NIC_UNAVAILABLE', /no tun interface that can be joined/);
      await words(new TapNic('tap', { name: 'lo' }), 'ERR_NIC_UNAVAILABLE', /lo: it is no tap interface/);
      await words(new TapNic('tap', { fd: 999 }), 'ERR_NIC_FD', /descriptor 999 is not open/);
      await words(new TapNic('tap', { fd: 0 }), 'ERR_NIC_FD', /descriptor 0 belongs to no tap interface/);
      const none = { ok: false as const, reason: 'native addon not built' };
      await words(new TapNic('tap', { fd: 0 }, none), 'ERR_NIC_FD', /descriptor 0 belongs to no tap/);
      await words(new TapNic('tap', { name }, none), 'ERR_NIC_UNAVAILABLE', /addon not built.*tap:fd=N/);
      const holder = await Engine.create({ nics: [new TapNic('tap', { name })], frames: 256 });
      await words(new TapNic('tap', { name }), 'ERR_NIC_UNAVAILABLE', /another process holds it/);
      await holder.stop();
      assert.throws(() => new TapNic('tap', {}), /by neither/);
      assert.throws(() => new TapNic('tap', { name, fd: 3 }), /by both/);
    } finally {
      ip('link', 'delete', name);
    }
  },
  { missing },
);

test(
  'an inherited descriptor needs no addon; the interface ends with it',
  async () => {
    const names = [linkName('tap'), linkName('tap')];
    // Another engine makes them; its descriptors are handed over as a parent process would.
    const parent = names.map(name => new TapNic('tap', { name }));
    const maker = await Engine.create({ nics: parent, frames: 256 });
    const none = { ok: false as const, reason: 'no addon' };
    const left = new Namespace('tap');
    const right = new Namespace('tap');
    try {
      const nics = parent.map(p => new TapNic('tap', { fd: p.fds[0] }, none));
      const engine = await Engine.create({ nics, frames: 256, mapBytes: 1 << 16 });
      assert.equal(
        nics.map(n => n.name),
        names,
      );
      for (const nic of nics) engine.attach(await engine.load(cross), nic.name);
      await engine.start();
      left.adopt(names[0], '10.77.0.1/24', 'fd77::1/64');
      right.adopt(names[1], '10.77.0.2/24', 'fd77::2/64');
      for (const address of ['10.77.0.2', 'fd77::2']) {
        const p = await left.ping(address, '-c', '5', '-s', '1400');
        assert.is(p.received, 5, p.out);
      }
      await engine.stop();
      assert.not.match(left.ip('link'), new RegExp(names[0]));
    } finally {
      left.close();
      right.close();
      // Its descriptors are closed: what it sends goes nowhere.
      await maker.stop();
    }
  },
  { missing },
);

test(
  'a link that flaps, and an interface that is deleted, come back within a second, no frame lost',
  () =>
    wired('tap', {}, async ({ left, nics, engine }) => {
      const name = nics[0].name;
      assert.is((await left.ping('10.77.0.2', '-c', '2')).received, 2);
      left.ip('link', 'set', name, 'down');
      await new Promise(r => setTimeout(r, 50));
      left.ip('link', 'set', name, 'up');
      assert.is((await left.ping('10.77.0.2', '-c', '3')).received, 3);

      left.ip('link', 'delete', name);
      const from = performance.now();
      while (nics[0].present) await new Promise(r => setTimeout(r, 5));
      assert.is(engine.counters()[0].port, name);
      while (!nics[0].present) await new Promise(r => setTimeout(r, 5));
      assert.ok(performance.now() - from < 1000);
      left.adopt(name, '10.77.0.1/24');
      assert.is((await left.ping('10.77.0.2', '-c', '3')).received, 3);
    }),
  { missing },
);

test(
  'a lane that dies under traffic is replaced and reads on; no frame is lost',
  () =>
    wired('tap', { lanes: 2 }, async ({ left, engine }) => {
      const flood = left.ping('10.77.0.2', '-c', '60', '-i', '0.02', '-s', '800');
      for (let lane = 0; lane < 2; lane++) {
        await new Promise(r => setTimeout(r, 250));
        engine.killLane(lane);
        await engine.settled();
      }
      const { received, out } = await flood;
      assert.is(engine.crashes.length, 2);
      assert.ok(received >= 20, out);
      assert.is((await left.ping('10.77.0.2', '-c', '3')).received, 3);
    }),
  { missing },
);

test(
  'a lane that dies between writing a packet and freeing its frame has sent it: once, not twice',
  async () => {
    if (!addon.ok) return assert.unreachable(addon.reason);
    const source = new HostNic({ name: 'source' });
    const out = new TapNic('tap', { name: linkName('tap') });
    const nics = [source, out];
    // The kernel asks for routers meanwhile: what passes is freed.
    const options = { inline: true, frames: 256, mapBytes: 1 << 16, pass: 'count' } as const;
    const engine = await Engine.create({ nics, ...options });
    const { native: calls } = addon;
    const write = calls.write;
    const written: number[] = [];
    try {
      engine.attach(await engine.load(cross), source.name);
      await engine.start();
      calls.write = (fd, bytes, at = 0, length = 0) => {
        const rc = write(fd, bytes, at, length);
        if (!out.fds.includes(fd)) return rc;
        written.push(numberOf(bytes.subarray(at, at + length)));
        if (written.length === 3) throw new Error('killed right after the third');
        return rc;
      };
      for (let i = 0; i < 10; i++) assert.ok(source.send(udpFrame(0, 64, i)));
      engine.run();
      assert.is(engine.crashes.length, 1);
      assert.equal(written, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
      assert.is(engine.counters()[0].drops.LANE_CRASHED, 3);
    } finally {
      calls.write = write;
      assert.is((await engine.stop()).ledger.free, 256);
    }
  },
  { missing },
);

test(
  'what goes through a wrapped TAP is captured as tshark reads it',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'etherloom-tap-'));
    const file = join(folder, 'left.pcap');
    try {
      let first = true;
      const wrap = (nic: TapNic): Nic => {
        if (!first) return nic;
        first = false;
        return capture(nic, { file });
      };
      const ping = async ({ left, nics }: Wire): Promise<void> => {
        for (const address of ['10.77.0.2', 'fd77::2'])
          assert.is((await left.ping(address, '-c', '5', '-s', '1400')).received, 5);
        assert.ok(nics[0].stats.received >= 10 && nics[0].stats.sent >= 10);
      };
      await wired('tap', { lanes: 2 }, ping, {}, wrap);
      const echoes = (filter: string) =>
        run('tshark', ['-n', '-r', file, '-Y', filter, '-T', 'fields', '-e', 'frame.number'])
          .trim()
          .split('\n').length;
      for (const filter of [
        'icmp.type == 8 && icmp.checksum.status == 1',
        'icmp.type == 0 && icmp.checksum.status == 1',
        'icmpv6.type == 128 && icmpv6.checksum.status == 1',
        'icmpv6.type == 129 && icmpv6.checksum.status == 1',
      ])
        assert.is(echoes(filter), 5, filter);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  { missing: missing ?? missingTool('tshark') },
);

test(
  'faults of a wrapped TUN are seen by the kernel at its ends: lost and doubled pings',
  async () => {
    const harmed: { stats: { lost: number; duplicated: number } }[] = [];
    const wrap = (nic: TapNic): Nic => {
      const wrapper = faults(nic, harmed.length ? {} : { tx: { loss: 0.2, duplicate: 0.3 }, seed: 7 });
      harmed.push(wrapper);
      return wrapper;
    };
    const ping = async ({ left }: Wire): Promise<void> => {
      const { out } = await left.ping('10.77.0.2', '-c', '60', '-i', '0.01', '-W', '1');
      const { lost, duplicated } = harmed[0].stats;
      assert.ok(lost > 2 && duplicated > 5, JSON.stringify(harmed[0].stats));
      const [, received, doubled] = /(\d+) received, \+(\d+) duplicates/.exec(out) ?? [];
      // Neighbour discovery meets them, too.
      assert.ok(Number(received) < 60 && Number(received) >= 60 - lost, `${out}${lost} lost`);
      assert.ok(Number(doubled) > 0 && Number(doubled) <= duplicated, `${out}${duplicated} doubled`);
    };
    await wired('tun', {}, ping, {}, wrap);
  },
  { missing },
);

test(
  'descriptors are closed when another NIC of the engine cannot be opened',
  async () => {
    const held = (): number =>
      readdirSync('/proc/self/fd').filter(fd => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`) === '/dev/net/tun';
        } catch {
          return false;
        }
      }).length;
    const nics = [new TapNic('tap', { name: linkName('tap'), queues: 3 }), new TapNic('tap', { name: 'lo' })];
    await Engine.create({ nics, frames: 256 }).then(
      () => assert.unreachable(),
      e => assert.is(e.code, 'ERR_NIC_UNAVAILABLE'),
    );
    assert.is(held(), 0);
  },
  { missing },
);
