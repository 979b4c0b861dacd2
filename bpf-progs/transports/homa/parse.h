/* A Homa packet as it arrived: where its parts are, and whether it is as it was sent. */
#pragma once
#include "csum.h"
#include "slot.h"

struct homa_packet {
	__be32 src[4]; /* IPv4 in word 0, the others 0 */
	__be32 dst[4];
	__u32 at;      /* Homa header, offset in the packet */
	__u32 len;     /* of it and of what follows */
	__u8 family;
	__u8 protocol;
	__u16 pad;
	__u32 pad2;
	__u64 id;      /* of the RPC, as the sender has it */
	struct homa_data h; /* of types other than DATA the common part counts, and more after homa_load */
};

enum homa_parse { PACKET_OK, PACKET_NOT_OURS, PACKET_BAD };

/* Headers of options that IPv6 may have before Homa (RFC 8200 §4.1). */
#define MOST_OPTIONS 4

static inline enum homa_parse homa_ip4(struct xdp_md *ctx, struct homa_packet *p)
{
	__u32 total, header;
	struct iphdr ip;

	if (bpf_xdp_load_bytes(ctx, p->at, &ip, sizeof(ip)))
		return PACKET_BAD;
	total = ntohs(ip.tot_len);
	header = ip.ihl * 4;
	if (ip.version != 4 || header < sizeof(ip) || total < header || p->at + total > bpf_xdp_get_buff_len(ctx) ||
	    csum_fold(el_packet_sum(ctx, p->at, header)))
		return PACKET_BAD;
	/* Pieces are nobody's: there is no reassembly. */
	if (ip.frag_off & (IP_OFFSET_MASK | IP_MORE))
		return PACKET_NOT_OURS;
	p->family = AF_INET;
	p->protocol = ip.protocol;
	p->src[0] = ip.saddr;
	p->dst[0] = ip.daddr;
	p->at += header;
	p->len = total - header;
	return PACKET_OK;
}

static inline enum homa_parse homa_ip6(struct xdp_md *ctx, struct homa_packet *p)
{
	struct ipv6hdr ip;
	struct exthdr ext;
	__u32 until, i;

	if (bpf_xdp_load_bytes(ctx, p->at, &ip, sizeof(ip)))
		return PACKET_BAD;
	p->at += sizeof(ip);
	until = p->at + ntohs(ip.payload_len);
	if ((ip.flow & htonl(0xf0000000)) != htonl(0x60000000) || until > bpf_xdp_get_buff_len(ctx))
		return PACKET_BAD;
	/* Never on a wire (RFC 4291 §2.5.5.2): it would be taken for the IPv4 host whose channels are kept so. */
	if (!(ip.saddr[0] | ip.saddr[1]) && ip.saddr[2] == htonl(0xffff))
		return PACKET_BAD;
	p->family = AF_INET6;
	memcpy(p->src, ip.saddr, sizeof(p->src));
	memcpy(p->dst, ip.daddr, sizeof(p->dst));
	p->protocol = ip.nexthdr;
	for (i = 0; i < MOST_OPTIONS; i++) {
		if (p->protocol != IPPROTO_HOPOPTS && p->protocol != IPPROTO_DSTOPTS)
			break;
		if (bpf_xdp_load_bytes(ctx, p->at, &ext, sizeof(ext)))
			return PACKET_BAD;
		p->protocol = ext.nexthdr;
		p->at += (ext.len + 1) * 8;
	}
	if (p->at > until)
		return PACKET_BAD;
	p->len = until - p->at;
	return PACKET_OK;
}

static inline enum homa_parse homa_ip(struct xdp_md *ctx, struct homa_packet *p)
{
	struct ethhdr eth;

	if (bpf_xdp_load_bytes(ctx, 0, &eth, sizeof(eth)))
		return PACKET_BAD;
	p->at = sizeof(eth);
	if (eth.h_proto == htons(ETH_P_IP))
		return homa_ip4(ctx, p);
	return eth.h_proto == htons(ETH_P_IPV6) ? homa_ip6(ctx, p) : PACKET_NOT_OURS;
}

/* Bytes of a packet of that type, at least; 0 for none. */
static inline __u32 homa_least(__u8 type)
{
	switch (type) {
	case HOMA_DATA:
		return sizeof(struct homa_data);
	case HOMA_GRANT:
		return sizeof(struct homa_grant);
	case HOMA_RESEND:
		return sizeof(struct homa_resend);
	case HOMA_CUTOFFS:
		return sizeof(struct homa_cutoffs);
	case HOMA_ACK:
		return sizeof(struct homa_common) + sizeof(__be16);
	case HOMA_RPC_UNKNOWN:
	case HOMA_BUSY:
	case HOMA_FREEZE:
	case HOMA_NEED_ACK:
		return sizeof(struct homa_common);
	default:
		return 0;
	}
}

