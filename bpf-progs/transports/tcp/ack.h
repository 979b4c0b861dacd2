/* The acknowledgment of a segment (RFC 9293 §3.10.7.4, fifth check): what it delivers, the window, congestion control. */
#pragma once
#include "pace.h"
#include "size.h"

enum tcp_ack_result {
	ACK_OK,
	ACK_OLD,       /* before what was acked: nothing to learn */
	ACK_CHALLENGE, /* so old that it is forged (RFC 5961 §5.2) */
	ACK_FUTURE,    /* of what was never sent */
};

/* Delivery rate of the ACK (draft-cheng-iccrg-delivery-rate-estimation): the slower of sending and acking. */
static inline void rate_sample(struct tcp_flow *f, struct tcp_news *n, __u32 now_us)
{
	struct el_cc_event *e = &n->cc;
	__u32 send_us, ack_us;

	e->delivered = 0;
	e->interval_us = 0;
	e->prior_delivered = n->prior_delivered;
	if (n->delivered)
		f->delivered_us = now_us;
	if (!n->sampled)
		return;
	send_us = n->sent_us - n->first_us;
	ack_us = now_us - n->prior_us;
	e->delivered = f->delivered - n->prior_delivered;
	e->interval_us = most(send_us, ack_us);
	if (e->interval_us < f->rtt.min_rtt)
		e->interval_us = 0;
}

static inline void tell_ack(struct tcp_flow *f, struct tcp_segment *s, struct tcp_news *n)
{
	struct el_cc_event *e = &n->cc;
	__u32 flags = 0;

	rate_sample(f, n, US(s->now));
	e->acked = n->delivered;
	e->marked = s->flags & TCP_ECE && f->flags & FLOW_ECN ? n->delivered : 0;
	e->lost = n->lost;
	e->in_flight = n->prior_flight;
	e->rtt_us = n->rtt_us;
	if (f->flags & FLOW_CWND_LIMITED)
		flags |= EL_CC_F_CWND_LIMITED;
	/* What was SACKed beyond a hole may be followed by a loss: the window waits. */
	if (f->ca == TCP_CA_CWR || f->ca == TCP_CA_RECOVERY || (!n->una_moved && !(f->flags & FLOW_REORDERING)))
		flags |= EL_CC_F_RECOVERY;
	if (f->app_limited) {
		if (after(f->delivered, f->app_limited))
			f->app_limited = 0;
		else
			flags |= EL_CC_F_APP_LIMITED;
	}
	cc_tell(f, n, EL_CC_ACK, flags, s->now);
	send_room(f);
	if (e->marked)
		count(TCPDeliveredCE);
}

/* A tail loss probe was answered: had it repaired a loss, the window comes down as for any (RFC 8985 §7.4). */
static inline void tlp_answered(struct tcp_flow *f, struct tcp_segment *s, struct tcp_news *n)
{
	if (!(f->flags & FLOW_TLP) || before(s->ack, f->tlp_seq))
		return;
	if (!(f->flags & FLOW_TLP_RETRANS) || n->dsack) {
		f->flags &= ~(FLOW_TLP | FLOW_TLP_RETRANS);
	} else if (after(s->ack, f->tlp_seq)) {
		f->flags &= ~(FLOW_TLP | FLOW_TLP_RETRANS);
		count(TCPLossProbeRecovery);
		if (f->ca < TCP_CA_CWR) {
			tcp_enter(f, n, TCP_CA_CWR, 0, s->now);
			leave(f, n, s->now);
		}
	} else if (!n->una_moved && !s->sacks && !s->len) {
		f->flags &= ~(FLOW_TLP | FLOW_TLP_RETRANS);
	}
}

/* Takes the send window from a segment that is not older than the last that was (RFC 9293: SND.WL1). */
static inline int window_update(struct tcp_flow *f, const struct tcp_segment *s)
{
	/* The window of a SYN is never scaled (RFC 7323 §2.2). */
	__u32 wnd = (__u32)s->window << (s->flags & TCP_SYN ? 0 : f->snd_wscale & 15), had = f->snd_wnd;

	/* Of the same place the wider one, which is newer; and one that shuts, as it is probed until it opens. */
	if (!after(s->ack, f->snd_una) && !after(s->seq, f->snd_wl1) &&
	    !(s->seq == f->snd_wl1 && (wnd > f->snd_wnd || !wnd)))
		return 0;
	f->snd_wnd = wnd;
	f->snd_wl1 = s->seq;
	f->max_wnd = most(f->max_wnd, wnd);
	return wnd != had;
}

noinline int tcp_ack(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, struct tcp_segment *s NONNULL,
		     struct tcp_news *n NONNULL)
{
	__u32 una = f->snd_una, moved = s->ack - una, changed, data_end;

	memset(n, 0, offsetof(struct tcp_news, cc));
	if (before(s->ack, una))
		return before(s->ack, una - most(f->max_wnd, f->mss)) ? ACK_CHALLENGE : ACK_OLD;
	if (after(s->ack, f->snd_nxt))
		return ACK_FUTURE;
	n->prior_flight = pipe_of(f, b);
	n->una_moved = moved != 0;
	changed = window_update(f, s);
	f->probes = 0;
	if (moved) {
		f->snd_una = s->ack;
		f->retries = 0;
		f->backoff = 0;
		f->stuck_ns = s->now;
		f->bytes_acked += moved;
		board_ack(b, f, n, s->ack, US(s->now));
		data_end = write_seq(f);
		el_stream_acked(f->id, (after(s->ack, data_end) ? data_end : s->ack) - f->iss - 1);
		if (before(f->snd_sml, s->ack))
			f->snd_sml = s->ack;
		if (f->flags & FLOW_URGENT_OUT && !before(s->ack, f->snd_up))
			f->flags &= ~FLOW_URGENT_OUT;
		mtu_probe_answered(f, s->now);
	} else if (changed && f->snd_nxt == una && !window_holds(f)) {
		/* The back-off was that of window probes: what goes now is not late. */
		f->backoff = 0;
	} else if (!(f->flags & FLOW_SACK) && !changed && !s->len && f->snd_nxt != una &&
		   !(s->flags & (TCP_SYN | TCP_FIN)) && f->dupacks < 255) {
		f->dupacks++;
	}
	if (s->sacks && f->flags & FLOW_SACK)
		tcp_sack(f, b, s, n);
	/* Most ACKs: nothing is missing. */
	if (f->ca != TCP_CA_OPEN || b->sacked || f->dupacks || n->dsack || s->flags & TCP_ECE || n->reordered)
		tcp_recover(f, b, s, n);
	tlp_answered(f, s, n);
	if (n->delivered) {
		tcp_rtt(f, n, s);
		tell_ack(f, s, n);
	}
	/* RFC 6298 §5.3: a fresh timer for what is in flight still. RACK's own timer stays. */
	if (moved || n->sacked || f->xmit == XMIT_PERSIST || changed)
		if (!n->hole_us)
			tcp_rearm(f, b, s->now);
	if ((b->lost || after(write_seq(f), f->snd_nxt) || f->flags & FLOW_FIN_QUEUED) && !pace_waits(f, s->now))
		el_ready(f->id);
	return ACK_OK;
}
