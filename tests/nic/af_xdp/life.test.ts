/** AF_XDP's life: opened, refused, closed, reopened; lanes and processes that die; interfaces that come and go. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Engine } from '../../../host/engine/engine.js';
import { Arena } from '../../../host/mem/arena.js';
import { native } from '../../../host/native/load.js';
import { XskSocket } from '../../../host/nic/af_xdp/socket.js';
import { AfXdpNic, afXdp, HostNic, trace } from '../../../host/nic/index.js';
import { PacketSocket } from '../../support/packet_socket.js';
import { handMade, udpFrame } from '../../support/programs.js';
import { assert, suite } from '../../support/suite.js';
import { Veth } from '../../support/veth.js';
import { ECHO, missing, nicOptions, onVeth, RESUMES_MS, reflecting } from './rig.js';

const test = suite('nic: af_xdp, life');
/** Sends everything out of port 2. */
const toPort2 = handMade(
  `(call $redirect_set (i32.const 1) (i32.const 2) (i32.const 0) (i32.const 0) (i64.const 0))
   i64.const 4`,
  { helpers: { redirect_set: '(param i32 i32 i32 i32 i64)' } },
);
const HOLDER = fileURLToPath(new URL('holder.ts', import.meta.url));

/** Runs `work` while datagrams go round for `forMs`; returns what became of them. */
async function meanwhile(veth: Veth, forMs: number, work: () => Promise<void>) {
  const run = veth.udp({ forMs, sockets: 2, window: 2, waitMs: 25 });
  await sleep(300);
  await work();
  return run;
}

/** Whether a program is attached at the near end, by the kernel's own word. */
const attached = (veth: Veth): boolean =>
  /\bprog\/xdp\b/.test(veth.near.ip('-d', 'link', 'show', veth.nearLink));

test(
  'closed and opened again at once, five times: no program, no frame and no queue stays behind',
  async () => {
    const veth = await Veth.create();
    try {
      for (let i = 0; i < 5; i++) {
        const nic = afXdp(nicOptions(veth));
        const engine = await reflecting([nic]);
        assert.ok(attached(veth));
        assert.is((await veth.udp({ count: 50 })).same, 50);
        assert.is((await engine.stop()).ledger.free, 4096);
        assert.not(attached(veth));
      }
    } finally {
      veth.close();
    }
  },
  { missing },
);

/**
 * Where frames may be when an engine was stopped under traffic, and why. Nowhere else: the kernel gave back what it had
 * when the sockets were closed (fill, completion, what was being received or sent); transmit rings were emptied by kicks
 * before; lanes ended at a burst boundary, so that links are empty; and `reflect` passes nothing of what is taken here.
 */
const AFTER_STOP: readonly { place: RegExp; why: string }[] = [
  { place: /^rx /, why: 'received between the last burst of the lane and the closing of the socket' },
];

test(
  'stopped under traffic: frames are free, or stand in places of a list that says why',
  async () => {
    const veth = await Veth.create({ queues: 2 });
    try {
      for (let i = 0; i < 6; i++) {
        const engine = await reflecting([afXdp(nicOptions(veth))], { lanes: 2 });
        const traffic = veth.udp({ forMs: 700, sockets: 8, window: 8, waitMs: 5 });
        while (engine.counters()[0].rxPackets < 500) await sleep(5);
        const { ledger } = await engine.stop();
        await traffic;
        const places = Object.entries(ledger.inFlight);
        for (const [place] of places)
          assert.ok(
            AFTER_STOP.some(a => a.place.test(place)),
            JSON.stringify(ledger),
          );
        assert.is(
          places.reduce((n, [, frames]) => n + frames, ledger.free),
          4096,
        );
      }
    } finally {
      veth.close();
    }
  },
  { missing, timeoutMs: 60_000 },
);

