/* A datagram as it arrived (RFC 768). */
#pragma once
#include "socket.h"

/* All but the checksum is looked at: the sum of the payload is made where that is copied. `d` is zeros before. */
static inline enum datagram_parse udp_parse(struct xdp_md *ctx, struct datagram *d)
{
	enum datagram_parse result;
	struct udphdr udp;
	__u32 at = 0, len = 0;

	result = datagram_ip(ctx, d, &at, &len);
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
