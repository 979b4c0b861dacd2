/** etherloom forward: a chain of hops between two NICs, until Ctrl-C or for a time. */
import { EtherloomError } from '../../errors.js';
import { Forwarder } from '../../forward/chain.js';
import { type Ages, type ForwardConfig, forwardConfig, readForwardConfig } from '../../forward/config.js';
import { DROPPED, type HopCounters, PASSED, type Reason } from '../../forward/counters.js';
import { addressesOf, interfaceOf, resolveMac } from '../../forward/interfaces.js';
import { KernelForwarder } from '../../forward/kernel_chain.js';
import { type Rates, ratesOf } from '../../forward/rates.js';
import { chainRules } from '../../forward/rules.js';
import { AfXdpNic, type RedirectRule } from '../../nic/af_xdp/index.js';
import type { Nic } from '../../nic/index.js';
import { type Instead, refuseOptions, refuseSocketOptions } from '../given.js';
import { clearLine, ENDS, type Ending, ending, showLine, until } from '../live.js';
import { type NicReport, nicReport, nicWarnings, nicWords, Warnings } from '../nic_report.js';
import { type NicSpec, parseNicSpec } from '../nic_spec.js';
import { makeNic } from '../nics.js';
import { EXIT, print, table, toJson } from '../output.js';

export interface ForwardOptions {
  in: string;
  out?: string;
  config?: string;
  ports?: number[];
  backend?: string[];
  protocol?: string[];
  address?: string[];
  source?: string[];
  flows?: number;
  firstPort?: number;
  age?: Partial<Ages>;
  engine: 'etherloom' | 'kernel';
  lanes: number;
  frames: number;
  spin: number;
  interval: number;
  duration?: number;
  quiet?: boolean;
  json?: boolean;
  /** Names of the options that stand on the line. */
  given?: readonly string[];
}

/** What only the engine has. */
const NOT_IN_KERNEL: Instead = {
  lanes: '--engine etherloom: the kernel runs a program on the CPU that the packet came to',
  frames: '--engine etherloom: the kernel has buffers of its own',
  spin: '--engine etherloom: the kernel has no lanes',
};

/** A chain at work, whoever runs it. */
interface Running {
  /** How its interfaces are attached. */
  nics: (NicReport | KernelReport)[];
  /** The same in words. */
  how: string[];
  /** What is to be warned of now. */
  warnings(): string[];
  counters(): HopCounters[];
  setBackends(config: ForwardConfig): Promise<void>;
  /** Stops it; the last counters and, in the engine, the frames that were counted. */
  stop(): Promise<{ hops: HopCounters[]; frames?: number; crashes?: number }>;
}

/** How a program of the kernel is attached at both ends. */
interface KernelReport {
  nic: string;
  mode: string;
  modeReason: string;
}

/** Members that stand in the file or on the line, not in both. */
const IN_FILE = ['ports', 'backend', 'protocol', 'address', 'source', 'flows', 'firstPort', 'age'] as const;

/** An interface of the kernel that the spec names, for its addresses. */
const interfaceIn = (spec: NicSpec): string | undefined =>
  spec.kind === 'af_xdp' ? spec.interface : undefined;

/** Whether nobody else answers ARP and the like there. */
const ownsInterface = (spec: NicSpec): boolean =>
  spec.kind === 'tap' || spec.kind === 'tun' || (spec.kind === 'af_xdp' && spec.own === true);

/** Addresses of the kernel's interface, where none are given. */
function ownAddresses(spec: NicSpec, option: string): string[] {
  const name = interfaceIn(spec);
  const found = name === undefined ? [] : addressesOf(interfaceOf(name).name);
  if (found.length) return found;
  throw new EtherloomError(
    'ERR_USAGE_FORWARD',
    name === undefined ? `${spec.text} has no addresses of its own` : `${name} has no address`,
    { expected: `${option} LIST` },
  );
}

