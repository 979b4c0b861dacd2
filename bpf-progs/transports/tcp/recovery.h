/*
 * What losses and marks do to the window: congestion states, PRR (RFC 6937), NewReno without SACK (RFC 6582), F-RTO
 * (RFC 5682), and undoing what was spurious (Eifel by timestamps, RFC 3522; by DSACKs, RFC 3708).
 *
 *   OPEN ⇄ DISORDER ─ lost ─▶ RECOVERY ─ high_seq acked ─▶ OPEN
 *     └─ ECE ─▶ CWR ──────────▲    any ─ RTO ─▶ LOSS ─ high_seq acked, or spurious ─▶ OPEN
 */
#pragma once
#include "pmtu.h"

static inline int own_recovery(const struct tcp_flow *f)
{
	return f->cc.flags & EL_CC_OWN_RECOVERY;
}

/* Tells congestion control. `n->cc` is the lane's one event. */
noinline int cc_tell(struct tcp_flow *f NONNULL, struct tcp_news *n NONNULL, __u32 kind, __u32 flags, __u64 now)
{
	struct el_cc_event *e = &n->cc;

	e->kind = kind;
	e->flags = flags;
	e->una = f->snd_una;
	e->nxt = f->snd_nxt;
	e->srtt_us = f->rtt.srtt;
	e->min_rtt_us = f->rtt.min_rtt;
	e->now_ns = now;
	if (kind != EL_CC_ACK) {
		e->in_flight = f->snd_nxt - f->snd_una;
		e->acked = e->marked = e->lost = e->rtt_us = e->interval_us = e->delivered = e->prior_delivered = 0;
	}
	return el_cc_event(&f->cc, e);
}

/* Bytes that may be in flight. */
static inline __u32 cwnd_of(const struct tcp_flow *f)
{
	if ((f->ca == TCP_CA_CWR || f->ca == TCP_CA_RECOVERY) && !own_recovery(f))
		return f->prr_cwnd;
	return f->cc.cwnd;
}

static inline void undo_init(struct tcp_flow *f)
{
	f->undo_marker = f->snd_una ? f->snd_una : 1;
	f->undo_retrans = 0;
	f->retrans_ts = 0;
}

/* The window is to come down: for a loss, or for a mark. */
noinline int tcp_enter(struct tcp_flow *f NONNULL, struct tcp_news *n NONNULL, __u32 ca, __u32 flags, __u64 now)
{
	if (f->ca != TCP_CA_CWR) {
		undo_init(f);
		cc_tell(f, n, EL_CC_ENTER, flags, now);
		f->prr_delivered = 0;
		f->prr_out = 0;
		f->recover_fs = most(f->snd_nxt - f->snd_una, 1);
		f->prr_cwnd = n->prior_flight;
		if (f->flags & FLOW_ECN)
			f->flags |= FLOW_CWR;
	} else {
		/* The window came down for marks, too: no spurious loss takes that back. */
		f->undo_marker = 0;
	}
	f->high_seq = f->snd_nxt;
	f->ca = ca;
	if (ca == TCP_CA_RECOVERY) {
		count(f->flags & FLOW_SACK ? TCPSackRecovery : TCPRenoRecovery);
		f->todo |= TODO_FORCE;
	}
	return 0;
}

/* Proportional rate reduction: so many bytes for what was delivered. */
static inline void prr_step(struct tcp_flow *f, struct tcp_board *b, struct tcp_news *n)
{
	__u32 pipe = pipe_of(f, b), ssthresh = f->cc.ssthresh, delivered = n->delivered, may;

	/* Without SACK a duplicate ACK stands for a segment. */
	if (!(f->flags & FLOW_SACK) && !n->una_moved)
		delivered = f->mss;
	if (!delivered)
		return;
	f->prr_delivered += delivered;
	if (pipe > ssthresh) {
		__u32 due_out = ((__u64)f->prr_delivered * ssthresh + f->recover_fs - 1) / most(f->recover_fs, 1);

		may = due_out > f->prr_out ? due_out - f->prr_out : 0;
	} else {
		may = f->prr_delivered > f->prr_out ? f->prr_delivered - f->prr_out : 0;
		/* Slow start while nothing more is lost, else packet conservation. */
		may = most(may, delivered);
		if (n->una_moved && !n->lost)
			may += f->mss;
		may = least(ssthresh - pipe, may);
	}
	/* A segment at least for the fast retransmission. */
	if (!f->prr_out)
		may = most(may, f->mss);
	f->prr_cwnd = pipe + may;
}

