/** etherloom attach: a program at a live interface, in the engine or in the kernel itself, until Ctrl-C or for a time. */

import { readFileSync } from 'node:fs';
import { configureGlobals, type MapConfig, readMapConfig } from '../../bpf/config.js';
import { showText } from '../../bpf/config_text.js';
import { attachKernel } from '../../bpf/kernel/attach.js';
import { kernelAvailable } from '../../bpf/kernel/available.js';
import { type BpfMap, KeyedMap } from '../../bpf/maps/index.js';
import { chooseProgram, openObject } from '../../bpf/open.js';
import { programTypes } from '../../bpf/program_types.js';
import type { CollectionSpec, ProgramSpec } from '../../bpf/spec.js';
import { attachObject, verdictsOf } from '../../engine/attach_object.js';
import type { PortCounters } from '../../engine/counters.js';
import { Engine } from '../../engine/engine.js';
import { EtherloomError } from '../../errors.js';
import { type ModelEnd, modelLink, type Nic } from '../../nic/index.js';
import { type Instead, refuseOptions, refuseSocketOptions } from '../given.js';
import { clearLine, type Ending, ending, showLine, until } from '../live.js';
import { type NicReport, nicReport, nicWarnings, nicWords, Warnings } from '../nic_report.js';
import { type ModelSpec, type NicSpec, parseNicSpec } from '../nic_spec.js';
import { makeNic } from '../nics.js';
import { EXIT, print, table, toJson } from '../output.js';
import { parseTake } from '../take.js';
import { Traffic } from '../traffic.js';
import { counts } from './run.js';

export interface AttachOptions {
  nic: string;
  program?: string;
  engine: 'etherloom' | 'kernel';
  lanes: number;
  config?: string;
  /** Addresses that the engine answers for. */
  address?: string[];
  /** Packets that an af_xdp NIC takes from the kernel. */
  take?: string[];
  /** Maps whose contents are printed at the end. */
  dump?: string[];
  duration?: number;
  interval: number;
  quiet?: boolean;
  json?: boolean;
  /** Names of the options that stand on the line. */
  given?: readonly string[];
}

/** What only the engine has. */
const NOT_IN_KERNEL: Instead = {
  address: 'ip address add: the kernel answers for its own addresses',
  take: '--engine etherloom: in the kernel the program sees every packet, and passes on what it does not want',
  lanes: '--engine etherloom: the kernel runs a program on the CPU that the packet came to',
};

/** What is counted while it runs, whoever runs it. */
interface Seen {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  dropped: number;
}

interface Running {
  /** How it is attached, in words. */
  how: string;
  /** The same, for JSON, of an interface of the kernel. */
  nic?: NicReport | undefined;
  /** What is to be warned of now. */
  warnings(): string[];
  seen(): Seen;
  /** Settles when there is nothing more to come: a capture that was played. */
  over?: Promise<unknown>;
  map(name: string): BpfMap;
  /** Ends it. Facts for the table, and for JSON; what was counted in the end, where that is more than before. */
  stop(): Promise<{
    rows: [string, string][];
    facts: Record<string, unknown>;
    failed: boolean;
    seen?: Seen;
  }>;
  close(): Promise<void>;
}

interface Job {
  options: AttachOptions;
  spec: NicSpec;
  object: CollectionSpec;
  program: ProgramSpec;
  config: MapConfig | undefined;
}

function seenOf(c: PortCounters): Seen {
  const { rxPackets, rxBytes, txPackets, txBytes, drops } = c;
  return { rxPackets, rxBytes, txPackets, txBytes, dropped: Object.values(drops).reduce((a, b) => a + b, 0) };
}

