/** Slots of several lanes: packets come in where the port deals them, and are handed to the lane of their slot. */
import { RSS_ENTRIES } from '../../host/nic/index.js';
import { pattern, sha } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import type { ClientSlot } from './slots.js';
import { ADDRESS, backwards, inWorld, PORT, type World } from './world.js';

const test = suite('homa: lanes');
const LANES = 4;
const lanes = { engine: { lanes: LANES }, delayNs: 20_000 };
const sizeOf = (i: number): number => (i % 7 === 0 ? 60_000 + i * 100 : i % 300);

/** Slots in all lanes, and so many calls on each. */
function calls(w: World, each: number): ClientSlot[] {
  const { a } = w;
  const slots = Array.from({ length: 2 * LANES }, (_, i) => w.openIn(i % LANES));
  for (const [s, slot] of slots.entries())
    for (let k = 0; k < each; k++)
      slot.call({ address: ADDRESS[s & 2 ? 6 : 4][1], port: PORT }, pattern(sizeOf(s + 8 * k), s + 8 * k));
  assert.equal([...new Set(slots.map(s => a.view.info(s.end.id).lane))].sort(), [0, 1, 2, 3]);
  return slots;
}

function answered(w: World, slots: ClientSlot[], each: number, limitMs = 10_000, work = () => {}): void {
  const over = w.run(() => slots.every(s => s.open === 0 || s.failed), limitMs, work);
  const state = (): string => JSON.stringify([w.counters, slots.map(s => [s.open, w.a.view.info(s.end.id)])]);
  assert.ok(over, state());
  for (const [s, slot] of slots.entries()) {
    assert.not(slot.failed, w.a.view.error(slot.end.id));
    for (let k = 0; k < each; k++)
      assert.is(sha(slot.answers[k].bytes), sha(backwards({ bytes: pattern(sizeOf(s + 8 * k), s + 8 * k) })));
  }
  assert.is(w.server.requests.length, slots.length * each);
}

test('slots of every lane: responses come in at one, and are handed over', () =>
  inWorld(lanes, w => {
    answered(w, calls(w, 20), 20);
    assert.ok(w.counters[0].OtherLane > 50);
    assert.is(w.counters[0].Retransmits ?? 0, 0);
  }));

test('a table that changes under calls sends packets of both sides astray, and nothing is lost or made twice', () =>
  inWorld(lanes, w => {
    let turn = 0;
    const slots = calls(w, 20);
    answered(w, slots, 20, 60_000, () => {
      turn++;
      for (const { rss } of w.engine.ports)
        for (let i = 0; i < RSS_ENTRIES; i++) rss.set(i, (i + (turn >> 3)) % LANES);
    });
    assert.ok(w.counters[1].OtherLane > 20);
  }));

test('applications of lanes have the clients that arrive in their lane', () =>
  inWorld({ ...lanes, serves: false }, w => {
    const { b } = w;
    const laneApps = Array.from({ length: LANES }, () => b.app.number);
    b.messages.serve({ app: w.a.app.number, laneApps, port: PORT });
    const slots = calls(w, 4);
    answered(w, slots, 4);
    b.messages.setLaneApps(PORT, []);
  }));