/* The retransmission was not needed: all copies were reported as duplicates, or the ACK echoes what was sent first. */
static inline int may_undo(const struct tcp_flow *f, const struct tcp_segment *s, const struct tcp_news *n)
{
	if (!f->undo_marker || !f->retrans_ts)
		return 0;
	if (!f->undo_retrans)
		return 1;
	/* Only an ACK that moves echoes what filled the hole. */
	return n->una_moved && f->flags & FLOW_TIMESTAMPS && s->timestamps && s->tsecr && before(s->tsecr, f->retrans_ts);
}

static inline void undo(struct tcp_flow *f, struct tcp_board *b, struct tcp_news *n, __u64 now)
{
	count(!f->undo_retrans ? TCPDSACKUndo : TCPFullUndo);
	if (f->ca == TCP_CA_LOSS)
		count(TCPSpuriousRTOs);
	board_unlose(b);
	cc_tell(f, n, EL_CC_UNDO, 0, now);
	f->undo_marker = 0;
	f->flags &= ~FLOW_FRTO;
	f->ca = TCP_CA_OPEN;
}

static inline void leave(struct tcp_flow *f, struct tcp_news *n, __u64 now)
{
	if (f->ca != TCP_CA_LOSS)
		cc_tell(f, n, EL_CC_LEAVE, 0, now);
	reo_recovered(f);
	f->undo_marker = 0;
	f->flags &= ~FLOW_FRTO;
	f->ca = TCP_CA_OPEN;
}

/* F-RTO (RFC 5682 §3.1): does this ACK show that the timeout was spurious, or that it was not? */
static inline void frto(struct tcp_flow *f, struct tcp_board *b, struct tcp_segment *s, struct tcp_news *n)
{
	if (!(f->flags & FLOW_FRTO))
		return;
	if (n->original && !n->resent && f->undo_marker) {
		f->undo_retrans = 1;
		undo(f, b, n, s->now);
	} else if (after(f->snd_nxt, f->high_seq)) {
		if (n->sacked || !n->una_moved)
			f->flags &= ~FLOW_FRTO;
	} else if (n->una_moved) {
		f->high_seq = f->snd_nxt; /* new data is sent before any more of the old: see gen.h */
	} else {
		f->flags &= ~FLOW_FRTO;
	}
}

/* All of the last recovery was acked (RFC 6582 §3.2 step 1): it ended outside of what is in flight, however long ago. */
static inline int recovered(const struct tcp_flow *f)
{
	return f->high_seq - f->snd_una > f->snd_nxt - f->snd_una;
}

/* Goes through the states after an ACK was noted on the board. */
noinline int tcp_recover(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, struct tcp_segment *s NONNULL,
			 struct tcp_news *n NONNULL)
{
	__u32 ece = s->flags & TCP_ECE && f->flags & FLOW_ECN, sack = f->flags & FLOW_SACK;

	reo_adapt(f, n);
	if (!sack) {
		/* One of the segments that an ACK covers filled the hole, the others had been counted (RFC 6582 §3.2). */
		__u32 counted = n->delivered / most(f->mss, 1);

		if (n->una_moved)
			f->dupacks -= f->ca == TCP_CA_RECOVERY && counted ? least(f->dupacks, counted - 1) : f->dupacks;
		else if (f->dupacks >= DUP_THRESH && f->ca <= TCP_CA_CWR && recovered(f))
			board_lose(b, n, f->snd_una + least(f->mss, f->snd_nxt - f->snd_una), 0);
	}
	if (sack && (b->sacked || f->ca >= TCP_CA_RECOVERY))
		tcp_rack(f, b, n, s->now);

