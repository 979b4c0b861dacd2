/** A congestion control state in memory and what it is told; and a path to try it on: a bottleneck with a buffer. */
import { CcEventLayout, CcEventView, CcLayout, CcView } from '../../host/layout/layout.gen.js';
import { Bench } from '../support/core.js';

export const MSS = 1000;
export const Algorithm = { reno: 0, cubic: 1, dctcp: 2, dctcpRate: 3, timely: 4, bbr: 5 } as const;
export type AlgorithmName = keyof typeof Algorithm;
export const Kind = { ack: 0, enter: 1, leave: 2, rto: 3, undo: 4, idle: 5, mss: 6 } as const;
export const Flags = { cwndLimited: 1, appLimited: 2, recovery: 4, ece: 8, again: 16 } as const;
export const PACED = 16;

type EventFields = Partial<
  Record<
    | 'acked'
    | 'marked'
    | 'lost'
    | 'inFlight'
    | 'flags'
    | 'una'
    | 'nxt'
    | 'rttUs'
    | 'srttUs'
    | 'minRttUs'
    | 'delivered'
    | 'intervalUs'
    | 'priorDelivered',
    number
  >
> & { nowNs?: bigint };

const bench = new Bench();

export class Flow {
  readonly at = bench.at;
  readonly cc = new CcView(bench.arena.dv, this.at);
  private readonly eventAt = this.at + CcLayout.size;
  readonly event = new CcEventView(bench.arena.dv, this.eventAt);

  /** There is one at a time: all lie at the same place. */
  constructor(algorithm: AlgorithmName, flags = 0) {
    bench.arena.u8.fill(0, this.at, this.eventAt + CcEventLayout.size);
    this.cc.flags = flags;
    if (this.init(Algorithm[algorithm]) !== 0) throw new Error(`el_cc_init(${algorithm})`);
  }

  init(algorithm: number, mss = MSS): number {
    return bench.core.el_cc_init(this.at, algorithm, mss);
  }

  tell(kind: keyof typeof Kind, fields: EventFields = {}): number {
    bench.arena.u8.fill(0, this.eventAt, this.eventAt + CcEventLayout.size);
    Object.assign(this.event, fields);
    this.event.kind = Kind[kind];
    return this.again();
  }

  /** The event as it stands in memory. */
  again(): number {
    return bench.core.el_cc_event(this.at, this.eventAt);
  }

  /** Whatever bytes: both structures. */
  scribble(next: () => number): void {
    for (let at = this.at; at < this.eventAt + CcEventLayout.size; at++) bench.arena.u8[at] = next();
  }

  /** Acknowledges a whole window, a segment at a time, as a flow that cwnd limits. */
  round(fields: EventFields = {}): void {
    for (let left = this.cc.cwnd; left >= MSS; left -= MSS)
      this.tell('ack', { acked: MSS, flags: Flags.cwndLimited, ...fields });
  }

  get segments(): number {
    return this.cc.cwnd / MSS;
  }
}

export interface PathOptions {
  /** Bytes per second of the bottleneck. */
  rate: number;
  /** Round trip without queue, µs. */
  rttUs: number;
  /** Of the bottleneck, bytes. */
  buffer: number;
  /** Marks packets that find so many bytes queued. */
  markAt?: number;
  /** Every so manyth packet is lost. */
  loseEvery?: number;
  /** Length of the run, s. */
  seconds: number;
}

interface Sent {
  seq: number;
  sentUs: number;
  ackUs: number;
  marked: boolean;
  lost: boolean;
  delivered: number;
  deliveredUs: number;
}

export interface PathResult {
  /** Bytes per second that arrived. */
  goodput: number;
  losses: number;
  /** Mean over time of cwnd, segments, after the first fifth. */
  meanWindow: number;
  /** Mean queueing delay of packets after the first fifth, µs. */
  meanQueueUs: number;
}

/**
 * One flow with always something to send. A loss is known a round trip later and answered once a window; what was lost is
 * not sent again: windows are what is looked at.
 */
