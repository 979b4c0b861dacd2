/* A packet that arrived, as transports of datagrams see it: whose it is, and where what follows IP begins. */
#pragma once
#include "csum.h"
#include "datagrams/record.h"

struct datagram {
	__be32 src[4]; /* IPv4 in word 0, the others 0 */
	__be32 dst[4];
	__be16 sport;
	__be16 dport;
	__sum16 check;
	__u16 payload; /* offset in the packet */
	__u32 len;     /* of the payload */
	__u8 family;
	__u8 ttl;
	__u8 tos;
	__u8 protocol;
};

enum datagram_parse { DATAGRAM_OK, DATAGRAM_NOT_OURS, DATAGRAM_BAD, DATAGRAM_BAD_SUM };

/* Headers of options that IPv6 may have before its payload (RFC 8200 §4.1). */
#define MOST_OPTIONS 4

/* IPv4: addresses, and what follows them: `at` and `len` are its place. */
static inline enum datagram_parse datagram_ip4(struct xdp_md *ctx, struct datagram *d, __u32 *at, __u32 *len)
{
	__u32 total, header;
	struct iphdr ip;

	if (bpf_xdp_load_bytes(ctx, *at, &ip, sizeof(ip)))
		return DATAGRAM_BAD;
	total = ntohs(ip.tot_len);
	header = ip.ihl * 4;
	if (ip.version != 4 || header < sizeof(ip) || total < header || *at + total > bpf_xdp_get_buff_len(ctx) ||
	    csum_fold(el_packet_sum(ctx, *at, header)))
		return DATAGRAM_BAD;
	/* Pieces of a datagram are nobody's: there is no reassembly. */
	if (ip.frag_off & (IP_OFFSET_MASK | IP_MORE))
		return DATAGRAM_NOT_OURS;
	d->family = AF_INET;
	d->ttl = ip.ttl;
	d->tos = ip.tos;
	d->protocol = ip.protocol;
	d->src[0] = ip.saddr;
	d->dst[0] = ip.daddr;
	*at += header;
	*len = total - header;
	return DATAGRAM_OK;
}

static inline enum datagram_parse datagram_ip6(struct xdp_md *ctx, struct datagram *d, __u32 *at, __u32 *len)
{
	struct ipv6hdr ip;
	struct exthdr ext;
	__u32 until, i;

	if (bpf_xdp_load_bytes(ctx, *at, &ip, sizeof(ip)))
		return DATAGRAM_BAD;
	*at += sizeof(ip);
	until = *at + ntohs(ip.payload_len);
	if ((ip.flow & htonl(0xf0000000)) != htonl(0x60000000) || until > bpf_xdp_get_buff_len(ctx))
		return DATAGRAM_BAD;
	d->family = AF_INET6;
	d->ttl = ip.hop_limit;
	d->tos = ntohl(ip.flow) >> 20;
	memcpy(d->src, ip.saddr, sizeof(d->src));
	memcpy(d->dst, ip.daddr, sizeof(d->dst));
	d->protocol = ip.nexthdr;
	for (i = 0; i < MOST_OPTIONS; i++) {
		if (d->protocol != IPPROTO_HOPOPTS && d->protocol != IPPROTO_DSTOPTS)
			break;
		if (bpf_xdp_load_bytes(ctx, *at, &ext, sizeof(ext)))
			return DATAGRAM_BAD;
		d->protocol = ext.nexthdr;
		*at += (ext.len + 1) * 8;
	}
	if (*at > until)
		return DATAGRAM_BAD;
	*len = until - *at;
	return DATAGRAM_OK;
}

static inline enum datagram_parse datagram_ip(struct xdp_md *ctx, struct datagram *d, __u32 *at, __u32 *len)
{
	struct ethhdr eth;

	if (bpf_xdp_load_bytes(ctx, 0, &eth, sizeof(eth)))
		return DATAGRAM_BAD;
	*at = sizeof(eth);
	if (eth.h_proto == htons(ETH_P_IP))
		return datagram_ip4(ctx, d, at, len);
	return eth.h_proto == htons(ETH_P_IPV6) ? datagram_ip6(ctx, d, at, len) : DATAGRAM_NOT_OURS;
}
