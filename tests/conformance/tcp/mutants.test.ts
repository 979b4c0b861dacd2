/** What the scripts are worth: a kernel with a fault must fail the script that looks for it. */
import { TcpFlag } from '../../../host/wire/layout.gen.js';
import { assert, suite } from '../../support/suite.js';
import { missingOracle } from './linux/available.js';
import type { LinuxDriver } from './linux/driver.js';
import { type Change, type Mutant, MutantDriver } from './linux/mutant.js';
import { work } from './linux/pool.js';
import { type Outcome, play } from './runner.js';
import { allScripts } from './scripts/index.js';
import type { Options, Segment } from './segment.js';

const test = suite('conformance: tcp scripts notice a host that');
const { SYN, FIN, RST, ACK, URG, ECE, CWR } = TcpFlag;

const has = (s: Segment, flag: number): boolean => (s.flags & flag) !== 0;
const pure = (s: Segment): boolean => s.payload.length === 0 && !has(s, SYN | FIN | RST);
/** Changes the segments that fit. */
const when = (fits: (s: Segment) => boolean, change: (s: Segment) => Segment | undefined): (() => Change) => {
  return () => s => (fits(s) ? change(s) : s);
};
const option = (s: Segment, change: (o: Options) => Options): Segment => ({
  ...s,
  options: change({ ...s.options }),
});
const flags = (s: Segment, off: number, on = 0): Segment => ({ ...s, flags: (s.flags & ~off) | on });

/** Remembers what was seen: `again` is data that came before. */
const second = (change: (s: Segment) => Segment | undefined): (() => Change) => {
  return () => {
    const seen = new Set<number>();
    return s => {
      if (s.payload.length === 0) return s;
      const again = seen.has(s.seq);
      seen.add(s.seq);
      return again ? change(s) : s;
    };
  };
};

/** The `n`th pure ACK and all after it. */
const fromPure = (n: number, change: (s: Segment) => Segment | undefined): (() => Change) => {
  return () => {
    let count = 0;
    return s => (pure(s) && ++count >= n ? change(s) : s);
  };
};

