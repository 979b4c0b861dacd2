/** Slots of a client's calls over Homa: there are more again after a time without, and none for calls that are not made. */
import { setTimeout as sleep } from 'node:timers/promises';
import { takeStreamLedger } from '../../host/mem/streams.js';
import type { Call } from '../../host/rpc/calls.js';
import type { SlotCalls } from '../../host/rpc/homa/calls.js';
import type { HomaCarrier } from '../../host/rpc/homa/carrier.js';
import { Pool, Share, type Waiting } from '../../host/rpc/homa/pool.js';
import type { Slot } from '../../host/rpc/homa/slot.js';
import { homa } from '../../host/transports/homa/index.js';
import { assert, suite } from '../support/suite.js';
import { SERVER, type World, world } from './rig.js';

const test = suite('rpc: pools of slots');
const to = { address: SERVER, port: 700 };
const SECOND = 1_000_000_000n;

/** A pool whose slots are answered by hand, and to which streams are refused as long as `none`, or for an address of `noRoute`. */
class ByHand {
  nowMs = 0;
  none = false;
  readonly noRoute = new Set<string>();
  /** Addresses by which slots were asked for. */
  readonly asked: string[] = [];
  /** Answers of the stack that are under way, if they do not come at once. */
  later: (() => void)[] | undefined;
  readonly failed: { call: Call; code: string }[] = [];
  readonly busy: Slot[] = [];
  readonly pool: Pool;
  readonly share: Share;
  #ids = 0;