/** The far end of a model link sends packets of its own. */
function modelOf(spec: ModelSpec): { nic: ModelEnd; traffic: Traffic } {
  const { a, b } = modelLink({
    ...(spec.rate === undefined ? {} : { rate: spec.rate }),
    ...(spec.delayNs === undefined ? {} : { delayNs: spec.delayNs }),
    ...(spec.loss === undefined ? {} : { loss: spec.loss }),
    ...(spec.seed === undefined ? {} : { seed: spec.seed }),
    ...(spec.queues === undefined ? {} : { queues: spec.queues }),
  });
  return { nic: a, traffic: new Traffic(b, spec) };
}

/** Refuses what the kind of NIC cannot be told, and says what must be said. */
function nicOf({ options, spec }: Job): { nic: Nic; traffic?: Traffic } {
  if (spec.kind !== 'af_xdp' && options.take)
    throw new EtherloomError('ERR_USAGE_TAKE', `--take with --nic ${spec.text}`, {
      expected: 'an af_xdp NIC: every other takes all packets',
    });
  if (spec.kind === 'model') return modelOf(spec);
  if (spec.kind === 'af_xdp' && !spec.own && !options.take)
    throw new EtherloomError('ERR_USAGE_TAKE', `--nic ${spec.text} takes nothing from the kernel`, {
      expected: `--take tcp/80 for what the program is to see, or --nic ${spec.text},own=yes for everything`,
    });
  return { nic: makeNic(spec, options.take ? { rules: options.take.map(parseTake) } : {}) };
}

async function inEngine(job: Job): Promise<Running> {
  const { options, object, program, config } = job;
  const { nic, traffic } = nicOf(job);
  const engine = await Engine.create({ nics: [nic], lanes: options.lanes, pass: 'count' });
  try {
    const { collection } = await attachObject(engine, 1, object, program.name, config);
    const responder = options.address && engine.respond(1, { addresses: options.address });
    await engine.start();
    traffic?.start();
    const [port] = engine.ports;
    const report = nicReport(nic);
    const lanes = `${options.lanes} lane${options.lanes === 1 ? '' : 's'}, port ${port.name}, MTU ${port.mtu}`;
    return {
      how: report ? `${lanes}, ${nicWords(report)}` : lanes,
      nic: report,
      warnings: () => nicWarnings([nic]),
      seen: () => seenOf(engine.counters()[0]),
      ...(nic.kind === 'pcap' ? { over: engine.idle() } : {}),
      map: name => collection.map(name),
      async stop() {
        traffic?.stop();
        const answered = responder?.counters;
        const report = await engine.stop();
        const [c] = report.ports;
        const { ledger } = report;
        const inFlight = Object.values(ledger.inFlight).reduce((a, b) => a + b, 0);
        const verdicts = verdictsOf(program.type, c);
        return {
          rows: [
            ['verdicts', counts(verdicts)],
            ['passed to the host', `${c.pass}`],
            ...(answered ? [['answered', `${c.answered}`] as [string, string]] : []),
            ['drops', counts(c.drops)],
            ['lanes', report.lanes.map(l => `${l.lane}: ${l.packets} packets`).join(', ')],
            [
              'frames',
              `${ledger.total} in all: ${ledger.free} free, ${inFlight} in rings, every one accounted for`,
            ],
          ],
          facts: { verdicts, drops: c.drops, pass: c.pass, ...(answered ? { answered } : {}), report },
          failed: report.crashes.length > 0,
          seen: seenOf(c),
        };
      },
      async close() {
        // Again is once; what failed between start and stop must not leave lanes behind.
        await engine.stop().catch(() => {});
        await collection.close();
      },
    };
  } catch (error) {
    await engine.stop().catch(() => {});
    throw error;
  }
}

/** Name of the interface of the kernel that the spec is about. */
function interfaceOf(spec: NicSpec): string {
  const name =
    spec.kind === 'af_xdp' || spec.kind === 'tap' || spec.kind === 'tun' ? spec.interface : undefined;
  if (name === undefined)
    throw new EtherloomError('ERR_USAGE_NIC', `--nic ${spec.text} is no interface of the kernel`, {
      expected: 'af_xdp:IFACE with --engine kernel',
    });
  const available = kernelAvailable();
  if (!available.ok)
    throw new EtherloomError('ERR_KERNEL_UNAVAILABLE', available.reason, { expected: '--engine etherloom' });
  return name;
}

