/**
 * A capture through a program: what `etherloom run` and the main job do, as a function. The capture is at the far end of
 * a model link, as a peer would be.
 *
 *   capture ─▶ far end ══ link ══▶ port 1 ─▶ lanes: program ─▶ pass to the host ─────────────▶┐
 *                                              │ redirect ─▶ port 2 … ══ link ══▶ far end ──▶├─ one pcap, in time order
 *                                              └ transmit ─▶ port 1 ══ link ══▶ far end ────▶┘
 *
 * First the outcome, once over the whole capture and without dropping for want of room; then, when asked, the speed:
 * the same packets put on the link by the lanes themselves, as many times as it takes.
 */
import { configureGlobals, type MapConfig } from '../bpf/config.js';
import { chooseProgram, openObject } from '../bpf/open.js';
import { programTypes } from '../bpf/program_types.js';
import type { ProgramType } from '../bpf/spec.js';
import { EtherloomError } from '../errors.js';
import { HostNic, MAX_PACKET, modelLink, ReplayEnd } from '../nic/index.js';
import { PcapNic, type PcapWriter } from '../nic/pcap/index.js';
import { readCapture } from '../nic/pcap/reader.js';
import { attachObject, verdictsOf } from './attach_object.js';
import { createOutput } from './capture_output.js';
import { Engine } from './engine.js';
import type { EngineReport } from './report.js';

/** Ports beside the capture's, so that redirects by ifindex 2 … 4 arrive somewhere. */
const OTHER_PORTS = 3;
/** Entries of each ring while the speed is taken: frames under way stay in the cache, which they do not with 1024. */
const RING_SLOTS = 256;
/** Runs before the speed is taken, so that V8 has optimised what is measured. */
const WARM_UP_PACKETS = 400_000;

export interface CaptureRunOptions {
  /** Compiled object or SPEC.json. */
  object: string;
  program?: string;
  /** pcap or pcapng to replay. */
  in: string;
  /** pcap to write. */
  out?: string;
  lanes: number;
  config?: MapConfig;
  /** Times that the capture is played for the outcome. Default 1. */
  rounds?: number;
  /** Packets to play for the speed; 0: none. Default 0. */
  speedPackets?: number;
  /** Called now and then: part done, 0 … 1. */
  progress?: (done: number) => void;
}

export interface CaptureRun {
  object: string;
  program: string;
  type: ProgramType;
  lanes: number;
  /** Packets given to the program. */
  packets: number;
  /** Longer than a frame: left out. */
  oversized: number;
  /** By name: what the program said. */
  verdicts: Record<string, number>;
  /** Packets dropped, by reason. */
  drops: Record<string, number>;
  out?: string;
  /** Packets in `out`. */
  written: number;
  /** By the clock on the wall, of all lanes together, over MEASURED_PATH. */
  speed?: { packets: number; mpps: number; nsPerPacket: number };
  verify: { processed: number; timeUs: number };
  compileUs: number;
  report: EngineReport;
}

/** What a speed is the speed of. */
export const MEASURED_PATH =
  'template copied into a frame → transmit ring of the far end → model link → RSS → receive ring → program → ' +
  'transmit ring, link and far end, or another port, or the host’s count';

/**
 * @throws EtherloomError for what is wrong with object, program, configuration or capture; VerifierError when refused
 */
export async function runCapture(options: CaptureRunOptions): Promise<CaptureRun> {
  const progress = options.progress ?? (() => {});
  const share = options.speedPackets ? 0.3 : 1;
  const output = options.out === undefined ? undefined : createOutput(options.in, options.out);
  let run: CaptureRun;
  try {
    run = await outcome(options, output?.writer, done => progress(done * share));
    output?.keep();
  } catch (error) {
    output?.discard();
    throw error;
  }
  if (options.speedPackets && run.packets)
    run.speed = await measure(options, run.program, done => progress(share + done * (1 - share)));
  progress(1);
  return run;
}

