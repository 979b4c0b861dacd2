/* A datagram as it arrived (RFC 768): where its parts are, and whose socket it is for. */
#pragma once
#include "csum.h"
#include "socket.h"

struct udp_datagram {
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

enum udp_parse { DATAGRAM_OK, DATAGRAM_NOT_OURS, DATAGRAM_BAD, DATAGRAM_BAD_SUM };

/* Headers of options that IPv6 may have before UDP (RFC 8200 §4.1). */
#define MOST_OPTIONS 4

/* IPv4: addresses, and what follows them: `at` and `len` are its place. */
static inline enum udp_parse udp_ip4(struct xdp_md *ctx, struct udp_datagram *d, __u32 *at, __u32 *len)
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

static inline enum udp_parse udp_ip6(struct xdp_md *ctx, struct udp_datagram *d, __u32 *at, __u32 *len)
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

static inline enum udp_parse udp_ip(struct xdp_md *ctx, struct udp_datagram *d, __u32 *at, __u32 *len)
{
	struct ethhdr eth;

	if (bpf_xdp_load_bytes(ctx, 0, &eth, sizeof(eth)))
		return DATAGRAM_BAD;
	*at = sizeof(eth);
	if (eth.h_proto == htons(ETH_P_IP))
		return udp_ip4(ctx, d, at, len);
	return eth.h_proto == htons(ETH_P_IPV6) ? udp_ip6(ctx, d, at, len) : DATAGRAM_NOT_OURS;
}

/* All but the checksum is looked at: the sum of the payload is made where that is copied. `d` is zeros before. */
static inline enum udp_parse udp_parse(struct xdp_md *ctx, struct udp_datagram *d)
{
	enum udp_parse result;
	struct udphdr udp;
	__u32 at = 0, len = 0;

	result = udp_ip(ctx, d, &at, &len);
	if (result != DATAGRAM_OK)
		return result;
	if (d->protocol != IPPROTO_UDP)
		return DATAGRAM_NOT_OURS;
	/* IPv4 may be longer than what it carries, jumbograms (RFC 2675: a length of 0) are no one's. */
	if (len < sizeof(udp) || bpf_xdp_load_bytes(ctx, at, &udp, sizeof(udp)) || ntohs(udp.len) < sizeof(udp) ||
	    ntohs(udp.len) > len)
		return DATAGRAM_BAD;
	/* RFC 8200 §8.1. */
	if (!udp.check && d->family == AF_INET6)
		return DATAGRAM_BAD_SUM;
	d->sport = udp.source;
	d->dport = udp.dest;
	d->check = udp.check;
	d->payload = at + sizeof(udp);
	d->len = ntohs(udp.len) - sizeof(udp);
	return DATAGRAM_OK;
}

/* Sum of pseudo header and header of a datagram with `len` bytes, its checksum among them. */
static inline __u64 udp_header_sum(const __be32 *src, const __be32 *dst, __be16 sport, __be16 dport, __u32 len, __sum16 check)
{
	__u64 sum = htons(IPPROTO_UDP) + 2 * (__u64)htons(sizeof(struct udphdr) + len) + sport + dport + check;
	__u32 i;

	for (i = 0; i < 4; i++)
		sum += (__u64)src[i] + dst[i];
	return sum;
}

/* Entry of the socket that is connected with the peer, if there is one; 0. */
static inline __u32 udp_connected(const struct udp_datagram *d)
{
	__u32 *entry;

	if (d->family == AF_INET) {
		struct udp_key4 key = { .remote = d->src[0], .local = d->dst[0], .rport = d->sport, .lport = d->dport };

		entry = bpf_map_lookup_elem(&udp4, &key);
	} else {
		struct udp_key6 key = { .rport = d->sport, .lport = d->dport };

		memcpy(key.remote, d->src, sizeof(key.remote));
		memcpy(key.local, d->dst, sizeof(key.local));
		entry = bpf_map_lookup_elem(&udp6, &key);
	}
	return entry ? *entry : 0;
}

/* Entry of the socket that takes datagrams to the address, or to any, from everybody. Only our own addresses count. */
static inline __u32 udp_bound(const struct udp_datagram *d)
{
	struct udp_address own;
	__u32 *entry, *any;

	if (d->family == AF_INET) {
		struct udp_key4 key = { .local = d->dst[0], .lport = d->dport };

		entry = bpf_map_lookup_elem(&udp4, &key);
		key.local = 0;
		any = entry ? 0 : bpf_map_lookup_elem(&udp4, &key);
	} else {
		struct udp_key6 key = { .lport = d->dport };

		memcpy(key.local, d->dst, sizeof(key.local));
		entry = bpf_map_lookup_elem(&udp6, &key);
		memset(key.local, 0, sizeof(key.local));
		any = entry ? 0 : bpf_map_lookup_elem(&udp6, &key);
	}
	if (entry)
		return *entry;
	memcpy(own.address, d->dst, sizeof(own.address));
	return any && bpf_map_lookup_elem(&udp_addresses, &own) ? *any : 0;
}
