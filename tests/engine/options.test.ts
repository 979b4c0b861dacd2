import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import { HostNic } from '../../host/nic/index.js';
import { udpFrame } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: options');

test('every number is checked, and the error names option, value and what was expected', async () => {
  const bad: Record<string, unknown[]> = {
    lanes: [0, -1, 65, 1.5, Number.NaN, '2', null],
    frames: [0, -1, 1e9, Number.NaN],
    mapBytes: [-5, 0.5, 1e12, Number.NaN],
    ringBytes: [-1, Number.NaN],
    scratchBytes: [-1, Number.NaN],
    counterBytes: [-1, Number.NaN],
    ringSlots: [0, 1, 3, -4, 2 ** 31, Number.NaN],
    burst: [0, 1025, Number.NaN],
    rounds: [0, 1.5, Number.NaN],
    spinUs: [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY],
    hangMs: [-1, 0, Number.NaN, Number.POSITIVE_INFINITY],
    warmMs: [-1, Number.NaN],
    seed: [-1, 2 ** 32, 0.5, Number.NaN],
    restarts: [-1, 0.5, Number.NaN],
    startNs: [1, -1n],
  };
  for (const [name, values] of Object.entries(bad))
    for (const value of values) {
      let error: { code?: string; message?: string; expected?: string } = {};
      await Engine.create({ nics: [], [name]: value } as unknown as EngineOptions).catch(e => (error = e));
      assert.is(error.code, 'ERR_ENGINE_OPTIONS', `${name}: ${value}`);
      assert.ok(error.message?.includes(`option ${name}: ${value}`), error.message);
      assert.ok(error.expected, `${name}: ${value} says what was expected`);
    }
});

test('what is no options and what is no NIC is told by its place', async () => {
  const codes: unknown[] = [];
  for (const options of [
    null,
    undefined,
    5,
    {},
    { nics: 5 },
    { nics: [{}] },
    { nics: [new HostNic(), null] },
  ])
    await Engine.create(options as unknown as EngineOptions).catch(e => codes.push(`${e.code} ${e.message}`));
  assert.is(codes.length, 7);
  for (const code of codes) assert.match(String(code), /^ERR_ENGINE_OPTIONS/);
  assert.match(String(codes[6]), /nics\[1\]/);
});

test('the least of every number is enough for an engine', async () => {
  const engine = await Engine.create({
    nics: [new HostNic()],
    inline: true,
    frames: 1,
    mapBytes: 0,
    ringSlots: 2,
    burst: 1,
    rounds: 1,
    spinUs: 0,
    hangMs: 1,
    warmMs: 0,
    restarts: 0,
    startNs: 0n,
  });
  await engine.start();
  engine.step();
  assert.is((await engine.stop()).ledger.free, 1);
});

test('a host NIC refuses what is no packet, queues it has not, and everything once its engine is stopped', async () => {
  const nic = new HostNic({ queues: 2 });
  const engine = await Engine.create({ nics: [nic], inline: true, frames: 64, mapBytes: 0 });
  await engine.start();
  const code = (bytes: unknown, queue?: number): string | undefined => {
    try {
      nic.send(bytes as Uint8Array, queue);
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  for (const bytes of [null, undefined, 'x', 5, {}, [1, 2], new ArrayBuffer(60), new Uint8Array(1e6)])
    assert.is(code(bytes), 'ERR_NIC_PACKET');
  for (const queue of [2, 99, -1, 0.5, Number.NaN]) assert.is(code(udpFrame(), queue), 'ERR_NIC_QUEUE');
  assert.is(code(udpFrame(), 1), undefined);
  engine.run();
  assert.is(engine.receive().length, 1);
  assert.is((await engine.stop()).ledger.free, 64);
  assert.is(code(udpFrame()), 'ERR_NIC_CLOSED');
});

/** Notes that it was closed; `fails`: and throws. */
class ClosingNic extends HostNic {
  closed = 0;

  constructor(
    name: string,
    readonly fails = false,
  ) {
    super({ name });
  }

  override async close(): Promise<void> {
    this.closed++;
    if (this.fails) throw new Error(`${this.name} does not close`);
    super.close();
  }
}

test('an engine that cannot be made closes the NICs that it opened', async () => {
  // Somewhere there is enough for the ports' own rings, and not for those between lanes and host.
  let closed = 0;
  for (let kib = 16; kib < 4096; kib += 16) {
    const nics = [new ClosingNic('a'), new ClosingNic('b')];
    const engine = await Engine.create({ nics, lanes: 8, ringBytes: kib * 1024 }).catch(error => {
      assert.is(error.code, 'ERR_ARENA_FULL');
      // When the second one does not open, only the first was.
      assert.ok(nics[0].closed === 1 || nics[1].closed === 0);
      closed = nics[0].closed + nics[1].closed;
    });
    if (engine) {
      await engine.stop();
      break;
    }
  }
  assert.is(closed, 2, 'at the last try both were open');
});

test('a NIC that does not close leaves none of the others open, and the first of them is said', async () => {
  const nics = [new ClosingNic('a', true), new ClosingNic('b', true), new ClosingNic('c')];
  const engine = await Engine.create({ nics });
  await engine.start();
  let said = '';
  await engine.stop().catch(error => (said = error.message));
  assert.is(said, 'a does not close');
  assert.equal(
    nics.map(nic => nic.closed),
    [1, 1, 1],
  );
});