  constructor() {
    const home = {
      nowMs: () => this.nowMs,
      stir() {},
      fail: (call: Call, code: string) => this.failed.push({ call, code }),
    };
    const open: SlotCalls['open'] = ({ address }, n, opened, refused) => {
      this.asked.push(address);
      const refuse = (code: string): void => refused(Object.assign(new Error(code), { code }));
      const answer = (): void => {
        if (this.noRoute.has(address)) refuse('ENETUNREACH');
        else if (this.none) refuse('ENOBUFS');
        else opened(Array.from({ length: n }, () => this.#ids++));
      };
      if (this.later) this.later.push(answer);
      else answer();
    };
    const opened = (): object => {
      const slot = {
        share: undefined as Share | undefined,
        call: undefined as Call | undefined,
        begin: (call: Call, _body: unknown, _own: boolean, share: Share): void => {
          slot.share = share;
          slot.call = call;
          this.busy.push(slot as unknown as Slot);
        },
      };
      return slot;
    };
    const carrier = { limits: { unsent: 1 << 22 }, home, calls: { open }, opened };
    this.pool = new Pool(carrier as unknown as HomaCarrier, { lane: 0, ifindex: 1, address: '' });
    this.share = this.peer('10.0.0.1');
  }

  peer(address: string): Share {
    return new Share(this.pool, address);
  }

  /** Streams that were opened so far. */
  get opened(): number {
    return this.#ids;
  }

  /** The call that was begun first is answered. */
  answer(): { share: Share; call: Call } {
    const slot = this.busy.shift() as Slot & { share: Share; call: Call };
    const { share, call } = slot;
    this.pool.give(slot);
    return { share, call };
  }

  /** The same, without steps of its own: calls in use are answered in turn. */
  taker(): () => Share {
    let at = 0;
    return () => {
      const slot = this.busy[at++];
      const share = slot.share!;
      this.pool.give(slot);
      return share;
    };
  }

  /** Calls in flight when so many are made. */
  most(calls: number): number {
    for (let i = 0; i < calls; i++) begin(this.share);
    const { length } = this.busy;
    for (let slot = this.busy.shift(); slot !== undefined; slot = this.busy.shift()) this.pool.give(slot);
    return length;
  }
}

function begin(share: Share): Call {
  const call = {} as Call;
  assert.ok(share.begin(call, new Uint8Array(1), true));
  return call;
}

test('streams that were refused once are asked for again', () => {
  const at = new ByHand();
  assert.is(at.most(10), 10);
  at.none = true;
  const few = at.most(200);
  at.none = false;
  assert.ok(few <= 16);
  at.nowMs += 500;
  at.pool.tick(at.nowMs);
  assert.is(at.most(200) <= 16, true, 'not at once');
  at.nowMs += 600;
  at.pool.tick(at.nowMs);
  assert.ok(at.most(200) >= 100);
});

for (const later of [false, true]) {
  const when = later ? 'later' : 'at once';

  test(`no route to one peer, said ${when}: only its calls fail, those to others are made`, () => {
    const at = new ByHand();
    if (later) at.later = [];
    at.noRoute.add('192.0.2.1');
    const far = at.peer('192.0.2.1');
    const lost = [begin(far), begin(far)];
    const good = [begin(at.share), begin(at.share)];
    for (let answer = at.later?.shift(); answer; answer = at.later?.shift()) answer();
    assert.equal(
      at.failed.map(({ call, code }) => [lost.indexOf(call), code]),
      [
        [0, 'ENETUNREACH'],
        [1, 'ENETUNREACH'],
      ],
    );
    assert.is(at.busy.length, good.length);
    assert.is(at.asked.at(-1), '10.0.0.1');
    // Nor are others taken to have all that there can be.
    at.later = undefined;
    assert.ok(at.most(200) >= 100);
  });
}

test('no route to thousands of peers: each hears of it, whoever waits behind them is served', () => {
  const at = new ByHand();
  at.later = [];
  const lost = Array.from({ length: 4000 }, (_, i) => at.peer(`192.0.2.1 ${i}`));
  for (const each of lost) {
    at.noRoute.add(each.address);
    begin(each);
  }
  begin(at.share);
  const [answer] = at.later;
  // The others at once, one out of the other.
  at.later = undefined;
  answer();
  assert.is(at.failed.length, lost.length);
  assert.is(at.busy.length, 1);
});

/** Elements of arrays that were moved or compared in `work`, and shares that were looked at. */
function stepsOf(pool: Pool, work: () => void): number {
  let steps = 0;
  const put: (() => void)[] = [];
  const count = (of: object, name: string, cost: (its: unknown) => number): void => {
    const own = Object.getOwnPropertyDescriptor(of, name);
    const method = (of as Record<string, (...given: unknown[]) => unknown>)[name];
    const value = function (this: unknown, ...given: unknown[]): unknown {
      steps += cost(this);
      return method.apply(this, given);
    };
    Object.defineProperty(of, name, { value, configurable: true, writable: true });
    put.push(() =>
      own ? Object.defineProperty(of, name, own) : delete (of as Record<string, unknown>)[name],
    );
  };
  for (const name of ['shift', 'splice', 'includes', 'indexOf', 'findIndex'])
    count(Array.prototype, name, its => (its as unknown[]).length);
  count(pool, 'mayTake', () => 1);
  try {
    work();
  } finally {
    for (const back of put) back();
  }
  return steps;
}

/** A pool of which each peer has so many calls that wait, and all slots are in use. */
function crowd(peers: number, calls: number): { at: ByHand; shares: Share[]; begun: Call[][] } {
  const at = new ByHand();
  const shares = Array.from({ length: peers }, (_, i) => at.peer(`peer ${i}`));
  const begun = shares.map((): Call[] => []);
  for (let i = 0; i < calls; i++) for (const [k, share] of shares.entries()) begun[k].push(begin(share));
  return { at, shares, begun };
}

for (const peers of [1, 10, 300, 4000])
  test(`peers that wait: ${peers}; a call that ends takes a step or two, and one that is made`, () => {
    const { at } = crowd(peers, Math.ceil(600 / peers) + 2);
    const turns = 200;
    const answer = at.taker();
    const steps = stepsOf(at.pool, () => {
      for (let i = 0; i < turns; i++) {
        const share = answer();
        share.begin({} as Call, new Uint8Array(1), true);
      }
    });
    assert.ok(steps <= 16 * turns, `${steps} steps for ${turns} calls`);
  });

test('slots that are lost, calls that are given up: neither costs more for all that wait', () => {
  const { at, shares, begun } = crowd(4000, 2);
  const one = shares[3999];
  for (let i = 0; i < 1000; i++) begun[3999].push(begin(one));
  const slots = at.busy.splice(0, 100);
  // As many are opened again.
  const lost = stepsOf(at.pool, () => {
    for (const slot of slots) at.pool.lost(slot);
  });
  assert.ok(lost <= 16 * slots.length, `${lost} steps for ${slots.length} slots`);
  const links = begun[3999].slice(-500).map(({ link }) => link as Waiting);
  const left = stepsOf(at.pool, () => {
    for (const link of links) one.cancel(link);
  });
  assert.ok(left <= links.length, `${left} steps for ${links.length} calls`);
});

test('peers take turns, whoever has no slot first; calls of one stay in their order, without those given up', () => {
  const peers = 600;
  const { at, shares, begun } = crowd(peers, 4);
  const gone = begun[500][2];
  shares[500].cancel(gone.link as Waiting);
  // Twice is once.
  shares[500].cancel(gone.link as Waiting);
  // One whose calls are all given up waits for nothing.
  for (const call of begun[599]) shares[599].cancel(call.link as Waiting);
  assert.is(shares[599].unsent, 0);
  const order: number[][] = shares.map(() => []);
  const places = new Map(shares.map((share, k) => [share, k]));
  const most = new Map<number, number>();
  for (let round = 0; at.busy.length > 0; ) {
    const { share, call } = at.answer();
    const k = places.get(share)!;
    order[k].push(begun[k].indexOf(call));
    if (++round !== 1190) continue;
    // About half of all: nobody is a round ahead of another.
    for (const calls of order.slice(0, 599)) most.set(calls.length, (most.get(calls.length) ?? 0) + 1);
  }
  for (const [k, calls] of order.entries())
    assert.equal(calls, k === 599 ? [] : k === 500 ? [0, 1, 3] : [0, 1, 2, 3], `peer ${k}`);
  assert.ok(Math.max(...most.keys()) - Math.min(...most.keys()) <= 1, JSON.stringify([...most]));
  assert.is(at.pool.tick(20_000) > 0, true);
});

test('one peer does not keep a pool from being let go of when its last call is given up', () => {
  const at = new ByHand();
  at.later = [];
  const call = begin(at.share);
  at.share.cancel(call.link as Waiting);
  at.none = true;
  at.later[0]();
  at.pool.tick(2000);
  assert.ok(at.pool.gone);
});

test('after a refusal nobody asks again for a second, however many peers are new', () => {
  const at = new ByHand();
  for (let i = 0; i < 16; i++) begin(at.share);
  at.none = true;
  const asked = at.asked.length;
  const news = Array.from({ length: 100 }, (_, i) => at.peer(`peer ${i}`));
  for (const share of news) begin(share);
  assert.is(at.asked.length, asked + 1);
  at.none = false;
  at.nowMs += 1100;
  at.pool.tick(at.nowMs);
  assert.ok(news.every(share => share.held === 1));
});

test('there are never more slots than 256, also when some were lost', () => {
  const { at } = crowd(400, 2);
  assert.is(at.busy.length, 256);
  for (const slot of at.busy.splice(0, 5)) at.pool.lost(slot);
  assert.is(at.busy.length, 256);
  assert.is(at.opened, 261);
});

/** Lets time pass, and endpoints look at it. */
async function rest({ engine }: World, seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    engine.run({ untilNs: engine.now() + SECOND });
    // Whoever waits for nothing looks every 5 ms.
    await sleep(15);
  }
}

test('slots that are not needed are given back, those that are stay', () =>
  world({ carrier: 'homa', stack: () => ({ messages: homa() }) }, async w => {
    const server = await w.callee.serve(to, request => request);
    const open = (): number => takeStreamLedger(w.engine.arena).open;
    const none = open();
    await Promise.all(Array.from({ length: 300 }, () => w.caller.call(to, 'x')));
    assert.ok(open() > none + 64);
    for (let i = 0; i < 25; i++) {
      await w.caller.call(to, 'x');
      await rest(w, 1);
    }
    const used = open() - none;
    assert.ok(used >= 1 && used <= 8, `${used} open for one call at a time`);
    await rest(w, 30);
    assert.is(open(), none);
    assert.is(String(await w.caller.call(to, 'again')), 'again');
    server.close();
  }));
