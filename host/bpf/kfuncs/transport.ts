/** Kfuncs on structures that transports keep in their own maps: sets of ranges, round-trip times; and hashes. */
import { IntervalsLayout, RangeLayout, RttLayout } from '../../layout/layout.gen.js';
import { XDP } from '../helpers/helper.js';
import { defineKfuncs, type KfuncRow } from './kfunc.js';

const row = (prototype: string, doc: string): KfuncRow => ({ prototype, types: XDP, doc });

export const transportKfuncs = defineKfuncs(
  { structs: { el_intervals: IntervalsLayout.size, el_range: RangeLayout.size, el_rtt: RttLayout.size } },
  [
    row(
      'int el_intervals_add(struct el_intervals *s, u32 from, u32 to)',
      'Adds positions from … to - 1, modulo 2^32, to at most EL_INTERVALS ranges. The index of the range that has them; -ENOSPC, -EINVAL.',
    ),
    row(
      'u32 el_intervals_trim(struct el_intervals *s, u32 upto)',
      'Drops positions before `upto`. A range that then begins there leaves the set as well: its length.',
    ),
    row(
      'int el_intervals_next_hole(const struct el_intervals *s, u32 from, u32 to, struct el_range *hole)',
      'The first part of from … to - 1 that is not in the set. Its length, 0 when all is.',
    ),
    row(
      'int el_intervals_overlap(const struct el_intervals *s, u32 from, u32 to, struct el_range *part)',
      'The first part of from … to - 1 that is in the set: a duplicate (RFC 2883). Its length, 0 when nothing is.',
    ),
    row(
      'int el_intervals_recent(const struct el_intervals *s, u32 n, struct el_range *range)',
      'The range that was changed `n` changes of others ago: SACK block `n` (RFC 2018). Its length, 0 for none.',
    ),
    row(
      'int el_rtt_sample(struct el_rtt *rtt, u32 us)',
      'Takes a round-trip time, µs, and ends a back-off (RFC 6298). The retransmission timeout, µs.',
    ),
    row(
      'int el_rtt_backoff(struct el_rtt *rtt)',
      'A timeout: doubles the next one, up to its bound. It, µs.',
    ),
    row(
      'u64 el_siphash(const void *data, u32 data__sz)',
      'SipHash-2-4 under the key of the engine: initial sequence numbers, cookies.',
    ),
  ],
);
