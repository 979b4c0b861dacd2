// Events to applications, and their wake-ups. One ring for each lane and application; published once a round.
//
//   lane: or events, RUNG ─▶ event ring, submitted at the end of the round ─▶ application: exchange events for 0
//
// RUNG says that the stream stands in the ring already, so that it stands there at most once. An event that finds its
// ring full raises `overflow`, and the application looks through its streams. Called by kfuncs and by the loop.
import { header, lane } from "../core/lane";
import { APP_LANE_SIZE, APP_SIZE, App, AppLane, AppState, Stream, StreamEvent, StreamLane } from "../layout.gen";
import { push, ringAt, submit } from "../mem/ring";
import { idOf, mine, pool } from "./record";

// @ts-ignore: decorator
@inline export function appAt(app: u32): App { return changetype<App>((pool().appsAt + app * APP_SIZE) as usize); }

// @ts-ignore: decorator
@inline export function endOf(app: u32): AppLane {
  return changetype<AppLane>((appAt(app).endsAt + lane * APP_LANE_SIZE) as usize);
}

/** Whether there is an application of that number, and it lives. */
// @ts-ignore: decorator
@inline export function appLives(app: u32): bool {
  return app <= pool().appCount && atomic.load<u32>(changetype<usize>(appAt(app)), offsetof<App>("state")) == AppState.OPEN;
}

/** Words of a bit per application that the engine's applications need: `touched` and `rung` have as many as MAX_APPS needs. */
// @ts-ignore: decorator
@inline export function appWords(): u32 { return (pool().appCount + 31) >> 5; }

/** The word of an application's bit, which is `1 << (app - 1 & 31)`. */
// @ts-ignore: decorator
@inline export function wordOf(sl: StreamLane, app: u32): usize { return changetype<usize>(sl) + (((app - 1) >> 5) << 2); }

/** Whether nobody is application `app` any more: a thread that was told of its end too late may still use its rings. */
export function appGone(app: u32): bool {
  if (app > pool().appCount) return true;
  const state = atomic.load<u32>(changetype<usize>(appAt(app)), offsetof<App>("state"));
  return state != AppState.OPEN && state != AppState.HELD;
}

/** Tells the application of stream `s` the bits `events`. */
export function postEvent(s: Stream, events: u32): void {
  const app = s.app;
  if (app == 0) return;
  const at = changetype<usize>(s);
  const want = events | StreamEvent.RUNG;
  // Bits that stand there are seen together with whatever was stored before: the application fetches them first.
  if ((atomic.load<u32>(at, offsetof<Stream>("events")) & want) == want) return;
  if ((atomic.or<u32>(at, want, offsetof<Stream>("events")) & StreamEvent.RUNG) != 0) return;
  if (!appLives(app) || atomic.load<u32>(at, offsetof<Stream>("released")) != 0) return;
  s.told = 1;
  const end = endOf(app);
  if (!push(ringAt(end.eventProducer), idOf(s), 0, s.generation))
    atomic.store<u32>(changetype<usize>(end), 1, offsetof<AppLane>("overflow"));
  const word = wordOf(mine(), app);
  const touched = load<u32>(word, offsetof<StreamLane>("touched0"));
  store<u32>(word, touched | (1 << ((app - 1) & 31)), offsetof<StreamLane>("touched0"));
}

/** Publishes the events of this round and wakes the applications that sleep. */
export function flushEvents(): void {
  if (header().streamPoolAt == 0) return;
  const sl = mine();
  const words = appWords();
  for (let word: u32 = 0; word < words; word++) {
    const at = changetype<usize>(sl) + (word << 2);
    let bits = load<u32>(at, offsetof<StreamLane>("touched0"));
    if (bits == 0) continue;
    store<u32>(at, 0, offsetof<StreamLane>("touched0"));
    for (; bits != 0; bits &= bits - 1) publish((word << 5) + ctz<u32>(bits) + 1);
  }
}

function publish(app: u32): void {
  submit(ringAt(endOf(app).eventProducer));
  const a = changetype<usize>(appAt(app));
  if (atomic.load<u32>(a, offsetof<App>("sleeping")) == 0) return;
  // Of several lanes that see it asleep one notifies.
  if (atomic.xchg<u32>(a, 0, offsetof<App>("sleeping")) == 0) return;
  atomic.add<u32>(a, 1, offsetof<App>("wake"));
  // Its thread may have several waits under way.
  atomic.notify(a + offsetof<App>("wake"), -1);
}
