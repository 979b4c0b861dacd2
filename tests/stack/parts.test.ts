/** Parts of the control plane by themselves: options, local ports, where a connection's packets arrive. */
import { readFileSync } from 'node:fs';
import { Engine } from '../../host/engine/engine.js';
import { EtherloomError } from '../../host/errors.js';
import { StackApp } from '../../host/net/burst/stack_app.js';
import { Stack } from '../../host/net/stack.js';
import { modelLink, rssHashOf } from '../../host/nic/index.js';
import { EPHEMERAL, LocalPorts } from '../../host/transports/local_ports.js';
import { applyOptions, type KeepAlive, OPTION_FLAG } from '../../host/transports/tcp/options.js';
import { parseIp } from '../../host/wire/address.js';
import { packet } from '../support/packets.js';
import { assert, suite } from '../support/suite.js';

const test = suite('stack: parts');
const HEADER = new URL('../../bpf-progs/transports/tcp/options.h', import.meta.url);

test('option bits and fields are those of options.h', () => {
  const text = readFileSync(HEADER, 'utf8');
  const bits = [...text.matchAll(/TCP_OPT_(\w+) = (\d+)/g)].map(m => [m[1], Number(m[2])]);
  assert.equal(Object.entries(OPTION_FLAG), bits);
  const fields = [...text.matchAll(/^\t__u(?:8|32) (\w+);/gm)].map(m => m[1]);
  const all = applyOptions(
    {},
    {
      ...{ userTimeoutMs: 1, maxRate: 1, sendBuffer: 1, receiveBuffer: 1, mss: 1, delackUs: 1, minRtoUs: 1 },
      ...{ finTimeoutMs: 1, synRetries: 1, synAckRetries: 1, retries: 1, tos: 1, ttl: 1, initialCwnd: 1 },
      ...{ keepAlive: { idleMs: 600, intervalMs: 1, probes: 1 }, congestion: 'reno', noDelay: true },
    },
  );
  assert.equal(Object.keys(all).sort(), fields.filter(f => f !== 'pad').sort());
});

test('an option that is not given keeps what was; one that is undone is as if it had not been given', () => {
  const first = applyOptions({}, { noDelay: true, ecn: 'on', pathMtu: 'probe', sack: false });
  assert.is(first.flags, OPTION_FLAG.NODELAY | OPTION_FLAG.ECN | OPTION_FLAG.PROBE_MTU | OPTION_FLAG.NO_SACK);
  const second = applyOptions(first, { ecn: 'off', sack: true });
  assert.is(second.flags, OPTION_FLAG.NODELAY | OPTION_FLAG.NO_ECN | OPTION_FLAG.PROBE_MTU);
  assert.is(applyOptions(second, { noDelay: false, ecn: 'accept', pathMtu: 'discover' }).flags, 0);
  assert.is(first.flags & OPTION_FLAG.NO_ECN, 0, 'what was given is not changed');
  assert.is(applyOptions({ flags: 0 }, { keepAlive: true }).flags, OPTION_FLAG.KEEPALIVE);
  assert.is(applyOptions({ flags: 4, keep_idle_ms: 9 }, { keepAlive: false }).flags, 0);
});

test('keepalive whose questions cannot all be answered is refused: a host answers one in 500 ms', () => {
  const take = (keepAlive: KeepAlive) => applyOptions({ flags: 0 }, { keepAlive }).flags;
  for (const least of [
    { idleMs: 600, probes: 1 },
    { idleMs: 300, intervalMs: 150, probes: 3 },
    { idleMs: 1, probes: 2 },
  ])
    assert.is(take(least), OPTION_FLAG.KEEPALIVE);
  for (const few of [
    { idleMs: 100, intervalMs: 100, probes: 3 },
    { idleMs: 200, intervalMs: 100, probes: 2 },
    { idleMs: 100, intervalMs: 50, probes: 3 },
    { idleMs: 200, intervalMs: 200, probes: 2 },
    { idleMs: 599, probes: 1 },
  ])
    assert.throws(
      () => take(few),
      (e: Error) => /^keepAlive: .*probes.* at least 600 ms/.test(e.message),
    );
  const later = applyOptions({ flags: 0 }, { keepAlive: { idleMs: 100, intervalMs: 250, probes: 3 } });
  assert.throws(() => applyOptions(later, { keepAlive: { probes: 2 } }), 'with what was set before');
  assert.is(applyOptions(later, { keepAlive: false }).flags, 0);
});

test('DCTCP asks for ECN, unless it is told not to', () => {
  for (const congestion of ['dctcp', 'dctcp-rate'] as const) {
    assert.is(applyOptions({ flags: 0 }, { congestion }).flags, OPTION_FLAG.ECN);
    assert.is(applyOptions({ flags: 0 }, { congestion, ecn: 'off' }).flags, OPTION_FLAG.NO_ECN);
    assert.is(applyOptions({ flags: 0 }, { congestion, ecn: 'accept' }).flags, 0);
    assert.is(
      applyOptions(applyOptions({ flags: 0 }, { ecn: 'off' }), { congestion }).flags,
      OPTION_FLAG.NO_ECN,
    );
  }
  assert.is(applyOptions({ flags: 0 }, { congestion: 'cubic' }).flags, 0);
});

