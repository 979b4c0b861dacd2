/*
 * How connections begin (RFC 9293 §3.5): listeners, SYN_RECV, SYN_SENT, simultaneous open, what options are agreed on.
 * A flow is made by the SYN; with too many of those under way, by the ACK that brings a cookie back (cookie.h).
 */
#pragma once
#include "reply.h"

#define TCP_TRANSPORT 6
#define INITIAL_WINDOW 65535

/* Initial sequence number (RFC 6528): a clock of 4 µs, and a secret function of the connection. */
static inline __u32 initial_seq(struct tcp_flow *f, __u64 now)
{
	struct {
		__be32 local[4];
		__be32 remote[4];
		__be16 lport;
		__be16 rport;
		__u32 use;
	} key;

	memcpy(key.local, f->local, sizeof(key.local));
	memcpy(key.remote, f->remote, sizeof(key.remote));
	key.lport = f->lport;
	key.rport = f->rport;
	/* Timestamps: one offset for a pair of addresses, so that TIME_WAIT's PAWS works (RFC 7323 §7.1). */
	key.use = 1;
	key.lport = key.rport = 0;
	f->ts_offset = el_siphash(&key, sizeof(key));
	key.use = 0;
	key.lport = f->lport;
	key.rport = f->rport;
	return (__u32)(now / 4096) + (__u32)el_siphash(&key, sizeof(key));
}

/* An empty flow; its board, too. */
noinline int tcp_clear(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL)
{
	word64 *w = (word64 *)f;
	__u32 i;

	for (i = 0; i < sizeof(*f) / 8; i++) {
		w[i] = 0;
		barrier_var(w);
	}
	b->una = b->head = b->count = b->sacked = b->lost = b->resent = 0;
	return 0;
}

/* What a ring becomes at most that is asked for. */
static inline __u32 ring_bytes(__u32 wish)
{
	__u32 bytes = ETHERLOOM_STREAM_BLOCK, i;

	for (i = 0; i < 20; i++) {
		if (bytes >= wish)
			break;
		bytes *= 2;
	}
	return bytes;
}

/* The window scale by which all of a receive ring can be offered (RFC 7323 §2.3). */
static inline __u32 scale_of(__u32 ring)
{
	__u32 scale, i;

	for (scale = 0, i = 0; i < 14; i++) {
		if (ring >> (scale & 15) <= 65535)
			break;
		scale++;
	}
	return scale;
}

/* What TypeScript would call the constructor: everything that does not depend on the peer. */
noinline int tcp_prepare(struct tcp_flow *f NONNULL, __u32 id, const struct tcp_options *opt NONNULL, __u64 now)
{
	__u32 size;

	f->id = id;
	f->opt = *opt;
	f->lane = bpf_get_smp_processor_id();
	f->iss = initial_seq(f, now);
	f->snd_una = f->iss;
	f->snd_nxt = f->iss;
	f->snd_up = f->iss;
	f->snd_sml = f->iss;
	f->high_seq = f->iss;
	f->fack = f->iss;
	f->peer_mss = 536;
	f->mss = 536;
	f->quick = QUICK_ACKS;
	f->stuck_ns = now;
	f->rcv_ns = now;
	f->ip_id = f->iss;
	clock_init(id);
	size = el_stream_rcv_size(id, first_ring(opt->rcv_bytes));
	f->rcv_size = size;
	f->rcv_best = least(size, INITIAL_WINDOW);
	/* Of what the ring may become, as a cookie says it. */
	f->rcv_wscale = scale_of(most(size, ring_bytes(TCP_DEFAULT(opt->rcv_bytes, RING_BYTES))));
	return 0;
}

/* What both sides' SYNs allow. */
static inline void agree(struct tcp_flow *f, const struct tcp_segment *s)
{
	__u32 opt = f->opt.flags;

	if (s->timestamps && !(opt & TCP_OPT_NO_TIMESTAMPS)) {
		f->flags |= FLOW_TIMESTAMPS;
		f->ts_recent = s->tsval;
		f->ts_recent_s = s->now / NS_PER_S;
	}
	if (s->sack_ok && !(opt & TCP_OPT_NO_SACK))
		f->flags |= FLOW_SACK;
	if (s->wscale != 0xff && !(opt & TCP_OPT_NO_WSCALE)) {
		f->flags |= FLOW_WSCALE;
		f->snd_wscale = s->wscale;
	} else {
		f->rcv_wscale = 0;
	}
	f->peer_mss = s->mss ? most(s->mss, 64) : f->family == AF_INET ? 536 : 1220;
}

/*
 * Gives the flow to an algorithm. On a live one window and threshold stay, and a recovery goes on; one that there is not
 * changes nothing, and a new flow gets Reno.
 */
