/**
 * What soak.ts and soak.test.ts do again and again: a life of an engine on AF_XDP under traffic, in which everything that
 * can befall an interface does, in an order drawn from a seed. After each blow traffic must be back in time; at the end of
 * a life, when nobody sends any more, every frame must be free, and nothing of it may stay in the process.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Engine } from '../../../host/engine/engine.js';
import { type AfXdpNic, afXdp } from '../../../host/nic/index.js';
import type { Namespace } from '../../support/netns.js';
import { random } from '../../support/random.js';
import { Tally } from '../../support/tally.js';
import { Veth } from '../../support/veth.js';
import { comes, nowMs, PATIENCE_MS, sleep } from '../../support/waiting.js';
import { nicOptions, reflecting } from './rig.js';

const FRAMES = 4096;
const QUEUES = 2;
const SOCKETS = 8;
/** Traffic between two blows, ms. */
const QUIET_MS = 500;
const OUTAGE_MS = 200;
/** So long nothing has arrived when all has: ksoftirqd of a busy machine may have a packet for some ms. */
const SILENCE_MS = 100;

/** Datagrams from the far end, without end. */
function traffic(from: Namespace, to: string) {
  const client = fileURLToPath(new URL('soak_client.mjs', import.meta.url));
  const child = from.spawn(process.execPath, client, to, '7', `${SOCKETS}`);
  return new Tally(child, { sent: 0, same: 0, lost: 0, wrong: 0, lastAnswer: 0 });
}

class Scene {
  traffic: ReturnType<typeof traffic>;
  /** Of clients that are gone. */
  private earlier = { same: 0, wrong: 0 };

  constructor(
    readonly veth: Veth,
    readonly engine: Engine,
    readonly nic: AfXdpNic,
    readonly next: () => number,
  ) {
    this.traffic = traffic(veth.far, veth.nearAddress);
  }

  /** The far end goes with its namespace and the client in it; others take their place. */
  async replacePeer(): Promise<void> {
    this.traffic.end();
    this.earlier = this.answers;
    this.veth.loseFar();
    await this.detached();
    this.traffic = traffic(this.veth.far, this.veth.nearAddress);
    // Its process is there before the interface is.
    await comes(() => this.traffic.total.sent > 0);
  }

  get answers(): { same: number; wrong: number } {
    const { same, wrong } = this.traffic.total;
    return { same: this.earlier.same + same, wrong: this.earlier.wrong + wrong };
  }

  killLane(): void {
    this.engine.killLane(this.next() % QUEUES);
  }

  /** Kills, and waits until it has been noticed: until then a lane may answer still. Resolves to when it happened. */
  async deaths(count: number, kill: () => void): Promise<number> {
    const before = this.engine.crashes.length;
    const from = nowMs();
    kill();
    if (!(await comes(() => this.engine.crashes.length >= before + count)))
      throw new Error('a lane that was killed is not missed');
    return from;
  }

  async connect(): Promise<void> {
    await this.veth.connect();
    this.knowNeighbour();
  }

  /** A question for the neighbour that is lost is asked again a second later: that is not what is measured. */
  knowNeighbour(): void {
    this.veth.knowNear();
  }

  /** Nobody sends, and what was sent has gone through the lanes. */
  async silence(): Promise<void> {
    await this.traffic.ended();
    let { taken } = this.nic.seen;
    for (let since = performance.now(); performance.now() - since < SILENCE_MS; await sleep(5)) {
      if (this.nic.seen.taken === taken) continue;
      ({ taken } = this.nic.seen);
      since = performance.now();
    }
    await this.engine.idle({ timeoutMs: PATIENCE_MS });
  }

  async detached(): Promise<void> {
    if (!(await comes(() => !this.nic.status.attached)))
      throw new Error('the NIC still holds an interface that is gone');
  }
}

/**
 * What happens to it. Resolves when the last of it is undone: from then on the time counts, or from the moment that it
 * resolves to.
 */
