/**
 * test-run: one program over one packet, as BPF_PROG_TEST_RUN does it (kernel net/bpf/test_run.c):
 * 256 B headroom and a 4 KiB page less skb_shared_info, ifindex 1, queue 0; a socket filter sees the packet
 * from its network header on. The timing loop runs inside Wasm.
 */
import { programTypes } from '../bpf/program_types.js';
import type { ProgramType } from '../bpf/spec.js';
import { EtherloomError } from '../errors.js';
import {
  FRAME_HEADROOM,
  PAGE,
  SkBuffLayout,
  SkBuffView,
  XdpContextLayout,
  XdpContextView,
} from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import type { Core } from '../mem/core.js';
import { Eth } from '../wire/layout.gen.js';

/** sizeof(struct skb_shared_info) aligned: what the kernel keeps at the end of the page. */
const SHARED_INFO = 320;
/** Longest packet, bytes. */
export const TEST_RUN_MAX = PAGE - FRAME_HEADROOM - SHARED_INFO;
/** Loopback, the interface that the kernel's test run pretends. */
const IFINDEX = 1;

export interface TestRunOptions {
  /** Runs; the result is the last one's. Default 1. */
  repeat?: number;
  /** ns for ktime_get_ns. Default: now. */
  nowNs?: bigint;
  /** Afterwards the clock goes on by so many ns, and timers that fall due until then fire, each at its time. Default 0. */
  advanceNs?: bigint;
}

export interface TestRunResult {
  /** Low 32 bits of r0. */
  retval: number;
  /** Packet after the last run. */
  data: Uint8Array;
  /** Mean time of one run, ns. */
  nsPerRun: number;
  /** Timers that fired, with `advanceNs`. */
  timers: number;
}

/** A packet and its context, laid out in the scratch region. */
export interface TestPacket {
  /** Address of the context: r1 of the program. */
  ctx: number;
  /** Copies the packet in and sets the context anew. */
  reset(): void;
  /** Before a repeat: the context's packet pointers as after reset, the bytes as they are. */
  rewind(): void;
  /** The packet as the context describes it now. */
  read(): Uint8Array;
  free(): void;
}

/**
 * Puts `data` where a program of `type` finds it.
 * @throws EtherloomError ERR_TEST_RUN_DATA when the packet is shorter than an Ethernet header or longer than TEST_RUN_MAX.
 */
export function testPacket(arena: Arena, type: ProgramType, data: Uint8Array): TestPacket {
  if (data.length < Eth.size || data.length > TEST_RUN_MAX)
    throw new EtherloomError('ERR_TEST_RUN_DATA', `packet of ${data.length} bytes`, {
      expected: `${Eth.size} to ${TEST_RUN_MAX} bytes`,
    });
  const { context, hiddenBytes: skip, input } = programTypes[type];
  const isXdp = context === 'xdp_md';
  const page = arena.scratch.alloc(PAGE, PAGE);
  const ctxBytes = isXdp ? XdpContextLayout.size : SkBuffLayout.size;
  const ctx = arena.scratch.alloc(ctxBytes, 64);
  const start = page + FRAME_HEADROOM;
  const clear = (): void => {
    arena.u8.fill(0, page, page + PAGE);
    arena.u8.set(data, start);
    arena.u8.fill(0, ctx, ctx + ctxBytes);
  };
  const free = (): void => {
    arena.scratch.free(ctx);
    arena.scratch.free(page);
  };
  if (isXdp) {
    const xdp = new XdpContextView(arena.dv, ctx);
    const rewind = (): void => {
      xdp.data = start;
      xdp.dataMeta = start;
      xdp.dataEnd = start + data.length;
    };
    const reset = (): void => {
      clear();
      rewind();
      // A packet that is made: of stream 0 of transport 0.
      if (input === 'made') xdp.egressIfindex = IFINDEX;
      else xdp.ingressIfindex = IFINDEX;
      xdp.hardStart = page;
      xdp.frameEnd = page + PAGE - SHARED_INFO;
    };
    // Metadata that the program left before the packet comes out with it (bpf_test_finish).
    const read = (): Uint8Array => arena.u8.slice(Math.min(xdp.dataMeta, xdp.data), xdp.dataEnd);
    return { ctx, reset, rewind, free, read };
  }
  const skb = new SkBuffView(arena.dv, ctx);
  const rewind = (): void => {
    skb.data = start + skip;
    skb.dataMeta = start + skip;
    skb.dataEnd = start + data.length;
    skb.len = data.length - skip;
    skb.macAt = skip ? start : 0;
    skb.netAt = 0;
  };
  const reset = (): void => {
    clear();
    rewind();
    skb.wireLen = data.length;
    skb.protocol = data[12] | (data[13] << 8);
    skb.pktType = packetType(data);
    skb.ifindex = IFINDEX;
    skb.ingressIfindex = IFINDEX;
    skb.hardStart = page;
    skb.frameEnd = page + PAGE - SHARED_INFO;
  };
  return { ctx, reset, rewind, free, read: () => arena.u8.slice(skb.data - skip, skb.dataEnd) };
}

/** eth_type_trans on loopback, whose address is all zeros: PACKET_HOST, _BROADCAST, _MULTICAST, _OTHERHOST. */
function packetType(data: Uint8Array): number {
  const to = data.subarray(0, 6);
  if (to.every(b => b === 0)) return 0;
  if ((to[0] & 1) === 0) return 3;
  return to.every(b => b === 0xff) ? 1 : 2;
}

/** Timers that may fire in one advance. */
const MOST_TIMERS = 10_000_000;

/**
 * Lets the clock of the host's instance go from `nowNs` on by `byNs`; its timers fire, each at its time. Returns how many.
 * @throws EtherloomError ERR_TEST_RUN_TIMERS when they go on without time going on; what the interpreter finds in a callback
 */
export function advanceTimers(core: Core, nowNs: bigint, byNs: bigint): number {
  const { clock_set, timers_run, timers_next_due } = core.exports;
  const until = nowNs + byNs;
  let fired = 0;
  for (let now = nowNs; now <= until; ) {
    clock_set(now);
    fired += timers_run();
    if (fired > MOST_TIMERS)
      throw new EtherloomError('ERR_TEST_RUN_TIMERS', `${fired} timers fired in ${byNs} ns`, {
        expected: 'callbacks that start their timer for later',
      });
    const due = BigInt.asUintN(64, timers_next_due());
    if (due > now) now = due;
  }
  clock_set(until);
  return fired;
}

/** Runs the program in table slot `slot` of `core` on the calling thread. The public form is in test_collection.ts. */
export function testRunSlot(
  arena: Arena,
  core: Core,
  slot: number,
  type: ProgramType,
  data: Uint8Array,
  options: TestRunOptions = {},
): TestRunResult {
  const repeat = options.repeat ?? 1;
  const packet = testPacket(arena, type, data);
  try {
    packet.reset();
    const nowNs = options.nowNs ?? process.hrtime.bigint();
    core.exports.clock_set(nowNs);
    const run =
      programTypes[type].context === 'xdp_md' ? core.exports.test_run_xdp : core.exports.test_run_skb;
    const from = process.hrtime.bigint();
    const r0 = run(slot, packet.ctx, repeat);
    const ns = Number(process.hrtime.bigint() - from);
    const result = { retval: Number(BigInt.asUintN(32, r0)), data: packet.read(), nsPerRun: ns / repeat };
    const { advanceNs } = options;
    return { ...result, timers: advanceNs === undefined ? 0 : advanceTimers(core, nowNs, advanceNs) };
  } finally {
    packet.free();
  }
}
