/*
 * ICMP about our segments: too big (RFC 1191, 8201), unreachable. Believed only when the quoted sequence number is of
 * what is in flight (RFC 5927 §4.1), and never below the least MTU.
 */
#pragma once
#include "receive.h"
#include "route.h"

#define ICMP_FRAG_NEEDED 4
#define ICMP_PORT_UNREACH 3
#define ICMP_PROT_UNREACH 2
#define ICMPV6_UNREACH 1
#define ICMPV6_TOO_BIG 2
#define ICMPV6_PORT 4

/* What of the packet is quoted, as `s` has it when such a segment comes to us: source and destination exchanged. */
struct icmp_quote {
	__u8 type;
	__u8 code;
	__sum16 check;
	__be16 unused;
	__be16 mtu;
};

struct quoted_tcp {
	__be16 source;
	__be16 dest;
	__be32 seq;
};

/* All of the message is there, and its checksum right; `sum` is that of a pseudo header. */
static inline int icmp_whole(struct xdp_md *ctx, __u32 at, __u32 len, __u64 sum)
{
	__u32 part = el_packet_sum(ctx, at, len);

	return part <= 0xffff && !csum_fold(sum + part);
}

/* Takes the error apart. Returns the MTU it tells, 0 when it tells none, less than 0 when it is not about TCP. */
noinline int icmp_parse(struct xdp_md *ctx, struct tcp_segment *s NONNULL)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct ethhdr *eth = data;
	struct icmp_quote icmp;
	struct quoted_tcp tcp;
	__u32 at, len, mtu = 0;
	__u64 sum = 0;

	if ((void *)(eth + 1) > end)
		return -1;
	s->now = bpf_ktime_get_ns();
	if (eth->h_proto == htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_xdp_load_bytes(ctx, sizeof(*eth), &ip, sizeof(ip)) || ip.protocol != IPPROTO_ICMP || ip.ihl < 5)
			return -1;
		at = sizeof(*eth) + ip.ihl * 4;
		len = ntohs(ip.tot_len) - ip.ihl * 4;
		if (ntohs(ip.tot_len) < ip.ihl * 4u || !icmp_whole(ctx, at, len, 0))
			return -1;
		if (bpf_xdp_load_bytes(ctx, at, &icmp, sizeof(icmp)) || icmp.type != ICMP_DEST_UNREACH)
			return -1;
		at += sizeof(icmp);
		if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP || ip.ihl < 5 ||
		    ip.frag_off & IP_OFFSET_MASK)
			return -1;
		at += ip.ihl * 4;
		s->family = AF_INET;
		memset(s->src, 0, sizeof(s->src));
		memset(s->dst, 0, sizeof(s->dst));
		s->src[0] = ip.daddr;
		s->dst[0] = ip.saddr;
		if (icmp.code == ICMP_FRAG_NEEDED)
			mtu = most(ntohs(icmp.mtu), 68);
		s->len = ntohs(ip.tot_len);
	} else if (eth->h_proto == htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;
		__u32 i;

		at = sizeof(*eth);
		if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_ICMPV6)
			return -1;
		at += sizeof(ip);
		len = ntohs(ip.payload_len);
		for (i = 0; i < 4; i++)
			sum += (__u64)ip.saddr[i] + ip.daddr[i];
		if (!icmp_whole(ctx, at, len, sum + ip.payload_len + htons(IPPROTO_ICMPV6)))
			return -1;
		if (bpf_xdp_load_bytes(ctx, at, &icmp, sizeof(icmp)) ||
		    (icmp.type != ICMPV6_TOO_BIG && icmp.type != ICMPV6_UNREACH))
			return -1;
		at += sizeof(icmp);
		if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_TCP)
			return -1;
		at += sizeof(ip);
		s->family = AF_INET6;
		memcpy(s->src, ip.daddr, sizeof(s->src));
		memcpy(s->dst, ip.saddr, sizeof(s->dst));
		if (icmp.type == ICMPV6_TOO_BIG)
			mtu = most(ntohs(icmp.mtu), 1280);
		s->len = ntohs(ip.payload_len) + sizeof(ip);
	} else {
		return -1;
	}
	if (bpf_xdp_load_bytes(ctx, at, &tcp, sizeof(tcp)))
		return -1;
	s->sport = tcp.dest;
	s->dport = tcp.source;
	s->seq = ntohl(tcp.seq);
	s->flags = icmp.code;
	s->window = icmp.type;
	return mtu;
}

