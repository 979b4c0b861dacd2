/**
 * Wakes that only a system call can give: lanes with descriptors sleep in poll(2), and an eventfd ends that sleep.
 *
 *   producer (Wasm) sees sleeping = 2 ─▶ notes the lane in its own owedWakes ─▶ its JavaScript pays after the step
 *
 * Used by lanes, by the control plane, and by the host's instance of the core.
 */
import { ARENA_HEADER_AT, ArenaHeaderLayout, LaneStateLayout } from '../layout/layout.gen.js';
import { type Native, native } from '../native/load.js';
import type { Arena } from './arena.js';
import type { Core } from './core.js';

/** LaneState.sleeping. */
export const Sleep = { AWAKE: 0, ON_WORD: 1, IN_POLL: 2 } as const;

const ONE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);

/** System calls, where the addon is. */
export function systemCalls(): Native | undefined {
  const loaded = native();
  return loaded.ok ? loaded.native : undefined;
}

const stateAt = (arena: Arena, lane: number): number =>
  arena.u32[(ARENA_HEADER_AT + ArenaHeaderLayout.lanesAt) >> 2] + lane * LaneStateLayout.size;

/** Ends the sleep of a lane in poll(2). */
export function raiseEvent(arena: Arena, lane: number): void {
  const fd = Atomics.load(arena.u32, (stateAt(arena, lane) + LaneStateLayout.eventFd) >> 2) - 1;
  if (fd >= 0) systemCalls()?.write(fd, ONE);
}

/** Pays what lane `of` owes, the lane count naming the host. Costs two loads when that is nothing. */
export function payWakes(arena: Arena, of: number): void {
  const at = (stateAt(arena, of) + LaneStateLayout.owedWakes) >> 2;
  for (let word = 0; word < 2; word++) {
    let owed = arena.u32[at + word];
    if (owed === 0) continue;
    arena.u32[at + word] = 0;
    for (let lane = word * 32; owed !== 0; lane++, owed >>>= 1) if (owed & 1) raiseEvent(arena, lane);
  }
}

/** The host's instance, which pays at once for the rings that it publishes. */
export function payingCore(core: Core, arena: Arena): Core {
  const { exports } = core;
  const paying: Core['exports'] = Object.create(exports, {
    ring_submit: {
      value: (ring: number) => {
        exports.ring_submit(ring);
        payWakes(arena, core.lane);
      },
    },
    ring_wake: {
      value: (lane: number) => {
        exports.ring_wake(lane);
        payWakes(arena, core.lane);
      },
    },
  });
  return { ...core, exports: paying };
}

/** Gives every lane an eventfd: they will sleep in poll(2). Returns what closes them. */
export function openEvents(arena: Arena): () => void {
  const addon = systemCalls();
  const opened: number[] = [];
  for (let lane = 0; addon && lane < arena.header.laneCount; lane++) {
    const fd = addon!.eventfd();
    if (fd < 0) continue;
    opened.push(fd);
    arena.lane(lane).eventFd = fd + 1;
  }
  return () => {
    for (let i = 0; i < arena.header.laneCount; i++) arena.lane(i).eventFd = 0;
    for (const fd of opened.splice(0)) addon!.close(fd);
  };
}
