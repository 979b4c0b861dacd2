/** A lane of the concurrency tests: a piscina task that hammers one map and returns what it saw. */
import { Arena } from '../../../host/mem/arena.js';
import { type CoreExports, instantiateCore } from '../../../host/mem/core.js';
import { random } from './support.js';

export interface LaneJob {
  memory: WebAssembly.Memory;
  lane: number;
  task: keyof typeof tasks;
  map: number;
  /** Room of this lane: key at +0, value at +64. */
  scratch: number;
  ops: number;
}

export interface LaneResult {
  lane: number;
  /** What should never be; the first few. */
  wrong: string[];
  /** Numbers that a task counts. */
  counts: Record<string, number>;
}

// One task a thread: set when it begins.
let job: LaneJob;
let arena: Arena;
let core: CoreExports;
let dv: DataView;
let key: number;
let value: number;
let r: ReturnType<typeof random>;
let wrong: string[];
let counts: Record<string, number>;

const count = (what: string): void => {
  counts[what] = (counts[what] ?? 0) + 1;
};
const claim = (holds: boolean, what: () => string): void => {
  if (!holds && wrong.length < 5) wrong.push(what());
};
const putKey = (k: number): void => dv.setUint32(key, k, true);
/** A value tells its key and is the same in every word. */
const putValue = (k: number): void => {
  for (let i = 0; i < 4; i++) dv.setUint32(value + i * 4, k, true);
};

/** Keys 0 … 63 are never touched; 64 … 319 come and go. */
function churn(): void {
  for (let i = 0; i < job.ops; i++) {
    const k = 64 + r.below(256);
    putKey(k);
    putValue(k);
    const op = r.below(10);
    if (op < 5) {
      const result = core.map_update_elem(job.map, key, value, BigInt(r.below(3)));
      claim([0n, -2n, -17n, -7n].includes(result), () => `update gave ${result}`);
    } else if (op < 8) {
      const result = core.map_delete_elem(job.map, key);
      claim(result === 0n || result === -2n, () => `delete gave ${result}`);
    }
    const stable = r.below(64);
    putKey(stable);
    const at = core.map_lookup_elem(job.map, key) >>> 0;
    claim(at !== 0, () => `stable key ${stable} was not found`);
    if (at) claim(dv.getUint32(at, true) === stable, () => `stable key ${stable} had another's value`);
  }
}

/** All keys come and go; the map evicts. */
function evict(): void {
  for (let i = 0; i < job.ops; i++) {
    const k = r.below(500);
    putKey(k);
    putValue(k);
    const op = r.below(10);
    if (op < 6) {
      const result = core.map_update_elem(job.map, key, value, 0n);
      claim(result === 0n, () => `update gave ${result}`);
    } else if (op < 8) core.map_delete_elem(job.map, key);
    else core.map_lookup_elem(job.map, key);
  }
}

/** Values change under their bpf_spin_lock (word 0); words 1 … 3 are always equal to each other. */
function locked(): void {
  for (let i = 0; i < job.ops; i++) {
    const k = r.below(8);
    putKey(k);
    if (r.below(2)) {
      const n = r.below(1 << 30);
      for (let w = 1; w < 4; w++) dv.setUint32(value + w * 4, n, true);
      const result = core.map_update_elem(job.map, key, value, 4n);
      claim(result === 0n, () => `update gave ${result}`);
    } else {
      const at = core.map_lookup_elem(job.map, key) >>> 0;
      core.spin_lock(at);
      const [a, b, c] = [1, 2, 3].map(w => dv.getUint32(at + w * 4, true));
      core.spin_unlock(at);
      claim(a === b && b === c, () => `torn value ${a} ${b} ${c}`);
    }
  }
}

/** A counter that is not atomic, guarded by the lock before it. */
function counter(): void {
  putKey(0);
  const at = core.map_lookup_elem(job.map, key) >>> 0;
  for (let i = 0; i < job.ops; i++) {
    core.spin_lock(at);
    dv.setUint32(at + 4, dv.getUint32(at + 4, true) + 1, true);
    core.spin_unlock(at);
  }
}

/** Records {lane, number, length bytes of lane}; a full ring drops. */
function records(): void {
  for (let i = 0; i < job.ops; i++) {
    const length = 8 + r.below(40);
    const at = core.ringbuf_reserve(job.map, BigInt(length), 0n) >>> 0;
    if (!at) {
      count('dropped');
      continue;
    }
    dv.setUint32(at, job.lane, true);
    dv.setUint32(at + 4, i, true);
    for (let b = 8; b < length; b++) dv.setUint8(at + b, job.lane + 1);
    if (r.below(8) === 0) {
      core.ringbuf_discard(at, 0n);
      count('discarded');
    } else {
      core.ringbuf_submit(at, 0n);
      count('submitted');
    }
  }
}

/** Pushes numbers of its own and pops anybody's; sums tell whether one was lost or doubled. */
function queue(): void {
  counts.pushed = 0;
  counts.popped = 0;
  for (let i = 0; i < job.ops; i++) {
    if (r.below(2)) {
      const n = r.below(1 << 20);
      dv.setUint32(value, n, true);
      dv.setUint32(value + 4, n ^ 0xffff, true);
      if (core.map_push_elem(job.map, value, 0n) === 0n) counts.pushed += n;
    } else if (core.map_pop_elem(job.map, value) === 0n) {
      const n = dv.getUint32(value, true);
      claim(dv.getUint32(value + 4, true) === (n ^ 0xffff), () => 'torn value');
      counts.popped += n;
    }
  }
}

/** Prefixes n.0.0.0/8, n < 32, stay; longer ones under 32 … 63 and beside the asked addresses come and go. */
function prefixes(): void {
  const u8 = arena.u8;
  for (let i = 0; i < job.ops; i++) {
    const under = r.below(2) ? 32 + r.below(32) : r.below(32);
    dv.setUint32(key, 9 + r.below(24), true);
    // Asked addresses have a second byte below 128, prefixes that come and go above.
    u8.set([under, 128 + r.below(128), r.below(4), r.below(4)], key + 4);
    dv.setUint32(value, 1000, true);
    if (r.below(2)) {
      const result = core.map_update_elem(job.map, key, value, 0n);
      claim(result === 0n || result === -28n, () => `update gave ${result}`);
    } else core.map_delete_elem(job.map, key);
    const stable = r.below(32);
    dv.setUint32(key, 32, true);
    u8.set([stable, r.below(128), r.below(256), r.below(256)], key + 4);
    const at = core.map_lookup_elem(job.map, key) >>> 0;
    claim(at !== 0 && dv.getUint32(at, true) === stable, () => `prefix ${stable}/8 was missed`);
  }
}

const tasks = { churn, evict, locked, counter, records, queue, prefixes };

export default function run(given: LaneJob): LaneResult {
  job = given;
  arena = Arena.attach(job.memory);
  core = instantiateCore(arena, job.lane).exports;
  dv = arena.dv;
  key = job.scratch;
  value = job.scratch + 64;
  r = random(job.lane + 1);
  wrong = [];
  counts = {};
  tasks[job.task]();
  return { lane: job.lane, wrong, counts };
}
