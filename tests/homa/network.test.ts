/** Many hosts under a switch: receivers that are asked for too much, priorities, peers that are gone. */
import type { Network } from '../../host/sim/index.js';
import type { HomaControl } from '../../host/transports/homa/control.js';
import { pattern } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { type Hosts, underSwitch } from './hosts.js';

const test = suite('homa: networks');
const LONG = { timeoutMs: 300_000 };

/** Frames of a message of `bytes`, each with Ethernet, IP and Homa headers. */
const frames = (bytes: number): number[] =>
  Array.from({ length: Math.ceil(bytes / 1424) }, (_, i) => Math.min(1424, bytes - i * 1424) + 90);
/** From the first request's first byte to the last byte at the receiver when the line is never idle, ms. */
const lineMs = (net: Network, bytes: number[]): number =>
  net.unloadedNs(net.hosts[1], net.hosts[0], bytes.flatMap(frames)) / 1e6;
const downOf = (h: Hosts, i: number) => h.net.stats().down[i].queues;
const sum = (h: Hosts, name: string): number => h.counters.reduce((n, c) => n + (c[name] ?? 0), 0);

test(
  'an incast of 7 × 500 kB fills the receiver’s line; the switch has not more waiting than was asked for',
  () =>
    underSwitch({ hostsPerRack: 8 }, h => {
      const sizes = Array.from({ length: 7 }, () => 500_000);
      for (const [i, n] of sizes.entries()) h.call(i + 1, 0, pattern(n, i));
      const ms = h.finish(1000);
      const least = lineMs(h.net, sizes);
      assert.ok(ms < 1.1 * least, `${ms} ms of ${least}`);
      assert.not(h.calls.some(c => c.slot.failed));
      assert.is(sum(h, 'Retransmits'), 0);
      // Unscheduled bytes of all, or the window of all: of either kind what is granted at a time.
      const most = downOf(h, 0).map(q => q.maxBytes);
      assert.ok(Math.max(...most) < 400_000, String(most));
      // Fewest bytes left first: they end one after the other, not together.
      const ends = h.calls.map(c => h.ns(c)).sort((a, b) => a - b);
      assert.ok(ends[0] < 0.4 * ends[6], String(ends));
      // Unscheduled bytes above all that is granted.
      const sent = downOf(h, 0).map(q => q.sent);
      assert.ok(sent[4] > 0 && sent[0] > 0 && sent[1] > 0, String(sent));
    }),
  LONG,
);

test(
  'short calls hardly notice that their server’s line is full',
  () =>
    underSwitch({ hostsPerRack: 8, homa: { linkMbps: 10_000 } }, h => {
      for (let i = 1; i < 7; i++) h.call(i, 0, pattern(900_000, i));
      const short: ReturnType<Hosts['call']>[] = [];
      h.run(() => false, 0.5);
      for (let i = 0; i < 20; i++) {
        short.push(h.call(7, 0, pattern(100, i)));
        h.run(() => false, 0.1);
      }
      h.finish(1000);
      const alone = h.net.unloadedNs(h.net.hosts[7], h.net.hosts[0], [190]) * 2;
      const worst = Math.max(...short.map(c => h.ns(c)));
      // A long frame that is on a wire is not stopped: on either of two wires, both ways.
      const longFrame = (1538 * 8) / 10;
      assert.ok(worst < alone + 4 * longFrame + 2000, `${worst} ns of ${alone}`);
    }),
  LONG,
);

