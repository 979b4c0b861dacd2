/*
 * The scoreboard: what is in flight, as pieces that were sent at one time and shared one fate. A burst has one time, so
 * a window of thousands of segments is a few spans; when more than TCP_SPANS are needed, neighbours are joined in pairs
 * and keep both times: the later one says when it may be lost, the earlier one what its delivery tells of others (RACK
 * then finds a loss later, never too early).
 *
 *   una ─[ sacked ]─[ lost ]─[ resent ]─[ plain ]─▶ snd_nxt       a ring of spans; bytes by fate are counted beside it
 */
#pragma once
#include "flow.h"
#include "loop.h"

enum tcp_span_flag {
	SPAN_SACKED = 1,
	SPAN_LOST = 2,   /* to be sent again */
	SPAN_RESENT = 4, /* sent again, and under way */
	SPAN_EVER = 8,   /* sent more than once: no RTT of it (Karn) */
	SPAN_FATE = 255,
};

/* Above the flags: how much earlier than sent_us the first part of joined pieces was sent, µs. */
#define SPREAD_SHIFT 8
#define SPREAD_MOST 0xffffffu

/* What one ACK told. */
struct tcp_news {
	__u32 delivered;   /* bytes, by sequence or by SACK */
	__u32 sacked;      /* of these by SACK */
	__u32 lost;        /* bytes found lost */
	__u32 rtt_us;      /* of the piece sent last that was sent once; 0: none */
	__u32 seq_rtt_us;  /* of the piece sent first */
	__u32 original;    /* something that was never sent again was delivered (F-RTO) */
	__u32 resent;      /* something that was sent again was delivered */
	__u32 reordered;
	__u32 dsack;
	__u32 reneged;
	__u32 prior_flight;
	__u32 una_moved;
	/* of the delivered piece that was sent last: delivery rate */
	__u32 prior_delivered;
	__u32 prior_us;
	__u32 first_us;
	__u32 sent_us;
	__u32 sampled;
	__u32 hole_us;     /* until RACK will know more; 0: nothing to wait for */
	struct el_cc_event cc;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcp_news);
} tcp_newses SEC(".maps");

/*
 * What lies in a map is any number to the verifier, however often it was counted up: as an index it is walked once. In a
 * register it would be known, and relied on, and each of its values walked.
 */
static inline __u32 hidden(const __u32 *p)
{
	return *(const volatile __u32 *)p;
}

static inline struct tcp_span *span_at(struct tcp_board *b, __u32 i)
{
	return &b->span[(b->head + i) & (TCP_SPANS - 1)];
}

static inline __u32 fate_of(const struct tcp_span *s)
{
	return s->flags & SPAN_FATE;
}

/* When the first of it was sent. */
static inline __u32 first_sent(const struct tcp_span *s)
{
	return s->sent_us - (s->flags >> SPREAD_SHIFT);
}

/* Bytes in flight: what was sent, less what arrived, less what is taken for lost (RFC 6675 "pipe"). */
static inline __u32 pipe_of(const struct tcp_flow *f, const struct tcp_board *b)
{
	__u32 out = f->snd_nxt - f->snd_una, gone = b->sacked + b->lost;

	/* Without SACK each duplicate ACK says that some segment arrived. */
	if (!(f->flags & FLOW_SACK))
		gone += f->dupacks * f->mss;
	return out > gone ? out - gone : 0;
}

static inline void board_enter(struct tcp_board *b, __u32 flags, __u32 len)
{
	if (flags & SPAN_SACKED)
		b->sacked += len;
	if (flags & SPAN_LOST)
		b->lost += len;
	if (flags & SPAN_RESENT)
		b->resent += len;
}

static inline void board_leave(struct tcp_board *b, __u32 flags, __u32 len)
{
	board_enter(b, flags, -len);
}

/* Joins neighbours of one fate in pairs. Returns how many spans are left. */
noinline int board_join(struct tcp_board *b NONNULL)
{
	b->at = 0;
	b->twin = 1;
	for (b->i = 0; can_loop; b->i++) {
		__u32 i = hidden(&b->i);
		struct tcp_span *from = span_at(b, i), *to = span_at(b, hidden(&b->at) - 1);

		if (i >= b->count)
			break;
		if (!b->twin && fate_of(to) == fate_of(from)) {
			__u32 last = later_of(to->sent_us, from->sent_us), a = last - first_sent(to), z = last - first_sent(from);

			to->end = from->end;
			to->sent_us = last;
			to->flags = fate_of(to) | least(most(a, z), SPREAD_MOST) << SPREAD_SHIFT;
			b->twin = 1;
			continue;
		}
		*span_at(b, hidden(&b->at)) = *from;
		b->at = hidden(&b->at) + 1;
		b->twin = 0;
	}
	b->count = b->at;
	return b->count;
}

