/*
 * Changes a packet as its flow says: addresses, ports, hop limit, checksums (RFC 1624), MAC addresses. A transport
 * checksum that covers the pseudo header only (CHECKSUM_PARTIAL: the sender left the rest to its card) is completed.
 */
#pragma once
#include "open.h"
#include "view.h"

/* Longest transport part that is summed: 64 × 64 bytes and a tail; XDP frames without fragments are shorter. */
#define SUM_CHUNK 64
#define SUM_CHUNKS 64
#define SUM_MAX 0x1fff

/* Where a packet goes, by its flow and direction. */
struct ends {
	__be32 src[4];
	__be32 dst[4];
	__be16 sport;
	__be16 dport;
};

static inline void ends_of(const struct mapping *f, __u32 slot, __u32 direction, const int v6, struct ends *e)
{
	if (direction == FORTH) {
		copy_addr(e->src, SOURCE(v6), v6);
		copy_addr(e->dst, f->backend, v6);
		e->sport = htons(hop.first_port + slot);
		e->dport = f->backend_port;
	} else {
		copy_addr(e->src, LISTEN(v6), v6);
		copy_addr(e->dst, f->client, v6);
		e->sport = f->listen_port;
		e->dport = f->client_port;
	}
}

/* A difference that a flow keeps, in the direction of a packet. */
static inline __u64 way(__u32 direction, __u16 diff)
{
	return direction == FORTH ? diff : (__u16)~diff;
}

/* The IP header's parts, whichever it is; `v6` is a constant wherever these are called. */
#define IP4(ip) ((struct iphdr *)(ip))
#define IP6(ip) ((struct ipv6hdr *)(ip))
#define IP_BYTES(v6) ((v6) ? sizeof(struct ipv6hdr) : sizeof(struct iphdr))
#define IP_SRC(ip, v6) ((v6) ? IP6(ip)->saddr : &IP4(ip)->saddr)
#define IP_DST(ip, v6) ((v6) ? IP6(ip)->daddr : &IP4(ip)->daddr)
#define IP_HOPS(ip, v6) ((v6) ? IP6(ip)->hop_limit : IP4(ip)->ttl)

static inline int to_us(void *ip, const int v6)
{
	return same_addr(IP_DST(ip, v6), LISTEN(v6), v6) || same_addr(IP_DST(ip, v6), SOURCE(v6), v6);
}

/* The sum of `len` bytes of the packet from `offset` on, added to `seed`. -1 when they are not there or too many. */
noinline __s64 sum_packet(struct xdp_md *ctx, __u32 offset, __u32 len, __u32 seed)
{
	void *data = data_of(ctx), *end = data_end_of(ctx), *at;
	__u64 sum = seed;
	__u32 i;

	for (i = 0; i < SUM_CHUNKS && len >= SUM_CHUNK; i++) {
		at = data + (offset & SUM_MAX);
		if (at + SUM_CHUNK > end)
			return -1;
		sum = bpf_csum_diff(NULL, 0, at, SUM_CHUNK, (__u32)sum);
		offset += SUM_CHUNK;
		len -= SUM_CHUNK;
	}
	for (i = 0; i < SUM_CHUNK / 4 && len >= 4; i++) {
		at = data + (offset & SUM_MAX);
		if (at + 4 > end)
			return -1;
		sum += *(__u32 *)at;
		offset += 4;
		len -= 4;
	}
	if (len >= 4)
		return -1;
	at = data + (offset & SUM_MAX);
	if (len >= 2) {
		if (at + 2 > end)
			return -1;
		sum += *(__u16 *)at;
		at += 2;
	}
	if (len & 1) {
		if (at + 1 > end)
			return -1;
		sum += *(__u8 *)at;
	}
	return sum;
}

/* Sum of the pseudo header, folded but not inverted: what a partial checksum is. */
static inline __u16 pseudo_sum(const __be32 *src, const __be32 *dst, __u8 protocol, __u32 len, const int v6)
{
	__u64 sum = (__u64)src[0] + dst[0] + htons(protocol) + htons(len);

	if (v6)
		sum += (__u64)src[1] + src[2] + src[3] + dst[1] + dst[2] + dst[3];
	return ~csum_fold(sum);
}

/* Addresses and hop limit. `diff` is what else changes the IPv4 header's sum. */
static inline void rewrite_ip(void *ip, const struct ends *e, const int v6, __u64 diff)
{
	if (v6) {
		copy_addr(IP6(ip)->saddr, e->src, 1);
		copy_addr(IP6(ip)->daddr, e->dst, 1);
		IP6(ip)->hop_limit--;
	} else {
		struct iphdr *h = ip;
		__u16 before = h->ttl | (__u16)h->protocol << 8;

		h->saddr = e->src[0];
		h->daddr = e->dst[0];
		h->ttl--;
		h->check = csum_apply(h->check, diff + csum_diff2(before, before - 1));
	}
}

/* Sends the packet on, MAC addresses put right. */
static inline int send(void *data, void *end, const struct mapping *f, __u32 slot, __u32 direction)
{
	__u16 *mac = data; /* to, from */

	/* Longer headers were proven; the verifier knows it of other pointers, and clang would leave this out. */
	barrier_var(mac);
	if ((void *)(mac + 6) > end)
		return XDP_ABORTED;
	if (direction == FORTH) {
		if (unlikely(f->generation != links.generation))
			refresh(slot);
		copy_mac(mac, f->backend_mac);
		copy_mac(mac + 3, links.out);
		count(COUNT_FORTH, end - data);
		return bpf_redirect_map(&ports, PORT_OUT, XDP_TX);
	}
	copy_mac(mac, f->client_mac);
	copy_mac(mac + 3, links.in);
	count(COUNT_BACK, end - data);
	return bpf_redirect_map(&ports, PORT_IN, XDP_TX);
}
