/**
 * RPCs over TCP and Homa on three levels, beside @grpc/grpc-js: a call of 32 B at a time, 64 in flight, messages of 1 MB.
 * All in one run; the round in the middle counts.
 */
import type { Bench } from './harness/bench.js';
import type { CallFigures, Load } from './scenarios/rpc/figures.js';
import { byGrpc, missingGrpc } from './scenarios/rpc/grpc.js';
import { inBursts, inPromises } from './scenarios/rpc/inline.js';
import { bulkInLanes, inLanes } from './scenarios/rpc/lanes.js';
import { missingWire, overWire } from './scenarios/rpc/wire.js';

const CARRIERS = ['homa', 'tcp'] as const;
const LEVELS = {
  lane: { run: inLanes, how: 'shm NIC, both ends inside of lanes, a CPU each' },
  burst: { run: inBursts, how: 'shm NIC, burst API, both ends and the engine in one thread' },
  promise: { run: inPromises, how: 'shm NIC, promises, both ends and the engine in one thread' },
} as const;
const PARTS: Record<string, Load> = {
  one: { inFlight: 1, bytes: 32 },
  many: { inFlight: 64, bytes: 32 },
  large: { inFlight: 4, bytes: 1_000_000 },
};
/** Against gRPC: its time for one call, its calls with 64 in flight. */
const LIMITS = { p50: 20, rate: 50 };
const LANE_P50_US = 3;
/** Against our TCP: calls with 64 in flight, bytes of messages of 1 MB. */
const OF_TCP = { rate: 1.3, bulk: 0.9 };

interface Of {
  carrier: string;
  level: keyof typeof LEVELS;
  figures: CallFigures;
}

function rows(
  bench: Bench,
  part: string,
  { carrier, level, figures }: Of,
  tcp: CallFigures,
  grpc: CallFigures | undefined,
): void {
  const { inFlight, bytes } = PARTS[part];
  const group = `RPC: ${bytes} B, ${inFlight} in flight`;
  const name = `${carrier}, ${level}`;
  const conditions = `${LEVELS[level].how}; peer: unary calls over loopback, a process and a CPU for each end`;
  const peer = (value: number | undefined) =>
    value === undefined ? {} : { peer: { name: '@grpc/grpc-js', value } };
  if (part === 'large') {
    const rate = (f: CallFigures): number => (f.callsPerS * 2 * bytes) / 1e6;
    const own =
      carrier === 'tcp'
        ? peer(grpc && rate(grpc))
        : { peer: { name: 'the same over tcp', value: rate(tcp) } };
    const target = carrier === 'tcp' ? {} : { target: '≥ 0.9', met: rate(figures) >= 0.9 * rate(tcp) };
    bench.row({ group, name, conditions, unit: 'MB/s', value: rate(figures), ...own, ...target });
    return;
  }
  if (part === 'one') {
    const met =
      level === 'lane' ? figures.p50Us <= LANE_P50_US : grpc && figures.p50Us * LIMITS.p50 <= grpc.p50Us;
    const target = level === 'lane' ? `≤ ${LANE_P50_US}` : `≤ 1/${LIMITS.p50}`;
    const value = figures.p50Us;
    bench.row({
      ...{ group, name: `${name}, p50`, conditions, unit: 'µs', value, ...peer(grpc?.p50Us) },
      ...(met === undefined ? {} : { target, met }),
    });
    bench.row({
      group,
      name: `${name}, p99`,
      conditions,
      unit: 'µs',
      value: figures.p99Us,
      ...peer(grpc?.p99Us),
    });
    return;
  }
  const met = grpc && level !== 'promise' ? figures.callsPerS >= LIMITS.rate * grpc.callsPerS : undefined;
  bench.row({
    ...{
      group,
      name,
      conditions,
      unit: 'k/s',
      value: figures.callsPerS / 1000,
      ...peer(grpc && grpc.callsPerS / 1000),
    },
    ...(met === undefined ? {} : { target: `≥ ${LIMITS.rate}`, met }),
  });
}

/**
 * Homa's calls in lanes beside those over TCP: all callers on one connection, where a segment has many calls, and each on one
 * of its own, as independent callers are.
 */