test(
  'of the messages of one peer one is granted at a time, and the oldest has its share',
  () =>
    underSwitch({ hostsPerRack: 3 }, h => {
      for (let i = 0; i < 6; i++) h.call(1 + (i & 1), 0, pattern(600_000 + i * 1000, i));
      let most = 0;
      const { messages } = h.stations[0];
      h.run(
        () => h.calls.every(c => c.endedNs !== undefined),
        1000,
        () => {
          const granted = [...h.stations[0].server.slots.keys()].filter(id => {
            const { phase, granted: to, received } = h.stations[0].view.info(id);
            return phase === 2 && to > 40_000 && received < to && to < 600_000;
          });
          most = Math.max(most, granted.length);
        },
      );
      assert.ok(h.calls.every(c => c.endedNs !== undefined));
      assert.ok(messages.counters().FifoGrants > 0);
      // Two peers; and what the oldest got for its share, or who was displaced, had before.
      assert.ok(most >= 2 && most <= 6, `${most} at a time`);
    }),
  LONG,
);

test(
  'calls to a host that is cut off end in ETIMEDOUT, those to others go on',
  () =>
    underSwitch({ hostsPerRack: 4 }, h => {
      h.call(0, 1, pattern(300_000, 1));
      h.call(2, 1, pattern(100, 2));
      h.call(0, 3, pattern(300_000, 3));
      h.net.cut(h.net.hosts[1]);
      const ms = h.finish(2000);
      assert.ok(ms >= 100 && ms < 200, `${ms} ms`);
      const [a, b, c] = h.calls;
      assert.is(h.stations[0].view.error(a.slot.end.id), 'ETIMEDOUT');
      assert.is(h.stations[2].view.error(b.slot.end.id), 'ETIMEDOUT');
      assert.not(c.slot.failed);
      assert.ok(h.ns(c) < 2e6);
    }),
  LONG,
);

test(
  'the pacer keeps the NIC’s queue short, and lets the message with fewer bytes pass',
  () =>
    underSwitch({ hostsPerRack: 3, up: { rate: 10e9, delayNs: 500, priorities: 1 } }, h => {
      h.call(0, 1, pattern(900_000, 1));
      h.run(() => false, 0.2);
      h.call(0, 2, pattern(30_000, 2));
      h.finish(1000);
      const [long, short] = h.calls;
      const alone = h.net.unloadedNs(h.net.hosts[0], h.net.hosts[2], frames(30_000));
      assert.ok(h.ns(short) < 2.5 * alone + 20_000, `${h.ns(short)} of ${alone}`);
      assert.ok(h.ns(long) > h.ns(short));
      const most = h.net.stats().up[0].queues[0].maxBytes;
      // 5 µs are 6250 B at this rate; and a frame, and what passes by.
      assert.ok(most < 6250 + 2 * 1538, `${most} B`);
      assert.ok(sum(h, 'Throttled') > 0);
    }),
  LONG,
);

test(
  'cutoffs are made of the lengths that came, senders are told, and send by them',
  () =>
    underSwitch({ hostsPerRack: 2, homa: { linkMbps: 10_000, adaptMs: 0 } }, h => {
      for (let i = 0; i < 40; i++) {
        h.call(1, 0, pattern(i % 2 ? 3000 : 1000, i));
        h.run(() => false, 0.05);
      }
      const before = downOf(h, 0).map(q => q.sent);
      // As HomaModule begins: to 200 B, 2800 B, 15,000 B.
      assert.ok(before[6] > 0 && before[5] > 0, String(before));
      const made = (h.stations[0].messages as HomaControl).adapt()!;
      assert.ok(made.cutoffs[7] >= 1000 && made.cutoffs[7] < 3000, String(made.cutoffs));
      h.call(1, 0, pattern(1000, 1));
      h.run(() => false, 1);
      assert.is(h.counters[0].Cutoffs, 1);
      assert.is(h.counters[1].CutoffsIn, 1);
      const told = downOf(h, 0).map(q => q.sent);
      h.call(1, 0, pattern(1000, 2));
      h.run(() => false, 1);
      const after = downOf(h, 0).map((q, i) => q.sent - told[i]);
      assert.is(after[7], 1, String(after));
      assert.is(after[6], 0);
      // By the right version nobody is told again.
      assert.is(h.counters[0].Cutoffs, 1);
    }),
  LONG,
);
