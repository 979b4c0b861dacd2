/** The look ahead of a burst changes nothing: what it finds is what programs will touch, whatever the tables say. */
import { Engine } from '../../host/engine/engine.js';
import {
  FlowTableLayout,
  StreamAheadLayout,
  StreamLaneLayout,
  StreamPoolView,
} from '../../host/layout/layout.gen.js';
import { modelLink } from '../../host/nic/index.js';
import { fetchAhead } from '../../host/streams/ahead.js';
import type { StreamEnd } from '../../host/streams/stream_end.js';
import { assert, suite } from '../support/suite.js';
import { engineOptions, TcpEngine } from './engine.js';

const test = suite('tcp: what lanes fetch ahead');
const ADDRESSES = ['10.0.0.1', '10.0.0.2'] as const;
const MANY = 1024;
const FEW = 256;
const CONNECTIONS = 40;
const MESSAGE = 100;
const RINGS = { sndBytes: 4096, rcvBytes: 4096 };
const REST_NS = 300_000_000;

/** One host that talks to itself over a wire, so that both ends are streams of one lane. */
class Host {
  readonly clients: StreamEnd[] = [];
  readonly servers: StreamEnd[] = [];
  readonly #into = new Uint8Array(4096);

  private constructor(
    readonly engine: Engine,
    readonly tcp: TcpEngine,
  ) {}

  static async create(streams: number): Promise<Host> {
    const { a, b } = modelLink({ name: 'wire' });
    const engine = await Engine.create({ ...engineOptions(streams), nics: [a, b], seed: 1 });
    for (const [i, address] of ADDRESSES.entries()) {
      engine.routes.add({ prefix: address, port: 2 - i });
      engine.routes.addNeighbour({ port: 2 - i, address, mac: `02:00:00:00:00:0${i + 1}` });
    }
    const tcp = await TcpEngine.on(engine, { 'wire.a': [], 'wire.b': [ADDRESSES[1]] }, streams);
    await engine.start();
    const host = new Host(engine, tcp);
    tcp.listen(4, 80, CONNECTIONS, RINGS);
    for (let i = 0; i < CONNECTIONS; i++)
      host.clients.push(tcp.connect(ADDRESSES[0], 3000 + i, ADDRESSES[1], 80, RINGS));
    tcp.settle();
    for (const id of tcp.accepted) host.servers.push(tcp.ends.get(id)!);
    for (const end of [...host.clients, ...host.servers]) end.room;
    tcp.settle();
    return host;
  }

  /** A message on each connection and its echo. Returns bytes that came back. */
  echo(): number {
    for (const end of this.clients) end.write(new Uint8Array(MESSAGE).fill(end.id));
    this.tcp.settle();
    for (const end of this.servers) end.write(this.#into.subarray(0, end.read(this.#into)));
    this.tcp.settle();
    const back = this.clients.reduce((sum, end) => sum + end.read(this.#into), 0);
    this.engine.advance(REST_NS);
    this.tcp.settle();
    return back;
  }

  get aheadAt(): number {
    return new StreamPoolView(this.engine.arena.dv, this.engine.arena.header.streamPoolAt).aheadAt;
  }

  get parts(): number {
    return this.engine.arena.u32[(this.aheadAt + StreamAheadLayout.parts) >> 2];
  }

  /** What lane 0 noted of the last burst. */
  get notes(): number[] {
    const { arena } = this.engine;
    const { lanesAt } = new StreamPoolView(arena.dv, arena.header.streamPoolAt);
    return [...arena.u32.subarray((lanesAt + StreamLaneLayout.ahead) >> 2).subarray(0, CONNECTIONS)];
  }
}

test('each packet of a burst leads to its stream', async () => {
  const host = await Host.create(MANY);
  assert.is(host.echo(), CONNECTIONS * MESSAGE);
  const streams = new Set([...host.clients, ...host.servers].map(end => end.id));
  const found = host.notes.filter(id => id !== 0);
  assert.is(new Set(found).size, CONNECTIONS, `${found}`);
  assert.ok(
    found.every(id => streams.has(id)),
    `${found}`,
  );
  await host.engine.stop();
});

test('a table that is no table leads nowhere, and no byte is lost', async () => {
  const host = await Host.create(MANY);
  const { arena } = host.engine;
  const table = (host.aheadAt + StreamAheadLayout.size) >> 2;
  const word = (offset: number): number => table + (offset >> 2);
  const buckets = arena.scratch.alloc(8 << 6, 64);
  // Words that may be anything: the last of the arena, beyond it, between elements, the first page.
  const { elementsAt, end } = {
    elementsAt: arena.u32[word(FlowTableLayout.elementsAt)],
    end: arena.memory.buffer.byteLength,
  };
  const wild = [0xffffffff, 0xfffffff8, end - 8, end, 0, 8, elementsAt - 64, elementsAt + 8, elementsAt + 60];
  for (let i = 0; i < 128; i++) arena.u32[(buckets >> 2) + i] = wild[i % wild.length] >>> 0;
  arena.u32[word(FlowTableLayout.bucketsAt)] = buckets;
  arena.u32[word(FlowTableLayout.mask)] = 63;
  for (let i = 0; i < 4; i++) assert.is(host.echo(), CONNECTIONS * MESSAGE);
  assert.equal(
    host.notes.filter(id => id !== 0),
    [],
  );
  await host.engine.stop();
});

test('with few streams nothing is fetched', async () => {
  const host = await Host.create(FEW);
  assert.is(host.parts, 0);
  assert.is(host.echo(), CONNECTIONS * MESSAGE);
  assert.equal(
    host.notes.filter(id => id !== 0),
    [],
  );
  await host.engine.stop();
});

test('an array without an entry for each stream is refused; the end of what was set is its own only', async () => {
  const host = await Host.create(MANY);
  const { engine, tcp } = host;
  const map = (name: string) => tcp.collection.map(name);
  const tables = [map('tcp4'), map('tcp6')] as [never, never];
  assert.throws(
    () => fetchAhead(engine.arena, { protocol: 6, parts: [[map('tcp_backlogs'), 1]], tables }),
    (e: { code: string }) => e.code === 'ERR_STREAM_AHEAD',
  );
  const endFirst = fetchAhead(engine.arena, { protocol: 6, parts: [[map('tcp_flows'), 1]], tables });
  const endSecond = fetchAhead(engine.arena, { protocol: 6, parts: [[map('tcp_boards'), 1]], tables });
  endFirst();
  assert.is(host.parts, 1);
  endSecond();
  assert.is(host.parts, 0);
  assert.is(host.echo(), CONNECTIONS * MESSAGE);
  await engine.stop();
});

test('a board with nothing in flight begins at its front', async () => {
  const host = await Host.create(FEW);
  for (let i = 0; i < 5; i++) host.echo();
  for (const { id } of [...host.clients, ...host.servers]) {
    const board = host.tcp.map('tcp_boards').get(id) as { head: number; count: number };
    assert.equal([board.head, board.count], [0, 0], `${id}`);
  }
  await host.engine.stop();
});
