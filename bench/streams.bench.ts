/**
 * Streams: what a segment costs between packet and ring, what a message costs between application and lane, and the
 * same beside other ways for bytes to cross threads. The application's side is JavaScript, the lane's Wasm.
 */
import { MessageChannel } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { FRAME_SIZE, XdpContextLayout, XdpContextView } from '../host/layout/layout.gen.js';
import { Arena } from '../host/mem/arena.js';
import { instantiateCore } from '../host/mem/core.js';
import { createStreams } from '../host/mem/streams.js';
import { StreamApps } from '../host/streams/stream_apps.js';
import type { StreamEnd } from '../host/streams/stream_end.js';
import { benchCore, benchModule } from '../tests/support/bench_core.js';
import { type StreamPeerTask, Word } from '../tests/support/stream_peer.js';
import type { Bench } from './harness/bench.js';

const SIZES = [64, 1460];
const RING = 1 << 16;
const EMPTY_LOOKS = 20_000;

/** One lane, an application, and `count` streams with their rings made. */
function rig(count: number) {
  const streams = { count: 2 * count + 64, bytes: count * RING * 2 + (4 << 20), slots: 4096 };
  const arena = Arena.create({ frames: 16, mapBytes: 4096, ringBytes: 4 << 20, streams });
  const host = instantiateCore(arena, 1);
  const lane = benchCore(arena, 0);
  arena.lane(0).burst = 64;
  createStreams(arena, host, streams);
  const apps = new StreamApps({ arena, core: host });
  const app = apps.open();
  const ends = Array.from({ length: count }, () => apps.stream(app, { send: RING, receive: RING }));
  for (const end of ends) end.room;
  app.flush();
  while (lane.stream_turn() !== 0);
  app.take(() => {});
  const ctx = arena.scratch.alloc(XdpContextLayout.size, 64);
  const data = arena.header.packetAt + 256;
  Object.assign(new XdpContextView(arena.dv, ctx), {
    data,
    dataEnd: data + 1514,
    hardStart: data - 256,
    frameEnd: data - 256 + FRAME_SIZE,
  });
  return { arena, lane, app, ends, ctx, data };
}

function copies(bench: Bench): void {
  const { lane, ends, ctx, data, arena } = rig(1);
  const [end] = ends;
  end.write(new Uint8Array(2000));
  const rounds = 10_000;
  for (const len of SIZES)
    for (const place of [false, true]) {
      const s = bench.time('copy', () => lane.stream_copies(ctx, end.id, len, rounds, place), {
        batch: rounds,
      });
      const p = bench.time(
        'plain',
        () => lane.stream_plain_copies(data, arena.header.packetAt + 4096, len, rounds),
        {
          batch: rounds,
        },
      );
      bench.row({
        group: 'streams: segments',
        name: place ? 'el_stream_place' : 'el_stream_fetch',
        conditions: `${len} B copied and summed, called from Wasm`,
        unit: 'ns',
        value: s.ns,
        rme: s.rme,
        peer: { name: 'memory.copy, then a sum by words', value: p.ns },
      });
    }
}

/** One thread is application and lane in turn: what a message costs both. */
function messages(bench: Bench): void {
  for (const [streams, size] of [
    [1, 64],
    [64, 64],
    [1, 1460],
  ]) {
    const { lane, app, ends, ctx } = rig(streams);
    const message = new Uint8Array(size);
    const into = new Uint8Array(size);
    const rounds = Math.ceil(4096 / streams);
    let back = 0;
    const take = (s: StreamEnd): void => {
      while (s.read(into) > 0) back++;
    };
    const s = bench.time(
      'echo',
      () => {
        back = 0;
        for (let i = 0; i < rounds; i++) {
          for (const end of ends) end.write(message);
          app.flush();
          lane.stream_turn();
          lane.stream_echo(ctx, streams, 1460);
          lane.stream_turn();
          app.take(take);
        }
        if (back !== rounds * streams) throw new Error(`${back} of ${rounds * streams} messages came back`);
      },
      { batch: rounds * streams },
    );
    bench.row({
      group: 'streams: messages',
      name: 'echo on one thread: write, doorbell, two copies, event, read',
      conditions: `${size} B, ${streams} streams, one in flight on each`,
      unit: 'ns',
      value: s.ns,
      rme: s.rme,
    });
  }
}

interface Echo {
  /** Sends a message; false when there is no room. */
  send(): boolean;
  /** Messages that came back since the last call. */
  poll(): number | Promise<number>;
  close(): Promise<void>;
}