/** The kernel's own count of an interface, /sys/class/net/NAME/statistics; undefined when that one is gone. */
function statistics(name: string, ifindex: number): Seen | undefined {
  const read = (what: string): number => Number(readFileSync(`/sys/class/net/${name}/${what}`, 'utf8'));
  const count = (what: string): number => read(`statistics/${what}`);
  try {
    const seen = {
      rxPackets: count('rx_packets'),
      rxBytes: count('rx_bytes'),
      txPackets: count('tx_packets'),
      txBytes: count('tx_bytes'),
      dropped: count('rx_dropped'),
    };
    // One made anew under the name counts from 0, and has no program.
    return read('ifindex') === ifindex ? seen : undefined;
  } catch {
    return undefined;
  }
}

async function inKernel({ options, spec, object, program, config }: Job): Promise<Running> {
  refuseOptions(options.given ?? [], '--engine kernel', NOT_IN_KERNEL);
  refuseSocketOptions(spec);
  const mode = spec.kind === 'af_xdp' ? spec.attach : undefined;
  if (mode && programTypes[program.type].kernelLink === 'tcx')
    throw new EtherloomError(
      'ERR_USAGE_OPTION',
      `attach=${mode} for ${program.name}, which is of type ${program.type}`,
      { expected: 'no attach: it hangs by TCX' },
    );
  const attached = attachKernel(object, interfaceOf(spec), {
    program: program.name,
    ...(config ? { config } : {}),
    ...(mode ? { mode } : {}),
  });
  const { link } = attached;
  const { name, ifindex } = attached.target;
  try {
    const none: Seen = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, dropped: 0 };
    const before = statistics(name, ifindex) ?? none;
    let last = none;
    let gone = false;
    const seen = (): Seen => {
      const now = statistics(name, ifindex);
      gone = now === undefined;
      if (now)
        last = Object.fromEntries(
          Object.entries(now).map(([key, n]) => [key, n - before[key as keyof Seen]]),
        ) as unknown as Seen;
      return last;
    };
    return {
      how: `in the kernel at ${name}, ${link.mode} (${link.reason})`,
      warnings: () => (gone ? [`${name} is gone, and the program with it: these are its last counters`] : []),
      seen,
      map: which => attached.map(which),
      async stop() {
        const { rxPackets, dropped } = seen();
        attached.detach();
        return {
          rows: [
            ['attached', `${link.mode}: ${link.reason}`],
            ['the interface counted', `${rxPackets} received, ${dropped} dropped`],
          ],
          facts: { mode: link.mode, reason: link.reason, interface: seen() },
          failed: false,
        };
      },
      async close() {
        attached.close();
      },
    };
  } catch (error) {
    attached.close();
    throw error;
  }
}

/** Longest list of entries that is printed of one map. */
const DUMPED = 1000;

function dump(running: Running, names: readonly string[]): Record<string, unknown[]> {
  return Object.fromEntries(
    names.map(name => {
      const map = running.map(name);
      if (!(map instanceof KeyedMap))
        throw new EtherloomError('ERR_USAGE_DUMP', `--dump ${name}: a ${map.type} has no entries to print`);
      const entries: unknown[] = [];
      for (const [key, value] of map) {
        if (entries.length === DUMPED) break;
        entries.push({ key: showText(map.spec, 'key', key), value: showText(map.spec, 'value', value) });
      }
      return [name, entries];
    }),
  );
}

const number = (n: number): string => Math.round(n).toLocaleString('en-US');

