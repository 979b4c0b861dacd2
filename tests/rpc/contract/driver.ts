/**
 * A random life of two hosts in virtual time: calls of every kind in both directions over every carrier, given up, late, with
 * bodies that break off; servers that close and open again, carriers that are changed, programs that are upgraded, an Rpc
 * that is closed, a wire that loses, doubles and overtakes. What must hold all the time is oracle.ts. One seed is one life:
 * the same each time.
 */
import { type Driven, turnsOf } from '../../../host/engine/turns.js';
import { takeStreamLedger } from '../../../host/mem/streams.js';
import { RpcBody, streamed } from '../../../host/rpc/body.js';
import type { RpcError } from '../../../host/rpc/errors.js';
import type { Rpc } from '../../../host/rpc/rpc.js';
import { Rng } from '../../support/fuzz.js';
import { setFaults } from '../faults.js';
import { CLIENT, closeHosts, comeToRest, EVERY, openHosts, SERVER, type World } from '../rig.js';
import { watchBegins } from './begun.js';
import { type Fault, Source } from './bodies.js';
import { Bursts } from './bursts.js';
import { Handlers } from './handlers.js';
import { leftOf, watchEndpoints } from './left.js';
import { ANSWERS, type Answer, Asked, Oracle } from './oracle.js';
import { upgradeOne } from './upgrades.js';

export const CARRIERS = ['tcp', 'homa', 'window'] as const;
/** Served by whole requests, by requests that are read as they come, by a burst; and by the caller for the callee. */
const PORTS = { whole: 700, read: 701, burst: 702, back: 800 } as const;
const LOST = ['ECONNRESET', 'ECONNREFUSED', 'ETIMEDOUT'];
/** Of virtual time, for everything that was asked to end by itself. */
const LIMIT_MS = 400_000;
const MOST_LENGTH = 300_000;
/** How long a server that closes sends what was answered, and so takes calls in vain. */
const SETTLING_MS = 12_000;
/** What was given up is told to the other side, or forgotten, ms. */
const REST_MS = 150_000;

export interface Lived {
  calls: number;
  /** How many ended how. */
  ends: Record<string, number>;
  virtualMs: number;
  upgrades: number;
}

interface FrozenClock {
  /** Looks at it count no more, or do so again. */
  stand(on: boolean): void;
  end(): void;
}

interface Open {
  asked: Asked;
  abort: AbortController;
}

export class Driver implements Driven {
  readonly waits = true;
  readonly rng: Rng;
  readonly oracle = new Oracle();
  readonly sources: Source[] = [];
  readonly handlers: Handlers;
  readonly bursts: Bursts;
  readonly #open = new Set<Open>();
  /** Whose signal that is. */
  readonly #signals = new WeakMap<AbortSignal, Asked>();
  /** Nothing was closed, and the wire is a good one. */
  calm = true;
  #left: number;
  #nextMs = 0;
  #faulty = false;
  #busy = 0;
  /** Programs are being replaced: time stands, for how long that takes is not the seed's. */
  #upgrading = false;
  #upgrades = 0;
  readonly #later: (() => void)[] = [];
  #done: () => void = () => {};
  #over = false;
  readonly #weights: { op: () => void; weight: number }[];
  readonly #most: number;
  /** Ports whose server is another: until when calls may be in vain that an old connection, or socket, takes, ms. */
  readonly #doubtful = new Map<number, number>();

