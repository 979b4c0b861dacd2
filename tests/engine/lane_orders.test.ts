/** A worker lane's orders: one step a visit, answers when nothing is left to do. */
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import type { ControlAck, ControlMessage } from '../../host/engine/control.js';
import { Engine } from '../../host/engine/engine.js';
import { Lane } from '../../host/engine/lane.js';
import { LaneOrders } from '../../host/engine/lane_orders.js';
import { Stops, standstill } from '../../host/engine/stops.js';
import { coreModule } from '../../host/mem/core.js';
import { HostNic } from '../../host/nic/index.js';
import { verdict } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: orders of a lane');

test('a program is received in one visit and instantiated in the next; the answers come together', async () => {
  const engine = await Engine.create({ nics: [new HostNic()], inline: true });
  const { program } = await engine.load(verdict(2));
  const lane = new Lane(engine.arena.memory, coreModule(), 0, [], 0);
  const { port1, port2 } = new MessageChannel();
  let now = 0;
  const seats: number[] = [];
  const orders = new LaneOrders(
    lane,
    port2,
    () => (now += 5),
    m => seats.push(m.generation),
  );
  const post = (order: object): number => {
    const generation = lane.words.get('generation') + 1;
    port1.postMessage({ ...order, generation } as ControlMessage);
    return lane.words.raise();
  };
  const slots = 900;
  const place = { id: 1, name: 'x', slots, program };
  const install = post({ kind: 'install', place });
  const alias = post({ kind: 'alias', slots: [slots + 10, slots] });
  const answers = (): ControlAck[] | undefined => receiveMessageOnPort(port1)?.message;
  const { table } = lane.core;
  const visits: [boolean, boolean][] = [];
  for (let i = 0; i < 3; i++) {
    assert.ok(lane.called, `visit ${i}`);
    assert.is(answers(), undefined);
    orders.visit();
    const at = (slot: number): boolean => slot < table.length && table.get(slot) !== null;
    visits.push([at(slots), at(slots + 10)]);
    if (i === 1) table.grow(20);
  }
  assert.equal(visits, [
    [false, false],
    [true, false],
    [true, true],
  ]);
  assert.ok(lane.called);
  orders.visit();
  assert.not.ok(lane.called);
  const stop = { ns: 5, waitedNs: 0 };
  const [first, second, ...more] = answers()!;
  assert.equal([first.generation, second.generation, more.length], [install, alias, 0]);
  assert.equal([first.stops.map(s => s.ns), second.stops.map(s => s.ns)], [[5, 5], [5]]);
  assert.is(first.error ?? second.error, undefined);

  // What posting them took is told with the next, as is an error; a seat is no step of a program.
  post({ kind: 'unseat', id: 7 });
  const bad = post({ kind: 'install', place: { ...place, program: { ...program, module: {} } } });
  let turns = 0;
  while (lane.called && turns++ < 10) orders.visit();
  assert.is(turns, 4);
  assert.equal(seats, [bad - 1]);
  const [answer] = answers()!;
  assert.is(answer.generation, bad);
  assert.ok(answer.error);
  assert.is(answer.stops.length, 4);
  assert.is(answer.stops[0].ns, stop.ns);
  port1.close();
  await engine.stop();
});

test('stops: the longest of each lane, with and without its waits; taken, they are gone', () => {
  const stops = new Stops();
  stops.add(1, [
    { ns: 50, waitedNs: 40 },
    { ns: 30, waitedNs: 0 },
  ]);
  assert.equal(
    [stops.longestNs, stops.longestRunNs],
    [
      [0, 50],
      [0, 30],
    ],
  );
  stops.join(standstill([70]));
  assert.equal(stops.longestNs, [70, 50]);
  const taken = stops.take();
  assert.equal([stops.byLane.length, taken.longestRunNs], [0, [70, 30]]);
});
