/*
 * SYN cookies (RFC 4987 §3.6): when a listener has all the handshakes under way that it may have, its SYN-ACK carries
 * what a flow would have remembered. In the sequence number: time, MSS, and a keyed hash; in the timestamp, if there is
 * one: window scale, SACK, ECN. The ACK that brings both back makes the flow.
 *
 *   seq − hash(tuple, peer's seq, minute) = minute & 31 │ mss index          tsval: ms, low 6 bits: ecn sack wscale
 */
#pragma once
#include "route.h"

#define COOKIE_MINUTES 2
#define COOKIE_NS 64000000000ULL
#define COOKIE_TS_BITS 6
#define COOKIE_NO_ROOM -12

static inline __u32 cookie_mss(__u32 index)
{
	static const __u16 mss[8] = { 216, 536, 966, 1220, 1300, 1440, 1452, 1460 };

	return mss[index & 7];
}

static inline __u32 cookie_index(__u32 mss)
{
	__u32 i, at = 0;

	for (i = 1; i < 8; i++)
		if (mss >= cookie_mss(i))
			at = i;
	return at;
}

/* Keyed hash of the connection and a minute: 24 bits of it make a cookie hard to guess. */
static inline __u32 cookie_hash(const struct tcp_segment *s, __u32 seq, __u32 minute)
{
	struct {
		__be32 src[4];
		__be32 dst[4];
		__be16 sport;
		__be16 dport;
		__u32 seq;
		__u32 minute;
		__u32 use;
	} key;

	memcpy(key.src, s->src, sizeof(key.src));
	memcpy(key.dst, s->dst, sizeof(key.dst));
	key.sport = s->sport;
	key.dport = s->dport;
	key.seq = seq;
	key.minute = minute;
	key.use = 2;
	return el_siphash(&key, sizeof(key));
}

/* The MSS that the SYN-ACK of a flow would say: of the way back, or of the port when nobody knows it. */
noinline int cookie_offer(struct xdp_md *ctx, const struct tcp_segment *s NONNULL, const struct tcp_listener *l NONNULL)
{
	struct bpf_fib_lookup p = { .family = s->family, .l4_protocol = IPPROTO_TCP, .tbid = tcp_table };
	__u32 mtu = 0, mss;

	p.ifindex = s->ifindex;
	if (s->family == AF_INET) {
		p.ipv4_src = s->dst[0];
		p.ipv4_dst = s->src[0];
	} else {
		memcpy(p.ipv6_src, s->dst, sizeof(p.ipv6_src));
		memcpy(p.ipv6_dst, s->src, sizeof(p.ipv6_dst));
	}
	bpf_check_mtu(ctx, s->ifindex, &mtu, 0, 0);
	if (bpf_fib_lookup(ctx, &p, sizeof(p), tcp_table ? BPF_FIB_LOOKUP_DIRECT | BPF_FIB_LOOKUP_TBID : 0) ==
		    BPF_FIB_LKUP_RET_SUCCESS && p.tot_len)
		mtu = p.tot_len;
	mss = most(mtu, 576) - (s->family == AF_INET ? 40 : 60);
	return l->opt.mss ? least(mss, l->opt.mss) : mss;
}