static inline void control_by(struct tcp_flow *f, __u32 algorithm)
{
	f->cc.flags = f->opt.flags & TCP_OPT_PACE ? f->cc.flags | EL_CC_PACED : f->cc.flags & ~EL_CC_PACED;
	if (f->cc.cwnd && f->cc.algorithm == algorithm)
		return;
	/* Algorithms differ in how they echo marks: what is to be said goes on in the form of the next one. */
	if (f->flags & (FLOW_ECE | FLOW_CE_LAST))
		f->flags |= FLOW_ECE | FLOW_CE_LAST;
	f->marks = 0;
	if (el_cc_init(&f->cc, algorithm, f->mss)) {
		count(TCPNoAlgorithm);
		if (!f->cc.cwnd)
			el_cc_init(&f->cc, EL_CC_RENO, f->mss);
	}
	f->flags &= f->cc.flags & EL_CC_DCTCP_ECHO ? ~FLOW_ECE : ~FLOW_CE_LAST;
}

/* The handshake is through. The state changes last: what a lane that dies here has not done the next one does. */
noinline int tcp_established(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, const struct tcp_segment *s NONNULL)
{
	__u32 slot = f->listener - 1, zero = 0;
	struct tcp_news *n = bpf_map_lookup_elem(&tcp_newses, &zero);
	struct tcp_backlog *l;

	f->snd_una = s->ack;
	b->una = s->ack;
	f->high_seq = f->iss;
	f->fack = s->ack;
	f->snd_sml = s->ack;
	f->snd_wl1 = s->seq;
	f->snd_wnd = s->flags & TCP_SYN ? s->window : (__u32)s->window << (f->snd_wscale & 15);
	f->max_wnd = f->snd_wnd;
	f->rcv_mss = least(f->mss, 536);
	mark_received(f, s->now);
	f->delivered_us = US(s->now);
	f->first_us = f->delivered_us;
	f->todo &= ~TODO_SYN;
	f->xmit = XMIT_NONE;
	never(f, TIMER_XMIT);
	f->backoff = 0;
	f->stuck_ns = s->now;
	if (f->opt.flags & TCP_OPT_PROBE_MTU && f->flags & FLOW_SACK && f->mtu > MTU_BASE6) {
		mtu_search(f, 0, s->now);
		f->mtu = f->family == AF_INET ? MTU_BASE4 : MTU_BASE6;
	}
	mss_sync(f);
	control_by(f, f->opt.algorithm);
	if (f->opt.initial_cwnd)
		f->cc.cwnd = f->opt.initial_cwnd * f->mss;
	if (!(f->flags & FLOW_RETRANSMITTED))
		el_rtt_sample(&f->rtt, most(US(s->now - f->sent_ns), 1));
	send_room(f);
	if (f->retries)
		f->cc.cwnd = f->mss; /* RFC 5681 §3.1: after a lost SYN the window is one segment */
	f->retries = 0;
	/* What goes by a rate has one for its first window already. */
	if (n)
		cc_tell(f, n, EL_CC_MSS, 0, s->now);
	if (f->opt.flags & TCP_OPT_KEEPALIVE)
		due(f, TIMER_LIFE, s->now + TCP_DEFAULT(f->opt.keep_idle_ms, 7200000) * NS_PER_MS);
	if (!f->listener) {
		el_stream_event(f->id, EL_EV_CONNECTED);
		f->flags |= FLOW_ACCEPTED;
	} else if (!(f->flags & FLOW_ACCEPTED)) {
		opened(f);
		el_stream_event(f->id, EL_EV_ACCEPT);
		f->flags |= FLOW_ACCEPTED;
		l = bpf_map_lookup_elem(&tcp_backlogs, &slot);
		if (l)
			__sync_fetch_and_add(&l->established, 1);
	}
	f->state = f->flags & FLOW_FIN_QUEUED ? TCP_FIN_WAIT1 : TCP_ESTABLISHED;
	el_ready(f->id);
	return 0;
}

/* More wait to be accepted than the backlog says: one more than that, as in Linux. */
static inline int backlog_full(const struct tcp_listener *l)
{
	__u32 slot = l->slot;
	struct tcp_backlog *w = bpf_map_lookup_elem(&tcp_backlogs, &slot);

	return !w || (__s32)(w->established - w->accepted) > (__s32)l->backlog;
}

/* The listener for a segment's destination, by address or for any. */
static inline struct tcp_listener *listener_of(const struct tcp_segment *s)
{
	struct tcp_listener_key k = {};
	struct tcp_listener *l;

	memcpy(k.address, s->dst, sizeof(k.address));
	k.port = s->dport;
	k.family = s->family;
	l = bpf_map_lookup_elem(&tcp_listeners, &k);
	if (l)
		return l;
	memset(k.address, 0, sizeof(k.address));
	return bpf_map_lookup_elem(&tcp_listeners, &k);
}

/* Where answers go if no route says better: back where the SYN came from. */
static inline void reverse_macs(struct xdp_md *ctx, struct tcp_flow *f)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	__u16 *mac = data;
	__u32 i;

	if (data + sizeof(struct ethhdr) > end)
		return;
	for (i = 0; i < 3; i++) {
		f->smac[i] = mac[i];
		f->dmac[i] = mac[i + 3];
	}
}