test(
  'what cannot work is refused with the reason and the way out',
  async () => {
    const veth = await Veth.create({ mtu: 3000 });
    const open = (options: Partial<Parameters<typeof afXdp>[0]>) =>
      Engine.create({ nics: [afXdp(nicOptions(veth, options))], frames: 256, mapBytes: 4096 });
    const refuses = async (what: () => Promise<unknown>, code: string, words: RegExp) => {
      try {
        await what();
      } catch (error) {
        assert.is((error as { code?: string }).code, code);
        assert.match((error as Error).message, words);
        return;
      }
      assert.unreachable(code);
    };
    try {
      await refuses(() => open({}), 'ERR_NIC_MTU', /MTU of 3000.*at most 1774: ip link set/);
      veth.near.ip('link', 'set', veth.nearLink, 'mtu', '1500');
      await refuses(() => open({ interface: 'nosuch' }), 'ERR_NIC_UNAVAILABLE', /no interface nosuch/);
      await refuses(() => open({ queues: 2 }), 'ERR_NIC_OPTIONS', /2 queues.*1 … 1/);
      await refuses(() => open({ namespace: 'nosuch' }), 'ERR_NIC_NETNS', /ip netns list/);
      const nic = afXdp(nicOptions(veth));
      const engine = await reflecting([nic]);
      const [, id] = /prog\/xdp id (\d+)/.exec(veth.near.ip('-d', 'link', 'show', veth.nearLink)) ?? [];
      await refuses(
        () => open({}),
        'ERR_KERNEL_HELD',
        new RegExp(`another XDP program holds the interface: xsk_redirect, id ${id} \\(EBUSY\\)`),
      );
      await refuses(
        () => open({ mode: 'generic' }),
        'ERR_KERNEL_HELD',
        new RegExp(`in the other mode: xsk_redirect, id ${id} \\(EEXIST\\)`),
      );
      assert.is((await veth.udp({ count: 20 })).same, 20, 'the first goes on');
      await engine.stop();
      assert.throws(() => afXdp({ interface: 'x' }), /neither rules nor own/);
      assert.throws(() => afXdp({ interface: 'x', rules: [], own: true }), /rules and own/);
      assert.throws(() => afXdp({ interface: 'x', rules: [{ protocol: 'icmp', port: 1 }] }), /port without/);
    } finally {
      veth.close();
    }
  },
  { missing },
);

test('without the addon the reason is that of the addon', async () => {
  const nic = new AfXdpNic(
    { interface: 'eth0', rules: ECHO },
    { ok: false, reason: 'native addon not built' },
  );
  try {
    await Engine.create({ nics: [nic], frames: 256, mapBytes: 4096 });
    assert.unreachable();
  } catch (error) {
    assert.is((error as { code?: string }).code, 'ERR_NIC_UNAVAILABLE');
    assert.match((error as Error).message, /eth0: native addon not built/);
  }
});

test(
  'an interface that goes down and up carries on within a second',
  async () => {
    const report = await onVeth({}, async ({ veth }) => {
      const r = await meanwhile(veth, 2000, async () => {
        veth.far.ip('link', 'set', veth.farLink, 'down');
        await sleep(300);
        veth.far.configure(veth.farLink);
        // The kernel would ask for it, and if that is lost while the link comes up again a second later: its timer.
        veth.knowNear();
      });
      assert.ok(r.same > 100 && r.lost > 0, JSON.stringify(r));
      assert.ok(r.longestGapMs < 1300, `${r.longestGapMs} ms without answer, 300 of them down`);
    });
    assert.is(report.ledger.free, 4096);
  },
  { missing },
);

for (const lanes of [1, 2])
  test(
    `an interface deleted and made again is taken again within a second, ${lanes} lanes`,
    async () => {
      const report = await onVeth(
        { veth: { queues: lanes }, engine: { lanes } },
        async ({ veth, nic, engine }) => {
          assert.is((await veth.udp({ count: 100 })).same, 100);
          veth.remove();
          const gone = performance.now();
          while (nic.status.attached && performance.now() - gone < 2000) await sleep(5);
          assert.not(nic.status.attached);
          assert.match(nic.status.trouble ?? '', /no interface/);
          const ledger = engine.ledger();
          assert.equal([ledger.free, ledger.lost, ledger.doubled], [4096, 0, 0], 'every frame is back');
          await veth.connect();
          const back = performance.now();
          while (!nic.status.attached && performance.now() - back < 2000) await sleep(5);
          assert.ok(performance.now() - back < 1000, `${performance.now() - back} ms`);
          assert.is(nic.status.reopened, 1);
          const r = await veth.udp({ count: 500, sockets: 4, window: 4 });
          assert.equal([r.same, r.wrong], [500, 0], JSON.stringify(r));
        },
      );
      assert.is(report.ledger.free, 4096);
    },
    { missing },
  );

test(
  'an interface that comes back with fewer queues is refused in words, and taken when it has them again',
  () =>
    onVeth({ veth: { queues: 2 } }, async ({ veth, nic }) => {
      const until = async (what: () => boolean) => {
        for (const from = performance.now(); !what() && performance.now() - from < 2000; ) await sleep(5);
        assert.ok(what(), JSON.stringify(nic.status));
      };
      veth.remove();
      await until(() => !nic.status.attached);
      await veth.connect(1);
      await until(() => /2 queues.*1 … 1/.test(nic.status.trouble ?? ''));
      veth.remove();
      await veth.connect();
      await until(() => nic.status.attached);
      assert.is((await veth.udp({ count: 100, sockets: 8 })).same, 100);
    }).then(() => {}),
  { missing },
);

