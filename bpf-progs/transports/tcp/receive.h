/*
 * A segment of a known flow, by the book: RFC 9293 §3.10.7.4 with the checks of RFC 7323 §5 (PAWS) and RFC 5961; and
 * what belongs to no flow: TIME_WAIT, listeners, cookies, resets.
 */
#pragma once
#include "cookie.h"

/* Addresses that are ours. Segments to others pass, whatever their ports. */
enum { ADDRESS_RESET = 1 /* unknown ports are answered by RST; else they pass, for whoever shares the address */ };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct tcp_address);
	__type(value, __u32);
} tcp_addresses SEC(".maps");

struct bpf_cpumap_val {
	__u32 qsize;
	__u32 prog;
};

/* Lanes by number, with tcp_handover: where segments go that came to another than their flow's. */
struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct bpf_cpumap_val);
} tcp_lanes SEC(".maps");

#define PAWS_IDLE_S (24 * 86400)

/* RFC 7323 §5.3 R1: older than what was seen, and what was seen is not outdated. */
static inline int paws_rejects(const struct tcp_flow *f, const struct tcp_segment *s)
{
	if (!(f->flags & FLOW_TIMESTAMPS) || !s->timestamps || !before(s->tsval, f->ts_recent))
		return 0;
	return (__u32)(s->now / NS_PER_S) - f->ts_recent_s <= PAWS_IDLE_S;
}

/* RFC 7323 §4.3: the timestamp that we echo is that of the segment that our last ACK made us wait for. */
static inline void ts_update(struct tcp_flow *f, const struct tcp_segment *s)
{
	if (!(f->flags & FLOW_TIMESTAMPS) || !s->timestamps || after(s->seq, f->rcv_wup))
		return;
	if (!before(s->tsval, f->ts_recent) || (__u32)(s->now / NS_PER_S) - f->ts_recent_s > PAWS_IDLE_S) {
		f->ts_recent = s->tsval;
		f->ts_recent_s = s->now / NS_PER_S;
	}
}

/* A segment that is not taken, reported as a duplicate as far as it is one: of what is to come nothing was received. */
static inline void report_old(struct tcp_flow *f, const struct tcp_segment *s)
{
	if (s->end != s->seq && before(s->seq, f->rcv_nxt))
		report_duplicate(f, s->seq, before(s->end, f->rcv_nxt) ? s->end : f->rcv_nxt);
}

/*
 * RFC 5961 §3.2: only the next sequence number resets, others in the window are asked about. A peer of ours may know it by
 * two other names (Linux: tcp_reset_check and tcp_validate_incoming): who has closed and then answers what was under way to
 * it has not counted its own FIN, and who has lost a segment before the reset counts from behind what we reported by SACK.
 */
static inline int resets(const struct tcp_flow *f, const struct tcp_segment *s)
{
	if (s->seq == f->rcv_nxt)
		return 1;
	if (s->seq + 1 == f->rcv_nxt && IN_STATE(f, S(CLOSE_WAIT) | S(LAST_ACK) | S(CLOSING)))
		return 1;
	return f->flags & FLOW_SACK && f->ooo.count && s->seq == f->ooo.ranges[(2 * f->ooo.count - 1) & 63];
}

/* First to fourth check. 1: go on with the ACK. */
static inline int acceptable(struct tcp_flow *f, struct tcp_segment *s)
{
	/* Agreed timestamps are in every segment (RFC 7323 §3.2). */
	if (f->flags & FLOW_TIMESTAMPS && !s->timestamps && !(s->flags & TCP_RST) && f->state != TCP_SYN_RECV)
		return 0;
	if (paws_rejects(f, s) && !(s->flags & TCP_RST)) {
		count(PAWSEstab);
		report_old(f, s);
		ack_limited(f, s->now);
		return 0;
	}
	if (before(s->end, f->rcv_wup) || after(s->seq, f->rcv_adv)) {
		if (s->flags & TCP_RST) {
			if (resets(f, s))
				tcp_reset(f);
		} else if (s->flags & TCP_SYN) {
			count(TCPSYNChallenge);
			challenge_ack(f, s->now);
		} else if (before(s->seq, f->rcv_nxt) && s->len) {
			report_old(f, s);
			ack_now(f);
		} else {
			ack_limited(f, s->now);
		}
		return 0;
	}
	if (s->flags & TCP_RST) {
		if (resets(f, s))
			tcp_reset(f);
		else
			challenge_ack(f, s->now);
		return 0;
	}
	if (s->flags & TCP_SYN && !(f->state == TCP_SYN_RECV && s->seq == f->irs)) {
		count(TCPSYNChallenge);
		challenge_ack(f, s->now);
		return 0;
	}
	return 1;
}