/** The line while it runs: rates since the last look. */
function line(seconds: number, now: Seen, before: Seen, over: number): string {
  const rate = (packets: keyof Seen, bytes: keyof Seen): string =>
    `${number((now[packets] - before[packets]) / over)} pps ` +
    `${(((now[bytes] - before[bytes]) * 8) / over / 1e6).toFixed(1)} Mbit/s`;
  return (
    `${seconds.toFixed(0).padStart(5)} s  in ${number(now.rxPackets)} (${rate('rxPackets', 'rxBytes')})  ` +
    `out ${number(now.txPackets)} (${rate('txPackets', 'txBytes')})  dropped ${number(now.dropped)}`
  );
}

/** @throws EtherloomError ERR_USAGE_*, ERR_NIC_*, ERR_KERNEL_*, ERR_PROGRAM_*, ERR_CONFIG_*; VerifierError */
export async function attach(path: string, options: AttachOptions): Promise<number> {
  const end = ending();
  try {
    return await attachUntil(end, path, options);
  } finally {
    end.release();
  }
}

async function attachUntil(end: Ending, path: string, options: AttachOptions): Promise<number> {
  const spec = parseNicSpec(options.nic);
  const object = openObject(path);
  const program = chooseProgram(object, options.program);
  const config = options.config ? readMapConfig(options.config) : undefined;
  if (config) configureGlobals(object, config);
  const job: Job = { options, spec, object, program, config };
  for (const name of options.dump ?? [])
    if (!Object.hasOwn(object.maps, name))
      throw new EtherloomError('ERR_USAGE_DUMP', `--dump ${name}: no such map`, {
        expected: `one of ${Object.keys(object.maps).join(', ')}`,
      });

  const running = await (options.engine === 'kernel' ? inKernel(job) : inEngine(job));
  const warnings = new Warnings(running.warnings, options.json ?? false);
  // One line of JSON an event: who reads it need not wait for the end.
  const say = (event: string, what: object): void => {
    if (options.json) print(toJson({ event, ...what }, 0));
  };
  try {
    const about = { program: program.name, nic: spec.text, engine: options.engine };
    say('started', { ...about, how: running.how, ...(running.nic ? { attached: running.nic } : {}) });
    if (!options.json) print(`${program.name}: ${running.how}; Ctrl-C ends it`);
    warnings.tell();
    const started = performance.now();
    let before = running.seen();
    let beforeMs = started;
    await until(
      options,
      () => {
        const now = running.seen();
        warnings.tell();
        const nowMs = performance.now();
        const seconds = (nowMs - started) / 1000;
        say('counters', { seconds, ...now });
        if (!options.json && !options.quiet) showLine(line(seconds, now, before, (nowMs - beforeMs) / 1000));
        [before, beforeMs] = [now, nowMs];
      },
      running.over,
      end.asked,
    );
    const seconds = (performance.now() - started) / 1000;
    const last = running.seen();
    warnings.tell();
    const { rows, facts, failed, seen = last } = await running.stop();
    const maps = dump(running, options.dump ?? []);
    const told = { warnings: warnings.all, ...(options.dump ? { maps } : {}) };
    say('stopped', { seconds, ...about, ...seen, ...facts, ...told });
    if (!options.json) {
      if (!options.quiet) clearLine();
      const all: [string, string][] = [
        ['program', `${program.name} (${program.type}), ${seconds.toFixed(1)} s`],
        ['received', `${seen.rxPackets} packets, ${seen.rxBytes} bytes`],
        ['transmitted', `${seen.txPackets} packets, ${seen.txBytes} bytes`],
        ...rows,
      ];
      print(table([{ head: 'what' }, { head: 'value' }], all));
      for (const warning of warnings.all) print(`warning: ${warning}`);
      for (const [name, entries] of Object.entries(maps)) {
        print(`map ${name}: ${entries.length} entries`);
        for (const entry of entries) print(`  ${toJson(entry, 0)}`);
      }
    }
    return failed ? EXIT.FAILED : EXIT.DONE;
  } finally {
    await running.close();
  }
}
