/**
 * What lanes fetch ahead of each burst for a transport: its arrays by number of the stream, and the tables in which its packets
 * find that number (assembly/stream/ahead.ts, bpf/maps/flow_table.ts). Worth it where streams are so many that most are in no cache.
 */
import { EtherloomError } from '../errors.js';
import {
  FlowTableLayout,
  MapHeaderView,
  StreamAheadLayout,
  StreamPoolView,
  TimerNodeLayout,
} from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';

/** With fewer streams all are in the second cache of a lane anyway, and a look ahead is only in the way. */
const LEAST_STREAMS = 1024;
const MOST_PARTS = 8;

/** A map of the arena. */
export interface MapAt {
  readonly name: string;
  /** Address of its MapHeader. */
  readonly addr: number;
}

export interface Ahead {
  /** IP protocol of the packets. */
  protocol: number;
  /** Array maps with an entry for each stream, and a bit per cache line of an entry that nearly every packet needs. */
  parts: [map: MapAt, lines: number][];
  /** Of hash maps { remote, local, rport, lport } → lane << 24 | stream. */
  tables: [ip4: MapAt, ip6: MapAt];
}

/**
 * Sets it for an engine with so many streams that it helps; for one transport an engine, the last. Returns what ends it,
 * before the maps are given up. @throws EtherloomError ERR_STREAM_AHEAD: an array has not an entry for each stream, or its timers are too many parts
 */
export function fetchAhead(arena: Arena, { protocol, parts, tables }: Ahead): () => void {
  const { streamCount, streamPoolAt } = arena.header;
  if (streamPoolAt === 0 || streamCount < LEAST_STREAMS) return () => {};
  const at = new StreamPoolView(arena.dv, streamPoolAt).aheadAt;
  const places: { at: number; stride: number; lines: number }[] = [];
  for (const [map, lines] of parts) {
    const h = new MapHeaderView(arena.dv, map.addr);
    if (h.maxEntries < streamCount)
      throw new EtherloomError('ERR_STREAM_AHEAD', `${map.name} has ${h.maxEntries} entries`, {
        expected: `one for each of ${streamCount} streams`,
      });
    places.push({ at: h.dataAt, stride: h.stride, lines });
    if (h.valueTimer) places.push({ at: h.timersAt, stride: TimerNodeLayout.size, lines: 1 });
  }
  if (places.length > MOST_PARTS)
    throw new EtherloomError('ERR_STREAM_AHEAD', `${places.length} parts`, {
      expected: `at most ${MOST_PARTS}`,
    });
  const set = (offset: number, value: number): void => {
    Atomics.store(arena.u32, (at + offset) >> 2, value);
  };
  const words = (offset: number, values: number[]): void => {
    arena.u32.set(values, (at + offset) >> 2);
  };
  words(
    StreamAheadLayout.partAt,
    places.map(p => p.at),
  );
  words(
    StreamAheadLayout.partStride,
    places.map(p => p.stride),
  );
  words(
    StreamAheadLayout.partLines,
    places.map(p => p.lines),
  );
  words(StreamAheadLayout.protocol, [protocol]);
  for (const [i, map] of tables.entries()) {
    const h = new MapHeaderView(arena.dv, map.addr);
    words(StreamAheadLayout.size + i * FlowTableLayout.size, [
      h.aux0,
      h.aux1,
      h.aux2,
      h.dataAt,
      h.dataBytes,
      h.aux3,
    ]);
  }
  set(StreamAheadLayout.parts, places.length);
  set(StreamAheadLayout.tables, tables.length);
  return () => {
    if (arena.u32[(at + StreamAheadLayout.partAt) >> 2] !== places[0].at) return;
    set(StreamAheadLayout.tables, 0);
    set(StreamAheadLayout.parts, 0);
  };
}