/* Moves the spans from index b->at on by one place: up, or down upon it. */
noinline int board_shift(struct tcp_board *b NONNULL, __u32 up)
{
	for (b->i = 0; can_loop; b->i++) {
		__u32 i = hidden(&b->i);
		__u32 at = hidden(&b->at), to = up ? b->count - i : at + i;

		if (up ? to <= at : to + 1 >= b->count)
			break;
		*span_at(b, to) = *span_at(b, up ? to - 1 : to + 1);
	}
	b->count += up ? 1 : -1;
	return 0;
}

/* Makes `seq` an edge between spans. -1: there is no room for one more. */
noinline int board_split(struct tcp_board *b NONNULL, __u32 seq)
{
	if (!after(seq, b->una))
		return 0;
	b->at = TCP_SPANS;
	for (b->i = 0; can_loop; b->i++) {
		__u32 i = hidden(&b->i);
		struct tcp_span *s = span_at(b, i);

		if (i >= b->count)
			return 0;
		if (!after(seq, s->end)) {
			if (seq == s->end)
				return 0;
			b->at = i;
			break;
		}
	}
	if (b->at >= b->count || b->count >= TCP_SPANS)
		return -1;
	board_shift(b, 1);
	span_at(b, b->at)->end = seq;
	return 0;
}

/* As above, making room if that costs nothing. */
static inline int board_edge(struct tcp_board *b, __u32 seq)
{
	if (b->count >= TCP_SPANS - 1)
		board_join(b);
	return board_split(b, seq);
}

#define FORGOTTEN 8

/*
 * Makes room at any cost: the last pieces become one, which must go again if any of them must. What of it had arrived
 * is reported once more, or as a duplicate; without room nothing could be sent, ever.
 */
noinline int board_forget(struct tcp_board *b NONNULL)
{
	__u32 start = b->una, keep = b->count - FORGOTTEN, flags = 0, sent_us = 0, some = 0;
	struct tcp_span *one;

	if (b->count <= FORGOTTEN)
		return 0;
	for (b->i = 0; can_loop; b->i++) {
		__u32 i = hidden(&b->i);
		struct tcp_span *s = span_at(b, i);
		__u32 len = s->end - start;

		if (i >= b->count)
			break;
		start = s->end;
		if (i < keep)
			continue;
		board_leave(b, s->flags, len);
		flags |= s->flags;
		sent_us = some ? later_of(sent_us, s->sent_us) : s->sent_us;
		some = 1;
	}
	one = span_at(b, keep);
	start = span_at(b, keep - 1)->end;
	one->end = span_at(b, b->count - 1)->end;
	one->sent_us = sent_us;
	one->flags = flags & SPAN_LOST ? SPAN_LOST | SPAN_EVER : flags & (SPAN_RESENT | SPAN_EVER);
	board_enter(b, one->flags, one->end - start);
	b->count = keep + 1;
	count(ScoreboardFull);
	return 0;
}

/* An edge that must be there: what is to be sent again is noted, or it is not sent. */
static inline int board_must(struct tcp_board *b, __u32 seq)
{
	if (b->count >= TCP_SPANS - 1 && board_join(b) >= TCP_SPANS - 1)
		board_forget(b);
	return board_split(b, seq);
}

/* Notes that what lies behind the last span, up to `to`, was sent. */
noinline int board_sent(struct tcp_board *b NONNULL, struct tcp_flow *f NONNULL, __u32 to, __u32 now_us)
{
	struct tcp_span *last = span_at(b, b->count - 1);

	if (b->count && !fate_of(last) && last->sent_us == now_us) {
		last->end = to;
		return 0;
	}
	if (b->count >= TCP_SPANS && board_join(b) >= TCP_SPANS)
		board_forget(b);
	if (!b->count || pipe_of(f, b) == 0) {
		f->first_us = now_us;
		f->delivered_us = now_us;
	}
	/* What was delivered before is older than all that is in flight, also when these clocks have gone round since. */
	if (!b->count)
		f->rack_rtt = 0;
	last = span_at(b, b->count);
	last->end = to;
	last->sent_us = now_us;
	last->delivered = f->delivered;
	last->delivered_us = f->delivered_us;
	last->first_us = f->first_us;
	last->flags = 0;
	b->count++;
	return 0;
}