/* Answers a SYN by a cookie. */
noinline int tcp_cookie_send(struct xdp_md *ctx, struct tcp_segment *s NONNULL, struct tcp_listener *l NONNULL)
{
	__u32 minute = s->now / COOKIE_NS, index = cookie_index(s->mss ? s->mss : 536), slot = l->slot;
	__u32 ring = ring_bytes(TCP_DEFAULT(l->opt.rcv_bytes, RING_BYTES)), opt = l->opt.flags, words = 0;
	struct tcp_backlog *b = bpf_map_lookup_elem(&tcp_backlogs, &slot);
	struct tcp_reply r = {};

	if (b)
		b->cookie_s = s->now / NS_PER_S;
	r.seq = cookie_hash(s, s->seq, minute) + ((minute & 31) << 3 | index);
	r.ack = s->seq + 1;
	r.flags = TCP_SYN | TCP_ACK;
	r.window = least(least(ring, ring_bytes(first_ring(l->opt.rcv_bytes))), INITIAL_WINDOW);
	r.option[0] = htonl(OPT_MSS << 24 | 4 << 16 | (cookie_offer(ctx, s, l) & 0xffff));
	words = 1;
	if (s->timestamps && !(opt & TCP_OPT_NO_TIMESTAMPS)) {
		__u32 keep = s->wscale == 0xff || opt & TCP_OPT_NO_WSCALE ? 15 : least(s->wscale, 14), stamp;

		if (s->sack_ok && !(opt & TCP_OPT_NO_SACK))
			keep |= 16;
		if (asks_ecn(s) && !(opt & TCP_OPT_NO_ECN)) {
			keep |= 32;
			r.flags |= TCP_ECE;
		}
		r.option[1] = option_ts();
		/* Not ahead of the clock, which goes on from here (RFC 7323 §4.1). */
		stamp = (MS(s->now) & ~((1u << COOKIE_TS_BITS) - 1)) | keep;
		r.option[2] = htonl(after(stamp, MS(s->now)) ? stamp - (1u << COOKIE_TS_BITS) : stamp);
		r.option[3] = htonl(s->tsval);
		words = 4;
		if (keep & 16)
			r.option[words++ & 7] = htonl(OPT_NOP << 24 | OPT_NOP << 16 | OPT_SACK_OK << 8 | 2);
		if ((keep & 15) != 15)
			r.option[words++ & 7] = htonl(OPT_NOP << 24 | OPT_WSCALE << 16 | 3 << 8 | scale_of(ring));
	}
	r.words = words;
	count(SyncookiesSent);
	return tcp_turn(ctx, s, &r);
}

/* An ACK of nothing that we know: does it bring a cookie back? Returns the flow's number, -1: no, less: no room for it. */
noinline int tcp_cookie_check(struct xdp_md *ctx, struct tcp_segment *s NONNULL, struct tcp_listener *l NONNULL)
{
	__u32 minute = s->now / COOKIE_NS, slot = l->slot, cookie = s->ack - 1, rest = 0, i, valid = 0, keep;
	struct tcp_backlog *w = bpf_map_lookup_elem(&tcp_backlogs, &slot);
	struct tcp_board *b;
	struct tcp_flow *f;
	int id;

	/* Only while, and shortly after, cookies were sent. */
	if (!w || !w->cookie_s || (__u32)(s->now / NS_PER_S) - w->cookie_s > COOKIE_MINUTES * 64)
		return -1;
	for (i = 0; i < COOKIE_MINUTES; i++) {
		rest = cookie - cookie_hash(s, s->seq - 1, minute - i);
		if (rest < 256 && rest >> 3 == ((minute - i) & 31)) {
			valid = 1;
			break;
		}
	}
	if (!valid) {
		count(SyncookiesFailed);
		return -1;
	}
	/* Cookies are sent as long as nobody waits, and may come back all at once. */
	if (backlog_full(l)) {
		count(ListenOverflows);
		count(ListenDrops);
		return COOKIE_NO_ROOM;
	}
	id = tcp_open(ctx, s, l, s->seq - 1, 1);
	if (id < 0) {
		count(ListenDrops);
		return COOKIE_NO_ROOM;
	}
	f = flow_of(id);
	b = board_of(id);
	if (!f || !b)
		return COOKIE_NO_ROOM;
	f->iss = cookie;
	f->snd_una = cookie;
	f->snd_nxt = cookie + 1;
	f->snd_up = f->iss;
	f->peer_mss = cookie_mss(rest);
	f->sent_ns = s->now;
	f->flags |= FLOW_RETRANSMITTED; /* nobody knows when the SYN-ACK was sent */
	f->listener = l->slot + 1;
	if (s->timestamps && !(l->opt.flags & TCP_OPT_NO_TIMESTAMPS)) {
		keep = s->tsecr & ((1u << COOKIE_TS_BITS) - 1);
		f->flags |= FLOW_TIMESTAMPS;
		f->ts_offset = 0; /* as the SYN-ACK had it */
		f->ts_recent = s->tsval;
		f->ts_recent_s = s->now / NS_PER_S;
		if (keep & 16)
			f->flags |= FLOW_SACK;
		if (keep & 32)
			f->flags |= FLOW_ECN;
		if ((keep & 15) != 15) {
			f->flags |= FLOW_WSCALE;
			f->snd_wscale = keep & 15;
		}
	}
	if (!(f->flags & FLOW_WSCALE))
		f->rcv_wscale = 0;
	if (tcp_admit(f))
		return COOKIE_NO_ROOM;
	count(SyncookiesRecv);
	return id;
}
