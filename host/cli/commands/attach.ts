/** etherloom attach: a program at a live interface, in the engine or in the kernel itself, until Ctrl-C or for a time. */

import { readFileSync } from 'node:fs';
import { configureGlobals, configureKernelMaps, type MapConfig, readMapConfig } from '../../bpf/config.js';
import { showText } from '../../bpf/config_text.js';
import { kernelAvailable } from '../../bpf/kernel/available.js';
import { KernelCollection } from '../../bpf/kernel/collection.js';
import { KernelLink } from '../../bpf/kernel/link.js';
import { type BpfMap, KeyedMap } from '../../bpf/maps/index.js';
import { chooseProgram, openObject } from '../../bpf/open.js';
import { programTypes } from '../../bpf/program_types.js';
import type { CollectionSpec, ProgramSpec } from '../../bpf/spec.js';
import { attachObject, verdictsOf } from '../../engine/attach_object.js';
import { Engine } from '../../engine/engine.js';
import { EtherloomError } from '../../errors.js';
import { native } from '../../native/load.js';
import { type ModelEnd, modelLink, type Nic } from '../../nic/index.js';
import { getIndex } from '../../nic/tap/index.js';
import { clearLine, showLine, until } from '../live.js';
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
}

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
  seen(): Seen;
  /** Settles when there is nothing more to come: a capture that was played. */
  over?: Promise<unknown>;
  map(name: string): BpfMap;
  /** Ends it. Facts for the table, and for JSON. */
  stop(): Promise<{ rows: [string, string][]; facts: Record<string, unknown>; failed: boolean }>;
  close(): Promise<void>;
}

interface Job {
  options: AttachOptions;
  spec: NicSpec;
  object: CollectionSpec;
  program: ProgramSpec;
  config: MapConfig | undefined;
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
    return {
      how: `${options.lanes} lane${options.lanes === 1 ? '' : 's'}, port ${port.name}, MTU ${port.mtu}`,
      seen: () => {
        const [c] = engine.counters();
        const dropped = Object.values(c.drops).reduce((a, b) => a + b, 0);
        const { rxPackets, rxBytes, txPackets, txBytes } = c;
        return { rxPackets, rxBytes, txPackets, txBytes, dropped };
      },
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
        };
      },
      close: () => collection.close(),
    };
  } catch (error) {
    await engine.stop().catch(() => {});
    throw error;
  }
}

/** The interface of the kernel that the spec names. */
function interfaceOf(spec: NicSpec): { name: string; ifindex: number } {
  const name =
    spec.kind === 'af_xdp' || spec.kind === 'tap' || spec.kind === 'tun' ? spec.interface : undefined;
  if (name === undefined)
    throw new EtherloomError('ERR_USAGE_NIC', `--nic ${spec.text} is no interface of the kernel`, {
      expected: 'af_xdp:IFACE with --engine kernel',
    });
  const available = kernelAvailable();
  if (!available.ok)
    throw new EtherloomError('ERR_KERNEL_UNAVAILABLE', available.reason, { expected: '--engine etherloom' });
  const addon = native();
  const ifindex = addon.ok ? getIndex(addon.native, name) : -1;
  if (ifindex <= 0)
    throw new EtherloomError('ERR_NIC_ENODEV', `no interface ${name} in this network namespace`, {
      expected: 'one that etherloom nics lists',
    });
  return { name, ifindex };
}

/** The kernel's own count of an interface: /sys/class/net/NAME/statistics. */
function statistics(name: string): Seen {
  const read = (what: string): number =>
    Number(readFileSync(`/sys/class/net/${name}/statistics/${what}`, 'utf8'));
  return {
    rxPackets: read('rx_packets'),
    rxBytes: read('rx_bytes'),
    txPackets: read('tx_packets'),
    txBytes: read('tx_bytes'),
    dropped: read('rx_dropped'),
  };
}

async function inKernel({ options, spec, object, program, config }: Job): Promise<Running> {
  const { kernelLink, notInKernel } = programTypes[program.type];
  if (!kernelLink)
    throw new EtherloomError(
      'ERR_PROGRAM_TYPE',
      `${program.name} is of type ${program.type}, which --engine kernel cannot attach: ${notInKernel}`,
      { expected: 'a program of type xdp or tc, or --engine etherloom' },
    );
  if (options.address)
    throw new EtherloomError('ERR_USAGE_OPTION', '--address with --engine kernel', {
      expected: 'ip address add: the kernel answers for its own addresses',
    });
  const { name, ifindex } = interfaceOf(spec);
  const kernel = KernelCollection.load(object, { log: 'statistics' });
  try {
    if (config) configureKernelMaps(kernel, config);
    const mode = spec.kind === 'af_xdp' ? spec.attach : undefined;
    if (mode && kernelLink === 'tcx')
      throw new EtherloomError(
        'ERR_USAGE_OPTION',
        `attach=${mode} for ${program.name}, which is of type ${program.type}`,
        {
          expected: 'no attach: it hangs by TCX',
        },
      );
    const loaded = kernel.program(program.name);
    const link =
      kernelLink === 'tcx'
        ? KernelLink.attachTc(loaded, ifindex)
        : KernelLink.attachXdp(loaded, ifindex, mode);
    const before = statistics(name);
    const seen = (): Seen => {
      const now = statistics(name);
      return Object.fromEntries(
        Object.entries(now).map(([key, n]) => [key, n - before[key as keyof Seen]]),
      ) as unknown as Seen;
    };
    return {
      how: `in the kernel at ${name}, ${link.mode} (${link.reason})`,
      seen,
      map: which => kernel.map(which),
      async stop() {
        const { rxPackets, dropped } = seen();
        link.close();
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
        kernel.close();
      },
    };
  } catch (error) {
    kernel.close();
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
  // One line of JSON an event: who reads it need not wait for the end.
  const say = (event: string, what: object): void => {
    if (options.json) print(toJson({ event, ...what }, 0));
  };
  try {
    const about = { program: program.name, nic: spec.text, engine: options.engine };
    say('started', { ...about, how: running.how });
    if (!options.json) print(`${program.name}: ${running.how}; Ctrl-C ends it`);
    const started = performance.now();
    let before = running.seen();
    let beforeMs = started;
    await until(
      options,
      () => {
        const now = running.seen();
        const nowMs = performance.now();
        const seconds = (nowMs - started) / 1000;
        say('counters', { seconds, ...now });
        if (!options.json && !options.quiet) showLine(line(seconds, now, before, (nowMs - beforeMs) / 1000));
        [before, beforeMs] = [now, nowMs];
      },
      running.over,
    );
    const seconds = (performance.now() - started) / 1000;
    const seen = running.seen();
    const { rows, facts, failed } = await running.stop();
    const maps = dump(running, options.dump ?? []);
    say('stopped', { seconds, ...about, ...seen, ...facts, ...(options.dump ? { maps } : {}) });
    if (!options.json) {
      if (!options.quiet) clearLine();
      const all: [string, string][] = [
        ['program', `${program.name} (${program.type}), ${seconds.toFixed(1)} s`],
        ['received', `${seen.rxPackets} packets, ${seen.rxBytes} bytes`],
        ['transmitted', `${seen.txPackets} packets, ${seen.txBytes} bytes`],
        ...rows,
      ];
      print(table([{ head: 'what' }, { head: 'value' }], all));
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