/* The path takes no more than `mtu`: what is in flight goes again in pieces that fit; no congestion. */
noinline int tcp_too_big(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, struct tcp_news *n NONNULL, __u32 mtu,
			 __u64 now)
{
	if (mtu >= f->mtu || f->opt.flags & TCP_OPT_NO_PMTUD)
		return 0;
	/* Smaller than anything that runs: who says so wants us to send dust. A router may cut ours, if it means it (Linux: min_pmtu). */
	if (mtu < mtu_floor(f)) {
		mtu = mtu_floor(f);
		f->flags |= FLOW_FRAGMENTS;
	}
	if (mtu >= f->mtu)
		return 0;
	f->mtu = mtu;
	path_learned(f, now);
	/* A larger one is tried in ten minutes (RFC 8201 §4). */
	mtu_search(f, PATH_S, now);
	mss_sync(f);
	f->cc.mss = f->mss;
	cc_tell(f, n, EL_CC_MSS, 0, now);
	if (f->snd_nxt == f->snd_una || !IN_STATE(f, SENDING))
		return 0;
	n->lost = 0;
	board_lose(b, n, f->snd_nxt, 0);
	f->high_seq = f->snd_nxt;
	f->undo_marker = 0;
	f->ca = TCP_CA_LOSS;
	f->todo |= TODO_FORCE;
	return el_ready(f->id);
}

/* What the error says of the flow that it quotes. `mtu`: 0, nothing of that. */
static inline void icmp_about(struct tcp_flow *f, struct tcp_board *b, struct tcp_news *n, struct tcp_segment *s, int mtu)
{
	if (before(s->seq, f->snd_una) || after(s->seq, f->snd_nxt))
		return;
	if (mtu) {
		/* What fits cannot have been too big. */
		if (s->len <= mtu)
			return;
		tcp_too_big(f, b, n, mtu, s->now);
		return;
	}
	/* Hard errors end an attempt to connect; all others, and all errors later on, may pass (RFC 1122 §4.2.3.9, RFC 5461). */
	if (f->state == TCP_SYN_SENT && s->seq == f->iss &&
	    (f->family == AF_INET ? s->flags == ICMP_PORT_UNREACH || s->flags == ICMP_PROT_UNREACH : s->flags == ICMPV6_PORT)) {
		count(AttemptFails);
		tcp_done(f, 111 /* ECONNREFUSED */);
	}
}

/* An ICMP error. What is not about a flow of ours passes. */
static inline int icmp_error(struct xdp_md *ctx, struct tcp_segment *s)
{
	__u32 zero = 0;
	struct tcp_news *n = bpf_map_lookup_elem(&tcp_newses, &zero);
	struct tcp_hand *h = hand();
	struct tcp_flow *f;
	struct tcp_board *b;
	__u32 entry;
	int mtu;

	mtu = icmp_parse(ctx, s);
	if (mtu < 0 || !n || !h)
		return XDP_PASS;
	hand_clean(h);
	entry = flow_entry(s);
	if (!entry)
		return XDP_PASS;
	if (entry >> ENTRY_LANE_SHIFT != bpf_get_smp_processor_id())
		return hand_over(entry);
	f = flow_of(entry & ENTRY_ID);
	b = board_of(entry & ENTRY_ID);
	if (!f || !b)
		return XDP_PASS;
	h->id = entry & ENTRY_ID;
	icmp_about(f, b, n, s, mtu);
	h->id = 0;
	return XDP_DROP;
}
