/*
 * Answers without a flow: the packet itself is turned round and sent back (XDP_TX). RSTs, ACKs of TIME_WAIT, SYN-ACKs
 * that carry a cookie.
 */
#pragma once
#include "close.h"

struct tcp_reply {
	__u32 seq;
	__u32 ack;
	__u16 window;
	__u8 flags;
	__u8 words; /* of options */
	__be32 option[10];
};

static inline __u64 option_sum(const __be32 *option)
{
	__u64 sum = 0;
	__u32 i;

	for (i = 0; i < 10; i++)
		sum += option[i];
	return sum;
}

/* The 20 bytes of a header in words, for its checksum; then the options, `option[words …]` being 0. */
static inline void write_tcp(struct tcphdr *tcp, __be16 sport, __be16 dport, __u32 seq, __u32 ack, __u8 flags,
			     __u16 window, __u16 urgent, __u32 words, __u64 sum)
{
	word32 *w = (word32 *)tcp;

	w[0] = sport | (__u32)dport << 16;
	w[1] = htonl(seq);
	w[2] = htonl(ack);
	w[3] = (__u32)htons(window) << 16 | (__u32)flags << 8 | (5 + words) << 4;
	w[4] = (__u32)htons(urgent) << 16;
	sum += (__u64)w[0] + w[1] + w[2] + w[3] + w[4];
	tcp->check = csum_fold(sum);
}

static inline void write_ip4(struct iphdr *ip, __be32 src, __be32 dst, __u32 bytes, __u16 id, __u8 tos, __u8 ttl, int df)
{
	word32 *w = (word32 *)ip;

	w[0] = (__u32)htons(bytes) << 16 | (__u32)tos << 8 | 0x45;
	w[1] = htons(id) | (df ? 0x00400000 : 0);
	w[2] = IPPROTO_TCP << 8 | ttl;
	w[3] = src;
	w[4] = dst;
	ip->check = csum_fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]);
}

static inline void write_ip6(struct ipv6hdr *ip, const __be32 *src, const __be32 *dst, __u32 bytes, __u32 label, __u8 tos,
			     __u8 ttl)
{
	ip->flow = htonl(0x60000000 | (__u32)tos << 20 | (label & 0xfffff));
	ip->payload_len = htons(bytes);
	ip->nexthdr = IPPROTO_TCP;
	ip->hop_limit = ttl;
	memcpy(ip->saddr, src, 16);
	memcpy(ip->daddr, dst, 16);
}

/* Makes the packet the answer; the verdict is returned. */
noinline int tcp_turn(struct xdp_md *ctx, const struct tcp_segment *s NONNULL, const struct tcp_reply *r NONNULL)
{
	__u32 l4_len = sizeof(struct tcphdr) + (r->words & 15) * 4;
	__u32 l3_len = s->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	__u32 bytes = sizeof(struct ethhdr) + l3_len + l4_len;
	void *data = data_of(ctx), *end = data_end_of(ctx);
	__be32 *option;
	struct tcphdr *tcp;
	__u16 mac[3], *macs;
	__u64 sum;
	__u32 i;

	/* Room for all words first: what is not used is cut off at last. */
	if (bpf_xdp_adjust_tail(ctx, (__s32)(sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + 60) - (__s32)(end - data)))
		return XDP_DROP;
	data = data_of(ctx);
	end = data_end_of(ctx);
	if (data + sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + 60 > end)
		return XDP_DROP;
	macs = data;
	for (i = 0; i < 3; i++) {
		mac[i] = macs[i];
		macs[i] = macs[i + 3];
		macs[i + 3] = mac[i];
	}
	sum = pseudo_sum(s->src, s->dst, l4_len) + option_sum(r->option);
	if (s->family == AF_INET) {
		write_ip4(data + sizeof(struct ethhdr), s->dst[0], s->src[0], l3_len + l4_len, 0, 0, 64, 1);
		tcp = data + sizeof(struct ethhdr) + sizeof(struct iphdr);
	} else {
		write_ip6(data + sizeof(struct ethhdr), s->dst, s->src, l4_len, 0, 0, 64);
		tcp = data + sizeof(struct ethhdr) + sizeof(struct ipv6hdr);
	}
	write_tcp(tcp, s->dport, s->sport, r->seq, r->ack, r->flags, r->window, 0, r->words, sum);
	option = (__be32 *)(tcp + 1);
	for (i = 0; i < 10; i++)
		option[i] = r->option[i];
	if (bpf_xdp_adjust_tail(ctx, (__s32)bytes - (__s32)(sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + 60)))
		return XDP_DROP;
	count(OutSegs);
	return XDP_TX;
}

/* RST for what belongs to nothing (RFC 9293 §3.10.7.1). */
static inline int reply_reset(struct xdp_md *ctx, const struct tcp_segment *s)
{
	struct tcp_reply r = {};

	if (s->flags & TCP_RST)
		return XDP_DROP;
	if (s->flags & TCP_ACK) {
		r.seq = s->ack;
		r.flags = TCP_RST;
	} else {
		r.ack = s->end;
		r.flags = TCP_RST | TCP_ACK;
	}
	count(OutRsts);
	return tcp_turn(ctx, s, &r);
}
