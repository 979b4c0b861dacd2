/**
 * Hosts for the commands that have connections: a stack on the NIC that the line names. On the shared-memory link there are
 * two, ours and one at the far end, with lanes of their own: who serves and who calls are then both in this process.
 */
import { Engine } from '../engine/engine.js';
import { EtherloomError } from '../errors.js';
import { addressesOf } from '../forward/interfaces.js';
import { type PortNetwork, Stack } from '../net/stack.js';
import { modelLink, type Nic, type RedirectRule } from '../nic/index.js';
import { homa } from '../transports/homa/index.js';
import { tcp } from '../transports/tcp/index.js';
import { nicReport, nicWarnings, nicWords } from './nic_report.js';
import { type ModelSpec, type NicSpec, parseNicSpec } from './nic_spec.js';
import { makeNic } from './nics.js';

export interface HostOptions {
  nic: string;
  /** Addresses of the host, with the lengths of their networks: 10.0.0.1/24. */
  address?: string[];
  gateway?: string[];
  /** Worker threads of each host. */
  threads: number;
  /** How long an idle lane spins before it sleeps, µs. */
  spin: number;
  /** Connections that there can be. */
  connections: number;
  /** Of each ring of a connection, bytes; they grow by need without. */
  buffer?: number;
  /** Path of a control socket for etherloom swap. */
  control?: string;
  /** With Homa beside TCP. */
  homa?: boolean;
}

/** Hosts at work. */
export interface CliHosts {
  readonly engine: Engine;
  readonly spec: NicSpec;
  /** The host of this command. */
  readonly own: Stack;
  /** The host at the far end of the shared-memory link. */
  readonly far: Stack | undefined;
  /** First address of `far`, or of `own`. */
  readonly address: string;
  /** Lanes of `own` and of `far`. */
  readonly lanes: { own: number[]; far: number[] };
  /** How it is attached, in words. */
  readonly how: string;
  warnings(): string[];
  close(): Promise<void>;
}

/** Stream memory is for rings of so many bytes, if the line does not say. */
const RING = 256 << 10;

const OWN = '10.0.0.1/24';
const FAR = '10.0.0.2/24';
/** Who shares an interface with the kernel leaves to it what is not of its ports. */
const SHARED = { arp: false, nd: false, echo: false, unreachable: false, announce: false } as const;

/** @param ports that are served, which an af_xdp NIC then takes from the kernel; none: connections are made */
export async function openHosts(options: HostOptions, ports: readonly number[] = []): Promise<CliHosts> {
  const spec = parseNicSpec(options.nic);
  return spec.kind === 'model' ? openModel(spec, options) : openOutside(spec, options, ports);
}

function engineOptions(options: HostOptions, hosts: number) {
  const { connections, buffer = RING, spin, threads } = options;
  const count = hosts * connections + 64;
  return {
    ...({ spinUs: spin, pass: 'count', frames: 8192 * hosts * threads } as const),
    ...{
      mapBytes:
        (hosts + 1) * (options.homa ? 8 << 20 : 4 << 20) + hosts * count * (options.homa ? 4864 : 4096),
    },
    streams: { count, bytes: hosts * connections * 2 * buffer + count * 10240 + (8 << 20), apps: 16 },
  };
}

const transportOf = ({ buffer }: HostOptions) =>
  tcp(buffer === undefined ? {} : { defaults: { sendBuffer: buffer, receiveBuffer: buffer } });

const messagesOf = (options: HostOptions) => (options.homa ? { messages: homa() } : {});

/** What only traffic of the link's own could heed. */
const OF_TRAFFIC = ['pps', 'size', 'flows', 'queues'] as const;