export function runPath(flow: Flow, o: PathOptions): PathResult {
  const flying: Sent[] = [];
  const endUs = o.seconds * 1e6;
  let now = 0;
  let freeUs = 0;
  let nextSendUs = 0;
  let seq = 0;
  let inFlight = 0;
  let delivered = 0;
  let deliveredUs = 0;
  let srtt = 0;
  let minRtt = 0;
  let recoverAt = -1;
  let count = 0;
  let sum = 0;
  let sumUs = 0;
  let queueSum = 0;
  let queued = 0;
  const result: PathResult = { goodput: 0, losses: 0, meanWindow: 0, meanQueueUs: 0 };
  const send = (): void => {
    const waiting = Math.max(0, freeUs - now) * (o.rate / 1e6);
    const lost = waiting + MSS > o.buffer || (o.loseEvery !== undefined && ++count % o.loseEvery === 0);
    if (!lost) freeUs = Math.max(freeUs, now) + (MSS / o.rate) * 1e6;
    const ackUs = (lost ? Math.max(freeUs, now) : freeUs) + o.rttUs;
    flying.push({
      seq: seq++,
      sentUs: now,
      ackUs,
      lost,
      marked: o.markAt !== undefined && waiting > o.markAt,
      delivered,
      deliveredUs,
    });
    if (now > endUs / 5) {
      queueSum += (waiting / o.rate) * 1e6;
      queued++;
    }
    inFlight += MSS;
  };
  while (now < endUs) {
    const rate = Number(flow.cc.rate);
    while (inFlight + MSS <= flow.cc.cwnd && (rate === 0 || nextSendUs <= now)) {
      send();
      if (rate) nextSendUs = Math.max(nextSendUs, now) + (MSS / rate) * 1e6;
    }
    const ackUs = flying.length ? flying[0].ackUs : Number.POSITIVE_INFINITY;
    const sendUs = rate && inFlight + MSS <= flow.cc.cwnd ? nextSendUs : Number.POSITIVE_INFINITY;
    const next = Math.min(ackUs, sendUs);
    if (next === Number.POSITIVE_INFINITY) throw new Error('the flow stands still');
    if (now > endUs / 5) {
      sum += flow.segments * (next - now);
      sumUs += next - now;
    }
    now = next;
    if (sendUs < ackUs) continue;
    const p = flying.shift()!;
    const before = inFlight;
    inFlight -= MSS;
    const common = {
      inFlight: before,
      una: (p.seq + 1) * MSS,
      nxt: seq * MSS,
      srttUs: Math.round(srtt),
      minRttUs: minRtt,
      nowNs: BigInt(Math.round(now * 1000)) + 1_000_000_000n,
    };
    if (recoverAt >= 0 && p.seq >= recoverAt) {
      recoverAt = -1;
      flow.tell('leave', common);
    }
    if (p.lost || (p.marked && (flow.cc.flags & 4) === 0)) {
      if (p.lost) result.losses++;
      if (recoverAt < 0) {
        recoverAt = seq;
        flow.tell('enter', { ...common, flags: p.lost ? 0 : Flags.ece });
        // In place of PRR: the window is what it will be.
        if ((flow.cc.flags & 4) === 0) flow.cc.cwnd = Math.min(flow.cc.cwnd, flow.cc.ssthresh);
      }
    }
    const rtt = Math.round(now - p.sentUs);
    if (!p.lost) {
      delivered += MSS;
      deliveredUs = now;
      srtt = srtt === 0 ? rtt : srtt + (rtt - srtt) / 8;
      minRtt = minRtt === 0 ? rtt : Math.min(minRtt, rtt);
    }
    const limited = before + MSS > flow.cc.cwnd - MSS ? Flags.cwndLimited : 0;
    flow.tell('ack', {
      ...common,
      acked: p.lost ? 0 : MSS,
      marked: p.marked ? MSS : 0,
      lost: p.lost ? MSS : 0,
      flags: limited | (recoverAt >= 0 ? Flags.recovery : 0),
      rttUs: p.lost ? 0 : rtt,
      srttUs: Math.round(srtt),
      minRttUs: minRtt,
      delivered: delivered - p.delivered,
      intervalUs: p.lost ? 0 : Math.max(1, Math.round(now - Math.max(p.deliveredUs, 0))),
      priorDelivered: p.delivered,
    });
  }
  result.goodput = delivered / o.seconds;
  result.meanWindow = sum / sumUs;
  result.meanQueueUs = queueSum / queued;
  return result;
}