function configOf(options: ForwardOptions, front: NicSpec, rear: NicSpec): ForwardConfig {
  if (options.config !== undefined) {
    const twice = IN_FILE.find(name => options[name] !== undefined);
    if (twice)
      throw new EtherloomError('ERR_USAGE_OPTION', `--${twice} beside --config`, {
        expected: 'one of the two',
      });
    return readForwardConfig(options.config);
  }
  if (!options.ports || !options.backend)
    throw new EtherloomError('ERR_USAGE_MISSING', 'no ports or no backend', {
      expected: '--ports and --backend, or --config FILE',
    });
  const address = options.address ?? ownAddresses(front, '--address');
  const families = (a: string): boolean => address.some(b => a.includes(':') === b.includes(':'));
  // A single NIC, or one without addresses of its own: backends see what clients call.
  const shared = options.out === undefined || interfaceIn(rear) === undefined;
  const source = options.source ?? (shared ? address : ownAddresses(rear, '--source').filter(families));
  try {
    return forwardConfig({
      address,
      source,
      services: [
        {
          ports: options.ports,
          backends: options.backend,
          ...(options.protocol ? { protocols: options.protocol } : {}),
        },
      ],
      ...(options.flows === undefined ? {} : { flows: options.flows }),
      ...(options.firstPort === undefined ? {} : { firstPort: options.firstPort }),
      ...(options.age === undefined ? {} : { ages: options.age }),
    });
  } catch (error) {
    if (error instanceof EtherloomError && error.code === 'ERR_FORWARD_CONFIG')
      throw new EtherloomError('ERR_USAGE_FORWARD', error.message, { path: error.path, cause: error });
    throw error;
  }
}

async function inEngine(
  options: ForwardOptions,
  config: ForwardConfig,
  front: NicSpec,
  rear: NicSpec,
): Promise<Running> {
  const same = options.out === undefined;
  const specs = same ? [front] : [front, rear];
  const byRules = specs.map(spec => spec.kind === 'af_xdp' && !spec.own);
  /** What each NIC takes. */
  const rulesOf = (all: ForwardConfig): RedirectRule[][] => {
    if (!byRules.includes(true)) return [[], []];
    const rules = chainRules(all, same);
    return same ? [[...rules.front, ...rules.rear]] : [rules.front, rules.rear];
  };
  const taken = rulesOf(config);
  const nics: Nic[] = specs.map((spec, i) => makeNic(spec, { rules: taken[i] }));
  // Backends that were ever told: flows to one that was taken out go on, so what they need is taken on.
  let ever = config;
  const forwarder = await Forwarder.create({
    config,
    in: nics[0],
    ...(same ? {} : { out: nics[1] }),
    // Only the kernel's own interfaces have neighbours that it knows.
    ...(interfaceIn(rear) === undefined ? {} : { resolve: resolveMac }),
    respond: { in: ownsInterface(front), out: ownsInterface(rear) },
    engine: { lanes: options.lanes, frames: options.frames, spinUs: options.spin },
  });
  await forwarder.start();
  const reports = nics.map(nicReport).filter(r => r !== undefined);
  return {
    nics: reports,
    how: reports.map(nicWords),
    warnings: () => [...nicWarnings(nics), ...unequal(forwarder), ...forwarder.trouble],
    counters: () => forwarder.counters().hops,
    async setBackends(next) {
      const all = withBackends(next, ever);
      const rules = rulesOf(all);
      await forwarder.setBackends(next);
      ever = all;
      for (const [i, nic] of nics.entries())
        if (byRules[i] && nic instanceof AfXdpNic) nic.setRules(rules[i]);
    },
    async stop() {
      const { hops, engine } = await forwarder.stop();
      return { hops, frames: engine.ledger.total, crashes: engine.crashes.length };
    },
  };
}

/** A configuration with the backends of another besides its own. */
const withBackends = (config: ForwardConfig, more: ForwardConfig): ForwardConfig => ({
  ...config,
  services: config.services.map((service, i) => ({
    ...service,
    backends: [...service.backends, ...(more.services[i]?.backends ?? [])],
  })),
});

