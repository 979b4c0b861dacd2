/**
 * The ready list of a lane that died, made anew (assembly/stream/ready.ts). It may have been half linked, doorbells and
 * timers may have been taken and not yet heeded: so every open stream of the lane becomes ready, and its XDP_GEN, asked
 * REVIVED, says whether it owes anything. Those that stood in the list come first, in no order of theirs; the one in hand
 * comes last, and not at all when its lane died in the visit before, too: a program that traps on it must not end every
 * next lane. What was asked of the one in hand is asked again.
 */
import { ReadyState, StreamFlag, StreamLayout, StreamRequest, StreamView } from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';

export function mendReady(arena: Arena, dead: number): void {
  const { streamsAt, streamCount } = arena.header;
  const state = arena.lane(dead);
  const stream = (id: number): StreamView => new StreamView(arena.dv, streamsAt + id * StreamLayout.size);
  // Applications go on meanwhile, and may ask something, too.
  const ask = (id: number, bits: number): void => {
    Atomics.or(arena.u32, (streamsAt + id * StreamLayout.size + StreamLayout.requests) >> 2, bits);
  };
  const queued: number[] = [];
  const others: number[] = [];
  const inHand = state.handStream - 1;
  for (let id = 0; id < streamCount; id++) {
    const s = stream(id);
    if (s.lane !== dead) continue;
    if (s.flags & StreamFlag.OPEN) {
      ask(id, StreamRequest.REVIVED);
      if (id !== inHand) (s.ready === ReadyState.QUEUED ? queued : others).push(id);
    }
    s.ready = ReadyState.IDLE;
    s.readyNext = 0;
  }
  const list = [...queued, ...others];
  if (inHand >= 0) {
    const s = stream(inHand);
    if (s.flags & StreamFlag.OPEN) ask(inHand, state.handAsked);
    const again = (s.flags & StreamFlag.OPEN) !== 0 && (s.flags & StreamFlag.SUSPECT) === 0;
    if (again) {
      s.flags |= StreamFlag.SUSPECT;
      list.push(inHand);
    }
  }
  list.forEach((id, i) => {
    const s = stream(id);
    s.ready = ReadyState.QUEUED;
    s.readyNext = i + 1 < list.length ? list[i + 1] + 1 : 0;
  });
  state.readyHead = list.length ? list[0] + 1 : 0;
  state.readyTail = list.length ? list[list.length - 1] + 1 : 0;
  state.readyCount = list.length;
  state.handStream = 0;
  state.handAsked = 0;
}