/*
 * Makes the flow of a SYN, or of an ACK with a cookie: stream, addresses. When the caller knows the rest tcp_admit enters
 * it in the table. Returns its number, or less than 0 when there is no room. Memory is promised when the handshake is
 * `through`: SYNs pin none.
 */
noinline int tcp_open(struct xdp_md *ctx, struct tcp_segment *s NONNULL, struct tcp_listener *l NONNULL, __u32 irs,
		     __u32 through)
{
	struct tcp_hand *h = hand();
	struct tcp_board *b;
	struct tcp_flow *f;
	__u32 app;
	int id;

	if (!h)
		return -1;
	app = l->lane_app[bpf_get_smp_processor_id() % ETHERLOOM_MAX_LANES];
	id = el_stream_draft(TCP_DEFAULT(app, l->app), TCP_DEFAULT(l->opt.snd_bytes, RING_BYTES),
			     TCP_DEFAULT(l->opt.rcv_bytes, RING_BYTES));
	if (id < 0) {
		count(NoStream);
		return id;
	}
	h->opening = 1;
	h->id = id;
	if (through && el_stream_promise(id, first_ring(l->opt.snd_bytes), first_ring(l->opt.rcv_bytes)) < 0) {
		count(NoStreamMemory);
		el_stream_free(id);
		h->opening = 0;
		return -1;
	}
	f = flow_of(id);
	b = board_of(id);
	if (!f || !b) {
		el_stream_free(id);
		return -1;
	}
	tcp_clear(f, b);
	f->family = s->family;
	memcpy(f->local, s->dst, sizeof(f->local));
	memcpy(f->remote, s->src, sizeof(f->remote));
	f->lport = s->dport;
	f->rport = s->sport;
	f->app = l->app;
	f->listener = l->slot + 1;
	f->ifindex = s->ifindex;
	f->flags = FLOW_PASSIVE;
	tcp_prepare(f, id, &l->opt, s->now);
	reverse_macs(ctx, f);
	f->irs = irs;
	f->rcv_nxt = irs + 1;
	f->rcv_wup = irs + 1;
	f->rcv_adv = irs + 1 + least(f->rcv_size, INITIAL_WINDOW);
	return id;
}

/* The flow is whole: from here on segments find it. Less than 0: it is no more. */
noinline int tcp_admit(struct tcp_flow *f NONNULL)
{
	struct tcp_hand *h = hand();

	el_stream_route(f->id, f->ifindex, TCP_TRANSPORT);
	f->state = TCP_SYN_RECV;
	if (tcp_enlist(f)) {
		opened(f);
		f->state = TCP_CLOSE;
		el_stream_free(f->id);
		count(NoStream);
		return -1;
	}
	if (h)
		h->opening = 0;
	count(PassiveOpens);
	return 0;
}

/* RFC 3168 §6.1.1: asked by ECE and CWR on the SYN, agreed to by ECE on the SYN-ACK. */
static inline int asks_ecn(const struct tcp_segment *s)
{
	return (s->flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR);
}

/* SYN_SENT (RFC 9293 §3.10.7.3). Returns the verdict. */
noinline int tcp_syn_sent(struct xdp_md *ctx, struct tcp_flow *f NONNULL, struct tcp_segment *s NONNULL)
{
	struct tcp_board *b = board_of(f->id);

	if (!b)
		return XDP_ABORTED;
	if (s->flags & TCP_ACK && s->ack != f->iss + 1)
		return reply_reset(ctx, s);
	if (s->flags & TCP_RST) {
		if (s->flags & TCP_ACK)
			tcp_reset(f);
		return XDP_DROP;
	}
	if (!(s->flags & TCP_SYN))
		return XDP_DROP;
	/* An echoed timestamp that we did not send since is of another connection. */
	if (s->flags & TCP_ACK && s->timestamps && s->tsecr && after(s->tsecr, ts_now(f, s->now)))
		return reply_reset(ctx, s);
	agree(f, s);
	f->irs = s->seq;
	f->rcv_nxt = s->seq + 1;
	f->rcv_wup = f->rcv_nxt;
	f->rcv_adv = f->rcv_nxt + least(f->rcv_size, INITIAL_WINDOW);
	if (s->flags & TCP_ACK) {
		if (f->opt.flags & TCP_OPT_ECN && (s->flags & (TCP_ECE | TCP_CWR)) == TCP_ECE)
			f->flags |= FLOW_ECN;
		tcp_established(f, b, s);
		ack_now(f);
	} else {
		/* Both called at once: our SYN goes again, with an ACK. */
		if (asks_ecn(s) && !(f->opt.flags & TCP_OPT_NO_ECN))
			f->flags |= FLOW_ECN;
		f->state = TCP_SYN_RECV;
		f->snd_wnd = s->window;
		owe(f, TODO_SYN);
	}
	return XDP_DROP;
}