/** Of a chain whose two ends take packets of different lengths. */
function unequal({ engine: { ports } }: Forwarder): string[] {
  const [first, last] = [ports[0], ports[ports.length - 1]];
  if (first.mtu === last.mtu) return [];
  return [
    `MTU ${first.mtu} at ${first.name}, ${last.mtu} at ${last.name}: larger datagrams than the smaller are dropped`,
  ];
}

/** One way of attachment for both ends. @throws EtherloomError ERR_USAGE_OPTION for two */
function attachOf(front: NicSpec, rear: NicSpec): 'native' | 'generic' | undefined {
  const [a, b] = [front, rear].map(spec => (spec.kind === 'af_xdp' ? spec.attach : undefined));
  if (a && b && a !== b)
    throw new EtherloomError('ERR_USAGE_OPTION', `attach=${a} in --in, attach=${b} in --out`, {
      expected:
        'one of the two, with --engine kernel: checksums that are left to the card need one way throughout',
    });
  return a ?? b;
}

async function inKernel(
  options: ForwardOptions,
  config: ForwardConfig,
  front: NicSpec,
  rear: NicSpec,
): Promise<Running> {
  const name = (spec: NicSpec): string => {
    const found = interfaceIn(spec);
    if (found === undefined)
      throw new EtherloomError('ERR_USAGE_NIC', `${spec.text} is no interface of the kernel`, {
        expected: 'af_xdp:IFACE, with --engine kernel',
      });
    return found;
  };
  const ends = { in: name(front), out: name(rear) };
  refuseOptions(options.given ?? [], '--engine kernel', NOT_IN_KERNEL);
  for (const spec of [front, rear]) refuseSocketOptions(spec);
  const attach = attachOf(front, rear);
  const forwarder = await KernelForwarder.create({
    config,
    ...ends,
    ...(attach === undefined ? {} : { attach }),
  });
  const { attach: mode, attachReason: modeReason } = forwarder;
  const nics = [...new Set(Object.values(ends))].map(nic => ({ nic, mode, modeReason }));
  return {
    nics,
    how: nics.map(n => `${n.nic} ${n.mode} (${n.modeReason})`),
    warnings: () => [...forwarder.warnings, ...forwarder.trouble],
    counters: () => forwarder.counters().hops,
    setBackends: next => forwarder.setBackends(next),
    async stop() {
      const { hops } = forwarder.counters();
      forwarder.close();
      return { hops };
    },
  };
}

const number = (n: number): string => Math.round(n).toLocaleString('en-US');
const bits = (n: number): string => `${(n / 1e6).toFixed(1)} Mbit/s`;

function live(seconds: number, r: Rates): string {
  const way = (pps: number, bps: number): string => `${number(pps)} pps ${bits(bps)}`;
  return (
    `${seconds.toFixed(0).padStart(5)} s  flows ${number(r.flows)}  ▶ ${way(r.forthPps, r.forthBps)}  ` +
    `◀ ${way(r.backPps, r.backBps)}  dropped ${number(r.dropped)}`
  );
}

const named = (h: HopCounters, reasons: readonly Reason[]): string =>
  reasons
    .filter(r => h.counts[r].packets)
    .map(r => `${r} ${h.counts[r].packets}`)
    .join(', ') || '0';

function summary(hops: readonly HopCounters[], ports: readonly number[]): string {
  const columns = [
    'hop',
    'port',
    'flows',
    'opened',
    '▶ packets',
    '▶ bytes',
    '◀ packets',
    '◀ bytes',
    'completed',
  ];
  return table(
    [...columns.map(head => ({ head, right: true })), { head: 'left to the host' }, { head: 'dropped' }],
    hops.map(h => [
      h.hop,
      ports[h.hop],
      `${h.flows} of ${h.limit}`,
      h.counts.opened.packets,
      h.counts.forth.packets,
      h.counts.forth.bytes,
      h.counts.back.packets,
      h.counts.back.bytes,
      h.counts.completed.packets,
      named(h, PASSED),
      named(h, DROPPED),
    ]),
  );
}

