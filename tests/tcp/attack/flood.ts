/**
 * What a flood of SYNs costs connections that are there. One inline lane does everything: two hosts, a bulk transfer
 * between them, and 100,000 SYNs a second that come in beside it. Time is CPU time, so that a busy machine changes nothing;
 * three ways take turns: no flood, the same frames dropped by a program of one instruction (what bringing them here
 * costs), and the flood at a listener.
 *   tsx tests/tcp/attack/flood.ts [SYNS PER SECOND] [SECONDS]
 */
import { assembleSpec } from '../../../host/bpf/asm/spec.js';
import { compileProgram } from '../../../host/bpf/jit/compile.js';
import { verify } from '../../../host/bpf/verify/verify.js';
import { Engine } from '../../../host/engine/engine.js';
import { HostNic, modelLink } from '../../../host/nic/index.js';
import type { StreamEnd } from '../../../host/streams/stream_end.js';
import { Rng } from '../../support/fuzz.js';
import { engineOptions, TcpEngine } from '../engine.js';
import { address, forge } from '../fuzz/forge.js';
import { ADDRESSES } from '../pair.js';

const STREAMS = 512;
const BACKLOG = 128;
const FRAMES = 4096;
const WAYS = ['quiet', 'dropped', 'flood'] as const;
/** CPU time of one turn, and how often SYNs are put in, µs. */
const TURN_US = 100_000;
const SYN = 2;

export interface FloodResult {
  /** Bytes per second of CPU time. */
  rates: Record<(typeof WAYS)[number], number>;
  syns: number;
  cookies: number;
  /** A connection that was opened in the midst of it, and said something. */
  newcomer: boolean;
  /** Bytes that were not what was sent. */
  wrong: number;
}

const cpuUs = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

function synFrames(): Uint8Array[] {
  const rng = new Rng(1);
  const options = Uint8Array.of(2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 3, 232, 0, 0, 0, 0, 1, 3, 3, 7);
  return Array.from({ length: FRAMES }, () =>
    forge(
      {
        ...{ src: Uint8Array.from([10, 66, ...rng.bytes(2)]), dst: address(ADDRESSES[1]) },
        ...{ sport: 1024 + rng.below(60_000), dport: 80, seq: rng.u32(), ack: 0, flags: SYN, window: 65535 },
        ...{ urgent: 0, options, payload: 0, extra: 0, ecn: 0, wrongSum: 0, wrongOffset: 0, wrongLength: 0 },
      },
      rng,
    ),
  );
}

