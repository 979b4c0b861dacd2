/** Loops of the burst API in one thread: they share its looks and its sleeps, and each ends by itself. */
import { BurstLoop, type Polled } from '../../host/apps/loop.js';
import type { StackEvent } from '../../host/net/burst/sockets.js';
import { assert, suite } from '../support/suite.js';
import { until } from './rig.js';

const test = suite('apps: loops of a thread');

/** What a loop polls, by hand. */
class Calls implements Polled<object> {
  waiting = 0;
  polls = 0;
  sleeps = 0;
  flushes = 0;
  closed = false;
  #woken: (() => void) | undefined;

  poll(events: StackEvent<object>[]): number {
    if (this.closed) throw Object.assign(new Error('closed'), { code: 'ERR_STACK_CLOSED' });
    this.polls++;
    const n = this.waiting;
    this.waiting = 0;
    events.length = n;
    return n;
  }

  flush(): void {
    this.flushes++;
  }

  wait(): Promise<boolean> {
    if (this.closed) return Promise.reject(Object.assign(new Error('closed'), { code: 'ERR_STACK_CLOSED' }));
    this.sleeps++;
    return new Promise(done => {
      this.#woken = () => done(this.waiting > 0);
    });
  }

  rouse(): void {
    this.#woken?.();
  }

  /** News. */
  bring(n = 1): void {
    this.waiting += n;
    this.rouse();
  }
}

const rest = (): Promise<void> => new Promise(next => setTimeout(next, 5));

test('news of one loop wakes them all once, and none polls while there is none', async () => {
  const one = new Calls();
  const two = new Calls();
  const heard: string[] = [];
  const loops = [
    new BurstLoop(one, (_, n) => heard.push(`one ${n}`)),
    new BurstLoop(two, (_, n) => heard.push(`two ${n}`)),
  ];
  await rest();
  const before = [one.polls, two.polls];
  await rest();
  assert.equal([one.polls, two.polls], before, 'asleep');
  two.bring(3);
  await rest();
  one.bring();
  await rest();
  assert.equal(heard, ['two 3', 'one 1']);
  assert.equal([one.sleeps, two.sleeps], [3, 3]);
  await Promise.all(loops.map(loop => loop.stop()));
});

test('what one loop answers another of the thread hears without a sleep in between', async () => {
  const one = new Calls();
  const two = new Calls();
  let turns = 0;
  const loops = [
    new BurstLoop(one, () => two.bring()),
    new BurstLoop(two, () => {
      if (++turns < 1000) one.bring();
    }),
  ];
  await rest();
  const before = one.sleeps + two.sleeps;
  one.bring();
  await until('a thousand turns', () => turns === 1000);
  await rest();
  assert.ok(one.sleeps + two.sleeps - before <= 4, `${one.sleeps + two.sleeps - before} sleeps`);
  await Promise.all(loops.map(loop => loop.stop()));
});

test('a loop that is stopped, whose stack is closed, or that throws, ends; the others go on', async () => {
  const calls = Array.from({ length: 4 }, () => new Calls());
  const heard: number[] = [];
  const loops = calls.map(
    (each, i) =>
      new BurstLoop(each, () => {
        heard.push(i);
        if (i === 2) throw new Error('of the application');
      }),
  );
  await rest();
  await loops[0].stop();
  calls[1].closed = true;
  calls[1].rouse();
  await loops[1].ended;
  calls[2].bring();
  assert.is(await loops[2].ended.catch(error => error.message), 'of the application');
  for (const each of calls) each.bring();
  await rest();
  assert.equal(heard, [2, 3]);
  await loops[3].stop();
});

test('ticks go on while there is no news, what they wrote leaves, and they end with the loop', async () => {
  const calls = new Calls();
  let ticks = 0;
  const loop = new BurstLoop(calls, () => {}, { tick: () => ticks++ });
  await rest();
  const flushed = calls.flushes;
  await until('three ticks', () => ticks >= 3);
  assert.ok(calls.flushes >= flushed + 3);
  assert.ok(calls.sleeps <= 1, 'without a wake');
  await loop.stop();
  const before = ticks;
  await new Promise(next => setTimeout(next, 250));
  assert.is(ticks, before);
});
