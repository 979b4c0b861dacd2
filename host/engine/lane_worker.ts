/**
 * A lane as a piscina task that ends only when it is told to. Never yields to the event loop: messages are taken
 * synchronously when the generation word says that there are some.
 */
import { receiveMessageOnPort } from 'node:worker_threads';
import { LaneCommand, LanePhase } from '../layout/layout.gen.js';
import { numberClock } from './clock.js';
import type { ControlMessage, LaneExit, LaneTask } from './control.js';
import { keepTo } from './cpus.js';
import { Lane } from './lane.js';
import { type Resident, seatResident } from './resident.js';

/** Looks for work of an idle lane between two looks at the clock: 1 to 2 µs. */
const LOOKS = 200;

/** Runs the lane until the command is STOP. Throws what a program traps with: the supervisor decides what then. */
export default function run(task: LaneTask): LaneExit | Promise<LaneExit> {
  if (task.cpu !== undefined) keepTo(task.cpu);
  const lane = new Lane(task.memory, task.core, task.lane, task.programs, task.generation, task.plans);
  if (!task.resident) return live(lane, task, nobody);
  return seatResident(task.resident, lane.arena, task.lane).then(resident => live(lane, task, resident));
}

/** Where nobody is seated there is nothing to do. */
const nobody: Resident = { poll: () => 0 };

function live(lane: Lane, task: LaneTask, resident: Resident): LaneExit {
  const { words } = lane;
  const spinNs = task.spinUs * 1000;
  const clock = numberClock();
  words.set('phase', LanePhase.RUNNING);
  let idleSince = 0;
  try {
    for (;;) {
      const now = clock();
      const taken = lane.stepAt(task.rounds, now, LOOKS) + resident.poll();
      if (lane.called) {
        takeMessages(lane, task);
        const command = words.get('command');
        if (command === LaneCommand.STOP) break;
        if (command === LaneCommand.PAUSE) lane.pause();
      } else if (taken !== 0) idleSince = 0;
      else if (idleSince === 0) idleSince = now;
      else if (now - idleSince > spinNs) {
        lane.sleep();
        idleSince = 0;
      }
    }
    words.set('phase', LanePhase.STOPPED);
  } catch (error) {
    words.set('phase', LanePhase.CRASHED);
    throw error;
  } finally {
    task.port.close();
  }
  return { lane: task.lane, sleeps: lane.sleeps };
}

function takeMessages(lane: Lane, task: LaneTask): void {
  // The word may be seen before the message: what is missing comes with the next look.
  for (let m = receiveMessageOnPort(task.port); m; m = receiveMessageOnPort(task.port))
    task.port.postMessage(lane.obey(m.message as ControlMessage));
}