export async function flood(perSecond = 100_000, seconds = 3): Promise<FloodResult> {
  const { a, b } = modelLink({ name: 'wire' });
  const evil = new HostNic({ name: 'evil', sink: true, ringSlots: 4096 });
  const hole = new HostNic({ name: 'hole', sink: true, ringSlots: 4096 });
  const { clock: _, ...options } = engineOptions(STREAMS);
  const engine = await Engine.create({ nics: [a, b, evil, hole], ...options, frames: 16_384 });
  for (const [i, to] of ADDRESSES.entries()) {
    engine.routes.add({ prefix: to, port: 2 - i });
    engine.routes.addNeighbour({ port: 2 - i, address: to, mac: `02:00:00:00:00:0${i + 1}` });
  }
  const one = await TcpEngine.on(engine, { 'wire.a': [ADDRESSES[0]] }, STREAMS);
  const two = await TcpEngine.on(engine, { 'wire.b': [ADDRESSES[1]], evil: [] }, STREAMS);
  engine.attach(
    await engine.load(compileProgram(verify(assembleSpec('r0 = 1\nexit', { type: 'xdp' })), {})),
    'hole',
  );
  await engine.start();
  two.listen(4, 90, 8);
  const client = one.connect(ADDRESSES[0], 5000, ADDRESSES[1], 90);
  two.listen(4, 80, BACKLOG);
  let server: StreamEnd | undefined;
  const work = (): void => {
    one.settle();
    two.settle();
  };
  for (const end = Date.now() + 5000; !server && Date.now() < end; work()) {
    const id = two.accepted.shift();
    if (id !== undefined) server = two.ends.get(id);
  }
  if (!server) throw new Error('no connection was made');
  // Every write repeats the same bytes, so that what arrives can be looked at cheaply.
  const data = new Uint8Array(1 << 16).fill(0x5a);
  const into = new Uint8Array(1 << 18);
  const frames = synFrames();
  const result: FloodResult = {
    rates: { quiet: 0, dropped: 0, flood: 0 },
    syns: 0,
    cookies: 0,
    newcomer: false,
    wrong: 0,
  };
  const bytes = { quiet: 0, dropped: 0, flood: 0 };
  const spent = { quiet: 0, dropped: 0, flood: 0 };
  let next = 0;
  const step = (): number => {
    client.write(data);
    one.app.flush();
    engine.step(4);
    const n = server!.readable ? server!.read(into) : 0;
    if (n && (into[0] !== 0x5a || into[n - 1] !== 0x5a)) result.wrong++;
    two.app.flush();
    one.app.take(() => {});
    two.app.take((end, _events) => {
      if (end.id !== server!.id && !two.ends.has(end.id)) {
        two.ends.set(end.id, end);
        two.accepted.push(end.id);
      }
    });
    return n;
  };
  const turn = (way: (typeof WAYS)[number], us: number): void => {
    const begun = cpuUs();
    let put = 0;
    for (let now = begun; now - begun < us; now = cpuUs()) {
      if (way !== 'quiet') {
        const nic = way === 'flood' ? evil : hole;
        for (
          const due = ((now - begun) * perSecond) / 1e6;
          put < due && nic.send(frames[next % FRAMES]);
          put++
        )
          next++;
      }
      for (let i = 0; i < 4; i++) bytes[way] += step();
    }
    if (way === 'flood') result.syns += put;
    spent[way] += cpuUs() - begun;
  };
  // Warm first: what is compiled late is not to be measured.
  for (const way of WAYS) turn(way, 4 * TURN_US);
  for (const way of WAYS) bytes[way] = spent[way] = 0;
  result.syns = 0;
  const turns = Math.ceil((seconds * 1e6) / TURN_US / WAYS.length);
  for (let i = 0; i < turns; i++) for (const way of i & 1 ? [...WAYS].reverse() : WAYS) turn(way, TURN_US);
  for (const way of WAYS) result.rates[way] = (bytes[way] * 1e6) / spent[way];
  // A friend in the midst of it.
  const friend = one.connect(ADDRESSES[0], 6000, ADDRESSES[1], 80);
  let accepted: StreamEnd | undefined;
  for (let i = 0; i < 100 && !result.newcomer; i++) {
    turn('flood', TURN_US / 10);
    const id = two.accepted.shift();
    if (id !== undefined) accepted = two.ends.get(id);
    if (accepted) friend.write(Uint8Array.of(7));
    result.newcomer = accepted !== undefined && accepted.readable > 0;
  }
  result.cookies = two.counters().SyncookiesSent ?? 0;
  const { lost, doubled } = engine.ledger();
  if (lost || doubled || engine.crashes.length) throw new Error(`${lost} frames lost, ${doubled} doubled`);
  await engine.stop();
  return result;
}

if (process.argv[1]?.endsWith('flood.ts')) {
  const [perSecond = 100_000, seconds = 10] = process.argv.slice(2).map(Number);
  const r = await flood(perSecond, seconds);
  for (const way of WAYS)
    console.log(
      `${way.padEnd(8)} ${(r.rates[way] / 1e6).toFixed(0).padStart(6)} MB per CPU second  ${((100 * r.rates[way]) / r.rates.quiet).toFixed(1).padStart(6)} %`,
    );
  console.log(
    `${r.syns} SYNs at ${perSecond}/s, ${r.cookies} cookies; a new connection ${r.newcomer ? 'got in' : 'did not get in'}`,
  );
  process.exit(r.newcomer && r.wrong === 0 && r.rates.flood >= 0.8 * r.rates.quiet ? 0 : 1);
}