async function besideTcp(bench: Bench, taken: readonly Of[], rounds: number, ms: number): Promise<void> {
  const load = PARTS.many;
  const of = (carrier: string) => taken.find(o => o.level === 'lane' && o.carrier === carrier)!.figures;
  const each = await inLanes('tcp', { ...load, ports: load.inFlight }, rounds, ms);
  const { callsPerS } = of('homa');
  for (const [name, peer] of Object.entries({
    [`tcp, ${load.inFlight} connections, a call on each`]: each,
    'tcp, one connection': of('tcp'),
  }))
    bench.row({
      ...{
        group: 'RPC: 32 B, 64 in flight, beside our TCP',
        name: 'homa, lane',
        conditions: LEVELS.lane.how,
      },
      ...{ unit: 'k/s', value: callsPerS / 1000, peer: { name, value: peer.callsPerS / 1000 } },
      ...{ target: `≥ ${OF_TCP.rate}`, met: callsPerS >= OF_TCP.rate * peer.callsPerS },
    });
}

/** Requests of 1 MB with empty responses, beside the same over TCP, and TCP's bytes without calls. */
async function oneWay(bench: Bench, rounds: number, ms: number): Promise<void> {
  const load = { ...PARTS.large, oneWay: true };
  const rate = async (carrier: string): Promise<number> =>
    ((await inLanes(carrier, load, rounds, ms)).callsPerS * load.bytes) / 1e6;
  const value = await rate('homa');
  for (const [name, peer] of Object.entries({
    'the same over tcp': await rate('tcp'),
    'tcp, bytes without calls': (await bulkInLanes(rounds, ms)) / 1e6,
  }))
    bench.row({
      ...{ group: 'RPC: 1000000 B one way, 4 in flight', name: 'homa, lane', conditions: LEVELS.lane.how },
      ...{ unit: 'MB/s', value, peer: { name, value: peer } },
      ...{ target: `≥ ${OF_TCP.bulk}`, met: value >= OF_TCP.bulk * peer },
    });
}

const WIRE =
  'two namespaces, veth, AF_XDP copy mode, an inline engine at each end, a process and a CPU each; ' +
  "peer: calls framed over one connection of Node's net, its processes kept awake";

/** The same calls between two namespaces, beside the kernel's TCP. */
async function wire(bench: Bench, rounds: number, ms: number): Promise<void> {
  for (const load of Object.values(PARTS)) {
    const net = await overWire('net', load, rounds, ms);
    for (const carrier of CARRIERS) {
      const ours = await overWire(carrier, load, rounds, ms);
      const group = `RPC over AF_XDP: ${load.bytes} B, ${load.inFlight} in flight`;
      const row = (what: string, unit: 'µs' | 'k/s', of: (f: CallFigures) => number): void => {
        bench.row({
          ...{ group, name: `${carrier}, ${what}`, conditions: WIRE, unit, value: of(ours) },
          peer: { name: 'Node net', value: of(net) },
        });
      };
      row('p50', 'µs', f => f.p50Us);
      row('p99', 'µs', f => f.p99Us);
      row('calls', 'k/s', f => f.callsPerS / 1000);
    }
  }
}

export default async function rpc(bench: Bench): Promise<void> {
  const missing = missingGrpc();
  if (missing) console.error(`  rpc: without its peer: ${missing}`);
  const [rounds, ms] = bench.quick ? [1, 100] : [5, 700];
  for (const [part, load] of Object.entries(PARTS)) {
    if (!bench.wants(part)) continue;
    const taken: Of[] = [];
    for (const [level, { run }] of Object.entries(LEVELS))
      for (const carrier of CARRIERS)
        taken.push({ carrier, level: level as Of['level'], figures: await run(carrier, load, rounds, ms) });
    const grpc = missing ? undefined : await byGrpc(load, rounds, bench.quick ? 300 : ms);
    for (const of of taken) {
      const tcp = taken.find(o => o.level === of.level && o.carrier === 'tcp')!;
      rows(bench, part, of, tcp.figures, grpc);
    }
    if (part === 'many') await besideTcp(bench, taken, rounds, ms);
    if (part === 'large') await oneWay(bench, rounds, ms);
  }
  if (!bench.wants('wire')) return;
  const noWire = missingWire();
  if (noWire) console.error(`  rpc: not over AF_XDP: ${noWire}`);
  else await wire(bench, rounds, ms);
}
