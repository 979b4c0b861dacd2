// XDP_GEN: packets that nobody sent in. At the end of each round the streams of the ready list are visited, oldest
// first: the program at their port gets a fresh frame and makes packets in it, one a run, until it says that it is done.
//
//   ready list ─▶ visit ─▶ fresh frame ─▶ XDP_GEN ─▶ TX     goes out (egress.ts), another run        ┐ at most VISIT_RUNS,
//                              ▲                  ├▶ PASS   goes out, done                           │ then to the tail
//                              └── same frame ────┴▶ any other  nothing more: done                   ┘ of the list
//
// The frame is no packet before TX or PASS: what a program leaves in it otherwise is no drop. Its bytes are what the
// frame held last, as in a driver's page pool. A stream whose port has no room, or no frame, waits where it is.
import {
  FRAME_HEADROOM, FRAME_SIZE, Hook, LaneState, NO_FRAME, Port, StreamFlag, XdpAction, XdpContext,
} from "../layout.gen";
import { blockOf, countGen, countIn } from "./counters";
import { egress } from "./egress";
import { runProgram, slotAt } from "./hooks";
import { lane, packetAt, self } from "./lane";
import { clearRedirect } from "./redirect";
import { budget } from "./room";
import { allocFrame, freeFrame } from "../mem/frames";
import { flush, portUp, roomAt } from "../nic/tx";
import { endVisit, streamAt, takeReady } from "../stream/ready";
import { ETH_SIZE } from "../wire/layout.gen";

/** Most runs of XDP_GEN for one stream before the others have their turn. */
const VISIT_RUNS: u32 = 64;
/** Most runs in a round: packets that come in must not wait for longer. */
const ROUND_RUNS: u32 = 256;

/** The frame that the next run gets; NO_FRAME when there is none in hand. */
// A number, not the name: in a cycle of imports asc would set the global in a start function, once in every instance.
let spare: u32 = 0xffff_ffff;

/** Points the context at the whole room of an empty packet. */
// @ts-ignore: decorator
@inline function blank(x: XdpContext, port: Port, frame: u32): void {
  const start = <u32>packetAt + frame;
  const most = FRAME_SIZE - FRAME_HEADROOM;
  const want = port.mtu + ETH_SIZE;
  x.data = start + FRAME_HEADROOM;
  x.dataEnd = x.data + (want < most ? want : most);
  x.dataMeta = x.data;
  x.hardStart = start;
  x.frameEnd = start + FRAME_SIZE;
}

/** One visit of stream `id` at `port`: up to `limit` runs. Returns runs made; `more` says whether it is to come again. */
function visit(port: Port, slot: u32, id: u32, transport: u32, limit: u32): u32 {
  const ls = self();
  const x = changetype<XdpContext>(ls.xdpAt as usize);
  countIn(blockOf(port, 0, lane));
  more = true;
  let runs: u32 = 0;
  // In a lossless lane the program may have sent others meanwhile, out of a queue.
  while (runs < limit && budget(ls, 1) != 0) {
    if (spare == NO_FRAME) spare = allocFrame();
    const frame = spare;
    if (frame == NO_FRAME) return runs;
    blank(x, port, frame);
    x.ingressIfindex = transport;
    x.rxQueueIndex = id;
    x.egressIfindex = port.ifindex;
    x.rxHash = 0;
    const verdict = runProgram(slot, changetype<usize>(x));
    runs++;
    countGen(verdict);
    if (verdict == XdpAction.TX || verdict == XdpAction.PASS) {
      spare = NO_FRAME;
      egress(port, x, frame);
      if (verdict == XdpAction.TX) continue;
    }
    clearRedirect();
    more = false;
    break;
  }
  return runs;
}
let more: bool = false;

/**
 * Visits the streams that are ready now. `room`: packets that every ring of a lossless lane has room for, else the
 * largest u32. Returns packets made.
 */
export function generate(ls: LaneState, room: u32): u32 {
  let visits = ls.readyCount;
  let left = ROUND_RUNS < room ? ROUND_RUNS : room;
  let runs: u32 = 0;
  while (visits-- != 0 && left != 0 && ls.readyHead != 0) {
    const id = takeReady();
    const s = streamAt(id);
    const port = changetype<usize>(s) == 0 ? changetype<Port>(0) : portUp(s.ifindex);
    const slot = changetype<usize>(port) == 0 ? 0 : slotAt(port, Hook.XDP_GEN);
    // A stream that was closed, or whose port went or has no program: nobody can make its packets.
    if (slot == 0) {
      endVisit(id, false);
      continue;
    }
    // Its lane died in its last visit: should this one, too, what the others made is on its way.
    if (s.flags & StreamFlag.SUSPECT) flush();
    const limit = roomAt(port, left < VISIT_RUNS ? left : VISIT_RUNS);
    more = true;
    const made = limit == 0 ? 0 : visit(port, slot, id, s.transport, limit);
    endVisit(id, more);
    left -= made;
    runs += made;
  }
  if (spare != NO_FRAME) {
    freeFrame(spare);
    spare = NO_FRAME;
  }
  return runs;
}