test(
  'before start every packet is the kernel’s, and from then on what rules ask for is taken',
  async () => {
    const veth = await Veth.create();
    const nic = afXdp(nicOptions(veth));
    const engine = await Engine.create({ nics: [nic], frames: 4096, mapBytes: 1 << 20 });
    try {
      assert.ok(attached(veth));
      // The kernel says that nobody listens; of what was taken and dropped nobody would hear.
      assert.is((await veth.udp({ count: 5, waitMs: 50 })).same, 0);
      assert.equal([nic.seen.taken, nic.seen.noSocket], [0, 0]);
      nic.setRules([{ protocol: 'udp', port: 9 }]);
      await veth.udp({ count: 5, port: 9, waitMs: 50 });
      assert.is(nic.seen.taken, 0, 'rules that are told before wait, too');
      await engine.start();
      await veth.udp({ count: 5, port: 9, waitMs: 50 });
      assert.is(nic.seen.taken, 5);
      assert.is(nic.socketStats[0].rxFillEmpty, 0);
    } finally {
      const { ledger } = await engine.stop();
      veth.close();
      assert.equal([ledger.lost, ledger.doubled], [0, 0]);
    }
  },
  { missing },
);

test(
  'an interface that is owned hears every group, as long as it is owned',
  async () => {
    const veth = await Veth.create();
    try {
      // IFF_ALLMULTI: raised by the first who asks for it, gone with the last.
      const hears = async (): Promise<boolean> => {
        const { out } = await veth.near.run('cat', `/sys/class/net/${veth.nearLink}/flags`);
        return (Number(out) & 0x200) !== 0;
      };
      assert.not(await hears());
      for (const [own, expected] of [
        [false, false],
        [true, true],
      ]) {
        const engine = await reflecting([afXdp(nicOptions(veth, { own }))]);
        assert.is(await hears(), expected, `own: ${own}`);
        await engine.stop();
        assert.not(await hears());
      }
    } finally {
      veth.close();
    }
  },
  { missing },
);