test('ports: spread over the range, another beginning for each peer and each secret, none twice in a row', () => {
  const ports = new LocalPorts(EPHEMERAL);
  const begin = (key: string, from = ports): number => from.choose(key, () => true)!;
  const to = Array.from({ length: 2000 }, (_, i) => begin(`10.0.0.1 10.0.${i >> 8}.${i & 255} 80`));
  const quarter = (EPHEMERAL.last - EPHEMERAL.first + 1) / 4;
  for (let q = 0; q < 4; q++) {
    const n = to.filter(p => Math.floor((p - EPHEMERAL.first) / quarter) === q).length;
    assert.ok(n > 400 && n < 600, `${n} of 2000 in quarter ${q}`);
  }
  const same = Array.from({ length: 1000 }, () => begin('10.0.0.1 10.0.0.2 80'));
  assert.is(new Set(same).size, 1000);
  assert.is.not(begin('x', new LocalPorts(EPHEMERAL)), begin('x', new LocalPorts(EPHEMERAL)));
  assert.is(begin('x', new LocalPorts(EPHEMERAL, 7)), begin('x', new LocalPorts(EPHEMERAL, 7)));
});

test('ports: the last free one is found, and that none is', () => {
  const ports = new LocalPorts({ first: 100, last: 199 });
  for (let i = 0; i < 20; i++)
    assert.is(
      ports.choose('k', p => p === 142),
      142,
    );
  assert.is(
    ports.choose('k', () => false),
    undefined,
  );
});

test('the lane of a connection is the one that its packets are dealt to, by the hash that the lanes use', async () => {
  const { a, b } = modelLink({ name: 'wire' });
  const engine = await Engine.create({ nics: [a, b], inline: true, lanes: 2, frames: 64, mapBytes: 1 << 16 });
  const at = engine.arena.scratch.alloc(256);
  for (let i = 0; i < 200; i++) {
    const v6 = (i & 1) === 1;
    const [src, dst] = v6 ? [`fd00::${i.toString(16)}`, 'fd00::2'] : [`10.0.0.${i}`, '10.9.8.7'];
    const frame = packet({ src, dst, protocol: 'tcp', sport: 1000 + i * 37, dport: 443 });
    engine.arena.u8.set(frame, at);
    const ports = Uint8Array.of((1000 + i * 37) >> 8, (1000 + i * 37) & 255, 443 >> 8, 443 & 255);
    const want = engine.core.exports.rss_hash(at, frame.length) >>> 0;
    assert.is(rssHashOf(parseIp(src), parseIp(dst), ports), want, `${src} ${dst}`);
  }
  await engine.stop();
});

test('a stack that cannot be says why, and leaves nothing', async () => {
  const { a, b } = modelLink({ name: 'wire' });
  const engine = await Engine.create({
    ...{ nics: [a, b], inline: true, frames: 64, mapBytes: 1 << 16, warmMs: 0 },
    streams: { count: 64, bytes: 1 << 20, apps: 1 },
  });
  const ports = { 'wire.a': { addresses: ['10.0.0.1/24'] } };
  const told = (options: object): Promise<string> =>
    Stack.create(options as never).then(
      () => 'made',
      (e: EtherloomError) => `${e.code} ${e.message}`,
    );
  assert.match(await told({ ports }), /^ERR_STACK_OPTIONS a stack without an engine/);
  assert.match(await told({ engine, ports: {} }), /^ERR_STACK_OPTIONS a stack without ports/);
  assert.match(
    await told({ engine, ports: { eth0: {} } }),
    /^ERR_PORT_UNKNOWN no port eth0; expected wire.a/,
  );
  assert.match(await told({ engine, ports: { 'wire.a': { addresses: ['10.0.0.1/99'] } } }), /^ERR_ADDRESS/);
  assert.match(
    await told({ engine, ports: { 'wire.a': { addresses: ['10.0.0.1/24'], gateway: '10.1.0.1' } } }),
    /^ERR_ROUTE wire.a does not reach 10.1.0.1, the router to 0.0.0.0\/0/,
  );
  assert.match(
    await told({ engine, ports: { 'wire.a': { ...ports['wire.a'], mtu: 60 } } }),
    /^ERR_STACK_OPTIONS ports.wire.a.mtu: 60/,
  );
  // No room for its maps.
  assert.match(await told({ engine, ports }), /^ERR_ARENA_FULL/);
  assert.is(engine.routes.list().length, 0);
  engine.respond('wire.a', { addresses: ['10.0.0.1/24'] }).close();
  await engine.stop();
  const none = await Engine.create({ nics: [modelLink({ name: 'x' }).a], inline: true, frames: 64 });
  assert.match(await told({ engine: none, ports: { 'x.a': {} } }), /^ERR_STREAMS_NONE/);
  await none.stop();
  assert.throws(
    () => StackApp.attach({ transport: 'homa', memory: engine.arena.memory, number: 1 } as never),
    (e: EtherloomError) => e instanceof EtherloomError && e.code === 'ERR_TRANSPORT_UNKNOWN',
  );
});
