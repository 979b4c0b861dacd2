import { compileGuarded, compileProgram } from '../../host/bpf/jit/compile.js';
import { createMap } from '../../host/bpf/maps/index.js';
import { verify } from '../../host/bpf/verify/verify.js';
import { Engine } from '../../host/engine/engine.js';
import { HostNic } from '../../host/nic/index.js';
import { exit, movImm, spec } from '../support/insns.js';
import { handMade, udpFrame, verdict } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: stages of a program');

const make = () => Engine.create({ nics: [new HostNic({ name: 'a' })], inline: true, frames: 256 });
const passes = (ret = 2) => spec([movImm(0, ret), exit()]);

async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (e) {
    return (e as { code: string }).code;
  }
  return 'none';
}

test('only what verify() returned is compiled', async () => {
  const evil = { ...verify(passes()), spec: passes(1) };
  assert.is(await codeOf(() => compileProgram(evil, {})), 'ERR_STAGE_FORGED');
  const good = verify(passes());
  assert.throws(() => Object.assign(good, { spec: passes(1) }), /read only/);
  assert.is(await codeOf(() => compileProgram(good, {})), 'none');
});

test('what becomes of a spec after it was verified does not reach the code', async () => {
  const given = passes();
  const verified = verify(given);
  given.insns[0].imm = 1;
  given.insns.push(exit());
  assert.equal([verified.spec.insns[0].imm, verified.spec.insns.length], [2, 2]);
  assert.throws(() => verified.spec.insns.push(exit()));
  assert.throws(() => Object.assign(verified.spec.insns[0], { imm: 1 }));
});

test('only what compileProgram() returned is loaded, and only what load() returned is attached', async () => {
  const engine = await make();
  const compiled = compileProgram(verify(passes()), {});
  assert.is(await codeOf(() => engine.load({ ...compiled })), 'ERR_STAGE_FORGED');
  assert.is(await codeOf(() => engine.load(compileGuarded(passes()))), 'ERR_STAGE_FORGED');
  const loaded = await engine.load(compiled);
  assert.is(await codeOf(() => engine.attach({ ...loaded, run: 7 }, 'a')), 'ERR_STAGE_FORGED');
  assert.is(await codeOf(() => engine.unload({ ...loaded })), 'ERR_STAGE_FORGED');
  for (const none of [null, undefined, {}, 'a', 7])
    assert.is(await codeOf(() => engine.attach(none as never, 'a')), 'ERR_STAGE_FORGED', String(none));
  for (const none of [null, undefined, {}, 7]) {
    assert.is(await codeOf(() => engine.detach(none as never)), 'ERR_ATTACH_STALE', String(none));
    assert.is(await codeOf(() => engine.swap(none as never, loaded)), 'ERR_ATTACH_STALE', String(none));
  }
  const other = await make();
  await other.load(verdict(2));
  assert.is(await codeOf(() => other.attach(loaded, 'a')), 'ERR_PROGRAM_UNLOADED');
  engine.attach(loaded, 'a');
  await engine.stop();
  await other.stop();
});

test('attach takes its hook from the type of the program', async () => {
  const engine = await make();
  const tc = await engine.load(handMade('i64.const 0', { type: 'tc' }));
  assert.is(engine.attach(tc, 'a').hook, 'tc_ingress');
  assert.is(engine.attach({ placed: await engine.load(verdict(2)) }, 'a').hook, 'xdp');
  assert.is(await codeOf(() => engine.attach(tc, 'a', 'xdp')), 'ERR_ATTACH_TYPE');
  await engine.stop();
});

test('a swap from an attachment that is no more is refused and leaves nothing behind', async () => {
  const engine = await make();
  const first = engine.attach(await engine.load(verdict(1)), 'a');
  const { attachment } = await engine.swap(first, verdict(2));
  assert.is(await codeOf(() => engine.swap(first, verdict(1))), 'ERR_ATTACH_STALE');
  // Of two at once, one finds its attachment replaced; its slots are free again.
  const both = await Promise.allSettled([
    engine.swap(attachment, verdict(2)),
    engine.swap(attachment, verdict(2)),
  ]);
  assert.equal(both.map(r => r.status).sort(), ['fulfilled', 'rejected']);
  const a = await engine.load(verdict(1));
  const b = await engine.load(verdict(1));
  assert.ok(Math.max(a.run, b.run) <= engine.ports[0].slot(0) + 4, `${a.run} ${b.run}`);
  await engine.stop();
});

test('swap takes a program that is loaded already', async () => {
  const engine = await make();
  const nic = engine.nics[0] as HostNic;
  const next = await engine.load(verdict(1));
  await engine.swap(engine.attach(await engine.load(verdict(2)), 'a'), next);
  await engine.start();
  nic.send(udpFrame());
  engine.run();
  assert.equal(engine.counters()[0].drops, { XDP_DROP: 1 });
  await engine.stop();
});

test('a load that fails gives its slots back', async () => {
  const engine = await make();
  await engine.start();
  const missing = handMade('i64.const 1', { helpers: { no_such_helper: '(param i32)' } });
  const before = (await engine.load(verdict(1))).run;
  for (let i = 0; i < 3; i++) assert.is(await codeOf(() => engine.load(missing)), 'ERR_JIT_LINK');
  assert.is((await engine.load(verdict(1))).run, before + 2);
  await engine.stop();
});

test('a stopped engine takes no more programs', async () => {
  const engine = await make();
  const loaded = await engine.load(verdict(1));
  const attachment = engine.attach(loaded, 'a');
  await engine.stop();
  assert.is(await codeOf(() => engine.load(verdict(1))), 'ERR_ENGINE_STATE');
  assert.is(await codeOf(() => engine.attach(loaded, 'a')), 'ERR_ENGINE_STATE');
  assert.is(await codeOf(() => engine.swap(attachment, verdict(2))), 'ERR_ENGINE_STATE');
  assert.is(await codeOf(() => engine.unload(loaded)), 'none');
});

test('a program in a prog_array stays loaded, and its type is the type of all', async () => {
  const engine = await make();
  const [first, next] = [await engine.load(verdict(1)), await engine.load(verdict(2))];
  const spec = {
    name: 'progs',
    type: 'prog_array',
    keySize: 4,
    valueSize: 4,
    maxEntries: 4,
    flags: 0,
  } as const;
  const progs = createMap(engine.arena, engine.core, spec);
  progs.set(1, first);
  let message = '';
  await engine.unload(first).catch((e: Error) => (message = e.message));
  assert.match(message, /map "progs"/);
  await engine.swap(engine.attach(first, 'a'), next);
  assert.is(await codeOf(() => engine.attach(first, 'a')), 'none', 'kept by the swap');
  engine.attach(next, 'a');
  const tc = await engine.load(handMade('i64.const 0', { type: 'tc' }));
  assert.is(await codeOf(() => progs.set(2, tc)), 'ERR_MAP_EINVAL');
  progs.set(1, next);
  await engine.unload(first);
  assert.is(await codeOf(() => progs.set(2, first)), 'ERR_MAP_EINVAL');
  progs.destroy();
  await engine.stop();
});