/* SYN_RECV: our SYN must be acked. -1: it is, the connection stands; else the verdict. */
static inline int syn_acked(struct xdp_md *ctx, struct tcp_flow *f, struct tcp_board *b, struct tcp_segment *s)
{
	if (!(s->flags & TCP_ACK)) {
		if (s->flags & TCP_SYN)
			owe(f, TODO_SYN);
		return XDP_DROP;
	}
	if (s->ack != f->iss + 1)
		return reply_reset(ctx, s);
	if (f->listener) {
		struct tcp_listener *l = listener_of(s);

		/* Its listener is gone: nobody would take the connection. */
		if (!l || l->slot + 1 != f->listener) {
			tcp_done(f, 0);
			return reply_reset(ctx, s);
		}
		/* Enough wait to be accepted: our SYN-ACK goes again, and its answer finds room or not. */
		if (backlog_full(l)) {
			count(ListenOverflows);
			return XDP_DROP;
		}
	}
	/* Nor is there memory for it. */
	if (el_stream_promise(f->id, first_ring(f->opt.snd_bytes), first_ring(f->opt.rcv_bytes)) < 0) {
		count(NoStreamMemory);
		return XDP_DROP;
	}
	f->rcv_size = el_stream_rcv_size(f->id, 0);
	tcp_established(f, b, s);
	return -1;
}

/* What the segment carries is taken in, and our ACK of it arranged. */
static inline void tcp_payload(struct xdp_md *ctx, struct tcp_flow *f, struct tcp_segment *s)
{
	if (!s->len && !(s->flags & (TCP_FIN | TCP_URG)))
		return;
	if (!IN_STATE(f, RECEIVING)) {
		/* Behind their FIN there is nothing; a FIN that comes again is acked again. */
		if (s->len || s->flags & TCP_FIN)
			ack_now(f);
		return;
	}
	/* The application is gone: what arrives for it cannot be delivered (RFC 9293 §3.6.1). */
	if (f->flags & FLOW_ORPHAN && after(s->seq + s->len, f->rcv_nxt)) {
		count(TCPAbortOnData);
		owe(f, TODO_RST);
		return;
	}
	urgent_input(f, s);
	if (tcp_data(ctx, f, s))
		tcp_fin(f);
}

/* A segment of flow `f`. Returns the verdict: XDP_DROP, as all that is answered GEN answers. */
noinline int tcp_segment_of(struct xdp_md *ctx, struct tcp_flow *f NONNULL, struct tcp_segment *s NONNULL)
{
	__u32 zero = 0;
	struct tcp_news *n = bpf_map_lookup_elem(&tcp_newses, &zero);
	struct tcp_board *b = board_of(f->id);
	int verdict;

	if (!n || !b)
		return XDP_ABORTED;
	f->segs_in++;
	if (f->state == TCP_SYN_SENT)
		return tcp_syn_sent(ctx, f, s);
	/* Over: in no table any more. Or reset by us, and GEN has not run yet. */
	if (f->state == TCP_CLOSE || f->todo & TODO_RST)
		return XDP_DROP;
	if (!acceptable(f, s))
		return XDP_DROP;
	if (f->state == TCP_SYN_RECV) {
		verdict = syn_acked(ctx, f, b, s);
		if (verdict >= 0)
			return verdict;
		if (s->flags & TCP_SYN)
			ack_now(f);
	}
	if (!(s->flags & TCP_ACK))
		return XDP_DROP;
	switch (tcp_ack(f, b, s, n)) {
	case ACK_OK:
		/* Only now: who is not on the path cannot say when the peer was heard last, nor make its clock look fast. */
		f->rcv_ns = s->now;
		ts_update(f, s);
		break;
	case ACK_OLD:
		break;
	case ACK_CHALLENGE:
		challenge_ack(f, s->now);
		return XDP_DROP;
	default:
		ack_limited(f, s->now);
		return XDP_DROP;
	}
	if (f->flags & FLOW_FIN_SENT && f->snd_una == f->snd_nxt)
		tcp_fin_acked(f, s->now);
	if (f->state != TCP_CLOSE)
		tcp_payload(ctx, f, s);
	return XDP_DROP;
}

