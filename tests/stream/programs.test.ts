/** The kfuncs in programs: verified, interpreted and compiled, on streams and on structures in maps and on the stack. */
import { assembleSpec } from '../../host/bpf/asm/spec.js';
import { interpret } from '../../host/bpf/interp/interpret.js';
import { compileProgram } from '../../host/bpf/jit/compile.js';
import { instantiateProgram, type ProgramExports } from '../../host/bpf/jit/instantiate.js';
import { verify } from '../../host/bpf/verify/verify.js';
import { testPacket } from '../../host/engine/test_run.js';
import { IntervalsLayout, RttLayout } from '../../host/layout/layout.gen.js';
import { assert, suite } from '../support/suite.js';
import { pattern, plainSum, StreamRig } from './rig.js';

const test = suite('stream: programs');

/** Runs a program in both engines, each over a rig of its own. `stream` is the number of a stream with 100 bytes to send. */
function both(text: string, type = 'xdp_gen') {
  const spec = assembleSpec(`.program ${type} f\n.license GPL\n${text}`);
  const proof = verify(spec);
  return (['interp', 'jit'] as const).map(engine => {
    const rig = new StreamRig({ lanes: 1 });
    const app = rig.apps.open();
    const end = rig.apps.stream(app, { send: 2048, receive: 2048 });
    assert.is(end.room, 0);
    app.flush();
    rig.turn();
    end.write(pattern(0, 100));
    const packet = testPacket(rig.arena, 'xdp', new Uint8Array(200));
    packet.reset();
    const core = rig.cores[0];
    const r0 =
      engine === 'interp'
        ? interpret(spec, { arena: rig.arena, core, ctx: packet.ctx }).r0
        : (
            instantiateProgram(compileProgram(proof, {}), core, rig.arena, 1)
              .exports as unknown as ProgramExports
          ).run(packet.ctx);
    return { rig, end, r0: BigInt.asUintN(64, r0) };
  });
}

const MINUS = (n: bigint): bigint => BigInt.asUintN(64, -n);

test('a segment is fetched, summed, placed and told, and packet pointers stay what they were', () => {
  const runs = both(`
    r6 = r1
    r7 = *(u32 *)(r6 + 0)
    r8 = *(u32 *)(r6 + 4)
    r2 = r7
    r2 += 154
    if r2 > r8 goto out
    r2 = 54
    r3 = 1
    r4 = 0
    r5 = 100
    call kfunc el_stream_fetch
    if r0 s< 0 goto out
    r9 = r0
    r0 = *(u8 *)(r7 + 55)
    *(u8 *)(r10 - 1) = r0
    r1 = r6
    r2 = 54
    r3 = 1
    r4 = 0
    r5 = 100
    call kfunc el_stream_place
    if r0 != r9 goto out
    r1 = 1
    r2 = 100
    call kfunc el_stream_received
    r1 = 1
    r2 = 100
    call kfunc el_stream_acked
    r1 = 1
    call kfunc el_stream_snd_end
    r0 <<= 32
    r0 |= r9
    exit
    out: r0 = 1
    exit`);
  for (const { end, r0 } of runs) {
    assert.is(r0 >> 32n, 100n);
    assert.is(Number(r0 & 0xffffffffn), plainSum(pattern(0, 100)));
    const got = new Uint8Array(200);
    assert.is(end.read(got), 100);
    assert.equal(got.subarray(0, 100), pattern(0, 100));
    assert.is(end.unacknowledged, 0);
  }
});

test('whole 64-bit registers as numbers: what is beyond 32 bits is not looked at', () => {
  for (const { r0 } of both(`
    r1 = 0x7700000001 ll
    r2 = 0x7700000003 ll
    r3 = 6
    call kfunc el_stream_route
    exit`))
    assert.is(r0, 0n);
});

test('errors of an int have their sign in 64 bits, a u32 has none', () => {
  for (const { r0 } of both('r1 = 77\ncall kfunc el_stream_free\nexit')) assert.is(r0, MINUS(2n));
  for (const { r0 } of both('r2 = 9999\nr3 = 1\ncall kfunc el_packet_sum\nexit')) assert.is(r0, 0xfffffff2n);
});

const zeros = (bytes: number): string =>
  Array.from({ length: Math.ceil(bytes / 8) }, (_, i) => `*(u64 *)(r10 - ${8 * (i + 1)}) = 0`).join('\n');

test('a set of ranges and a hole on the stack', () => {
  const size = Math.ceil(IntervalsLayout.size / 8) * 8;
  for (const { r0 } of both(`
    ${zeros(size + 8)}
    r6 = r10
    r6 += -${size}
    r1 = r6
    r2 = 1000
    r3 = 2000
    call kfunc el_intervals_add
    r1 = r6
    r2 = 3000
    r3 = 4000
    call kfunc el_intervals_add
    r7 = r0
    r1 = r6
    r2 = 1500
    r3 = 3500
    r4 = r6
    r4 += -8
    call kfunc el_intervals_next_hole
    r0 <<= 8
    r0 |= r7
    r1 = *(u32 *)(r10 - ${size + 8})
    r1 <<= 32
    r0 |= r1
    exit`))
    assert.is(r0, (2000n << 32n) | (1000n << 8n) | 1n);
});

test('round-trip times and hashes', () => {
  const size = Math.ceil(RttLayout.size / 8) * 8;
  for (const { r0 } of both(`
    ${zeros(size)}
    r6 = r10
    r6 += -${size}
    r1 = r6
    r2 = 300000
    call kfunc el_rtt_sample
    r1 = r6
    call kfunc el_rtt_backoff
    exit`))
    assert.is(r0, 1_800_000n);
  const [a, b] = both(`
    *(u64 *)(r10 - 8) = 5
    r1 = r10
    r1 += -8
    r2 = 8
    call kfunc el_siphash
    exit`);
  assert.is(a.r0, b.r0);
  assert.ok(a.r0 > 0xffffffffn);
});

test('the verifier refuses what is no memory of the structure', () => {
  const refused = (text: string, why: RegExp): void => {
    assert.throws(
      () => verify(assembleSpec(`.program xdp_gen f\n.license GPL\n${text}`)),
      (e: Error) => why.test(e.message),
      text,
    );
  };
  refused(
    'r1 = 4096\nr2 = 1\nr3 = 2\ncall kfunc el_intervals_add\nexit',
    /r1 is scalar 4096, expected 296 bytes of memory/,
  );
  refused(
    '*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -8\nr2 = 1\ncall kfunc el_rtt_sample\nexit',
    /68 bytes at fp-8/,
  );
  refused(
    'r2 = 0\nr3 = 1\nr4 = 0\nr5 = 10\nr1 = 0\ncall kfunc el_stream_fetch\nexit',
    /expected the context/,
  );
});
