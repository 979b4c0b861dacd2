/** Looks before sleeps: as long as sleeps are short, and over at once when one is long. */
import { Looks } from '../../host/engine/looks.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: looks before sleeps');

const US = 1000;

/** The look after each of these waits. */
function after(leastUs: number, waitsUs: readonly number[]): number[] {
  const looks = new Looks(leastUs * US);
  return waitsUs.map(us => {
    looks.waited(us * US);
    return looks.ns / US;
  });
}

test('who has slept for long does not look: news that comes now and then costs no CPU time', () => {
  assert.is(new Looks(0).ns, 0);
  assert.equal(after(0, [5000, 1000, 300, 200]), [0, 0, 0, 0]);
});

test('short sleeps make looks longer, up to what a sleep costs', () => {
  assert.equal(after(0, [150, 150, 150, 150, 150]), [20, 40, 80, 100, 100]);
});

test('news that came during the look leaves it as long as it is', () => {
  assert.equal(after(0, [150, 150, 30, 10, 0, 40]), [20, 40, 40, 40, 40, 40]);
});

test('one long sleep ends it', () => {
  assert.equal(after(0, [150, 150, 150, 2000, 150]), [20, 40, 80, 0, 20]);
});

test('no look is shorter than asked for (EngineOptions.spinUs), nor made shorter', () => {
  assert.is(new Looks(50 * US).ns, 50 * US);
  assert.equal(after(50, [150, 5000, 20]), [100, 50, 50]);
  assert.equal(after(1000, [1100, 20_000]), [1000, 1000]);
});
