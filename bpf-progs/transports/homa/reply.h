/* Answers without a slot's turn: the packet itself is turned round and sent back. */
#pragma once
#include "parse.h"

/* HomaModule ignores the flags of RPC_UNKNOWN; these are our own. */
enum { UNKNOWN_REFUSED = 0x80 /* nobody serves the port */, UNKNOWN_RESET = 0x40 /* the server gave the call up */ };
/* And of BUSY: there is no slot for the call, of which nothing was kept. HomaModule's clients wait, as for any BUSY. */
enum { BUSY_NO_ROOM = 0x20 };

static inline void write_ip4(struct iphdr *ip, __be32 src, __be32 dst, __u32 bytes, __u8 tos)
{
	word32 *w = (word32 *)ip;

	/* Every packet knows its place in its message: DF, and no number. */
	w[0] = (__u32)htons(bytes) << 16 | (__u32)tos << 8 | 0x45;
	w[1] = 0x00400000;
	w[2] = IPPROTO_HOMA << 8 | 64;
	w[3] = src;
	w[4] = dst;
	ip->check = csum_fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]);
}

static inline void write_ip6(struct ipv6hdr *ip, const __be32 *src, const __be32 *dst, __u32 len, __u8 tos)
{
	ip->flow = htonl(0x60000000 | (__u32)tos << 20);
	ip->payload_len = htons(len);
	ip->nexthdr = IPPROTO_HOMA;
	ip->hop_limit = 64;
	memcpy(ip->saddr, src, sizeof(ip->saddr));
	memcpy(ip->daddr, dst, sizeof(ip->daddr));
}

/* Priority is in the upper three bits of type of service and traffic class: class selectors (RFC 2474 §4.2.2). */
#define HOMA_TOS(priority) ((priority) << 5)
#define HOMA_CONTROL_PRIORITY 7

static inline void write_common(struct homa_common *c, __be16 sport, __be16 dport, __u8 type, __u8 flags, __u64 id)
{
	c->sport = sport;
	c->dport = dport;
	c->sequence = 0;
	c->mark[0] = HOMA_MARK_0;
	c->mark[1] = HOMA_MARK_1;
	c->mark[2] = HOMA_MARK_2;
	c->type = type;
	c->doff = type == HOMA_DATA ? HOMA_DOFF_DATA : HOMA_DOFF;
	c->flags = flags;
	c->window = 0;
	c->checksum = 0;
	c->urgent = 0;
	c->sender_id = be64_of(id);
}

/* The checksum of a packet whose header and bytes stand, with 0 in its place. */
static inline int homa_seal(struct xdp_md *ctx, __u32 at, const __be32 *src, const __be32 *dst, __u32 len, __u32 summed)
{
	__sum16 check = csum_fold(homa_pseudo(src, dst, len) + summed);

	if (!check)
		check = 0xffff;
	return bpf_xdp_store_bytes(ctx, at + offsetof(struct homa_common, checksum), &check, sizeof(check));
}

struct homa_answer {
	__u8 type;
	__u8 flags;
};

/*
 * Makes the packet one of `type` from who it was for to who sent it: RPC_UNKNOWN, BUSY, or an ACK of its RPC. Returns the
 * verdict.
 */
noinline int homa_turn(struct xdp_md *ctx, const struct homa_packet *p NONNULL, __u32 type, __u32 flags)
{
	__u32 ip_len = p->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	__u32 len = type == HOMA_ACK ? sizeof(struct homa_acks) : sizeof(struct homa_common);
	__u32 at = sizeof(struct ethhdr) + ip_len, i;
	void *data, *end;
	__u16 *mac, m;

	if (bpf_xdp_adjust_tail(ctx, (__s32)(sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct homa_acks)) -
				     (__s32)bpf_xdp_get_buff_len(ctx)))
		return XDP_DROP;
	data = data_of(ctx);
	end = data_end_of(ctx);
	if (data + sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct homa_acks) > end)
		return XDP_DROP;
	mac = data;
	for (i = 0; i < 3; i++) {
		m = mac[i];
		mac[i] = mac[i + 3];
		mac[i + 3] = m;
	}
	if (p->family == AF_INET) {
		struct homa_acks *a = data + sizeof(struct ethhdr) + sizeof(struct iphdr);

		mac[6] = htons(ETH_P_IP);
		write_ip4(data + sizeof(struct ethhdr), p->dst[0], p->src[0], ip_len + len, HOMA_TOS(HOMA_CONTROL_PRIORITY));
		memset(a, 0, sizeof(*a));
		write_common(&a->common, p->h.common.dport, p->h.common.sport, type, flags, p->id ^ 1);
		if (type == HOMA_ACK) {
			a->num_acks = htons(1);
			a->acks[0].client_id = be64_of(p->id ^ 1);
			a->acks[0].server_port = p->h.common.sport;
		}
	} else {
		struct homa_acks *a = data + sizeof(struct ethhdr) + sizeof(struct ipv6hdr);

		mac[6] = htons(ETH_P_IPV6);
		write_ip6(data + sizeof(struct ethhdr), p->dst, p->src, len, HOMA_TOS(HOMA_CONTROL_PRIORITY));
		memset(a, 0, sizeof(*a));
		write_common(&a->common, p->h.common.dport, p->h.common.sport, type, flags, p->id ^ 1);
		if (type == HOMA_ACK) {
			a->num_acks = htons(1);
			a->acks[0].client_id = be64_of(p->id ^ 1);
			a->acks[0].server_port = p->h.common.sport;
		}
	}
	if (homa_seal(ctx, at, p->dst, p->src, len, el_packet_sum(ctx, at, len)))
		return XDP_DROP;
	count(type == HOMA_ACK ? Acks : type == HOMA_BUSY ? Busies : Unknowns);
	return bpf_xdp_adjust_tail(ctx, (__s32)(at + len) - (__s32)bpf_xdp_get_buff_len(ctx)) ? XDP_DROP : XDP_TX;
}