const backendsOf = (config: ForwardConfig): string =>
  config.services
    .map(s =>
      s.backends.map(b => `${b.address.includes(':') ? `[${b.address}]` : b.address}:${b.port}`).join(', '),
    )
    .join('; ');

/** @throws EtherloomError ERR_USAGE_*, ERR_FORWARD_*, ERR_NIC_*, ERR_KERNEL_* */
export async function forward(options: ForwardOptions): Promise<number> {
  // With a file a hangup means: read it again.
  const end = ending(options.config === undefined ? ENDS : ENDS.filter(signal => signal !== 'SIGHUP'));
  try {
    return await forwardUntil(end, options);
  } finally {
    end.release();
  }
}

async function forwardUntil(end: Ending, options: ForwardOptions): Promise<number> {
  const front = parseNicSpec(options.in, '--in');
  const rear = options.out === undefined ? front : parseNicSpec(options.out, '--out');
  const config = configOf(options, front, rear);
  const kernel = options.engine === 'kernel';
  const running = await (kernel ? inKernel : inEngine)(options, config, front, rear);
  const { ports } = config.services[0];
  // One line of JSON an event: who reads it need not wait for the end.
  const say = (event: string, what: object): void => {
    if (options.json) print(toJson({ event, ...what }, 0));
  };
  const warnings = new Warnings(running.warnings, options.json ?? false);
  say('started', { engine: options.engine, config, nics: running.nics });
  if (!options.json) {
    print(
      `forwarding ${config.address.join(', ')} port ${config.services.map(s => s.ports[0]).join(', ')} over ` +
        `${ports.length} hop${ports.length === 1 ? '' : 's'}${kernel ? ' in the kernel' : ''}; Ctrl-C ends it`,
    );
    for (const line of running.how) print(line);
  }
  warnings.tell();
  const reload = async (): Promise<void> => {
    const file = options.config!;
    try {
      const next = readForwardConfig(file);
      await running.setBackends(next);
      say('backends', { services: next.services });
      if (!options.json) print(`${file}: new flows go to ${backendsOf(next)}`);
    } catch (error) {
      // What runs goes on as it is.
      const { code, message } = error as EtherloomError;
      say('refused', { code, message });
      if (!options.json) print(`${file}: not taken over: ${code}: ${message}`);
    }
  };
  const onHangup = (): void => void reload();
  if (options.config !== undefined) process.on('SIGHUP', onHangup);
  const started = performance.now();
  let before = running.counters();
  let beforeMs = started;
  const each = (): void => {
    const hops = running.counters();
    const now = performance.now();
    const rates = ratesOf(before, hops, (now - beforeMs) / 1000);
    const seconds = (now - started) / 1000;
    [before, beforeMs] = [hops, now];
    warnings.tell();
    say('counters', { seconds, rates, hops });
    if (!options.json && !options.quiet) showLine(live(seconds, rates));
  };
  try {
    await until(options, each, end.asked);
  } catch (error) {
    await running.stop().catch(() => {});
    throw error;
  } finally {
    process.off('SIGHUP', onHangup);
  }
  warnings.tell();
  const { hops, frames, crashes } = await running.stop();
  const seconds = (performance.now() - started) / 1000;
  say('stopped', { seconds, hops, frames, crashes, warnings: warnings.all });
  if (!options.json) {
    if (!options.quiet) clearLine();
    print(summary(hops, ports));
    for (const warning of warnings.all) print(`warning: ${warning}`);
    print(
      `${seconds.toFixed(1)} s` +
        (frames === undefined ? '' : `, ${frames} frames in all, every one accounted for`),
    );
  }
  return crashes ? EXIT.FAILED : EXIT.DONE;
}
