/*
 * A segment as it arrived: where its parts are, and what its header and options say, in host order. It lies in the
 * lane's scratch (one packet at a time), so that functions pass it on without using the stack.
 */
#pragma once
#include "csum.h"
#include "flow.h"
#include "loop.h"
#include "parse.h"

#define TCP_ECE 0x40
#define TCP_CWR 0x80
#define TCP_URG 0x20
#define ECN_MASK 3
#define ECN_CE 3
#define ECN_ECT0 2
#define OFFSET_MASK 0x7ff

enum { OPT_END, OPT_NOP, OPT_MSS, OPT_WSCALE, OPT_SACK_OK, OPT_SACK, OPT_TIMESTAMP = 8 };

struct tcp_segment {
	__be32 src[4];
	__be32 dst[4];
	__be16 sport;
	__be16 dport;
	__u16 l3;       /* offsets in the packet */
	__u16 l4;
	__u16 payload;
	__u16 len;      /* of the payload */
	__u16 l4_len;
	__u16 window;   /* unscaled */
	__u8 family;
	__u8 flags;     /* TCP_FIN … TCP_CWR */
	__u8 ecn;       /* of the IP header */
	__u8 sacks;
	__u32 seq;
	__u32 end;      /* behind payload, SYN and FIN */
	__u32 ack;
	__u16 urgent;
	__u16 mss;      /* 0: no such option */
	__u8 wscale;    /* 0xff: no such option */
	__u8 sack_ok;
	__u8 timestamps;
	__u8 options_len;
	__u32 tsval;
	__u32 tsecr;
	__u32 ifindex;
	__u64 now;
	struct el_range sack[4];
	__u8 options[64]; /* as they came; 40 at most */
};

enum tcp_parse { SEGMENT_OK, SEGMENT_NOT_OURS, SEGMENT_BAD };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcp_segment);
} tcp_scratch SEC(".maps");

static inline struct tcp_segment *scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&tcp_scratch, &zero);
}

/* Head of the timestamps option, aligned as everybody does. */
static inline __be32 option_ts(void)
{
	return htonl(OPT_NOP << 24 | OPT_NOP << 16 | OPT_TIMESTAMP << 8 | 10);
}

/* Four bytes of the options, in host order. */
static inline __u32 option32(const struct tcp_segment *s, __u32 at)
{
	return (__u32)s->options[at & 63] << 24 | (__u32)s->options[(at + 1) & 63] << 16 |
	       (__u32)s->options[(at + 2) & 63] << 8 | s->options[(at + 3) & 63];
}

/* Reads the options (RFC 9293 §3.2). What lies about its length ends them, as in Linux. */
noinline int tcp_options_of(struct tcp_segment *s NONNULL)
{
	__u32 at = 0, i, kind, len;

	while (can_loop) {
		if (at >= s->options_len)
			break;
		kind = s->options[at & 63];
		if (kind == OPT_END)
			break;
		if (kind == OPT_NOP) {
			at++;
			continue;
		}
		len = s->options[(at + 1) & 63];
		if (len < 2 || at + len > s->options_len)
			break;
		if (kind == OPT_MSS && len == 4) {
			s->mss = option32(s, at) & 0xffff;
		} else if (kind == OPT_WSCALE && len == 3) {
			s->wscale = s->options[(at + 2) & 63];
			if (s->wscale > 14)
				s->wscale = 14;
		} else if (kind == OPT_SACK_OK && len == 2) {
			s->sack_ok = 1;
		} else if (kind == OPT_TIMESTAMP && len == 10) {
			s->timestamps = 1;
			s->tsval = option32(s, at + 2);
			s->tsecr = option32(s, at + 6);
		} else if (kind == OPT_SACK && len >= 10 && (len & 7) == 2) {
			s->sacks = len >> 3;
			if (s->sacks > 4)
				s->sacks = 4;
			s->options[63] = at + 2;
		}
		at += len & 63;
	}
	if (s->sacks) {
		at = s->options[63];
		for (i = 0; i < 4; i++) {
			s->sack[i].from = option32(s, at + i * 8);
			s->sack[i].to = option32(s, at + i * 8 + 4);
		}
	}
	return 0;
}

/* Sum of the pseudo header, in words as they lie; `l4_len` in host order. */
static inline __u64 pseudo_sum(const __be32 *src, const __be32 *dst, __u32 l4_len)
{
	return (__u64)src[0] + src[1] + src[2] + src[3] + dst[0] + dst[1] + dst[2] + dst[3] + htons(IPPROTO_TCP) +
	       htons(l4_len);
}