/** Each with the claim of a script that must notice. */
const MUTANTS: [Mutant, claim: string][] = [
  [
    {
      fault: 'acknowledges a byte too many',
      out: when(
        s => pure(s),
        s => ({ ...s, ack: s.ack + 1 }),
      ),
    },
    'data is acknowledged within half a second',
  ],
  [
    { fault: 'numbers its ACKs wrongly', out: when(pure, s => ({ ...s, seq: s.seq + 1 })) },
    'a segment behind a hole is answered at once and kept',
  ],
  [
    { fault: 'sends no duplicate ACKs', out: fromPure(1, () => undefined) },
    'each segment behind a hole gets its own duplicate ACK',
  ],
  [
    { fault: 'does not retransmit', out: second(() => undefined) },
    'data that nobody acknowledges is sent again after a second, then after two',
  ],
  [
    { fault: 'does not retransmit fast', out: second(() => undefined) },
    'the third duplicate ACK retransmits at once',
  ],
  [
    {
      fault: 'is silent where it must refuse',
      out: when(
        s => has(s, RST),
        () => undefined,
      ),
    },
    'a SYN to a port where nobody listens is refused by RST',
  ],
  [
    {
      fault: 'refuses with the wrong number',
      out: when(
        s => has(s, RST),
        s => ({ ...s, seq: 0 }),
      ),
    },
    'an ACK to a port where nobody listens is refused at the number it acknowledges',
  ],
  [
    {
      fault: 'takes a RST anywhere',
      in: when(
        s => has(s, RST),
        s => ({ ...s, seq: s.seq - 1000 }),
      ),
    },
    'in ESTABLISHED a RST elsewhere in the window gets a challenge ACK',
  ],
  [
    {
      fault: 'resets at a SYN',
      in: when(
        s => has(s, SYN) && s.seq > 0x3b9aca00,
        s => flags(s, SYN, RST),
      ),
    },
    'in ESTABLISHED a SYN gets a challenge ACK, whatever its number',
  ],
  [
    {
      fault: 'ignores RST',
      in: when(
        s => has(s, RST),
        () => undefined,
      ),
    },
    'in ESTABLISHED a RST at RCV.NXT ends the connection',
  ],
  [
    {
      fault: 'does not look at checksums',
      in: when(
        () => true,
        s => ({ ...s }),
      ),
    },
    'data with a wrong checksum is dropped',
  ],
  [
    {
      fault: 'offers no MSS',
      out: when(
        s => has(s, SYN),
        s => option(s, ({ mss, ...o }) => o),
      ),
    },
    'the MSS offered over IPv4 is the MTU less 40',
  ],
  [
    {
      fault: 'ignores the MSS of the peer',
      in: when(
        s => has(s, SYN),
        s => option(s, o => ({ ...o, mss: 1460 })),
      ),
    },
    'segments are as long as the MSS of the peer',
  ],
  [
    {
      fault: 'scales by one too much',
      in: when(
        s => s.options.wscale !== undefined,
        s => option(s, o => ({ ...o, wscale: o.wscale! + 1 })),
      ),
    },
    'the window of the peer is multiplied by its scale',
  ],
  [
    {
      fault: 'offers window scaling unasked',
      out: when(
        s => has(s, SYN),
        s => option(s, o => ({ ...o, wscale: 3 })),
      ),
    },
    'window scaling is not granted when the SYN does not offer it',
  ],
  [
    {
      fault: 'reports blocks in another order',
      out: when(
        s => (s.options.sack?.length ?? 0) > 1,
        s => option(s, o => ({ ...o, sack: o.sack!.toReversed() })),
      ),
    },
    'the block of the segment that came last stands first',
  ],
  [
    {
      fault: 'reports no duplicates',
      out: when(
        s => s.options.sack?.length === 1,
        s => option(s, ({ sack, ...o }) => o),
      ),
    },
    'a segment that was acknowledged before is reported as a duplicate',
  ],
  [
    {
      fault: 'ignores reports',
      in: when(
        s => s.options.sack !== undefined,
        s => option(s, ({ sack, ...o }) => o),
      ),
    },
    'three segments reported behind a hole send it again at once',
  ],
  [
    {
      fault: 'echoes the last timestamp, in order or not',
      out: () => s => (s.options.ts && pure(s) ? option(s, o => ({ ...o, ts: [o.ts![0], 2100] })) : s),
    },
    'a segment behind a hole does not change what is echoed',
  ],
  [
    {
      fault: 'forgets timestamps on ACKs',
      out: when(
        s => pure(s),
        s => option(s, ({ ts, ...o }) => o),
      ),
    },
    'an ACK echoes the timestamp of the data',
  ],
  [
    {
      fault: 'takes timestamps of the past',
      in: when(
        s => s.options.ts?.[0] === 4000,
        s => option(s, o => ({ ...o, ts: [6000, o.ts![1]] })),
      ),
    },
    'data with a timestamp of the past is dropped and answered by an ACK',
  ],
  [
    {
      fault: 'does not probe a closed window',
      out: when(
        s => pure(s),
        () => undefined,
      ),
    },
    'a closed window is probed, with ever longer pauses',
  ],
  [
    {
      fault: 'sends into a closed window',
      in: when(
        s => s.window === 0,
        s => ({ ...s, window: 5000 }),
      ),
    },
    'a closed window is not sent into',
  ],
  [
    {
      fault: 'does not tell that its window is open',
      out: () => {
        let closed = false;
        return s => {
          if (pure(s) && s.window === 0) closed = true;
          return closed && s.window > 0 ? undefined : s;
        };
      },
    },
    'reading from a closed window tells the peer that it is open',
  ],
  [
    {
      fault: 'does not echo congestion',
      out: when(
        s => has(s, ECE),
        s => flags(s, ECE),
      ),
    },
    'congestion is echoed until the peer says that it heard',
  ],
  [
    {
      fault: 'never stops echoing congestion',
      out: when(
        s => pure(s),
        s => flags(s, 0, ECE),
      ),
    },
    'congestion is echoed until the peer says that it heard',
  ],
  [
    {
      fault: 'does not say CWR',
      out: when(
        s => has(s, CWR) && !has(s, SYN),
        s => flags(s, CWR),
      ),
    },
    'an echo halves the window and is answered by CWR on new data',
  ],
  [
    { fault: 'marks pure ACKs as ECN-capable', out: when(pure, s => ({ ...s, ecn: 2 })) },
    'after agreement data is ECN-capable, pure ACKs are not',
  ],
  [
    {
      fault: 'has no urgent data',
      in: when(
        s => has(s, URG),
        s => flags(s, URG),
      ),
    },
    'urgent data is told to the application and read beside the stream',
  ],
  [
    {
      fault: 'points at the urgent byte itself',
      out: when(
        s => has(s, URG),
        s => ({ ...s, urgent: s.urgent - 1 }),
      ),
    },
    'data before an urgent byte carries the pointer to it',
  ],
  [
    {
      fault: 'loses its FIN',
      out: when(
        s => has(s, FIN),
        s => flags(s, FIN),
      ),
    },
    'the application closes first: FIN_WAIT_1, FIN_WAIT_2, TIME_WAIT',
  ],
  [
    {
      fault: 'ends the stream at a FIN beyond a hole',
      in: when(
        s => has(s, FIN) && s.payload.length === 50,
        s => ({ ...s, seq: s.seq - 100 }),
      ),
    },
    'a FIN beyond a hole does not end the stream before the hole is filled',
  ],
  [
    {
      fault: 'confuses bytes',
      out: when(
        s => s.payload.length > 3,
        s => ({ ...s, payload: s.payload.toReversed() }),
      ),
    },
    'a full segment does not wait',
  ],
  [
    {
      fault: 'delivers other bytes',
      in: when(
        s => s.payload.length > 3,
        s => ({ ...s, payload: s.payload.toReversed() }),
      ),
    },
    'a segment behind a hole is answered at once and kept',
  ],
  [
    {
      fault: 'has no ACK flag on data',
      out: when(
        s => s.payload.length > 0,
        s => flags(s, ACK),
      ),
    },
    'the first small write goes out at once',
  ],
];