/** The whole capture once (or `rounds` times), without dropping for want of room. */
async function outcome(
  options: CaptureRunOptions,
  writer: PcapWriter | undefined,
  progress: (done: number) => void,
): Promise<CaptureRun> {
  const object = openObject(options.object);
  const spec = chooseProgram(object, options.program);
  if (programTypes[spec.type].input !== 'received')
    throw new EtherloomError(
      'ERR_PROGRAM_TYPE',
      `${spec.name} is of type ${spec.type}: it runs on packets that are made for a stream, a capture has received ones`,
      { expected: 'etherloom test-run for one packet, or etherloom attach at a NIC' },
    );
  if (options.config) configureGlobals(object, options.config);

  const source = new PcapNic({
    in: options.in,
    rounds: options.rounds ?? 1,
    link: {},
    ...(writer ? { out: writer } : {}),
  });
  const others = Array.from(
    { length: OTHER_PORTS },
    (_, i) => new PcapNic({ name: `port${i + 2}`, link: {}, ...(writer ? { out: writer } : {}) }),
  );
  const engine = await Engine.create({
    lanes: options.lanes,
    nics: [source, ...others],
    lossless: true,
    pass: writer ? 'ring' : 'count',
  });
  const { program, collection } = await attachObject(engine, 1, object, spec.name, options.config);
  const total = source.stats.packets * (options.rounds ?? 1);
  const drain = (): void => {
    if (writer) engine.drain(Number.POSITIVE_INFINITY, data => source.record(data));
    progress(total ? source.stats.received / total : 1);
  };
  const report = await whole(engine, async () => {
    await engine.idle({ each: drain });
    drain();
  });
  const written = [source, ...others].reduce((n, nic) => n + nic.stats.written, 0);
  await collection.close();

  const counters = report.ports[0];
  return {
    object: options.object,
    program: spec.name,
    type: spec.type,
    lanes: options.lanes,
    packets: counters.rxPackets,
    oversized: source.stats.oversized,
    verdicts: verdictsOf(spec.type, counters),
    drops: Object.fromEntries(Object.entries(counters.drops)),
    written,
    ...(options.out === undefined ? {} : { out: options.out }),
    verify: {
      processed: program.compiled.verified!.stats.processed,
      timeUs: program.compiled.verified!.stats.timeUs,
    },
    compileUs: program.compiled.compileUs,
    report,
  };
}

/** Starts the engine, does `work`, and stops it and closes its NICs whatever happened: lanes left behind would keep the process alive. */
async function whole(engine: Engine, work: () => Promise<void>): Promise<EngineReport> {
  try {
    await engine.start();
    await work();
    return await engine.stop();
  } finally {
    if (engine.state === 'running') await engine.stop().catch(() => {});
    for (const nic of engine.nics) await nic.close();
  }
}

/** Plays the capture from memory onto the link, in the lanes themselves: MEASURED_PATH at full speed. */
async function measure(
  options: CaptureRunOptions,
  name: string,
  progress: (done: number) => void,
): Promise<CaptureRun['speed']> {
  const object = openObject(options.object);
  if (options.config) configureGlobals(object, options.config);
  const packets = [...readCapture(options.in)].map(p => p.data.slice()).filter(d => d.length <= MAX_PACKET);
  const { a, b } = modelLink({ names: ['port1', 'far end of port1'] });
  const source = new ReplayEnd(b, { packets, count: WARM_UP_PACKETS });
  const others = Array.from(
    { length: OTHER_PORTS },
    (_, i) => new HostNic({ name: `port${i + 2}`, sink: true }),
  );
  const engine = await Engine.create({
    lanes: options.lanes,
    nics: [a, ...others, source],
    pass: 'count',
    ringSlots: RING_SLOTS,
  });
  const { collection } = await attachObject(engine, 1, object, name, options.config);
  const count = options.speedPackets!;
  let ms = 0;
  await whole(engine, async () => {
    await engine.idle();
    const before = source.played;
    const from = performance.now();
    source.again({ count });
    await engine.idle({ each: () => progress(Math.min(1, (source.played - before) / count)) });
    ms = performance.now() - from;
  });
  await collection.close();
  return { packets: count, mpps: count / ms / 1000, nsPerPacket: (ms * 1e6) / count };
}