  constructor(
    readonly world: World,
    readonly how: string,
    seed: number,
    operations: number,
    readonly clock: FrozenClock,
  ) {
    this.rng = new Rng(seed, 0xc0a7);
    const { rng } = this;
    this.#left = operations;
    this.#most = rng.pick([2000, 40_000, MOST_LENGTH]);
    this.handlers = new Handlers(this.oracle, rng, this.sources);
    this.bursts = new Bursts(this.oracle, rng, world.caller.burst, world.callee.burst);
    const weighed = (op: () => void, weight: number) => ({ op, weight });
    this.#weights = [
      weighed(() => this.#call(), 20),
      weighed(() => this.#burstCall(), 10),
      weighed(() => this.#abort(), rng.pick([0, 2, 10])),
      weighed(() => this.bursts.cancelOne(), rng.pick([0, 2, 5])),
      weighed(() => world.caller.use(rng.pick(CARRIERS)), 2),
      weighed(() => this.#many(), rng.pick([0, 0.2, 1])),
      weighed(() => this.#fault(), rng.pick([0, 0.5])),
      weighed(() => this.#reopen(), rng.pick([0, 0.3])),
      weighed(() => this.#anew(), rng.pick([0, 0.3])),
      weighed(() => this.#upgrade(), rng.pick([0.1, 1])),
    ];
  }

  // ── turns ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async run(): Promise<void> {
    const { callee, caller } = this.world;
    await this.#serve('whole', callee);
    await this.#serve('read', callee);
    await this.#serve('back', caller);
    await callee.burst.listen({ port: PORTS.burst });
    const over = new Promise<void>(done => {
      this.#done = done;
    });
    const watched = watchBegins(
      tag => this.#whose(tag),
      asked => this.#lookAt(asked),
    );
    turnsOf(this.world.engine, { advance: () => false }).add(this);
    await over;
    watched.end();
  }

  /** Tags of bursts are the calls; those of promises have what they were asked with. */
  #whose(tag: unknown): Asked | undefined {
    if (tag instanceof Asked) return tag;
    const signal = (tag as { wish?: { signal?: AbortSignal } }).wish?.signal;
    return signal && this.#signals.get(signal);
  }

  /** What else it may end with as things are. */
  #lookAt(asked: Asked): void {
    if (this.#isInDoubt(asked)) for (const code of LOST) asked.may.add(code);
  }

  turn(): number | undefined {
    if (this.#over) return undefined;
    if (this.#upgrading) return 0;
    this.#nextMs = this.nowMs + this.rng.pick([0.01, 0.1, 1, 20]);
    this.bursts.poll();
    for (const again of this.#later.splice(0)) again();
    if (this.#busy > 0) return 0;
    if (this.#left > 0) {
      for (let n = this.rng.below(4); n > 0 && this.#left > 0 && this.#busy === 0; n--) {
        this.#left--;
        this.#operation();
      }
      if (this.#left === 0) this.#calmDown();
    } else if (this.nowMs > this.#untilMs || (this.oracle.open.every(a => a.silent) && this.bursts.idle)) {
      this.#over = true;
      this.#done();
    }
    return 0;
  }

  get nextMs(): number {
    return this.#upgrading ? this.nowMs : this.#nextMs;
  }

  get nowMs(): number {
    return Number(this.world.engine.now()) / 1e6;
  }

  wait(): Promise<unknown> {
    return new Promise(() => {});
  }

  rouse(): void {}

  #untilMs = Number.POSITIVE_INFINITY;

  /** Nothing new; what would never end by itself is given up. */
  #calmDown(): void {
    this.#untilMs = this.nowMs + LIMIT_MS;
    setFaults(this.world.engine, {});
    for (const { asked, abort } of [...this.#open]) {
      const endless = asked.answer === 'never' || asked.may.has('stalled');
      if (!endless) continue;
      asked.may.add('ABORT_ERR');
      abort.abort();
    }
    this.bursts.cancelEndless();
  }

  #operation(): void {
    let at = this.rng.below(1000) * (this.#weights.reduce((all, { weight }) => all + weight, 0) / 1000);
    for (const { op, weight } of this.#weights) {
      at -= weight;
      if (at < 0) return op();
    }
  }

  // ── operations ────────────────────────────────────────────────────────────────────────────────────────────────

  #length(): number {
    const { rng } = this;
    return rng.chance(0.7) ? rng.below(2000) : rng.below(this.#most);
  }

  #answer(): Answer {
    const { rng } = this;
    return rng.chance(0.6) ? rng.pick(['whole', 'late', 'stream'] as const) : rng.pick(ANSWERS);
  }

  /** A call of that port by that carrier, and what it may end with as things are. */
  #ask(port: number, carrier: string, answer: Answer, deadline: number | undefined): Asked {
    const { oracle } = this;
    const asked = new Asked(
      oracle.asked.length,
      port,
      carrier,
      answer,
      this.#length(),
      this.#length(),
      ends(answer),
    );
    if (deadline !== undefined) asked.may.add('ETIMEDOUT');
    this.#lookAt(asked);
    oracle.asked.push(asked);
    return asked;
  }

  /** A wire with faults may keep a peer silent for as long as a carrier waits; a server may just be another. */
  #isInDoubt({ port, carrier }: Asked): boolean {
    if (this.#faulty && carrier !== 'tcp') return true;
    const sinceMs = this.nowMs - (this.#doubtful.get(port) ?? Number.NEGATIVE_INFINITY);
    return this.handlers.isClosed(port) || sinceMs < (carrier === 'window' ? 200_000 : SETTLING_MS);
  }

  #call(): void {
    const { rng, oracle, world } = this;
    const name = rng.chance(0.15) ? 'back' : rng.pick(['whole', 'read'] as const);
    const rpc = name === 'back' ? world.callee : world.caller;
    const address = name === 'back' ? CLIENT : SERVER;
    const deadline = rng.chance(0.1) ? rng.pick([0, 1, 5, 50, 500]) : undefined;
    const asked = this.#ask(PORTS[name], rpc.carrier, this.#answer(), deadline);
    const open = { asked, abort: new AbortController() };
    this.#open.add(open);
    this.#signals.set(open.abort.signal, asked);
    const stream = rng.chance(0.3);
    const to = { address, port: PORTS[name] };
    const end = (code: string, bytes?: Uint8Array): void => {
      this.#open.delete(open);
      oracle.ended(asked, code, bytes);
    };
    const body = this.#body(asked);
    const more = { signal: open.abort.signal, ...(deadline === undefined ? {} : { deadline }) };
    const call: Promise<Buffer | RpcBody> = stream
      ? rpc.call(to, body, { ...more, stream: true })
      : rpc.call(to, body, more);
    call
      .then(async answer => {
        if (!(answer instanceof RpcBody)) return end('none', answer);
        if (rng.chance(0.2)) {
          // Its reader stops early: the call is over for whoever reads, whatever comes.
          for await (const _ of answer) break;
          this.#open.delete(open);
          asked.end = 'left';
          return;
        }
        end('none', await answer.bytes());
      })
      .catch((error: RpcError) => end(error.code ?? error.message));
  }

  #body(asked: Asked): Buffer | ReturnType<typeof streamed> | Source {
    const { rng } = this;
    const { bytes } = asked;
    if (rng.chance(0.5)) return bytes;
    const fault: Fault = rng.chance(0.7) ? 'none' : rng.pick(['short', 'long', 'throws', 'stalls'] as const);
    const gathered = rng.chance(0.3);
    // Nobody knows that one without a length is too short or too long.
    const source = Source.random(
      rng,
      bytes,
      gathered && (fault === 'short' || fault === 'long') ? 'none' : fault,
    );
    this.sources.push(source);
    if (source.fault === 'throws') asked.may.add('the source broke');
    else if (source.fault === 'stalls') asked.may.add('stalled');
    else if (source.fault !== 'none') asked.may.add('ERR_RPC_BODY');
    // An answer may be there before the request is.
    if (source.fault !== 'none' && asked.port !== PORTS.read) asked.may.delete('none');
    return gathered ? source : streamed(source, { length: bytes.length });
  }

  #abort(): void {
    if (this.#open.size === 0) return;
    const { asked, abort } = [...this.#open][this.rng.below(this.#open.size)];
    asked.may.add('ABORT_ERR');
    abort.abort();
  }

  #burstCall(): void {
    const { rng, world } = this;
    const name = rng.pick(['whole', 'burst'] as const);
    const deadline = rng.chance(0.1) ? rng.pick([1, 5, 50, 500]) : undefined;
    const carrier = rng.pick(CARRIERS);
    world.caller.burst.endpoint.use(carrier);
    this.bursts.call(this.#ask(PORTS[name], carrier, this.#answer(), deadline), SERVER, deadline);
    world.caller.burst.endpoint.use(world.caller.carrier);
  }

  #many(): void {
    for (let n = 20 + this.rng.below(200); n > 0; n--)
      if (this.rng.chance(0.7)) this.#call();
      else this.#burstCall();
  }

  #fault(): void {
    const { rng } = this;
    this.#faulty = true;
    this.calm = false;
    const p = (): number => rng.pick([0, 0, 0.01, 0.05]);
    setFaults(this.world.engine, { loss: p(), duplicate: p(), reorder: p(), corrupt: p() });
    this.oracle.allow(LOST, asked => this.#isInDoubt(asked));
  }

  async #serve(name: 'whole' | 'read' | 'back', rpc: Rpc): Promise<void> {
    const port = PORTS[name];
    this.handlers.opened(port, await this.handlers.serve(rpc, port, name === 'read'));
  }

  /** A server closes, and opens again at the same port. */
  #reopen(): void {
    this.calm = false;
    const name = this.rng.pick(['whole', 'read'] as const);
    const port = PORTS[name];
    this.oracle.allow(LOST, asked => asked.port === port);
    this.#doubtful.set(port, this.nowMs);
    this.handlers.close(port);
    this.#again(name);
  }

  #again(name: 'whole' | 'read' | 'back'): void {
    this.#busy++;
    const rpc = name === 'back' ? this.world.caller : this.world.callee;
    this.#serve(name, rpc)
      .catch(error => {
        // Sockets of datagrams keep their port until what they have sent has arrived.
        if (error.errno !== 'EADDRINUSE') return this.oracle.note(`serve again: ${error.stack}`);
        this.#later.push(() => this.#again(name));
      })
      .finally(() => this.#busy--);
  }

  /** The Rpc of the caller is closed, and another is made. */
  #anew(): void {
    this.calm = false;
    const { world, oracle } = this;
    const { caller } = world;
    this.#busy++;
    this.handlers.close(PORTS.back);
    this.#doubtful.set(PORTS.back, this.nowMs);
    oracle.allow(['ERR_RPC_CLOSED'], asked => asked.port !== PORTS.back);
    oracle.allow(LOST, asked => asked.port === PORTS.back);
    this.bursts.closes();
    const { carrier } = caller;
    caller
      .close()
      .then(async () => {
        const left = oracle.open.filter(a => a.port !== PORTS.back && !a.silent);
        if (left.length > 0) oracle.note(`its Rpc is closed, and it lives: ${left[0]}`);
        world.caller = await world.client.rpc({ carrier });
        this.bursts.opens(world.caller.burst);
        this.#again('back');
      })
      .catch(error => oracle.note(`close: ${error.stack}`))
      .finally(() => this.#busy--);
  }

  /** Programs of a host are replaced: no call may tell. */
  #upgrade(): void {
    this.#busy++;
    this.#upgrading = true;
    this.clock.stand(true);
    upgradeOne(this.world.engine, this.rng)
      .then(() => this.#upgrades++)
      .catch(error => this.oracle.note(`upgrade: ${error.stack}`))
      .finally(() => {
        this.#busy--;
        this.#upgrading = false;
        this.clock.stand(false);
      });
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** What must hold when everything has come to its end. @throws Error that says what does not, and by which seed */
  check(): void {
    const { oracle, sources } = this;
    const { problems } = oracle;
    for (const asked of oracle.open) if (!asked.silent) problems.push(`it never ends: ${asked}`);
    const on = sources.filter(s => !s.ended);
    if (on.length > 0)
      problems.push(
        `${on.length} sources are not ended: ${on.map(s => `${s.fault} of ${s.bytes.length} B`).slice(0, 5)}`,
      );
    problems.push(...this.handlers.unheard(this.calm));
    if (problems.length > 0)
      throw new Error(`${problems.length} problems, ${this.how}:\n${problems.slice(0, 10).join('\n')}`);
  }

  get lived(): Lived {
    const ends: Record<string, number> = {};
    for (const { end, silent } of this.oracle.asked) {
      const how = end ?? (silent ? 'cancelled' : 'never');
      ends[how] = (ends[how] ?? 0) + 1;
    }
    return { calls: this.oracle.asked.length, ends, virtualMs: this.nowMs, upgrades: this.#upgrades };
  }
}

/** What a call may end with for its answer alone. */
function ends(answer: Answer): string[] {
  if (answer === 'never') return [];
  // Over Homa what was promised cannot be taken back.
  if (answer === 'breaks' || answer === 'short' || answer === 'long') return ['ERR_RPC_REMOTE', 'ECONNRESET'];
  return [answer === 'throws' ? 'ERR_RPC_REMOTE' : 'none'];
}

/** One life. @throws Error that names the seed, and how to run it again */
export async function live(seed: number, operations = 400): Promise<Lived> {
  const how = `run again: tsx tests/rpc/contract/run.ts 1 ${seed} ${operations}`;
  const hosts = await openHosts({ ...EVERY, link: { seed } });
  const clock = frozenClock();
  let failed = true;
  try {
    const before = takeStreamLedger(hosts.engine.arena);
    const carrier = CARRIERS[seed % 3];
    const [caller, callee] = [
      await hosts.client.rpc({ carrier }),
      await hosts.server.rpc({ carrier: 'tcp' }),
    ];
    const world = { ...hosts, caller, callee };
    const driver = new Driver(world, how, seed, operations, clock);
    await driver.run();
    await comeToAnEnd(driver);
    driver.check();
    await world.caller.close();
    await callee.close();
    comeToRest(hosts.engine, before);
    failed = false;
    return driver.lived;
  } catch (error) {
    const { message } = error as Error;
    if (!message.includes(how)) (error as Error).message = `${message}\n${how}`;
    throw error;
  } finally {
    clock.end();
    if (failed) await hosts.engine.stop().catch(() => {});
    else await closeHosts(hosts);
  }
}

/** Lets time pass until no endpoint has anything of a call, and notes what it has still. */
async function comeToAnEnd({ world: { engine }, bursts, oracle }: Driver): Promise<void> {
  const watched = watchEndpoints();
  let left: string[] = [];
  for (let ms = 0; ms < REST_MS; ms += ms < 100 ? 10 : 1000) {
    engine.run({ untilNs: engine.now() + (ms < 100 ? 10_000_000n : 1_000_000_000n) });
    bursts.poll();
    // Nobody waits for anything: it may be 5 ms until somebody looks about.
    await new Promise(looked => setTimeout(looked, 6));
    left = watched.endpoints.flatMap(leftOf);
    if (ms > 100 && left.length === 0) break;
  }
  watched.end();
  for (const what of left) oracle.note(what);
}

/** Turns of the event loop are counted by a clock that goes by how often it is looked at: seeds do the same each time. */
function frozenClock(): FrozenClock {
  const { now } = performance;
  let ms = 1e6;
  let stands = false;
  performance.now = () => (stands ? ms : (ms += 0.002));
  return {
    stand(on) {
      stands = on;
    },
    end() {
      performance.now = now;
    },
  };
}
