/*
 * Data that arrives: trimmed to what is new and fits the window, placed in the receive ring where it belongs, holes and
 * all; and when that is to be acknowledged (RFC 9293 §3.10.7.4 seventh check, RFC 5681 §4.2, RFC 8257 §3.2).
 */
#pragma once
#include "ack.h"

/* What is said at once when data goes one way; Linux's TCP_MAX_QUICKACKS. */
#define QUICK_ACKS 16

static inline void ack_now(struct tcp_flow *f)
{
	owe(f, TODO_ACK);
}

/* An ACK that answers nothing useful: at most two a second for each connection, or an ACK storm feeds itself. 0: held back. */
static inline int may_answer(struct tcp_flow *f, __u64 now, enum tcp_count held_back)
{
	__u32 ms = MS(now);

	if (f->oow_ms && ms - f->oow_ms < 500 && !(f->opt.flags & TCP_OPT_NO_ACK_LIMIT)) {
		count(held_back);
		return 0;
	}
	f->oow_ms = ms ? ms : 1;
	ack_now(f);
	return 1;
}

/* To a segment that is out of window, or too old. */
static inline void ack_limited(struct tcp_flow *f, __u64 now)
{
	may_answer(f, now, TCPACKSkippedSeq);
}

/* To a segment that a stranger may have sent (RFC 5961): whoever it comes from must know more to do harm. */
static inline void challenge_ack(struct tcp_flow *f, __u64 now)
{
	if (may_answer(f, now, TCPACKSkippedChallenge))
		count(TCPChallengeACK);
}

/* Reports a duplicate with the next ACK (RFC 2883). */
static inline void report_duplicate(struct tcp_flow *f, __u32 from, __u32 to)
{
	if (!(f->flags & FLOW_SACK) || f->opt.flags & TCP_OPT_NO_DSACK)
		return;
	count(TCPDSACKOldSent);
	f->dsack_from = from;
	f->dsack_to = to;
}

/* ECN of an arriving data segment: what our ACKs echo. */
static inline void ecn_input(struct tcp_flow *f, const struct tcp_segment *s)
{
	__u32 ce = s->ecn == ECN_CE;

	if (!(f->flags & FLOW_ECN))
		return;
	if (f->cc.flags & EL_CC_DCTCP_ECHO) {
		/* RFC 8257 §3.2: where CE begins or ends, what came before is acked as it was. */
		if (ce == !!(f->flags & FLOW_CE_LAST))
			return;
		if (f->unacked && f->marks < TCP_ACK_MARKS) {
			f->mark[f->marks & (TCP_ACK_MARKS - 1)].ack = f->rcv_nxt;
			f->mark[f->marks & (TCP_ACK_MARKS - 1)].ece = !ce;
			f->marks++;
		}
		f->flags ^= FLOW_CE_LAST;
		ack_now(f);
		return;
	}
	if (s->flags & TCP_CWR)
		f->flags &= ~FLOW_ECE;
	if (ce) {
		if (!(f->flags & FLOW_ECE) && f->quick < 2)
			f->quick = 2;
		f->flags |= FLOW_ECE;
	}
}

/* Data that came in order: acknowledged now, or soon, or with our own data. */
static inline void ack_policy(struct tcp_flow *f, __u32 len, __u64 now)
{
	f->unacked += len;
	if (f->todo & TODO_ACK)
		return;
	if (f->quick && !(f->flags & FLOW_PINGPONG)) {
		f->quick--;
		ack_now(f);
	} else if (f->unacked > f->rcv_mss || f->opt.flags & TCP_OPT_NO_DELACK || f->ooo.count) {
		ack_now(f);
	} else if (!f->due_ns[TIMER_DELACK]) {
		due(f, TIMER_DELACK, now + TCP_DEFAULT(f->opt.delack_us, 40000) * NS_PER_US);
	}
}