	/* CWR is held until something sent after it is acked: only then has the peer seen it (RFC 3168 §6.1.2). */
	if (f->ca >= TCP_CA_CWR && n->una_moved &&
	    (f->ca == TCP_CA_CWR ? after(f->snd_una, f->high_seq) : !before(f->snd_una, f->high_seq))) {
		if (f->ca != TCP_CA_CWR && may_undo(f, s, n))
			undo(f, b, n, s->now);
		else
			leave(f, n, s->now);
	} else if (f->ca == TCP_CA_RECOVERY) {
		if (may_undo(f, s, n))
			undo(f, b, n, s->now);
		else if (!sack && n->una_moved) {
			/* A partial ACK: what follows is lost, too, and goes at once (RFC 6582 §3.2 step 3). */
			board_lose(b, n, f->snd_una + least(f->mss, f->snd_nxt - f->snd_una), 0);
			f->todo |= TODO_FORCE;
		}
	} else if (f->ca == TCP_CA_LOSS) {
		if (may_undo(f, s, n))
			undo(f, b, n, s->now);
		else
			frto(f, b, s, n);
	}
	if (ece && f->ca < TCP_CA_CWR)
		tcp_enter(f, n, TCP_CA_CWR, EL_CC_F_ECE, s->now);
	f->lost += n->lost;
	if (b->lost && f->ca < TCP_CA_RECOVERY && !mtu_excuses(f, b, n))
		tcp_enter(f, n, TCP_CA_RECOVERY, 0, s->now);
	if (f->ca == TCP_CA_OPEN && (b->sacked || f->dupacks))
		f->ca = TCP_CA_DISORDER;
	else if (f->ca == TCP_CA_DISORDER && !b->sacked && !f->dupacks)
		f->ca = TCP_CA_OPEN;
	if ((f->ca == TCP_CA_CWR || f->ca == TCP_CA_RECOVERY) && !own_recovery(f))
		prr_step(f, b, n);
	return 0;
}

/* The retransmission timer went off (RFC 6298 §5, RFC 5681 §3.1). */
noinline int tcp_loss(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, struct tcp_news *n NONNULL, __u64 now)
{
	__u32 fresh = f->ca < TCP_CA_LOSS || !before(f->snd_una, f->high_seq);
	__u32 reneged = b->count && span_at(b, 0)->flags & SPAN_SACKED;
	/* The window comes down for marks: that this timeout was spurious does not take it back (RFC 3168 §6.1.2). */
	__u32 marked = f->ca == TCP_CA_CWR || (f->ca == TCP_CA_RECOVERY && !f->undo_marker);

	count(TCPTimeouts);
	if (reneged)
		count(TCPSACKReneging);
	n->lost = 0;
	if (fresh)
		undo_init(f);
	if (marked)
		f->undo_marker = 0;
	/* Nobody has answered a probe that says more than this. */
	f->flags &= ~(FLOW_TLP | FLOW_TLP_RETRANS | FLOW_FRTO | FLOW_MTU_LOST);
	if (f->flags & FLOW_MTU_PROBE && f->snd_una == f->probe_from)
		mtu_probe_failed(f);
	f->flags &= ~FLOW_MTU_PROBE;
	if (fresh && f->flags & FLOW_SACK && !reneged && !(f->opt.flags & TCP_OPT_NO_FRTO))
		f->flags |= FLOW_FRTO;
	cc_tell(f, n, EL_CC_RTO, fresh ? 0 : EL_CC_F_AGAIN, now);
	board_lose(b, n, f->snd_nxt, reneged);
	f->lost += n->lost;
	f->dupacks = 0;
	f->high_seq = f->snd_nxt;
	f->ca = TCP_CA_LOSS;
	if (f->flags & FLOW_ECN)
		f->flags |= FLOW_CWR;
	f->todo |= TODO_FORCE;
	return 0;
}
