import { UpdateFlag } from '../../../host/bpf/maps/index.js';
import { assert, suite } from '../../support/suite.js';
import { bench, make, outcomeOf, random } from './support.js';

const test = suite('maps: queue, stack, bloom_filter');

for (const type of ['queue', 'stack'] as const) {
  test(`${type}: random operations agree with a JavaScript array`, () => {
    const m = make(bench(), type, 0, 12, 7);
    const model: Uint8Array[] = [];
    const r = random(3);
    for (let i = 0; i < 5000; i++) {
      switch (r.below(4)) {
        case 0:
        case 1: {
          const overwrite = r.below(2) === 1;
          const v = r.bytes(12);
          const got = outcomeOf(() => m.push(v, overwrite ? UpdateFlag.EXIST : UpdateFlag.ANY));
          assert.is(got, model.length === 7 && !overwrite ? 'E2BIG' : 'ok');
          if (got === 'ok') {
            if (model.length === 7) model.shift();
            model.push(v);
          }
          break;
        }
        case 2:
          assert.equal(m.pop(), type === 'queue' ? model.shift() : model.pop());
          break;
        default:
          assert.equal(m.peek(), model[type === 'queue' ? 0 : model.length - 1]);
      }
      assert.is(m.size, model.length);
    }
    assert.equal([...m], type === 'queue' ? model : model.reverse());
  });

  test(`${type}: other flags are refused`, () => {
    const m = make(bench(), type, 0, 4, 2);
    assert.is(
      outcomeOf(() => m.push(1, UpdateFlag.NOEXIST)),
      'EINVAL',
    );
    assert.is(
      outcomeOf(() => m.push(1, 4)),
      'EINVAL',
    );
    assert.is(m.pop(), undefined);
  });
}

test('bloom_filter never forgets and seldom invents', () => {
  const m = make(bench(), 'bloom_filter', 0, 13, 1000);
  const r = random(5);
  const pushed = Array.from({ length: 1000 }, () => r.bytes(13));
  for (const v of pushed) m.push(v);
  for (const v of pushed) assert.ok(m.has(v));
  let wrong = 0;
  for (let i = 0; i < 5000; i++) if (m.has(r.bytes(13))) wrong++;
  assert.ok(wrong < 5000 * 0.1, `${wrong} of 5000 wrongly there`);
  assert.is(
    outcomeOf(() => m.push(pushed[0], 1)),
    'EINVAL',
  );
});

test('bloom_filter takes 1 to 15 hash functions', () => {
  assert.is(
    outcomeOf(() => make(bench(), 'bloom_filter', 0, 4, 10, { extra: 16 })),
    'EINVAL',
  );
  const m = make(bench(), 'bloom_filter', 0, 4, 10, { extra: 15 });
  m.push(7);
  assert.ok(m.has(7));
});
