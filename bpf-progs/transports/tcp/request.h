/* What the application asked for: connect, shut down, close, abort, other options. Taken in by GEN, in the flow's lane. */
#pragma once
#include "mend.h"
#include "pace.h"

/* CONNECT: the flow is filled from what the control plane wrote, the SYN is owed. */
noinline int tcp_connect(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, const struct tcp_control *c NONNULL,
			 __u32 id, __u64 now)
{
	struct tcp_hand *h = hand();

	/* A lane that dies before the flow is in hand leaves one that is over, or none: it is asked to connect again. */
	tcp_clear(f, b);
	if (h)
		h->id = id;
	f->family = c->family;
	memcpy(f->local, c->local, sizeof(f->local));
	memcpy(f->remote, c->remote, sizeof(f->remote));
	f->lport = c->lport;
	f->rport = c->rport;
	f->ifindex = c->ifindex;
	f->app = c->app;
	tcp_prepare(f, id, &c->opt, now);
	b->una = f->snd_una;
	f->state = TCP_SYN_SENT;
	if (tcp_enlist(f))
		return tcp_done(f, 98 /* EADDRINUSE */);
	el_stream_route(id, f->ifindex, TCP_TRANSPORT);
	count(ActiveOpens);
	f->todo = TODO_SYN;
	return 0;
}

/* Options of a live connection. */
noinline int tcp_set_options(struct tcp_flow *f NONNULL, const struct tcp_control *c NONNULL, __u64 now)
{
	__u32 before_flags = f->opt.flags;

	f->opt = c->opt;
	/* Not before its byte is written: that may still wait for its ring. The count last: a lane that dies is asked again. */
	if (c->urgents != f->urgents && !after(f->iss + 1 + c->urgent, write_seq(f))) {
		f->snd_up = f->iss + 1 + c->urgent;
		if (before(f->snd_up, f->snd_una))
			f->snd_up = write_seq(f);
		f->flags |= FLOW_URGENT_OUT;
		f->urgents = c->urgents;
	}
	if (!IN_STATE(f, SENDING | S(FIN_WAIT2)))
		return 0;
	control_by(f, c->opt.algorithm);
	pace_anew(f, now);
	mss_sync(f);
	if (f->opt.flags & TCP_OPT_KEEPALIVE) {
		if (!(before_flags & TCP_OPT_KEEPALIVE))
			f->rcv_ns = now;
		due(f, TIMER_LIFE, f->rcv_ns + TCP_DEFAULT(f->opt.keep_idle_ms, 7200000) * NS_PER_MS);
	} else if (f->state != TCP_FIN_WAIT2) {
		never(f, TIMER_LIFE);
	}
	return 0;
}

/* Reset by our own side: a RST, then nothing. */
static inline void abort_flow(struct tcp_flow *f, __s32 error)
{
	if (f->state == TCP_SYN_SENT) {
		tcp_done(f, error);
		return;
	}
	f->error = error;
	owe(f, TODO_RST);
}

/* The application is done with the stream (close(2)). */
static inline void close_flow(struct tcp_flow *f, __u64 now)
{
	f->flags |= FLOW_ORPHAN;
	switch (f->state) {
	case TCP_SYN_SENT:
		tcp_done(f, 0);
		return;
	case TCP_TIME_WAIT:
		return;
	}
	/* Unread data is lost to the peer's knowledge: RST says so (RFC 2525 §2.17). */
	if (f->state != TCP_SYN_RECV && el_stream_unread(f->id)) {
		count(TCPAbortOnData);
		owe(f, TODO_RST);
		return;
	}
	shut(f);
	if (f->state == TCP_FIN_WAIT2)
		due(f, TIMER_LIFE, now + TCP_DEFAULT(f->opt.fin_timeout_ms, 60000) * NS_PER_MS);
}

noinline int tcp_requests(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, __u32 id, __u32 asked, __u64 now)
{
	struct tcp_control *c = bpf_map_lookup_elem(&tcp_control, &id);

	if (!c)
		return 0;
	if (asked & EL_REQ_CONNECT && (f->state == TCP_FREE || f->state == TCP_CLOSE))
		tcp_connect(f, b, c, id, now);
	if (f->state == TCP_FREE || f->state == TCP_CLOSE) {
		/* Opened, and never connected. */
		if (asked & (EL_REQ_CLOSE | EL_REQ_ABORT))
			el_stream_free(id);
		return 0;
	}
	if (asked & EL_REQ_REVIVED)
		tcp_revive(f, now);
	if (asked & EL_REQ_OPTIONS)
		tcp_set_options(f, c, now);
	if (asked & EL_REQ_ABORT) {
		f->flags |= FLOW_ORPHAN;
		abort_flow(f, 103 /* ECONNABORTED */);
		return 0;
	}
	if (asked & EL_REQ_SHUTDOWN)
		shut(f);
	if (asked & EL_REQ_CLOSE)
		close_flow(f, now);
	return 0;
}
