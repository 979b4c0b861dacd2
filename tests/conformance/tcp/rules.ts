/**
 * What holds for every segment that a host sends, whatever a script looks at: compared silently, so that each of the
 * scripts is a test of all of them. A breach fails the script that saw it.
 */
import { TcpFlag } from '../../../host/wire/layout.gen.js';
import { appByte, type Flow, type Seen } from './flow.js';
import type { Segment } from './segment.js';

/** RFC 9293 §3.7.1: without an MSS option, over IPv4 and over IPv6. */
const DEFAULT_MSS = { 4: 536, 6: 1220 } as const;
const OPTION_BYTES = { ts: 12, sack: 4 } as const;

/** The breaches, in words. Called before the segment counts. */
export function brokenRules(flow: Flow, seen: Seen, s: Segment): string[] {
  const broken: string[] = [];
  const rule = (holds: boolean, text: string): void => {
    if (!holds) broken.push(text);
  };
  const has = (flag: number): boolean => (s.flags & flag) !== 0;
  const { SYN, FIN, RST, ACK, URG, ECE, CWR } = TcpFlag;
  const o = s.options;
  rule(!has(SYN) || !has(FIN | RST), 'SYN goes with neither FIN nor RST');
  rule(has(ACK | SYN | RST), 'only a first SYN and a RST have no ACK flag (RFC 9293 §3.10)');
  rule(!has(URG) || s.urgent > 0 || s.payload.length > 0, 'URG with nothing urgent');
  if (has(RST)) return broken;

  if (seen.ack !== undefined && (flow.sentSyn || flow.irs !== undefined)) {
    rule(seen.ack <= flow.next, `acknowledges ${seen.ack}, but only ${flow.next} was sent`);
    rule(seen.ack >= flow.acknowledged, `acknowledges ${seen.ack} after ${flow.acknowledged}`);
  }
  if (!has(SYN)) {
    rule(
      o.mss === undefined && o.wscale === undefined && !o.sackOk,
      'MSS, window scale and SACK-permitted stand in SYNs only',
    );
    if (flow.agreed('ts')) rule(o.ts !== undefined, 'agreed timestamps are in every segment (RFC 7323 §3.2)');
    else rule(o.ts === undefined, 'timestamps were not agreed on (RFC 7323 §3.2)');
    rule(o.sack === undefined || flow.agreed('sackOk'), 'SACK was not agreed on (RFC 2018 §2)');
  } else if (has(ACK) && flow.sentSyn && flow.gotSyn === undefined) {
    rule(o.ts === undefined || flow.sentSyn.ts !== undefined, 'offers timestamps that the SYN did not');
    rule(
      o.wscale === undefined || flow.sentSyn.wscale !== undefined,
      'offers window scaling that the SYN did not',
    );
    rule(!o.sackOk || flow.sentSyn.sackOk === true, 'offers SACK that the SYN did not');
  }
  if (o.ts && flow.firstTs !== undefined)
    rule(((o.ts[0] - flow.tsRecent) | 0) >= 0 || flow.tsRecent === 0, 'its timestamp clock runs backwards');
  if (s.payload.length && !has(SYN) && flow.sentSyn) {
    const family = flow.wire.host.address.includes(':') ? 6 : 4;
    const most =
      (flow.sentSyn.mss ?? DEFAULT_MSS[family]) -
      (o.ts ? OPTION_BYTES.ts : 0) -
      (o.sack ? OPTION_BYTES.sack + o.sack.length * 8 : 0);
    rule(s.payload.length <= most, `${s.payload.length} bytes where ${most} are allowed (RFC 6691)`);
    // One byte may probe a closed window (RFC 9293 §3.8.6.1).
    const end = seen.seq + s.payload.length;
    rule(
      end <= flow.offered || s.payload.length === 1,
      `sends up to ${end} into a window that ends at ${flow.offered}`,
    );
    const wrong = s.payload.findIndex((b, i) => b !== appByte(seen.seq - 1 + i));
    rule(wrong < 0, `byte ${seen.seq + wrong} is not what the application wrote`);
  }
  if (!flow.ecn && !has(SYN)) {
    rule(s.ecn === 0, `IP says ECN ${s.ecn} without agreement`);
    rule(!has(ECE) && !has(CWR), 'ECE or CWR without agreement (RFC 3168 §6.1)');
  }
  return broken;
}