/** `total` messages, `window` of them under way. Returns messages/s. */
async function drive(echo: Echo, total: number, window: number): Promise<number> {
  let sent = 0;
  let back = 0;
  let idle = 0;
  const from = performance.now();
  while (back < total) {
    while (sent < total && sent - back < window && echo.send()) sent++;
    const n = echo.poll();
    const got = typeof n === 'number' ? n : await n;
    back += got;
    idle = got ? 0 : idle + 1;
    // A thread that is being started needs this one's event loop.
    if (idle === EMPTY_LOOKS) await new Promise(done => setTimeout(done, (idle = 0)));
  }
  return (total / (performance.now() - from)) * 1e3;
}

const pool = (): Piscina =>
  new Piscina({ filename: new URL('../tests/support/stream_peer.ts', import.meta.url).href, maxThreads: 1 });

function streamEcho(size: number): Echo {
  const { arena, app, ends, ctx } = rig(1);
  const [end] = ends;
  const stop = arena.scratch.alloc(64, 64);
  arena.u32[stop >> 2] = 0;
  const p = pool();
  const task: StreamPeerTask = {
    ...{ kind: 'lane', memory: arena.memory, core: benchModule(), ctx, streams: 1, segment: 1460, stop },
  };
  const done = p.run(task);
  const message = new Uint8Array(size);
  const into = new Uint8Array(RING);
  let bytes = 0;
  return {
    send: () => {
      if (end.room < size) return false;
      end.write(message);
      return true;
    },
    poll: () => {
      const before = Math.floor(bytes / size);
      app.take(s => {
        for (let n = s.read(into); n > 0; n = s.read(into)) bytes += n;
      });
      return Math.floor(bytes / size) - before;
    },
    close: async () => {
      Atomics.store(arena.u32, stop >> 2, 1);
      await done;
      await p.close();
    },
  };
}

function portEcho(size: number): Echo {
  const { port1, port2 } = new MessageChannel();
  const p = pool();
  const done = p.run({ kind: 'port', port: port2 } satisfies StreamPeerTask, { transferList: [port2] });
  const message = new Uint8Array(size);
  let back = 0;
  let wake: ((n: number) => void) | undefined;
  port1.on('message', () => {
    back++;
    const n = back;
    if (!wake) return;
    back = 0;
    const w = wake;
    wake = undefined;
    w(n);
  });
  return {
    send: () => {
      port1.postMessage(message);
      return true;
    },
    poll: () => {
      const n = back;
      back = 0;
      return n || new Promise<number>(r => (wake = r));
    },
    close: async () => {
      port1.postMessage(undefined);
      await done;
      port1.close();
      await p.close();
    },
  };
}

function sharedEcho(size: number): Echo {
  const slots = 1024;
  const buffer = new SharedArrayBuffer(Word.MESSAGES * 4 + 2 * slots * size);
  const words = new Int32Array(buffer);
  const all = new Uint8Array(buffer);
  const p = pool();
  const done = p.run({ kind: 'shared', buffer, slots, bytes: size } satisfies StreamPeerTask);
  const message = new Uint8Array(size);
  const into = new Uint8Array(size);
  const out = Word.MESSAGES * 4;
  let sent = 0;
  let got = 0;
  return {
    send: () => {
      if (sent - got >= slots) return false;
      all.set(message, out + (sent & (slots - 1)) * size);
      Atomics.store(words, Word.OUT, ++sent);
      return true;
    },
    poll: () => {
      const to = Atomics.load(words, Word.BACK);
      const n = to - got;
      for (; got < to; got++) {
        const at = out + slots * size + (got & (slots - 1)) * size;
        into.set(all.subarray(at, at + size));
      }
      return n;
    },
    close: async () => {
      Atomics.store(words, Word.STOP, 1);
      await done;
      await p.close();
    },
  };
}

async function threads(bench: Bench): Promise<void> {
  for (const size of SIZES)
    for (const window of [1, 256]) {
      const rate = async (make: (size: number) => Echo, total: number): Promise<number> => {
        const echo = make(size);
        await drive(echo, Math.min(total, 2000), window);
        const best: number[] = [];
        for (let i = 0; i < 3; i++) best.push(await drive(echo, total, window));
        await echo.close();
        return Math.max(...best) / 1e6;
      };
      const total = bench.quick ? 5000 : 200_000;
      const value = await rate(streamEcho, total);
      const peers = [
        { name: 'MessagePort', value: await rate(portEcho, total / 10) },
        { name: 'SharedArrayBuffer, spinning', value: await rate(sharedEcho, total) },
      ];
      for (const peer of peers)
        bench.row({
          group: 'streams: two threads',
          name: 'echo of messages, application and lane spin',
          conditions: `${size} B, ${window} in flight, one stream, best of 3`,
          unit: 'M/s',
          value,
          peer,
        });
    }
}

export default async function streams(bench: Bench): Promise<void> {
  copies(bench);
  messages(bench);
  await threads(bench);
}