test(
  'an interface whose XDP program is on its way out is waited for; one whose program stays is refused after 2 s',
  async () => {
    const veth = await Veth.create();
    const child = spawn(process.execPath, ['--import', 'tsx', HOLDER, JSON.stringify(nicOptions(veth))], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const died = once(child, 'exit');
    try {
      await once(child.stdout, 'data');
      const from = performance.now();
      await reflecting([afXdp(nicOptions(veth))]).then(
        () => assert.unreachable('it was opened'),
        error => {
          assert.is(error.code, 'ERR_KERNEL_HELD');
          assert.match(
            error.message,
            /another XDP program holds the interface: xsk_redirect.*still so after 2 s/,
          );
        },
      );
      assert.ok(performance.now() - from >= 1900, `${performance.now() - from} ms`);
      setTimeout(() => child.kill('SIGKILL'), 300);
      const engine = await reflecting([afXdp(nicOptions(veth))]);
      assert.is((await veth.udp({ count: 20 })).same, 20);
      await engine.stop();
    } finally {
      child.kill('SIGKILL');
      await died;
      veth.close();
    }
  },
  { missing },
);

test(
  'a queue that another socket has is waited for without stopping the event loop; for good, it is refused',
  async () => {
    const veth = await Veth.create();
    const loaded = native();
    if (!loaded.ok) return assert.unreachable(loaded.reason);
    const holder = (): XskSocket => {
      const arena = Arena.create({ lanes: 1, frames: 64, mapBytes: 4096 });
      const options = { arena, native: loaded.native, name: 'holder', namespace: veth.near.name };
      const socket = XskSocket.open({ ...options, transmits: false, rings: new Map(), slots: 64 });
      const index = Number(veth.near.ip('-o', 'link', 'show', veth.nearLink).split(':')[0]);
      socket.bind(index, 0, { zeroCopy: false });
      return socket;
    };
    try {
      const busy = holder();
      let turns = 0;
      const turning = setInterval(() => turns++, 10);
      setTimeout(() => busy.close(), 300);
      const engine = await reflecting([afXdp(nicOptions(veth))]);
      clearInterval(turning);
      assert.ok(turns >= 10, `the event loop turned ${turns} times`);
      assert.is((await veth.udp({ count: 20 })).same, 20);
      await engine.stop();

      // Until the kernel has let go of what was closed.
      await sleep(300);
      const still = holder();
      const from = performance.now();
      await reflecting([afXdp(nicOptions(veth))]).then(
        () => assert.unreachable('it was opened'),
        error => assert.is(error.code, 'ERR_NIC_EBUSY'),
      );
      assert.ok(performance.now() - from >= 1900, 'after two seconds');
      assert.not(attached(veth));
      still.close();
    } finally {
      veth.close();
    }
  },
  { missing, timeoutMs: 20_000 },
);

for (const wrapped of [false, true])
  test(
    `a packet of no bytes is dropped and counted, and keeps no frame${wrapped ? '; wrapped' : ''}`,
    async () => {
      const veth = await Veth.create();
      const source = new HostNic({ name: 'source' });
      const nic = afXdp(nicOptions(veth));
      const nics = [source, wrapped ? trace(nic, { filter: () => false }) : nic];
      const engine = await Engine.create({
        nics,
        frames: 256,
        ringSlots: 64,
        mapBytes: 4096,
        lossless: true,
      });
      try {
        engine.attach(await engine.load(toPort2), source.name);
        await engine.start();
        const far = new PacketSocket(veth.far, veth.farLink);
        const sizes = [0, 64, 0, 0, 200, 0];
        // More of them than there are frames.
        for (let i = 0; i < 100; i++)
          for (const size of sizes)
            while (!source.send(size ? udpFrame(i, size, i) : new Uint8Array(0))) await sleep(1);
        const txOf = () => engine.counters()[1];
        const ended = () => txOf().txPackets + (txOf().drops.TX_EMPTY ?? 0) >= (wrapped ? 1000 : 600);
        for (const from = performance.now(); !ended() && performance.now() - from < 3000; ) await sleep(5);
        const { txPackets, drops } = txOf();
        assert.equal(drops, { TX_EMPTY: 400 });
        // What a lane gave to the wrapper it had sent.
        assert.is(txPackets, wrapped ? 600 : 200);
        let came = 0;
        for (let data = far.receive(); data; data = far.receive())
          if (data[15] === 0 && data[23] === 17) came++;
        assert.ok(came > 0, 'the others arrive');
        far.close();
      } finally {
        const { ledger } = await engine.stop();
        veth.close();
        assert.is(ledger.free, 256);
      }
    },
    { missing },
  );

test(
  'a lane that is killed under traffic is replaced, and no frame is lost track of',
  async () => {
    const report = await onVeth({ veth: { queues: 2 }, engine: { lanes: 2 } }, async ({ veth, engine }) => {
      const r = await meanwhile(veth, 3500, async () => {
        for (const lane of [0, 1, 0]) {
          engine.killLane(lane);
          await engine.settled();
          await sleep(300);
        }
      });
      assert.is(engine.crashes.length, 3);
      assert.ok(r.longestGapMs < RESUMES_MS, `${r.longestGapMs} ms without answer`);
      assert.is(r.wrong, 0);
    });
    assert.equal([report.ledger.free, report.ledger.lost, report.ledger.doubled], [4096, 0, 0]);
  },
  { missing },
);

test(
  'a process that is killed leaves no program, and its queue is free',
  async () => {
    const veth = await Veth.create();
    try {
      const child = spawn(process.execPath, ['--import', 'tsx', HOLDER, JSON.stringify(nicOptions(veth))], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const died = once(child, 'exit');
      await once(child.stdout, 'data');
      assert.ok(attached(veth));
      assert.is((await veth.udp({ count: 20 })).same, 20);
      child.kill('SIGKILL');
      await died;
      assert.not(attached(veth));
      assert.is((await veth.far.ping(veth.nearAddress, '-c', '1')).received, 1);
      const engine = await reflecting([afXdp(nicOptions(veth))]);
      assert.is((await veth.udp({ count: 20 })).same, 20);
      await engine.stop();
    } finally {
      veth.close();
    }
  },
  { missing },
);

test(
  'two engines at the two ends of one pair carry packets between them',
  async () => {
    const veth = await Veth.create();
    const near = await reflecting([afXdp(nicOptions(veth, { own: true }))], {}, 'reflect_l2');
    const source = new HostNic({ name: 'source' });
    const far = await Engine.create({
      nics: [source, afXdp({ interface: veth.farLink, namespace: veth.far.name, own: true })],
      frames: 4096,
      mapBytes: 4096,
      pass: 'ring',
    });
    try {
      far.attach(await far.load(toPort2), source.name);
      await far.start();
      const sent = Array.from({ length: 200 }, (_, i) => udpFrame(i, 64 + i, i));
      // Hardware addresses come back the other way round.
      const body = (data: Uint8Array) => Buffer.from(data.subarray(12)).toString('hex');
      const missing = new Set(sent.map(body));
      const drain = () => far.drain(1000, bytes => void missing.delete(body(bytes)));
      for (const data of sent) while (!source.send(data)) await sleep(1);
      for (let i = 0; i < 200 && missing.size; i++) {
        await sleep(5);
        drain();
      }
      assert.is(missing.size, 0);
    } finally {
      const ledgers = [(await far.stop()).ledger, (await near.stop()).ledger];
      veth.close();
      for (const ledger of ledgers) assert.equal([ledger.lost, ledger.doubled], [0, 0]);
    }
  },
  { missing },
);