/* What `len` delivered bytes of a span tell, which end at `end`: a burst is one span, and may arrive in part. */
static inline void board_learn(struct tcp_flow *f, struct tcp_news *n, const struct tcp_span *s, __u32 end, __u32 len,
			       __u32 now_us)
{
	__u32 sent_us = first_sent(s), rtt = now_us - sent_us;

	n->delivered += len;
	f->delivered += len;
	/* Joined with what still waits for its time: of when this left nothing is known. */
	if (after(s->sent_us, now_us)) {
		f->fack = later_of(f->fack, end);
		return;
	}
	if (!(s->flags & SPAN_EVER)) {
		/* What F-RTO itself sent after a timeout says nothing of it (RFC 5682 §3.1 step 3). */
		if (!after(end, f->high_seq))
			n->original = 1;
		if (!n->rtt_us)
			n->seq_rtt_us = most(rtt, 1);
		n->rtt_us = most(rtt, 1);
		/* Below what was delivered before, and sent but once: the network reordered (RFC 8985 §6.2 step 3). */
		if (before(end, f->fack))
			n->reordered = 1;
	} else {
		n->resent = 1;
	}
	f->fack = later_of(f->fack, end);
	/* Delivery rate: the packet that was sent last counts. */
	if (!n->sampled || after(s->sent_us, n->sent_us)) {
		n->sampled = 1;
		n->prior_delivered = s->delivered;
		n->prior_us = s->delivered_us;
		n->first_us = s->first_us;
		n->sent_us = s->sent_us;
		f->first_us = s->sent_us;
	}
	/* RACK: the transmission that was sent last and arrived; a copy that "arrived" within the least RTT did not. */
	if (s->flags & SPAN_EVER && rtt < f->rtt.min_rtt)
		return;
	if (after(sent_us, f->rack_us) || (sent_us == f->rack_us && after(end, f->rack_end)) || !f->rack_rtt) {
		f->rack_us = sent_us;
		f->rack_end = end;
		f->rack_rtt = rtt + 1;
	}
}

/* Takes off what lies before `una`. */
noinline int board_ack(struct tcp_board *b NONNULL, struct tcp_flow *f NONNULL, struct tcp_news *n NONNULL, __u32 una,
		       __u32 now_us)
{
	while (can_loop) {
		struct tcp_span *s = span_at(b, 0);
		__u32 len;

		if (!b->count || !after(una, b->una))
			break;
		len = later_of(una, s->end) == una ? s->end - b->una : una - b->una;
		board_leave(b, s->flags, len);
		if (!(s->flags & SPAN_SACKED))
			board_learn(f, n, s, b->una + len, len, now_us);
		b->una += len;
		if (before(b->una, s->end))
			break;
		b->head++;
		b->count--;
	}
	/* Where it is empty it begins at the front: a short exchange touches one line of it. */
	if (!b->count)
		b->head = 0;
	b->una = una;
	return 0;
}

/* Notes that from … to arrived. Returns 1 when something was news. */
noinline int board_sack(struct tcp_board *b NONNULL, struct tcp_flow *f NONNULL, struct tcp_news *n NONNULL,
			const struct el_range *r NONNULL, __u32 now_us)
{
	__u32 start = b->una, had = n->sacked;

	if (board_edge(b, r->from) || board_edge(b, r->to)) {
		count(ScoreboardFull);
		return 0;
	}
	for (b->i = 0; can_loop; b->i++) {
		__u32 i = hidden(&b->i);
		struct tcp_span *s = span_at(b, i);
		__u32 len = s->end - start;

		if (i >= b->count || !before(start, r->to))
			break;
		if (!before(start, r->from) && !(s->flags & SPAN_SACKED)) {
			board_leave(b, s->flags, len);
			board_learn(f, n, s, s->end, len, now_us);
			s->flags = (s->flags & SPAN_EVER) | SPAN_SACKED;
			board_enter(b, s->flags, len);
			n->sacked += len;
		}
		start = s->end;
	}
	return n->sacked != had;
}

/*
 * RACK (RFC 8985 §6.2 step 5): what was sent before the latest delivered transmission, longer ago than the reordering
 * window, is lost. `n->hole_us` is when the next piece will be, if it does not arrive.
 */
