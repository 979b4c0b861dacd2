/** Congestion control: the state that a transport keeps of it in its own maps, and what it tells about ACKs and losses. */
import { type EnumSchema, f, type StructSchema } from './types.js';

export const ccEnums: EnumSchema[] = [
  {
    name: 'CcAlgorithm',
    c: 'EL_CC',
    doc: 'Cc.algorithm. From USER on: struct_ops maps that were registered under such a number (CcOps).',
    members: { RENO: 0, CUBIC: 1, DCTCP: 2, DCTCP_RATE: 3, TIMELY: 4, BBR: 5, USER: 16 },
  },
  {
    name: 'CcFlag',
    c: 'EL_CC',
    doc: 'Bits of Cc.flags. ECT: send packets as ECN-capable. DCTCP_ECHO: marks are echoed as RFC 8257 says. OWN_RECOVERY: cwnd is what it says at all times, no PRR. PACED (set before el_cc_init): window-based algorithms give a rate, too.',
    members: { ECT: 1, DCTCP_ECHO: 2, OWN_RECOVERY: 4, PACED: 16 },
  },
  {
    name: 'CcKind',
    c: 'EL_CC',
    doc: 'CcEvent.kind. ENTER: recovery, or the answer to a mark, begins. LEAVE: it is over. RTO: the retransmission timeout. UNDO: the last ENTER or RTO was spurious. IDLE: nothing was sent for an RTO. MSS: Cc.mss was changed.',
    members: { ACK: 0, ENTER: 1, LEAVE: 2, RTO: 3, UNDO: 4, IDLE: 5, MSS: 6 },
  },
  {
    name: 'CcEventFlag',
    c: 'EL_CC_F',
    doc: 'Bits of CcEvent.flags. CWND_LIMITED: cwnd was what kept more from being sent. APP_LIMITED: the rate sample is of a time without enough to send. RECOVERY: the ACK came during recovery. ECE: ENTER because of a mark. AGAIN: a further timeout of the same episode.',
    members: { CWND_LIMITED: 1, APP_LIMITED: 2, RECOVERY: 4, ECE: 8, AGAIN: 16 },
  },
];

/** What every algorithm with rounds keeps first. */
const rounds = [
  f('roundEnd', 'u32', 'Sequence number that ends the round'),
  f('begun', 'u32', '1 = roundEnd is set'),
  f('ackedBytes', 'u32', 'Bytes acknowledged in this round'),
  f('lostBytes', 'u32', 'By rate: bytes lost in this round'),
  f('roundUs', 'u32', 'By rate: when the round began'),
  f('slow', 'u32', 'By rate: 1 = slow start'),
  f('undoRate', 'u64', 'By rate: the rate before the last ENTER or RTO'),
];

