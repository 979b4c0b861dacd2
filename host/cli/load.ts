/** What commands that serve and commands that load have in common: they run for a time, and say how it goes. */
import { type Calling, type CallPlace, call, type Level, type Served, serve } from '../apps/levels.js';
import { TallySpan } from '../apps/load/tally.js';
import type { CallSpec, ServiceSpec } from '../apps/specs.js';
import { EtherloomError } from '../errors.js';
import { type CliHosts, type HostOptions, openHosts } from './hosts.js';
import { clearLine, ending, until } from './live.js';
import { Warnings } from './nic_report.js';
import { EXIT, print, toJson, tryOutput, writeOutput } from './output.js';

/** Options of every such command. */
export interface LastingOptions {
  nic: string;
  address?: string[];
  gateway?: string[];
  threads: number;
  spin: number;
  level: Level;
  /** Bytes of each ring of a connection; they grow by need without. */
  buffer?: number;
  interval: number;
  /** Path of a control socket for etherloom swap. */
  control?: string;
  json?: boolean;
}

export interface ServeOptions extends LastingOptions {
  ip?: string;
  port: number;
  duration?: number;
}

/** Connections that a server has room for. */
const SERVED = 1024;
const CONNECT_MS = 10_000;
const LOOK_MS = 5;
/** Who hears nothing for so long is not just slow, s. */
const SILENT_S = 1;

const hostOptions = (options: LastingOptions, connections: number): HostOptions => ({
  ...options,
  connections,
});

/** Says events: a line of JSON each, or text. */
function teller(json: boolean | undefined) {
  return (event: string, what: object, text?: string): void => {
    if (json) print(toJson({ event, ...what }, 0));
    else if (text !== undefined) print(text);
  };
}

/** Serves until it is ended. @param start what listens. */
export async function runServer(
  options: ServeOptions,
  name: string,
  start: (hosts: CliHosts) => Promise<Served>,
): Promise<number> {
  const end = ending();
  const say = teller(options.json);
  try {
    if (options.nic.startsWith('model'))
      throw new EtherloomError('ERR_USAGE_NIC', `--nic ${options.nic}: nobody else is at its far end`, {
        expected: 'af_xdp:IFACE, tap:NAME or tun:NAME; clients have a server with them on model',
      });
    const hosts = await openHosts(hostOptions(options, SERVED), [options.port]);
    try {
      const warnings = new Warnings(() => hosts.warnings(), options.json ?? false);
      const served = await start(hosts);
      const { address } = hosts;
      const shown = address.includes(':') ? `[${address}]` : address;
      say(
        'started',
        { service: name, address, port: served.port, how: hosts.how },
        `${name} at ${shown}:${served.port}, ${hosts.how}; Ctrl-C ends it`,
      );
      warnings.tell();
      await until(options, () => warnings.tell(), end.asked);
      await served.close();
      const counters = hosts.own.counters();
      say('stopped', { counters, warnings: warnings.all }, `TCP: ${toJson(counters, 0)}`);
      return hosts.engine.crashes.length ? EXIT.FAILED : EXIT.DONE;
    } finally {
      await hosts.close();
    }
  } finally {
    end.release();
  }
}

/** A server of a service at a level of its own host. */
export const serveService = (options: ServeOptions, spec: ServiceSpec) => (hosts: CliHosts) =>
  serve(
    hosts.own,
    options.level,
    spec,
    { port: options.port, ...(options.ip === undefined ? {} : { address: options.ip }) },
    hosts.lanes.own,
  );

export interface LoadJob {
  /** What is called when both are in this process. */
  service: ServiceSpec;
  calls: CallSpec;
  flows: number;
  outstanding: number;
  /** Of the server, when it is not in this process. */
  host: string | undefined;
  port: number;
  /** Seconds that are not counted. */
  warmup: number;
  /** Seconds; until Ctrl-C without. */
  seconds: number | undefined;
  /** Seconds after those, that are not counted either. */
  cooldown?: number;
  /** File for how many answers took how long. */
  dump?: string;
  /** Whether the load may begin; what it began with is done. */
  begin?(): boolean;
  /** A line of what happened in `seconds`. */
  line(span: TallySpan, seconds: number): string;
  /** The same for JSON. */
  facts(span: TallySpan, seconds: number): object;
  /** What went wrong, if anything did. */
  trouble?(): string[];
}

/** Calls until it is ended; on the shared-memory link with a server at the far end. */
export async function runLoad(options: LastingOptions, job: LoadJob): Promise<number> {
  const end = ending();
  try {
    if (options.nic.startsWith('model') === (job.host !== undefined))
      throw new EtherloomError(
        job.host === undefined ? 'ERR_USAGE_MISSING' : 'ERR_USAGE_OPTION',
        job.host === undefined ? 'no server' : `a server, ${job.host}, with --nic ${options.nic}`,
        {
          expected:
            job.host === undefined
              ? 'its address'
              : 'none: it is in this process, at the far end of the link',
        },
      );
    if (job.dump !== undefined) tryOutput(job.dump);
    const hosts = await openHosts(hostOptions(options, job.flows));
    try {
      return await load(options, job, hosts, end.asked);
    } finally {
      await hosts.close();
    }
  } finally {
    end.release();
  }
}