/** Re-made, not changed: what a mutant changes is all that makes its script fail. */
const SOUND: Mutant = { fault: 'has none', out: () => s => ({ ...s }) };
const HOSTS = 8;

interface Trial {
  mutant: Mutant;
  claim: string;
  outcome: Promise<Outcome>;
  tell(outcome: Outcome | Promise<never>): void;
}

const trial = (mutant: Mutant, claim: string): Trial => {
  const t = { mutant, claim } as Trial;
  t.outcome = new Promise(resolve => {
    t.tell = resolve;
  });
  t.outcome.catch(() => {});
  return t;
};
const faulty = MUTANTS.map(([mutant, claim]) => trial(mutant, claim));
const sound = [...new Set(MUTANTS.map(([, claim]) => claim))].map(claim => trial(SOUND, claim));

/** All are played side by side when the first test begins. */
let begun = false;
function begin(): void {
  if (begun) return;
  begun = true;
  const all = [...faulty, ...sound];
  const jobs = all.map(({ mutant, claim, tell }) => async (driver: LinuxDriver) => {
    const script = allScripts().find(s => s.claim === claim);
    if (!script) throw new Error(`no script claims: ${claim}`);
    let outcome = await play(script, new MutantDriver(driver, mutant));
    // A busy machine may be too late for a timer, see pool.ts.
    for (let n = 0; n < 2 && mutant === SOUND && outcome.failure !== undefined; n++)
      outcome = await play(script, new MutantDriver(driver, mutant));
    tell(outcome);
  });
  work({ jobs, hosts: HOSTS }).catch(error => {
    for (const { tell } of all) tell(Promise.reject(error));
  });
}

for (const { mutant, claim, outcome } of faulty)
  test(
    mutant.fault,
    async () => {
      begin();
      assert.ok((await outcome).failure !== undefined, `not noticed by: ${claim}`);
    },
    { missing: missingOracle, timeoutMs: 60_000 },
  );

test(
  'has no fault, and let it pass',
  async () => {
    begin();
    for (const { outcome } of sound) {
      const { failure } = await outcome;
      assert.is(failure, undefined, failure);
    }
  },
  { missing: missingOracle, timeoutMs: 60_000 },
);
