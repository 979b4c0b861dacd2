/* SACK blocks of the peer (RFC 2018, 6675), and duplicates that it reports (RFC 2883). */
#pragma once
#include "rtt.h"

/* A block that reports a duplicate: before the ACK, or inside the block that follows it. */
static inline int is_dsack(const struct tcp_segment *s)
{
	if (before(s->sack[0].from, s->ack))
		return 1;
	return s->sacks > 1 && !before(s->sack[0].from, s->sack[1].from) && !after(s->sack[0].to, s->sack[1].to);
}

noinline int tcp_dsack(struct tcp_flow *f NONNULL, struct tcp_news *n NONNULL, const struct el_range *r NONNULL)
{
	__u32 len = r->to - r->from, times;

	/* Of our window, or a little before it: else it is made up (RFC 2883 §5). */
	if (!before(r->from, r->to) || after(r->to, f->snd_nxt) || before(r->from, f->snd_una - most(f->max_wnd, f->mss)))
		return 0;
	n->dsack = 1;
	count(TCPDSACKRecv);
	times = (len + f->mss - 1) / most(f->mss, 1);
	/* Of what was sent before the window came down it says nothing about the retransmissions (RFC 3708 §2). */
	if (f->undo_marker && after(r->to, f->undo_marker))
		f->undo_retrans -= least(times, f->undo_retrans);
	return 1;
}

/* Notes what the blocks say. `una`: before this ACK. */
noinline int tcp_sack(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, struct tcp_segment *s NONNULL,
		      struct tcp_news *n NONNULL)
{
	__u32 i;

	for (i = 0; i < 4; i++) {
		struct el_range *r = &s->sack[i];

		if (i >= s->sacks)
			break;
		if (!i && is_dsack(s)) {
			tcp_dsack(f, n, r);
			continue;
		}
		if (!after(r->to, s->ack))
			continue;
		if (!before(r->from, r->to) || after(r->to, f->snd_nxt) || before(r->from, f->snd_una)) {
			count(TCPSACKDiscard);
			continue;
		}
		board_sack(b, f, n, r, US(s->now));
	}
	return 0;
}
