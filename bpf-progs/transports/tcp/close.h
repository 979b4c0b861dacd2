/*
 * The end of a connection: FINs in every order, resets, TIME_WAIT without a flow, and letting go.
 *
 *   ESTABLISHED ─ our FIN ─▶ FIN_WAIT1 ─ acked ─▶ FIN_WAIT2 ─ their FIN ─▶ TIME_WAIT
 *        │                       └─ their FIN ─▶ CLOSING ─ acked ─▶ TIME_WAIT
 *        └─ their FIN ─▶ CLOSE_WAIT ─ our FIN ─▶ LAST_ACK ─ acked ─▶ CLOSE
 */
#pragma once
#include "input.h"

#define TIMEWAIT_NS (60 * NS_PER_S)

static inline void key4_of(const struct tcp_flow *f, struct tcp_key4 *k)
{
	k->remote = f->remote[0];
	k->local = f->local[0];
	k->rport = f->rport;
	k->lport = f->lport;
}

static inline void key6_of(const struct tcp_flow *f, struct tcp_key6 *k)
{
	memcpy(k->remote, f->remote, sizeof(k->remote));
	memcpy(k->local, f->local, sizeof(k->local));
	k->rport = f->rport;
	k->lport = f->lport;
}

/* Enters the flow in its connection table. 0, or what the map says: the tuple is taken, the table full. */
noinline int tcp_enlist(struct tcp_flow *f NONNULL)
{
	__u32 entry = entry_of(f->id);

	if (f->family == AF_INET) {
		struct tcp_key4 k;

		key4_of(f, &k);
		return bpf_map_update_elem(&tcp4, &k, &entry, BPF_NOEXIST);
	} else {
		struct tcp_key6 k;

		key6_of(f, &k);
		return bpf_map_update_elem(&tcp6, &k, &entry, BPF_NOEXIST);
	}
}

/* Takes the flow off its table, where another may stand in its place. 1: it was there. */
noinline int tcp_unlist(struct tcp_flow *f NONNULL)
{
	__u32 *entry;

	if (f->family == AF_INET) {
		struct tcp_key4 k;

		key4_of(f, &k);
		entry = bpf_map_lookup_elem(&tcp4, &k);
		return entry && *entry == entry_of(f->id) && !bpf_map_delete_elem(&tcp4, &k);
	} else {
		struct tcp_key6 k;

		key6_of(f, &k);
		entry = bpf_map_lookup_elem(&tcp6, &k);
		return entry && *entry == entry_of(f->id) && !bpf_map_delete_elem(&tcp6, &k);
	}
}

/*
 * A handshake that was counted among those under way is not any more. A lane that dies here counts one twice, at most:
 * then its listener has room for one more than it should, never for less.
 */
static inline void opened(struct tcp_flow *f)
{
	__u32 slot = f->listener - 1;
	struct tcp_backlog *b;

	if (!(f->flags & FLOW_OPENING))
		return;
	b = bpf_map_lookup_elem(&tcp_backlogs, &slot);
	if (b)
		__sync_fetch_and_add(&b->opening, -1);
	f->flags &= ~FLOW_OPENING;
}

/* What the end of a connection takes, in an order that may be begun anew. */
noinline int tcp_end(struct tcp_flow *f NONNULL)
{
	__u32 i;

	tcp_unlist(f);
	opened(f);
	f->state = TCP_CLOSE;
	f->todo = 0;
	f->xmit = XMIT_NONE;
	for (i = 0; i < TCP_TIMERS; i++)
		f->due_ns[i] = 0;
	/* Nobody was told of a connection that was never established. */
	if (!(f->flags & FLOW_PASSIVE) || f->flags & FLOW_ACCEPTED)
		el_stream_event(f->id, EL_EV_HUP | (f->error ? EL_EV_ERR : 0));
	/* From here on it may be another connection's. */
	return el_stream_free(f->id);
}

/*
 * The connection is over. Whoever knows of it is told; the stream is given back, and is free when the application lets go.
 * Until it is another connection's, the flow shows how it ended.
 */
noinline int tcp_done(struct tcp_flow *f NONNULL, __s32 error)
{
	if (f->state == TCP_CLOSE)
		return 0;
	if (error && !f->error)
		f->error = error;
	f->flags |= FLOW_ENDING;
	return tcp_end(f);
}

/* TIME_WAIT: 60 s in a table of its own; the flow is through. */
noinline int tcp_time_wait(struct tcp_flow *f NONNULL, __u64 now)
{
	struct tcp_timewait t = {};
	struct tcp_key6 k;

	key6_of(f, &k);
	t.until_ns = now + TIMEWAIT_NS;
	t.rcv_nxt = f->rcv_nxt;
	t.snd_nxt = f->snd_nxt;
	t.rcv_wnd = most(f->rcv_adv - f->rcv_nxt, 1) >> (f->rcv_wscale & 15);
	t.ts_recent = f->ts_recent;
	t.ts_offset = f->ts_offset;
	t.flags = f->flags & FLOW_TIMESTAMPS;
	bpf_map_update_elem(&tcp_timewaits, &k, &t, BPF_ANY);
	count(TCPTimeWait);
	return 0;
}

/* The peer's FIN is next in order. */
noinline int tcp_fin(struct tcp_flow *f NONNULL)
{
	if (!IN_STATE(f, RECEIVING))
		return 0;
	f->rcv_nxt++;
	el_stream_event(f->id, EL_EV_HUP);
	switch (f->state) {
	case TCP_ESTABLISHED:
		f->state = TCP_CLOSE_WAIT;
		ack_now(f);
		break;
	case TCP_FIN_WAIT1:
		f->state = TCP_CLOSING;
		ack_now(f);
		break;
	default: /* FIN_WAIT2: the last ACK goes out first, see gen.h */
		f->state = TCP_TIME_WAIT;
		ack_now(f);
	}
	return 0;
}

/* Our FIN was acked. */
noinline int tcp_fin_acked(struct tcp_flow *f NONNULL, __u64 now)
{
	switch (f->state) {
	case TCP_FIN_WAIT1:
		f->state = TCP_FIN_WAIT2;
		if (f->flags & FLOW_ORPHAN)
			due(f, TIMER_LIFE, now + TCP_DEFAULT(f->opt.fin_timeout_ms, 60000) * NS_PER_MS);
		break;
	case TCP_CLOSING:
		tcp_time_wait(f, now);
		tcp_done(f, 0);
		break;
	case TCP_LAST_ACK:
		tcp_done(f, 0);
		break;
	}
	return 0;
}

/* A RST that is to be believed. */
noinline int tcp_reset(struct tcp_flow *f NONNULL)
{
	__s32 error = 104; /* ECONNRESET */

	if (f->state == TCP_SYN_SENT || f->state == TCP_SYN_RECV) {
		error = 111; /* ECONNREFUSED */
		count(AttemptFails);
	} else {
		if (f->state == TCP_CLOSE_WAIT)
			error = 32; /* EPIPE, as Linux says */
		count(EstabResets);
	}
	return tcp_done(f, error);
}

/* The application wants no more: FIN after what is in the send ring. */
static inline void shut(struct tcp_flow *f)
{
	if (f->flags & FLOW_FIN_QUEUED)
		return;
	f->snd_fin = write_seq(f);
	f->flags |= FLOW_FIN_QUEUED;
	if (f->state == TCP_ESTABLISHED || f->state == TCP_SYN_RECV)
		f->state = f->state == TCP_ESTABLISHED ? TCP_FIN_WAIT1 : f->state;
	else if (f->state == TCP_CLOSE_WAIT)
		f->state = TCP_LAST_ACK;
}
