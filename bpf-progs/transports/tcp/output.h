/* A packet of a flow: link, IP and TCP headers, options, payload out of the send ring, checksum. */
#pragma once
#include "route.h"

enum tcp_plan_kind { PLAN_NONE, PLAN_SYN, PLAN_RST, PLAN_MARK, PLAN_RESEND, PLAN_NEW, PLAN_PROBE, PLAN_ACK };

/* What GEN decided to send. */
struct tcp_plan {
	__u32 seq;
	__u32 ack;
	__u32 len;    /* of the payload */
	__u16 urgent;
	__u8 kind;    /* enum tcp_plan_kind */
	__u8 flags;   /* TCP_* */
	__u32 ect;
	__u32 frame;  /* MTU of this frame */
	__u32 probe;  /* MTU that the packet tries; 0: none */
};

/* Headers longest: 14 + 40 + 60. */
#define HEADERS 114

/*
 * The window that we offer, as it goes on the wire. It never shrinks; it grows by a segment or half the ring at least
 * (RFC 9293 §3.8.6.2.2: silly windows are the receiver's to avoid).
 */
static inline __u16 window_offer(struct tcp_flow *f)
{
	__u32 scale = f->rcv_wscale & 15, unit = (1u << scale) - 1, size = f->rcv_size;
	__u32 limit = f->irs + 1 + el_stream_rcv_limit(f->id), edge = limit - unit, had = f->rcv_adv, wire;

	if (before(edge, had + least(size / 2, most(f->rcv_mss, f->mss))))
		edge = had;
	wire = (edge - f->rcv_nxt + unit) >> scale;
	if (after(f->rcv_nxt, edge))
		wire = 0;
	wire = least(wire, 65535);
	/* Rounded up again and again, the edge would creep out of the ring. What was promised stays good, see rcv_adv. */
	if (wire && after(f->rcv_nxt + (wire << scale), limit))
		wire--;
	f->rcv_adv = later_of(had, f->rcv_nxt + (wire << scale));
	f->rcv_best = most(f->rcv_best, f->rcv_adv - f->rcv_nxt);
	return wire;
}

/* The application has read so much that the peer should know: the window at least doubles, and is not small. */
static inline int window_news(const struct tcp_flow *f)
{
	__u32 edge = f->irs + 1 + el_stream_rcv_limit(f->id), open = f->rcv_adv - f->rcv_nxt, room = edge - f->rcv_nxt;

	return 2 * open <= f->rcv_best && room >= 2 * open && room - open >= least(f->rcv_size / 2, 2 * f->mss);
}

static inline __be32 option_word(__u32 a, __u32 b, __u32 c, __u32 d)
{
	return htonl(a << 24 | b << 16 | c << 8 | d);
}

/* Options of a SYN or SYN-ACK. Returns their words. */
static inline __u32 syn_options(struct tcp_flow *f, const struct tcp_plan *p, __be32 *option, __u64 now)
{
	__u32 answer = f->state == TCP_SYN_RECV, opt = f->opt.flags, words = 1, mss;

	mss = f->link_mtu - (f->family == AF_INET ? 40 : 60);
	if (f->opt.mss)
		mss = least(mss, f->opt.mss);
	option[0] = option_word(OPT_MSS, 4, mss >> 8 & 255, mss & 255);
	if (answer ? f->flags & FLOW_TIMESTAMPS : !(opt & TCP_OPT_NO_TIMESTAMPS)) {
		option[1] = option_ts();
		option[2] = htonl(ts_now(f, now));
		option[3] = htonl(f->ts_recent);
		words = 4;
	}
	if (answer ? f->flags & FLOW_SACK : !(opt & TCP_OPT_NO_SACK)) {
		option[words & 7] = option_word(OPT_NOP, OPT_NOP, OPT_SACK_OK, 2);
		words++;
	}
	if (answer ? f->flags & FLOW_WSCALE : !(opt & TCP_OPT_NO_WSCALE)) {
		option[words & 7] = option_word(OPT_NOP, OPT_WSCALE, 3, f->rcv_wscale);
		words++;
	}
	return words;
}

/* How many SACK blocks an ACK has to carry now: a duplicate first, then what is beyond holes. */
static inline __u32 sack_blocks(const struct tcp_flow *f)
{
	__u32 blocks;

	if (!(f->flags & FLOW_SACK))
		return 0;
	blocks = f->ooo.count + (f->dsack_from != f->dsack_to);
	return least(blocks, f->flags & FLOW_TIMESTAMPS ? 3 : 4);
}