noinline int board_rack(struct tcp_board *b NONNULL, struct tcp_flow *f NONNULL, struct tcp_news *n NONNULL,
			__u32 reo_us, __u32 now_us)
{
	__u32 start = b->una;

	n->hole_us = 0;
	for (b->i = 0; can_loop; b->i++) {
		__u32 i = hidden(&b->i);
		struct tcp_span *s = span_at(b, i);
		__u32 len = s->end - start;
		__s32 left;

		if (i >= b->count)
			break;
		start = s->end;
		if (s->flags & (SPAN_SACKED | SPAN_LOST))
			continue;
		if (!(before(s->sent_us, f->rack_us) || (s->sent_us == f->rack_us && before(s->end, f->rack_end))))
			continue;
		left = s->sent_us + f->rack_rtt - 1 + reo_us - now_us;
		if (left > 0) {
			n->hole_us = most(n->hole_us, left);
			continue;
		}
		if (s->flags & SPAN_RESENT)
			count(TCPLostRetransmit);
		board_leave(b, s->flags, len);
		s->flags = (s->flags & SPAN_EVER) | SPAN_LOST;
		board_enter(b, s->flags, len);
		n->lost += len;
	}
	return 0;
}

/* Takes everything before `upto` that did not arrive for lost. `forget`: what the peer had SACKed, too (it reneged). */
noinline int board_lose(struct tcp_board *b NONNULL, struct tcp_news *n NONNULL, __u32 upto, __u32 forget)
{
	__u32 start = b->una;

	if (board_must(b, upto))
		return 0;
	for (b->i = 0; can_loop; b->i++) {
		__u32 i = hidden(&b->i);
		struct tcp_span *s = span_at(b, i);
		__u32 len = s->end - start;

		if (i >= b->count || !before(start, upto))
			break;
		start = s->end;
		if (s->flags & SPAN_LOST || (s->flags & SPAN_SACKED && !forget))
			continue;
		board_leave(b, s->flags, len);
		s->flags = (s->flags & SPAN_EVER) | SPAN_LOST;
		board_enter(b, s->flags, len);
		n->lost += len;
	}
	return 0;
}

/* What was taken for lost and not sent again was not: a recovery was spurious. */
noinline int board_unlose(struct tcp_board *b NONNULL)
{
	for (b->i = 0; can_loop; b->i++) {
		__u32 i = hidden(&b->i);
		if (i >= b->count)
			break;
		span_at(b, i)->flags &= ~SPAN_LOST;
	}
	b->lost = 0;
	return 0;
}

/* The first lost piece. 0: there is none. */
noinline int board_next(struct tcp_board *b NONNULL, struct el_range *r NONNULL)
{
	__u32 start = b->una;

	if (!b->lost)
		return 0;
	for (b->i = 0; can_loop; b->i++) {
		__u32 i = hidden(&b->i);
		struct tcp_span *s = span_at(b, i);

		if (i >= b->count)
			break;
		if (s->flags & SPAN_LOST) {
			r->from = start;
			r->to = s->end;
			return 1;
		}
		start = s->end;
	}
	return 0;
}

/* Notes that from … to was sent again. -1: there is no room to note it, so it must not be. */
noinline int board_resend(struct tcp_board *b NONNULL, struct tcp_flow *f NONNULL, __u32 from, __u32 to, __u32 now_us)
{
	__u32 start = b->una;

	if (board_must(b, from) || board_must(b, to))
		return -1;
	b->at = 0;
	for (b->i = 0; can_loop; b->i++) {
		__u32 i = hidden(&b->i);
		struct tcp_span *s = span_at(b, i), *left = span_at(b, i - 1);
		__u32 len = s->end - start;

		if (i >= b->count || !before(start, to))
			break;
		if (!before(start, from)) {
			board_leave(b, s->flags, len);
			s->flags = SPAN_RESENT | SPAN_EVER;
			board_enter(b, s->flags, len);
			s->sent_us = now_us;
			s->delivered = f->delivered;
			s->delivered_us = f->delivered_us;
			s->first_us = f->first_us;
			if (i && fate_of(left) == fate_of(s) && left->sent_us == now_us)
				b->at = i;
		}
		start = s->end;
	}
	/* Segments of one burst are one span again. */
	if (!b->at || b->at >= b->count)
		return 0;
	span_at(b, b->at - 1)->end = span_at(b, b->at)->end;
	return board_shift(b, 0);
}