export const ccStructs: StructSchema[] = [
  {
    name: 'Cc',
    c: 'el_cc',
    doc: 'State of congestion control, bytes and µs. All zero before el_cc_init, but for CcFlag.PACED.',
    fields: [
      f('algorithm', 'u32', 'CcAlgorithm'),
      f('mss', 'u32', 'Largest segment, bytes; the transport may change it (CcKind.MSS)'),
      f('cwnd', 'u32', 'Congestion window, bytes'),
      f('ssthresh', 'u32', 'Slow-start threshold, bytes'),
      f('rate', 'u64', 'Pacing rate, bytes/s; 0 = not paced'),
      f('flags', 'u32', 'CcFlag bits'),
      f('undoCwnd', 'u32', 'cwnd before the last ENTER or RTO'),
      f('undoSsthresh', 'u32', 'ssthresh before it'),
      f('undoPriv', 'u32', 'What the algorithm keeps of before it'),
      f('priv', 'u32[30]', "The algorithm's own"),
    ],
  },
  {
    name: 'CcEvent',
    c: 'el_cc_event',
    doc: 'What a transport tells congestion control. It fills all of it.',
    fields: [
      f('kind', 'u32', 'CcKind'),
      f('acked', 'u32', 'Bytes newly delivered by this ACK, cumulatively or by SACK'),
      f('marked', 'u32', 'Of these: bytes covered by marks'),
      f('lost', 'u32', 'Bytes newly found lost'),
      f('inFlight', 'u32', 'Bytes in flight before this ACK; ENTER and RTO: flight size'),
      f('flags', 'u32', 'CcEventFlag bits'),
      f('una', 'u32', 'SND.UNA after the ACK'),
      f('nxt', 'u32', 'SND.NXT'),
      f('rttUs', 'u32', 'Round-trip sample of this ACK, µs; 0 = none'),
      f('srttUs', 'u32', 'Smoothed round-trip time, µs; 0 = none'),
      f('minRttUs', 'u32', 'Least one of the window, µs; 0 = none'),
      f('delivered', 'u32', 'Rate sample: bytes delivered …'),
      f('intervalUs', 'u32', '… in this time, µs; 0 = no sample'),
      f('priorDelivered', 'u32', 'Bytes delivered in all, when the sampled packet was sent, modulo 2^32'),
      f('nowNs', 'u64', 'Time, ns'),
    ],
  },
  {
    name: 'CcOps',
    doc: 'An algorithm of a user, as the value of its struct_ops map: table slots of its programs. In C they are pointers to functions (struct_ops.h).',
    fields: [
      f('init', 'u64', 'Begins on a flow, on a live one (cwnd is set) as well; 0 = nothing to do'),
      f('event', 'u64', 'What happened: CcEvent'),
      f('name', 'u8[16]', 'Text, ended by 0'),
    ],
  },
  // What the algorithms keep in Cc.priv.
  {
    name: 'CcReno',
    doc: 'Cc.priv of Reno.',
    fields: [f('acked', 'u32', 'Bytes acknowledged since cwnd last grew, in congestion avoidance')],
  },
  {
    name: 'CcCubic',
    doc: 'Cc.priv of CUBIC with HyStart++. Windows in bytes, times in µs modulo 2^32.',
    fields: [
      f('epochUs', 'u32', 'When congestion avoidance began; valid with CUBIC_EPOCH'),
      f(
        'state',
        'u32',
        'Bits: 1 = in an epoch, 2 = the epoch follows a timeout, 4 = HyStart++ is in CSS, 8 = it is over',
      ),
      f('wMax', 'u32', 'Window before the last reduction'),
      f('kUs', 'u32', 'Time from the epoch until the curve is back at wMax'),
      f('origin', 'u32', 'Window that the curve has at kUs'),
      f('prior', 'u32', 'Window when the last reduction came'),
      f('wEst', 'u32', 'Window that Reno would have'),
      f('estAcked', 'u32', 'Bytes acknowledged that wEst has not grown for yet'),
      f('acked', 'u32', 'Bytes acknowledged that cwnd has not grown for yet'),
      f('roundEnd', 'u32', 'HyStart++: sequence number that ends the round'),
      f('lastMinUs', 'u32', 'Least sample of the last round; largest u32 = none'),
      f('roundMinUs', 'u32', 'Least sample of this one'),
      f('samples', 'u32', 'Samples of this one'),
      f('baselineUs', 'u32', 'Least sample when CSS began'),
      f('cssRounds', 'u32', 'Rounds in CSS'),
      f('cssAcked', 'u32', 'Bytes acknowledged in CSS that cwnd has not grown for yet'),
    ],
  },
  { name: 'CcRated', doc: 'What algorithms with rounds begin Cc.priv with.', fields: rounds },
  {
    name: 'CcMarks',
    doc: 'Cc.priv of DCTCP, by window and by rate: CcRated, and',
    fields: [
      ...rounds,
      f('alpha', 'u32', 'Share of marked bytes, 2^20 = all'),
      f('markedBytes', 'u32', 'Of ackedBytes: marked'),
      f('acked', 'u32', 'Bytes acknowledged since cwnd last grew, in congestion avoidance'),
    ],
  },
  {
    name: 'CcTimely',
    doc: 'Cc.priv of TIMELY: CcRated, and. Times in µs.',
    fields: [
      ...rounds,
      f('previousUs', 'u32', 'Sample of the last round, 0 = none'),
      f('slope', 'i32', 'Smoothed difference of samples, µs × 1024'),
      f('falling', 'u32', 'Rounds in a row with a slope that is not positive'),
    ],
  },
  {
    name: 'CcBbr',
    doc: 'Cc.priv of BBR. Rates in bytes/s, times in µs modulo 2^32.',
    fields: [
      f('bw', 'u64', 'Largest delivery rate of the last rounds'),
      f('bw2', 'u64', 'Largest one after that'),
      f('bw3', 'u64', 'Largest one after the second'),
      f('fullBw', 'u64', 'Delivery rate when it last grew by a quarter'),
      f('bwRound', 'u32', 'Round of bw'),
      f('bw2Round', 'u32', 'Of bw2'),
      f('bw3Round', 'u32', 'Of bw3'),
      f('mode', 'u32', '0 STARTUP, 1 DRAIN, 2 PROBE_BW, 3 PROBE_RTT'),
      f('round', 'u32', 'Rounds so far'),
      f('roundDelivered', 'u32', 'Bytes delivered in all that end the round'),
      f('fullRounds', 'u32', 'Rounds in a row without such growth; 3 = the pipe is full'),
      f('phase', 'u32', 'Phase of PROBE_BW, 0 … 7'),
      f('phaseUs', 'u32', 'When it began'),
      f('minUs', 'u32', 'Least round-trip time of the last 10 s; 0 = none'),
      f('minAtUs', 'u32', 'When it was seen'),
      f('probeEndUs', 'u32', 'PROBE_RTT: its earliest end, valid with state bit 1'),
      f('priorCwnd', 'u32', 'cwnd before PROBE_RTT or recovery'),
      f(
        'state',
        'u32',
        'Bits: 1 = probeEndUs is set, 2 = a round passed in PROBE_RTT, 4 = packet conservation, 8 = in recovery',
      ),
      f('conserveRound', 'u32', 'Round in which packet conservation began'),
    ],
  },
];