/* Fills `s` from the IPv4 or IPv6 header at its place; `l4` and `l4_len` are left in it. */
static inline int segment_ip(struct xdp_md *ctx, struct tcp_segment *s)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct ethhdr *eth = data;
	__u32 at = sizeof(*eth), total;
	__be16 proto;

	if ((void *)(eth + 1) > end)
		return SEGMENT_BAD;
	proto = eth->h_proto;
	s->l3 = at;
	if (proto == htons(ETH_P_IP)) {
		struct iphdr *ip = data + sizeof(*eth);

		if ((void *)(ip + 1) > end)
			return SEGMENT_BAD;
		total = ntohs(ip->tot_len);
		if (ip->version != 4 || ip->ihl < 5 || total < ip->ihl * 4u || at + total > (__u32)(end - data) ||
		    csum_fold(el_packet_sum(ctx, at, ip->ihl * 4)))
			return SEGMENT_BAD;
		if (ip->protocol != IPPROTO_TCP || ip->frag_off & (IP_OFFSET_MASK | IP_MORE))
			return SEGMENT_NOT_OURS;
		s->family = AF_INET;
		s->ecn = ip->tos & ECN_MASK;
		s->src[0] = ip->saddr;
		s->dst[0] = ip->daddr;
		s->src[1] = s->src[2] = s->src[3] = 0;
		s->dst[1] = s->dst[2] = s->dst[3] = 0;
		s->l4 = at + ip->ihl * 4;
		s->l4_len = total - ip->ihl * 4;
		return SEGMENT_OK;
	}
	if (proto == htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + sizeof(*eth);
		struct exthdr ext;
		__u32 until;
		__u8 next;
		int i;

		if ((void *)(ip + 1) > end)
			return SEGMENT_BAD;
		at += sizeof(*ip);
		until = at + ntohs(ip->payload_len);
		if ((ip->flow & htonl(0xf0000000)) != htonl(0x60000000) || until > (__u32)(end - data))
			return SEGMENT_BAD;
		s->family = AF_INET6;
		s->ecn = ntohl(ip->flow) >> 20 & ECN_MASK;
		memcpy(s->src, ip->saddr, sizeof(s->src));
		memcpy(s->dst, ip->daddr, sizeof(s->dst));
		next = ip->nexthdr;
		for (i = 0; i < 4; i++) {
			if (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS)
				break;
			if (at + sizeof(ext) > until || bpf_xdp_load_bytes(ctx, at, &ext, sizeof(ext)))
				return SEGMENT_BAD;
			at += (ext.len + 1) * 8;
			next = ext.nexthdr;
		}
		if (next != IPPROTO_TCP)
			return SEGMENT_NOT_OURS;
		if (at > until)
			return SEGMENT_BAD;
		s->l4 = at;
		s->l4_len = until - at;
		return SEGMENT_OK;
	}
	return SEGMENT_NOT_OURS;
}

/* Takes the packet apart. SEGMENT_OK: everything in `s` is valid, the checksum is right. */
noinline int tcp_parse(struct xdp_md *ctx, struct tcp_segment *s NONNULL)
{
	void *data, *end;
	struct tcphdr *tcp;
	__u32 header, optional;
	__u64 sum;
	int kind;

	kind = segment_ip(ctx, s);
	if (kind != SEGMENT_OK)
		return kind;
	data = data_of(ctx);
	end = data_end_of(ctx);
	if (s->l4_len < sizeof(*tcp) || s->l4 > OFFSET_MASK)
		return SEGMENT_BAD;
	tcp = data + (s->l4 & OFFSET_MASK);
	if ((void *)(tcp + 1) > end)
		return SEGMENT_BAD;
	header = tcp->doff * 4;
	if (header < sizeof(*tcp) || header > s->l4_len)
		return SEGMENT_BAD;
	s->sport = tcp->source;
	s->dport = tcp->dest;
	s->flags = tcp->flags;
	s->seq = ntohl(tcp->seq);
	s->ack = ntohl(tcp->ack_seq);
	s->window = ntohs(tcp->window);
	s->urgent = ntohs(tcp->urg_ptr);
	s->payload = s->l4 + header;
	s->len = s->l4_len - header;
	s->end = s->seq + s->len + !!(s->flags & TCP_SYN) + !!(s->flags & TCP_FIN);
	s->ifindex = ctx->ingress_ifindex;
	s->now = bpf_ktime_get_ns();
	s->mss = 0;
	s->wscale = 0xff;
	s->sack_ok = 0;
	s->timestamps = 0;
	s->sacks = 0;
	optional = header - sizeof(*tcp);
	s->options_len = optional;
	sum = pseudo_sum(s->src, s->dst, s->l4_len) + el_packet_sum(ctx, s->l4, s->l4_len);
	if (csum_fold(sum))
		return -1;
	if (!optional)
		return SEGMENT_OK;
	/* What nearly every segment carries: NOP, NOP, timestamps. */
	if (optional == 12) {
		__be32 *word = (void *)(tcp + 1);

		if ((void *)(word + 3) > end)
			return SEGMENT_BAD;
		if (word[0] == htonl(OPT_NOP << 24 | OPT_NOP << 16 | OPT_TIMESTAMP << 8 | 10)) {
			s->timestamps = 1;
			s->tsval = ntohl(word[1]);
			s->tsecr = ntohl(word[2]);
			return SEGMENT_OK;
		}
	}
	barrier_var(optional);
	if (!optional || optional > 40 || bpf_xdp_load_bytes(ctx, s->l4 + sizeof(*tcp), s->options, optional))
		return SEGMENT_BAD;
	tcp_options_of(s);
	return SEGMENT_OK;
}