/* Options of everything after the SYN. */
static inline __u32 plain_options(struct tcp_flow *f, const struct tcp_plan *p, __be32 *option, __u64 now)
{
	__u32 words = 0, blocks = p->flags & TCP_RST ? 0 : sack_blocks(f), i, at = 0;
	struct el_range r = {};

	if (f->flags & FLOW_TIMESTAMPS) {
		option[0] = option_ts();
		option[1] = htonl(ts_now(f, now));
		option[2] = htonl(f->ts_recent);
		words = 3;
	}
	if (!blocks)
		return words;
	option[words] = option_word(OPT_NOP, OPT_NOP, OPT_SACK, 2 + 8 * blocks);
	words++;
	if (f->dsack_from != f->dsack_to) {
		option[words] = htonl(f->dsack_from);
		option[words + 1] = htonl(f->dsack_to);
		words += 2;
		blocks--;
		f->dsack_from = f->dsack_to = 0;
	}
	for (i = 0; i < 4; i++) {
		if (i >= blocks)
			break;
		at = words + 2 * i;
		el_intervals_recent(&f->ooo, i, &r);
		option[at & 15] = htonl(r.from);
		option[(at + 1) & 15] = htonl(r.to);
	}
	return words + 2 * blocks;
}

/* All that arrived is acknowledged by what leaves, with `len` bytes of payload. */
static inline void acked_by_this(struct tcp_flow *f, __u32 len)
{
	if (len && f->unacked)
		f->flags |= FLOW_PINGPONG;
	f->rcv_wup = f->rcv_nxt;
	f->unacked = 0;
	if (f->repeats && !len)
		f->repeats--;
	else
		f->todo &= ~TODO_ACK;
	never(f, TIMER_DELACK);
}

/* Writes the packet and cuts the frame to it. Returns its bytes, or less than 0 when there is nothing to send after all. */
noinline int tcp_build(struct xdp_md *ctx, struct tcp_flow *f NONNULL, struct tcp_plan *p NONNULL, __u64 now)
{
	__u32 v6 = f->family != AF_INET, l3 = sizeof(struct ethhdr), l4 = l3 + (v6 ? 40 : 20), words, off, l4_len, i;
	void *data, *end;
	__be32 option[16] = {};
	struct tcphdr *tcp;
	__u32 tos, window;
	__be32 *out;
	__u16 *mac;
	__u64 sum;

	if (p->kind == PLAN_SYN) {
		words = syn_options(f, p, option, now);
		window = least(f->rcv_size, INITIAL_WINDOW);
	} else {
		words = plain_options(f, p, option, now);
		window = p->kind == PLAN_RST ? 0 : window_offer(f);
	}
	off = l4 + sizeof(struct tcphdr) + (words & 15) * 4;
	l4_len = off - l4 + p->len;
	sum = pseudo_sum(f->local, f->remote, l4_len) + option_sum(option);
	if (p->len) {
		int got = el_stream_fetch(ctx, off, f->id, p->seq - f->iss - 1, p->len);

		if (got < 0)
			return got;
		sum += got;
	}
	data = data_of(ctx);
	end = data_end_of(ctx);
	if (data + HEADERS > end)
		return -1;
	mac = data;
	for (i = 0; i < 3; i++) {
		mac[i] = f->dmac[i];
		mac[i + 3] = f->smac[i];
	}
	tos = (f->opt.tos & ~ECN_MASK) | (p->ect ? ECN_ECT0 : 0);
	if (v6) {
		((struct ethhdr *)data)->h_proto = htons(ETH_P_IPV6);
		write_ip6(data + l3, f->local, f->remote, l4_len, flow_label(f), tos, TCP_DEFAULT(f->opt.ttl, 64));
		tcp = data + sizeof(struct ethhdr) + sizeof(struct ipv6hdr);
	} else {
		((struct ethhdr *)data)->h_proto = htons(ETH_P_IP);
		write_ip4(data + l3, f->local[0], f->remote[0], 20 + l4_len, f->ip_id++, tos, TCP_DEFAULT(f->opt.ttl, 64),
			  dont_fragment(f));
		tcp = data + sizeof(struct ethhdr) + sizeof(struct iphdr);
	}
	write_tcp(tcp, f->lport, f->rport, p->seq, p->ack, p->flags, window, p->urgent, words, sum);
	out = (__be32 *)(tcp + 1);
	/* Options are words; the payload stands behind them already, so no more than there are. */
	for (i = 0; i < 10; i++)
		if (i < words)
			out[i] = option[i];
	if (bpf_xdp_adjust_tail(ctx, (__s32)(off + p->len) - (__s32)(p->frame + sizeof(struct ethhdr))))
		return -1;
	count(OutSegs);
	f->segs_out++;
	if (p->kind != PLAN_SYN && p->flags & TCP_ACK && p->kind != PLAN_MARK)
		acked_by_this(f, p->len);
	return off + p->len;
}
