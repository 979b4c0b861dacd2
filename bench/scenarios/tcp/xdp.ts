/**
 * Our TCP over AF_XDP with the kernel's at the other end of the wire:
 *
 *   lane 0: resident ─ streams ─ TCP ─ a0 ═══════════veth═══════════ b0 ─ the kernel ─ tcp_peer
 */
import { Engine } from '../../../host/engine/engine.js';
import { StreamEvent } from '../../../host/layout/layout.gen.js';
import { AfXdpNic } from '../../../host/nic/af_xdp/index.js';
import { TcpEngine } from '../../../tests/tcp/engine.js';
import { nativeTool } from '../../native/build.js';
import { SPIN } from '../nic/peers.js';
import { HOUR_MS, ringOf, until, wish } from './hosts.js';
import { CLIENT, CUBIC, KernelWire, MACS, printed, SERVER, type Steered } from './kernel.js';
import { type SeatResult, Seats } from './seats.js';

const PORT = 7001;
const OWN_PORT = 30_000;
/** Beside the kernel's application, as iperf3's client is. */
const LANE_CPU = 1;

/** One connection, and then no more: its application was handed over to the lane. */
export class XdpEnd {
  private constructor(
    readonly wire: KernelWire,
    readonly engine: Engine,
    readonly host: TcpEngine,
    readonly seats: Seats,
    readonly ring: number,
  ) {}

  static async create(ring: number, steered: Steered): Promise<XdpEnd> {
    const wire = new KernelWire('all', steered);
    const seats = new Seats(1);
    const count = 64;
    const engine = await Engine.create({
      nics: [new AfXdpNic({ interface: 'a0', namespace: wire.client.name, own: true })],
      ...{ cpus: [LANE_CPU], spinUs: SPIN, hangMs: HOUR_MS, resident: seats.resident, pass: 'count' },
      ...{ frames: 8192, mapBytes: 16 << 20, streams: { count, bytes: 4 * ring + (32 << 20) } },
    });
    engine.routes.add({ prefix: SERVER, port: 1 });
    engine.routes.addNeighbour({ port: 1, address: SERVER, mac: MACS.server });
    const host = await TcpEngine.on(engine, { a0: [CLIENT] }, count);
    await engine.start();
    return new XdpEnd(wire, engine, host, seats, ring);
  }

  /** Bytes per second from us to the kernel, which counts them. */
  async send(ms: number): Promise<number> {
    const { wire, host } = this;
    const sink = await wire.peer(0, wire.server, 'sink', `${PORT}`, `${ms}`);
    const end = host.connect(CLIENT, OWN_PORT, SERVER, PORT, wish(this.ring));
    await until(
      [host],
      () => ((host.events.get(end.id) ?? 0) & StreamEvent.CONNECTED) !== 0 || undefined,
      () => 'the kernel does not answer',
    );
    await ringOf(host, end);
    const over = this.seats.order(0, { do: 'source', app: host.app.number, id: end.id, ms: ms + 600 });
    const { rate } = JSON.parse(await printed(sink)) as SeatResult;
    await over;
    return rate;
  }

  /** Bytes per second from the kernel to us. */
  async receive(ms: number, views = false): Promise<number> {
    const { wire, host } = this;
    host.listen(4, OWN_PORT, 8, wish(this.ring));
    const args = ['source', CLIENT, `${OWN_PORT}`, `${ms + 600}`, CUBIC];
    const source = printed(wire.server.spawn('taskset', '-c', '0', nativeTool('tcp_peer'), ...args));
    const id = await until(
      [host],
      () => host.accepted.shift(),
      () => 'the kernel does not call',
    );
    const { rate } = await this.seats.order(0, { do: 'sink', app: host.app.number, id, ms, views });
    await source;
    return rate;
  }

  async close(): Promise<void> {
    await this.engine.stop();
    this.wire.close();
  }
}

/** One transfer with everything made anew. */
export async function overXdp(
  ring: number,
  steered: Steered,
  transfer: (end: XdpEnd) => Promise<number>,
): Promise<number> {
  const end = await XdpEnd.create(ring, steered);
  try {
    return await transfer(end);
  } finally {
    await end.close();
  }
}