/* The urgent pointer as Linux takes it: the byte before it is urgent (tcp_stdurg = 0), the last one said counts. */
static inline void urgent_input(struct tcp_flow *f, const struct tcp_segment *s)
{
	__u32 up = s->seq + s->urgent - 1;

	if (!(s->flags & TCP_URG) || !s->urgent || before(up, f->rcv_nxt))
		return;
	/* One that was passed long ago is behind us, wherever its number stands by now. */
	if (f->flags & FLOW_URGENT_IN && f->rcv_up - f->rcv_nxt < most(f->rcv_adv - f->rcv_nxt, 65536) &&
	    !after(up, f->rcv_up))
		return;
	f->flags |= FLOW_URGENT_IN;
	f->rcv_up = up;
	el_stream_event(f->id, EL_EV_URG);
}

/* Beyond a hole: kept in place, reported by SACK. */
static inline void out_of_order(struct tcp_flow *f, __u32 from, __u32 to)
{
	struct el_range twice = {};

	/* A peer without SACK counts our ACKs: each segment gets its own (RFC 5681 §4.2). */
	if (!(f->flags & FLOW_SACK) && f->todo & TODO_ACK && f->repeats < 64)
		f->repeats++;
	ack_now(f);
	if (el_intervals_overlap(&f->ooo, from, to, &twice) > 0)
		report_duplicate(f, twice.from, twice.to);
	if (el_intervals_add(&f->ooo, from, to) < 0) {
		count(TCPOFODrop);
		return;
	}
	count(TCPOFOQueue);
	if (f->quick < QUICK_ACKS)
		f->quick = QUICK_ACKS;
}

/* Takes the payload in. Returns 1 when the peer's FIN is next. */
noinline int tcp_data(struct xdp_md *ctx, struct tcp_flow *f NONNULL, struct tcp_segment *s NONNULL)
{
	__u32 seq = s->seq, end = s->seq + s->len, off = s->payload, more;
	int fin = s->flags & TCP_FIN;

	if (before(seq, f->rcv_nxt)) {
		__u32 cut = f->rcv_nxt - seq;

		/* Nothing new in it: the peer missed our ACK, so it gets one, with a DSACK. */
		if (!after(s->end, f->rcv_nxt)) {
			if (s->len)
				report_duplicate(f, seq, end);
			ack_now(f);
			return 0;
		}
		report_duplicate(f, seq, f->rcv_nxt);
		if (cut > s->len)
			cut = s->len;
		seq += cut;
		off += cut;
	}
	if (after(end, f->rcv_adv)) {
		end = later_of(seq, f->rcv_adv);
		fin = 0;
		ack_now(f);
	}
	if (fin && !(f->flags & FLOW_FIN_SEEN)) {
		f->fin_seq = end;
		f->flags |= FLOW_FIN_SEEN;
	}
	/* Nothing comes after a FIN. */
	if (f->flags & FLOW_FIN_SEEN && after(end, f->fin_seq))
		end = later_of(seq, f->fin_seq);
	if (after(end, seq)) {
		__u32 len = end - seq;

		ecn_input(f, s);
		if (el_stream_place(ctx, off, f->id, seq - f->irs - 1, len) < 0) {
			count(TCPRcvQDrop);
			/* The ring may have been made smaller than was said: memory was in small pieces. */
			f->rcv_size = el_stream_rcv_size(f->id, 0);
			ack_now(f);
			return 0;
		}
		if (len > f->rcv_mss || s->len >= 536)
			f->rcv_mss = least(s->len, 65535);
		if (seq != f->rcv_nxt) {
			out_of_order(f, seq, end);
			return 0;
		}
		f->rcv_nxt = end;
		f->bytes_received += len;
		if (f->ooo.count) {
			more = el_intervals_trim(&f->ooo, end);
			f->rcv_nxt += more;
			f->bytes_received += more;
			ack_now(f);
		}
		el_stream_received(f->id, f->rcv_nxt - f->irs - 1);
		right_size(f, s->tsecr, s->now);
		ack_policy(f, len, s->now);
	} else if ((s->len || s->flags & TCP_FIN) && seq != f->rcv_nxt) {
		ack_now(f);
	}
	return f->flags & FLOW_FIN_SEEN && f->rcv_nxt == f->fin_seq;
}
