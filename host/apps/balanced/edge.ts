/**
 * What stands between clients and servers: firewall, load balancer and router, the objects of bpf-progs/ at ports of an
 * engine. A port has one XDP program, so each stage has a port of its own; what passes one is sent to the next.
 *
 *   clients ═ outer [firewall] ─pass▶ hand-over ─▶ lan.a ══ lan.b [l4lb] ─tx▶ lan.a [router_fib] ─redirect▶ inner ═ servers
 *   clients ═ outer ◀─redirect─ [router_fib] lan.a ══ lan.b ◀─ hand-over ◀pass─ [l4lb] inner ═ servers
 */
import { fileURLToPath } from 'node:url';
import { assembleSpec } from '../../bpf/asm/spec.js';
import { Collection } from '../../bpf/collection.js';
import { configureMaps, readMapConfig } from '../../bpf/config.js';
import { compileProgram } from '../../bpf/jit/compile.js';
import type { HashMap, PerCpuArrayMap } from '../../bpf/maps/index.js';
import { openObject } from '../../bpf/open.js';
import { verify } from '../../bpf/verify/verify.js';
import type { Engine } from '../../engine/engine.js';
import type { LoadedProgram } from '../../engine/program.js';

const PROGRAMS = fileURLToPath(new URL('../../../bpf-progs', import.meta.url));

/** Of the configurations beside the programs, which are those of the replays, too. */
export const SERVICE = { address: '10.10.0.2', port: 80 } as const;
export const BACKENDS = ['10.20.0.1', '10.20.0.2', '10.20.0.3', '10.20.0.4'] as const;
export const BACKEND_PORT = 8080;
/** A client that the firewall lets in, and one that is on its deny list. */
export const CLIENT = '10.10.0.9';
export const DENIED = '10.10.0.14';
/** The edge, as servers know it. */
export const GATEWAY = '10.20.0.254';

/** Rules of the firewall: sources denied, this service allowed. */
const RULE = { denied: 10, service: 20 } as const;
/** What l4lb and router note, in the order of their enums. */
const BALANCED = { toBackend: 0, toClient: 1, opened: 2, noBackend: 3 } as const;
const ROUTED = { forwarded: 0, noRoute: 3 } as const;

export interface Ports {
  /** Towards clients and towards servers. */
  outer: string;
  inner: string;
  /** The joint between: router and balancer. */
  router: string;
  balancer: string;
}

export interface EdgeCounts {
  /** Packets by rule: of the service, of the client on the deny list. */
  firewall: { passed: number; denied: number };
  balancer: {
    toBackend: number;
    toClient: number;
    /** SYNs that chose a backend. */
    opened: number;
    noBackend: number;
    backends: { address: string; connections: number; packets: number }[];
  };
  router: { forwarded: number; noRoute: number };
}

/** tc: IPv4 goes out of a port, what else passed (ARP) is the responder's. */
const handOver = (ifindex: number): string => `
  r6 = *(u32 *)(r1 +16)          // protocol, in network order
  r0 = 0                         // TC_ACT_OK
  if r6 != 0x0008 goto +3
  r1 = ${ifindex}
  r2 = 0
  call bpf_redirect
  exit`;

const opened = async (engine: Engine, stem: string, program = stem): Promise<Collection<LoadedProgram>> =>
  Collection.load(openObject(`${PROGRAMS}/obj/${stem}.bpf.o`), engine, { programs: [program] });

const configured = async (engine: Engine, stem: string): Promise<Collection<LoadedProgram>> => {
  const collection = await opened(engine, stem);
  const config = readMapConfig(`${PROGRAMS}/filters/${stem}/config.json`);
  configureMaps(collection.maps, config, collection.spec);
  return collection;
};

/** Packets, where a counter has packets and bytes; else the counter. */
const counted = (sum: unknown): number =>
  Number(typeof sum === 'object' ? (sum as { packets: bigint }).packets : sum);

export class Edge {
  private constructor(
    readonly firewall: Collection<LoadedProgram>,
    readonly balancer: Collection<LoadedProgram>,
    readonly router: Collection<LoadedProgram>,
  ) {}

  /** @param servers MAC address of the host that has the backends. @throws EtherloomError, VerifierError */
  static async open(engine: Engine, ports: Ports, servers: string): Promise<Edge> {
    const [firewall, balancer] = [await configured(engine, 'firewall'), await configured(engine, 'l4lb')];
    const router = await opened(engine, 'router', 'router_fib');
    const lan = engine.port(ports.router).ifindex;
    const back = engine.port(ports.balancer).ifindex;
    engine.attach(firewall.program('firewall').placed, ports.outer);
    engine.attach(balancer.program('l4lb').placed, ports.balancer);
    engine.attach(balancer.program('l4lb').placed, ports.inner);
    engine.attach(router.program('router_fib').placed, ports.router);
    for (const [port, to] of [
      [ports.outer, lan],
      [ports.inner, back],
    ] as const) {
      const spec = assembleSpec(handOver(to), { type: 'tc', name: 'hand_over' });
      engine.attach(await engine.load(compileProgram(verify(spec), {})), port);
    }
    // Clients have to ask for the service by ARP, so that the way back to them is learned; servers for their gateway.
    engine.respond(ports.outer, { addresses: [`${SERVICE.address}/24`], announce: false });
    engine.respond(ports.inner, { addresses: [`${GATEWAY}/24`] });
    const { ifindex } = engine.port(ports.inner);
    for (const address of BACKENDS) engine.routes.addNeighbour({ port: ifindex, address, mac: servers });
    return new Edge(firewall, balancer, router);
  }

  /** What every stage counted so far. */
  counts(): EdgeCounts {
    const of = (collection: Collection<LoadedProgram>, map: string, key: number): number =>
      counted(collection.map<PerCpuArrayMap>(map).sum(key));
    const { firewall, balancer, router } = this;
    const known = [...balancer.map<HashMap>('connections').entries()].map(
      ([, value]) => (value as { backend: number }).backend,
    );
    return {
      firewall: {
        passed: of(firewall, 'counters', RULE.service),
        denied: of(firewall, 'counters', RULE.denied),
      },
      balancer: {
        toBackend: of(balancer, 'outcomes', BALANCED.toBackend),
        toClient: of(balancer, 'outcomes', BALANCED.toClient),
        opened: of(balancer, 'outcomes', BALANCED.opened),
        noBackend: of(balancer, 'outcomes', BALANCED.noBackend),
        backends: BACKENDS.map((address, i) => ({
          address,
          connections: known.filter(backend => backend === i + 1).length,
          packets: of(balancer, 'backend_stats', i + 1),
        })),
      },
      router: {
        forwarded: of(router, 'outcomes', ROUTED.forwarded),
        noRoute: of(router, 'outcomes', ROUTED.noRoute),
      },
    };
  }
}
