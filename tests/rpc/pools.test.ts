/** Slots of a client's calls over Homa: there are more again after a time without, and none for calls that are not made. */
import { setTimeout as sleep } from 'node:timers/promises';
import { takeStreamLedger } from '../../host/mem/streams.js';
import type { Call } from '../../host/rpc/calls.js';
import type { SlotCalls } from '../../host/rpc/homa/calls.js';
import type { HomaCarrier } from '../../host/rpc/homa/carrier.js';
import { Pool, Share } from '../../host/rpc/homa/pool.js';
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
        begin: (_call: unknown, _body: unknown, _own: boolean, share: Share): void => {
          slot.share = share;
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