/* Late segments of a connection in TIME_WAIT (RFC 9293 §3.10.7.4, RFC 6191). 0: it is none of those, or a new one. */
static inline int tcp_late(struct xdp_md *ctx, struct tcp_segment *s, __u32 *fresh_seq)
{
	struct tcp_reply r = {};
	struct tcp_timewait *t;
	struct tcp_key6 k;
	__u32 old;

	memcpy(k.remote, s->src, sizeof(k.remote));
	memcpy(k.local, s->dst, sizeof(k.local));
	k.rport = s->sport;
	k.lport = s->dport;
	t = bpf_map_lookup_elem(&tcp_timewaits, &k);
	if (!t)
		return -1;
	if (t->until_ns <= s->now) {
		bpf_map_delete_elem(&tcp_timewaits, &k);
		return -1;
	}
	old = t->flags & FLOW_TIMESTAMPS && s->timestamps && before(s->tsval, t->ts_recent);
	if (s->flags & TCP_RST) {
		/* As Linux without tcp_rfc1337, and as RFC 5961 §3.2: the next number ends it, no other in the window. */
		if (!old && s->seq == t->rcv_nxt)
			bpf_map_delete_elem(&tcp_timewaits, &k);
		return XDP_DROP;
	}
	/* A new connection, certainly newer than the last. */
	if ((s->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && !old &&
	    (after(s->seq, t->rcv_nxt) || (t->flags & FLOW_TIMESTAMPS && s->timestamps && before(t->ts_recent, s->tsval)))) {
		*fresh_seq = t->snd_nxt + 65535 + 2;
		bpf_map_delete_elem(&tcp_timewaits, &k);
		count(TCPTimeWaitRecycled);
		return -1;
	}
	if (s->flags & TCP_FIN && !old)
		t->until_ns = s->now + TIMEWAIT_NS;
	/* ACKs that only ask nothing get no answer; others twice a second. */
	if (s->seq == t->rcv_nxt && s->end == s->seq && !old)
		return XDP_DROP;
	if (t->oow_ms && MS(s->now) - t->oow_ms < 500)
		return XDP_DROP;
	t->oow_ms = MS(s->now) | 1;
	r.seq = t->snd_nxt;
	r.ack = t->rcv_nxt;
	r.flags = TCP_ACK;
	r.window = least(t->rcv_wnd, 65535);
	if (t->flags & FLOW_TIMESTAMPS) {
		r.option[0] = option_ts();
		r.option[1] = htonl(MS(s->now) + t->ts_offset);
		r.option[2] = htonl(t->ts_recent);
		r.words = 3;
	}
	return tcp_turn(ctx, s, &r);
}

/* A SYN for a listener. */
static inline int tcp_syn(struct xdp_md *ctx, struct tcp_segment *s, struct tcp_listener *l, __u32 fresh_seq)
{
	__u32 slot = l->slot;
	struct tcp_backlog *w = bpf_map_lookup_elem(&tcp_backlogs, &slot);
	struct tcp_flow *f;
	int id;

	if (!w)
		return XDP_ABORTED;
	if (backlog_full(l)) {
		count(ListenOverflows);
		count(ListenDrops);
		return XDP_DROP;
	}
	if (l->opt.flags & TCP_OPT_COOKIES || (__s32)w->opening >= (__s32)most(l->backlog, 8)) {
		if (!(l->opt.flags & TCP_OPT_NO_COOKIES))
			return tcp_cookie_send(ctx, s, l);
		count(ListenDrops);
		return XDP_DROP;
	}
	id = tcp_open(ctx, s, l, s->seq, 0);
	if (id < 0) {
		count(ListenDrops);
		return XDP_DROP;
	}
	f = flow_of(id);
	if (!f)
		return XDP_ABORTED;
	if (fresh_seq) {
		f->iss = fresh_seq;
		f->snd_una = f->snd_nxt = f->snd_up = f->snd_sml = f->high_seq = f->fack = fresh_seq;
	}
	agree(f, s);
	if (asks_ecn(s) && !(f->opt.flags & TCP_OPT_NO_ECN))
		f->flags |= FLOW_ECN;
	f->flags |= FLOW_OPENING;
	f->todo = TODO_SYN;
	__sync_fetch_and_add(&w->opening, 1);
	if (tcp_admit(f))
		count(ListenDrops);
	else
		el_ready(id);
	return XDP_DROP;
}

/*
 * Nobody's address: several stations', this host's own, or none (RFC 1122 §3.2.1.3, RFC 9293 MUST-57, MUST-63). An answer
 * to it would go to many, or come back.
 */
static inline int from_nobody(struct xdp_md *ctx, const struct tcp_segment *s)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct tcp_address a;
	__u32 top = ntohl(s->src[0]) >> 24;

	/* Sent to more than one station, whatever address it names. */
	if (data + sizeof(struct ethhdr) > end || ((struct ethhdr *)data)->h_dest[0] & 1)
		return 1;
	if (s->family == AF_INET) {
		if (!top || top == 127 || top >= 224)
			return 1;
	} else if (top == 255 || (!s->src[0] && !s->src[1] && !s->src[2] && ntohl(s->src[3]) <= 1)) {
		return 1;
	}
	memcpy(a.address, s->src, sizeof(a.address));
	return bpf_map_lookup_elem(&tcp_addresses, &a) != NULL;
}