export const BLOWS: Record<string, (scene: Scene) => Promise<unknown>> = {
  'far end down and up': async scene => {
    const { far, farLink } = scene.veth;
    far.ip('link', 'set', farLink, 'down');
    await sleep(OUTAGE_MS);
    far.ip('link', 'set', farLink, 'up');
    scene.knowNeighbour();
  },
  'near end down and up': async scene => {
    const { near, nearLink } = scene.veth;
    near.ip('link', 'set', nearLink, 'down');
    await sleep(OUTAGE_MS);
    near.ip('link', 'set', nearLink, 'up');
    scene.knowNeighbour();
  },
  'interface deleted and made again': async scene => {
    scene.veth.remove();
    await scene.detached();
    await scene.connect();
  },
  'interface deleted and made again at once': async scene => {
    scene.veth.remove();
    await scene.connect();
  },
  'a lane killed': scene => scene.deaths(1, () => scene.killLane()),
  'both lanes killed': scene =>
    scene.deaths(QUEUES, () => {
      for (let i = 0; i < QUEUES; i++) scene.engine.killLane(i);
    }),
  'a lane killed while the interface is gone': async scene => {
    scene.veth.remove();
    scene.killLane();
    await scene.detached();
    await scene.engine.settled();
    await scene.connect();
  },
  'the peer gone with its namespace': async scene => {
    await scene.replacePeer();
    await scene.connect();
  },
};

export interface Blow {
  name: string;
  /** Until the first answer, ms; undefined: none came. */
  resumedMs: number | undefined;
}

export interface Life {
  blows: Blow[];
  answers: number;
  /** What was not as it must be. */
  faults: string[];
  /** When the engine is gone. */
  residentBytes: number;
  openFiles: number;
}

async function strike(scene: Scene, name: string, resumesMs: number, faults: string[]): Promise<Blow> {
  const from = await BLOWS[name](scene);
  const over = nowMs();
  const came = await comes(() => scene.traffic.total.lastAnswer >= over);
  const resumedMs = came
    ? scene.traffic.total.lastAnswer - (typeof from === 'number' ? from : over)
    : undefined;
  if (resumedMs === undefined) faults.push(`${name}: no answer for ${PATIENCE_MS} ms`);
  else if (resumedMs > resumesMs) faults.push(`${name}: first answer after ${resumedMs.toFixed(0)} ms`);
  await scene.engine.settled();
  // Every flow, so every queue and lane.
  const after = await scene.veth.udp({ count: 200, sockets: 8, window: 2, waitMs: 1000 });
  if (after.same !== 200) faults.push(`${name}: afterwards ${JSON.stringify(after)}`);
  return { name, resumedMs };
}

/** One life, with every blow once; each may keep answers away for so long after it is over, ms. */
export async function live(seed: number, resumesMs: number): Promise<Life> {
  const next = random(seed);
  const faults: string[] = [];
  const blows: Blow[] = [];
  let answers = 0;
  const veth = await Veth.create({ queues: QUEUES });
  try {
    const nic = afXdp(nicOptions(veth));
    // ICMP errors about answers that nobody waits for any more are taken, too, and pass: nobody receives them here.
    const engine = await reflecting([nic], { frames: FRAMES, lanes: QUEUES, pass: 'count' });
    engine.on('failed', error => faults.push(`a lane was given up: ${error.message}`));
    const scene = new Scene(veth, engine, nic, next);
    try {
      scene.knowNeighbour();
      if (!(await comes(() => scene.traffic.total.same > 0))) faults.push('no traffic at all');
      for (const name of shuffled(Object.keys(BLOWS), next)) {
        await sleep(QUIET_MS);
        blows.push(await strike(scene, name, resumesMs, faults));
      }
    } finally {
      try {
        await scene.silence();
      } finally {
        // Throws when a frame is in no known place, or in two.
        const { ledger } = await engine.stop();
        // Under traffic there may be some in `rx`, come between the lanes' last burst and the closing (life.test.ts).
        if (ledger.free !== FRAMES || ledger.strayed)
          faults.push(`frames at the end: ${JSON.stringify(ledger)}`);
      }
      answers = scene.answers.same;
      if (scene.answers.wrong) faults.push(`${scene.answers.wrong} answers with other bytes`);
    }
  } finally {
    veth.close();
  }
  return { blows, answers, faults, residentBytes: await resident(), openFiles: openFiles() };
}

function shuffled<T>(items: T[], next: () => number): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = next() % (i + 1);
    [items[i], items[j]] = [items[j], items[i]];
  }
  return items;
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** What the process holds when garbage has gone; threads that ended a moment ago take a little longer. */
async function resident(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect();
    await sleep(50);
  }
  return process.memoryUsage().rss;
}

const openFiles = (): number => readdirSync('/proc/self/fd').length;