async function load(
  options: LastingOptions,
  job: LoadJob,
  hosts: CliHosts,
  asked: Promise<void>,
): Promise<number> {
  const say = teller(options.json);
  const { flows, outstanding, port } = job;
  const served = hosts.far && (await serve(hosts.far, options.level, job.service, { port }, hosts.lanes.far));
  const place: CallPlace = { host: job.host ?? hosts.address, port, flows, outstanding };
  const calling = await call(hosts.own, options.level, job.calls, place, hosts.lanes.own);
  const warnings = new Warnings(() => hosts.warnings(), options.json ?? false);
  try {
    await begun(calling, job, asked);
    say(
      'started',
      { level: options.level, connections: flows, outstanding, how: hosts.how },
      `${flows} connection${flows === 1 ? '' : 's'}, ${outstanding} under way on each, ${options.level} level, ${hosts.how}`,
    );
    if (job.warmup > 0) await until({ duration: job.warmup, interval: job.warmup + 1 }, () => {}, asked);
    const first = calling.numbers();
    const from = performance.now();
    let before = first;
    let beforeMs = from;
    const lasting = {
      interval: options.interval,
      ...(job.seconds === undefined ? {} : { duration: job.seconds }),
    };
    await until(
      lasting,
      () => {
        const now = calling.numbers();
        const nowMs = performance.now();
        const span = new TallySpan(now, before);
        const seconds = (nowMs - beforeMs) / 1000;
        say('interval', job.facts(span, seconds), job.line(span, seconds));
        [before, beforeMs] = [now, nowMs];
        warnings.tell();
      },
      asked,
    );
    const seconds = (performance.now() - from) / 1000;
    const whole = new TallySpan(calling.numbers(), first);
    const { cooldown = 0 } = job;
    if (cooldown > 0) await until({ duration: cooldown, interval: cooldown + 1 }, () => {}, asked);
    const silent = whole.answers === 0 && seconds >= SILENT_S && calling.errors.length === 0;
    const errors = [
      ...calling.errors,
      ...(job.trouble?.() ?? []),
      ...(silent
        ? [`${job.host ?? 'the server'} has answered nothing: is it the service that was asked for?`]
        : []),
    ];
    if (job.dump !== undefined) writeOutput(job.dump, Buffer.from(listed(whole)));
    clearLine();
    const text = [`in all, ${seconds.toFixed(1)} s:`, job.line(whole, seconds), times(whole)];
    say('stopped', { seconds, ...job.facts(whole, seconds), errors }, text.join('\n'));
    for (const error of errors.slice(0, 10)) if (!options.json) print(`error: ${error}`);
    return errors.length || hosts.engine.crashes.length ? EXIT.FAILED : EXIT.DONE;
  } finally {
    await calling.close();
    await served?.close();
  }
}

/** Waits until all are connected, and what the load begins with is done. */
async function begun(calling: Calling, job: LoadJob, asked: Promise<void>): Promise<void> {
  let ended = false;
  void asked.then(() => {
    ended = true;
  });
  const late = performance.now() + CONNECT_MS;
  for (;;) {
    const { connected } = new TallySpan(calling.numbers());
    if (calling.errors.length)
      throw new EtherloomError('ERR_LOAD_CONNECT', `${job.host ?? 'the server'}: ${calling.errors[0]}`, {
        expected: 'connections that stay',
      });
    if (ended) return;
    if (connected === job.flows && (job.begin?.() ?? true)) break;
    if (connected < job.flows && performance.now() > late)
      throw new EtherloomError(
        'ERR_LOAD_CONNECT',
        `${connected} of ${job.flows} connections in ${CONNECT_MS} ms`,
        {
          expected: 'a server that answers',
        },
      );
    await new Promise(next => setTimeout(next, LOOK_MS));
  }
  calling.goOn();
}

const us = (ns: number): string => (ns / 1000).toFixed(1);

/** How long answers took: what lat_client makes of its list. */
function times(span: TallySpan): string {
  const at = (share: number): string => us(span.at(share));
  return `RTT us: mean ${us(span.meanNs)}, p50 ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, p99.9 ${at(0.999)}, max ${at(1)}`;
}

/** A line for each time: µs, and how many answers took it. */
const listed = (span: TallySpan): string => span.times.map(t => `${us(t.ns)} ${t.count}\n`).join('');

/** Percentiles for JSON, µs. */
export const timesOf = (span: TallySpan): Record<string, number> =>
  Object.fromEntries(
    [50, 90, 95, 99, 99.9, 99.99].map(p => [`p${p}Us`, Number((span.at(p / 100) / 1000).toFixed(2))]),
  );