/* Sum of the pseudo header; `len` counts Homa's header and all behind it. */
static inline __u64 homa_pseudo(const __be32 *src, const __be32 *dst, __u32 len)
{
	__u64 sum = htons(IPPROTO_HOMA) + (__u64)htons(len);
	__u32 i;

	for (i = 0; i < 4; i++)
		sum += (__u64)src[i] + dst[i];
	return sum;
}

/* The sender is of our kind: what HomaModule has no meaning for has one. */
static inline int is_marked(const struct homa_packet *p)
{
	const __u8 *m = p->h.common.mark;

	return m[0] == HOMA_MARK_0 && m[1] == HOMA_MARK_1 && m[2] == HOMA_MARK_2;
}

/*
 * HomaModule has no checksum: the field is 0 in DATA, and in its control packets whatever was there, which nobody looks at. Ours is the Internet checksum over pseudo header, header
 * and bytes, computed 0 sent as 0xffff. The whole packet is looked at: DATA in order has its sum made while it is copied.
 */
static inline int homa_sound(struct xdp_md *ctx, const struct homa_packet *p)
{
	if (!p->h.common.checksum || (p->h.common.type != HOMA_DATA && !is_marked(p)))
		return 1;
	return !csum_fold(homa_pseudo(p->src, p->dst, p->len) + el_packet_sum(ctx, p->at, p->len));
}

/* Headers before the bytes of such DATA. */
#define PLAIN_BYTES (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct homa_data))

/* DATA behind plain IPv4, as almost all packets are: looked at where it lies. 0: it is something else, or wrong. */
static inline int homa_plain(struct xdp_md *ctx, struct homa_packet *p)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	const word32 *ip = data + sizeof(struct ethhdr), *h = data + sizeof(struct ethhdr) + sizeof(struct iphdr);
	word32 *to = (word32 *)&p->h;
	__u32 total, i;

	if (data + sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct homa_data) > end)
		return 0;
	/* Version and length of the header, no piece, and the protocol: in whole words, as they lie there. */
	if (((struct ethhdr *)data)->h_proto != htons(ETH_P_IP) || (__u8)ip[0] != 0x45 || (ip[1] >> 16) & (IP_OFFSET_MASK | IP_MORE) ||
	    (__u8)(ip[2] >> 8) != IPPROTO_HOMA || csum_fold((__u64)ip[0] + ip[1] + ip[2] + ip[3] + ip[4]))
		return 0;
	total = ntohs(ip[0] >> 16);
	if (total < sizeof(struct iphdr) + sizeof(struct homa_data) || sizeof(struct ethhdr) + total > (__u64)(end - data))
		return 0;
	for (i = 0; i < sizeof(struct homa_data) / 4; i++)
		to[i] = h[i];
	if (p->h.common.type != HOMA_DATA)
		return 0;
	p->src[0] = ip[3];
	p->dst[0] = ip[4];
	p->at = sizeof(struct ethhdr) + sizeof(struct iphdr);
	p->len = total - sizeof(struct iphdr);
	p->family = AF_INET;
	p->protocol = IPPROTO_HOMA;
	p->id = be64_of(p->h.common.sender_id);
	return 1;
}

/* All but the checksum is looked at. `p` is zeros before. */
static inline enum homa_parse homa_parse(struct xdp_md *ctx, struct homa_packet *p)
{
	enum homa_parse result;
	__u32 least;

	if (homa_plain(ctx, p))
		return PACKET_OK;
	result = homa_ip(ctx, p);
	if (result != PACKET_OK)
		return result;
	if (p->protocol != IPPROTO_HOMA)
		return PACKET_NOT_OURS;
	if (p->len < sizeof(struct homa_common) || bpf_xdp_load_bytes(ctx, p->at, &p->h.common, sizeof(p->h.common)))
		return PACKET_BAD;
	least = homa_least(p->h.common.type);
	if (!least || p->len < least)
		return PACKET_BAD;
	p->id = be64_of(p->h.common.sender_id);
	if (p->h.common.type == HOMA_DATA && bpf_xdp_load_bytes(ctx, p->at, &p->h, sizeof(p->h)))
		return PACKET_BAD;
	return PACKET_OK;
}