async function openModel(spec: ModelSpec, options: HostOptions): Promise<CliHosts> {
  const wrong = OF_TRAFFIC.find(name => spec[name] !== undefined);
  if (wrong)
    throw new EtherloomError('ERR_USAGE_NIC', `--nic ${spec.text}: ${wrong}`, {
      expected: 'rate, delay, loss or seed: both ends of the link are hosts',
    });
  const { threads } = options;
  const { a, b } = modelLink({
    ...{ name: 'link', queues: threads, firstLanes: [0, threads] },
    ...(spec.rate === undefined ? {} : { rate: spec.rate }),
    ...(spec.delayNs === undefined ? {} : { delayNs: spec.delayNs }),
    ...(spec.loss === undefined ? {} : { loss: spec.loss }),
    ...(spec.seed === undefined ? {} : { seed: spec.seed }),
  });
  const [own = OWN] = options.address ?? [];
  withNetworks([own]);
  const lanes = 2 * threads;
  const engine = await Engine.create({ nics: [a, b], lanes, ...engineOptions(options, 2) });
  return closing(engine, async () => {
    const stacks = [
      await Stack.create({
        ...{ engine, name: 'near' },
        ports: { 'link.a': { addresses: [own] } },
        transport: transportOf(options),
        ...messagesOf(options),
      }),
      await Stack.create({
        ...{ engine, name: 'far' },
        ports: { 'link.b': { addresses: [FAR] } },
        transport: transportOf(options),
        ...messagesOf(options),
      }),
    ];
    await engine.start();
    if (options.control !== undefined) await engine.openControl({ path: options.control });
    const range = (from: number): number[] => Array.from({ length: threads }, (_, i) => from + i);
    return {
      ...{ engine, spec, own: stacks[0], far: stacks[1], address: FAR.split('/')[0] },
      lanes: { own: range(0), far: range(threads) },
      how: `the shared-memory link, two hosts with ${threads} lane${threads === 1 ? '' : 's'} each`,
      warnings: () => [],
      close: () => closeAll(engine, stacks),
    };
  });
}

async function openOutside(
  spec: Exclude<NicSpec, ModelSpec>,
  options: HostOptions,
  ports: readonly number[],
): Promise<CliHosts> {
  if (spec.kind === 'pcap')
    throw new EtherloomError('ERR_USAGE_NIC', `--nic ${spec.text}: nobody answers from a file`, {
      expected: 'af_xdp:IFACE, tap:NAME, tun:NAME or model',
    });
  const shared = spec.kind === 'af_xdp' && !spec.own;
  if (shared && ports.length === 0)
    throw new EtherloomError('ERR_USAGE_NIC', `--nic ${spec.text} leaves ARP and answers to the kernel`, {
      expected: `${spec.text},own=yes for who connects`,
    });
  const addresses = options.address ?? (shared ? hostAddresses(addressesOf(spec.interface)) : undefined);
  if (!addresses?.length)
    throw new EtherloomError('ERR_USAGE_MISSING', `${spec.text} has no address of its own`, {
      expected: '--address 10.0.0.1/24',
    });
  if (!shared) withNetworks(options.address ?? []);
  if (shared && options.homa)
    throw new EtherloomError(
      'ERR_USAGE_NIC',
      `--nic ${spec.text}: nothing of Homa is taken from the kernel`,
      {
        expected: `${spec.text},own=yes`,
      },
    );
  const rules: RedirectRule[] = ports.map(port => ({ protocol: 'tcp', port }));
  const nic: Nic = makeNic(spec, { rules });
  const { threads, gateway } = options;
  const engine = await Engine.create({ nics: [nic], lanes: threads, ...engineOptions(options, 1) });
  return closing(engine, async () => {
    const port: PortNetwork = { addresses, ...(gateway ? { gateway } : {}), ...(shared ? SHARED : {}) };
    const own = await Stack.create({
      engine,
      name: 'host',
      ports: { [nic.name]: port },
      transport: transportOf(options),
      ...messagesOf(options),
    });
    await engine.start();
    if (options.control !== undefined) await engine.openControl({ path: options.control });
    const report = nicReport(nic);
    const lanes = Array.from({ length: threads }, (_, i) => i);
    return {
      ...{ engine, spec, own, far: undefined, address: addresses[0].split('/')[0] },
      lanes: { own: lanes, far: [] },
      how: `${threads} lane${threads === 1 ? '' : 's'}, ${report ? nicWords(report) : nic.name}`,
      warnings: () => nicWarnings([nic]),
      close: () => closeAll(engine, [own]),
    };
  });
}

/** An address alone would be a network of one: nobody in it to answer, or to ask for a neighbour. */
function withNetworks(list: readonly string[]): void {
  const bare = list.find(address => !address.includes('/'));
  if (bare !== undefined)
    throw new EtherloomError('ERR_USAGE_OPTION', `--address ${bare} does not say how long its network is`, {
      expected: bare.includes(':') ? `${bare}/64, or /128 for none` : `${bare}/24, or /32 for none`,
    });
}

/** The kernel's own, which has the network as well. */
const hostAddresses = (list: readonly string[]): string[] =>
  list.map(address => `${address}/${address.includes(':') ? 128 : 32}`);

/** Does what may fail; then the engine does not stay. */
async function closing<T>(engine: Engine, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await engine.stop().catch(() => {});
    throw error;
  }
}

async function closeAll(engine: Engine, stacks: readonly Stack[]): Promise<void> {
  try {
    for (const stack of stacks) await stack.close();
  } finally {
    await engine.stop();
  }
}
