/** Facts for the compiler hold on every run, pruned paths included. */
import { assembleSpec } from '../../../host/bpf/asm/spec.js';
import type { Fact } from '../../../host/bpf/verify/verified.js';
import { verify } from '../../../host/bpf/verify/verify.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('verify: facts');
const factsOf = (text: string) => verify(assembleSpec(text)).facts;
const without = (fact: Fact | undefined) =>
  JSON.parse(JSON.stringify(fact, (_, v) => (typeof v === 'bigint' ? Number(v) : v)));

test('pointers have their kind, map and stack offset', () => {
  const facts = factsOf(`.map m hash key=4 value=8 max=4
    r7 = *(u32 *)(r1 + 0)
    *(u32 *)(r10 - 4) = 1
    r2 = r10
    r2 += -4
    r1 = m ll
    call map_lookup_elem
    if r0 == 0 goto out
    r3 = *(u64 *)(r0 + 0)
    out: r0 = 1
    exit`);
  assert.equal(facts.fact(0, 1), { kind: 'ctx' });
  assert.equal(facts.fact(6, 2), { kind: 'stack', frameUp: 0, stackOff: -4 });
  assert.is(facts.fact(6, 1)?.kind, 'map_ptr');
  assert.ok(facts.fact(6, 1)?.map !== undefined);
  assert.is(facts.fact(7, 0)?.kind, 'null_or_ptr');
  assert.is(facts.fact(8, 0)?.kind, 'map_value');
  assert.is(facts.fact(8, 0)?.map, facts.fact(6, 1)?.map);
});

test('a value that differs between a walked and a pruned path is no constant', () => {
  // The second path is pruned at `join`: r6 was not relied on, so its other value goes unseen by the walk.
  const facts = factsOf(`
    r6 = *(u32 *)(r1 + 16)
    r7 = 1
    if r6 == 0 goto join
    r7 = 2
    if r6 == 1 goto join
    r8 = 0
    if r6 == 2 goto join
    r8 = 1
    join: r0 = r7
    r0 += 1
    exit`);
  assert.is(facts.fact(8, 7)?.kind, 'scalar');
  assert.is(facts.fact(8, 7)?.u32, true);
});

test('a constant is followed through arithmetic, calls and 32-bit moves', () => {
  const facts = factsOf(`
    r6 = 5
    r6 *= 7
    call get_prandom_u32
    w7 = w0
    r7 += r6
    r0 = r6
    exit`);
  assert.equal(without(facts.fact(5, 6)), { kind: 'const', value: 35, u32: true });
  assert.equal(facts.fact(3, 0), { kind: 'scalar', u32: true });
  assert.equal(facts.fact(6, 0)?.kind, 'const');
});

test('a loop counter is no constant', () => {
  const facts = factsOf(`
    r1 = 0
    again: r1 += 1
    if r1 < 10 goto again
    r0 = r1
    exit`);
  assert.is(facts.fact(2, 1)?.kind, 'scalar');
  assert.equal(facts.branch(2), { taken: true, fallthrough: true });
});

test('frozen read-only maps give constants, and a branch on one goes one way', () => {
  const spec = assembleSpec(
    `r1 = map[conf][0] + 4
    r2 = *(u32 *)(r1 + 0)
    r0 = 1
    if r2 == 7 goto out
    r0 = 2
    out: exit`,
    {
      mapSpecs: {
        conf: {
          type: 'array',
          keySize: 4,
          valueSize: 8,
          maxEntries: 1,
          flags: 128,
          frozen: true,
          contents: Uint8Array.of(0, 0, 0, 0, 7, 0, 0, 0),
        },
      },
    },
  );
  const { facts } = verify(spec);
  assert.equal(without(facts.fact(4, 2)), { kind: 'const', value: 7, u32: true });
  assert.equal(facts.branch(4), { taken: true, fallthrough: false });
  assert.is(facts.reached(5), false);
  assert.is(facts.reached(6), true);
});

test('an address below its region counts as a number', () => {
  const facts = factsOf(`
    r2 = *(u32 *)(r1 + 0)
    r2 += -8
    r3 = r2
    r0 = 1
    exit`);
  assert.is(facts.fact(1, 2)?.kind, 'packet');
  assert.is(facts.fact(2, 2)?.kind, 'scalar');
});