/* A segment that belongs to no flow. Returns the verdict. */
noinline int tcp_stranger(struct xdp_md *ctx, struct tcp_segment *s NONNULL)
{
	struct tcp_address a;
	struct tcp_listener *l;
	struct tcp_flow *f;
	__u32 fresh = 0, *address;
	int verdict, id;

	memcpy(a.address, s->dst, sizeof(a.address));
	address = bpf_map_lookup_elem(&tcp_addresses, &a);
	if (!address)
		return XDP_PASS;
	if (from_nobody(ctx, s))
		return XDP_DROP;
	verdict = tcp_late(ctx, s, &fresh);
	if (verdict >= 0)
		return verdict;
	l = listener_of(s);
	if (l) {
		if (s->flags & TCP_RST)
			return XDP_DROP;
		if (!(s->flags & TCP_ACK)) {
			if (s->flags & TCP_SYN && s->flags & TCP_FIN)
				return reply_reset(ctx, s);
			if (s->flags & TCP_SYN)
				return tcp_syn(ctx, s, l, fresh);
			return XDP_DROP;
		}
		if (!(s->flags & TCP_SYN)) {
			id = tcp_cookie_check(ctx, s, l);
			/* A cookie that is good, and no room: the peer tries again. */
			if (id < -1)
				return XDP_DROP;
			f = id < 0 ? NULL : flow_of(id);
			if (f)
				return tcp_segment_of(ctx, f, s);
		}
		return reply_reset(ctx, s);
	}
	return *address & ADDRESS_RESET ? reply_reset(ctx, s) : XDP_PASS;
}

/* Lane and number of the flow that a segment belongs to (ENTRY_*); 0: none. */
static inline __u32 flow_entry(const struct tcp_segment *s)
{
	__u32 *entry;

	if (s->family == AF_INET) {
		struct tcp_key4 k = { .remote = s->src[0], .local = s->dst[0], .rport = s->sport, .lport = s->dport };

		entry = bpf_map_lookup_elem(&tcp4, &k);
	} else {
		struct tcp_key6 k;

		memcpy(k.remote, s->src, sizeof(k.remote));
		memcpy(k.local, s->dst, sizeof(k.local));
		k.rport = s->sport;
		k.lport = s->dport;
		entry = bpf_map_lookup_elem(&tcp6, &k);
	}
	return entry ? *entry : 0;
}

/* What came for a flow of lane `entry >> ENTRY_LANE_SHIFT` goes there: to tcp_handover. */
static inline int hand_over(__u32 entry)
{
	count(OtherLane);
	return bpf_redirect_map(&tcp_lanes, entry >> ENTRY_LANE_SHIFT, XDP_DROP);
}
