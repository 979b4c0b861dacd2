/*
 * One pass from the link header to the ports: VLAN tags (two at most), IPv4 with options, IPv6 with extension
 * headers (six at most), fragments. Everything is bounded, and every pointer is proven before it is read.
 */
#pragma once
#include "bpf.h"
#include "net.h"

enum parse_result {
	PARSE_OK,        /* IP, and `l4` stands at 8 proven bytes; TCP: at 20, but use packet_tcp */
	PARSE_NO_PORTS,  /* IP, but a later fragment, or a protocol without ports: l4 is not to be read */
	PARSE_NOT_IP,    /* ARP and the like */
	PARSE_MALFORMED, /* cut short or lying about lengths */
};

struct packet {
	struct ethhdr *eth;
	struct iphdr *ip4;   /* one of the two is NULL */
	struct ipv6hdr *ip6;
	void *l4;
	__u16 eth_proto;     /* host order, after the tags */
	__u16 vlan;          /* outermost VLAN id, 0 for none */
	__u8 protocol;
	__u8 fragment;       /* any fragment, first included */
};

/* A flow as hash keys want it: IPv4 addresses stand in word 0, the rest is 0. Aligned for stores of 8 bytes. */
struct flow {
	__be32 src[4];
	__be32 dst[4];
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 family;
	__u16 pad;
} __attribute__((aligned(8)));

#define MAX_VLANS 2
#define MAX_EXTENSIONS 6

static inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

static inline enum parse_result parse_l4(struct packet *p, void *l4, void *end)
{
	p->l4 = l4;
	if (p->protocol == IPPROTO_TCP)
		return l4 + sizeof(struct tcphdr) > end ? PARSE_MALFORMED : PARSE_OK;
	if (p->protocol == IPPROTO_UDP || p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6)
		return l4 + sizeof(struct udphdr) > end ? PARSE_MALFORMED : PARSE_OK;
	return PARSE_NO_PORTS;
}

static inline enum parse_result parse_ip4(struct packet *p, void *at, void *end)
{
	struct iphdr *ip = at;
	__u32 hlen, total;

	if ((void *)(ip + 1) > end)
		return PARSE_MALFORMED;
	hlen = ip->ihl * 4;
	total = ntohs(ip->tot_len);
	if (ip->version != 4 || hlen < sizeof(*ip) || total < hlen || at + total > end)
		return PARSE_MALFORMED;
	p->ip4 = ip;
	p->protocol = ip->protocol;
	p->fragment = (ip->frag_off & (IP_OFFSET_MASK | IP_MORE)) != 0;
	if (ip->frag_off & IP_OFFSET_MASK)
		return PARSE_NO_PORTS;
	return parse_l4(p, at + hlen, end);
}

static inline enum parse_result parse_ip6(struct packet *p, void *at, void *end)
{
	struct ipv6hdr *ip = at;
	__u8 next;
	int i;

	if ((void *)(ip + 1) > end)
		return PARSE_MALFORMED;
	if ((ip->flow & htonl(0xf0000000)) != htonl(0x60000000) || at + sizeof(*ip) + ntohs(ip->payload_len) > end)
		return PARSE_MALFORMED;
	p->ip6 = ip;
	next = ip->nexthdr;
	at += sizeof(*ip);
#pragma unroll
	for (i = 0; i < MAX_EXTENSIONS; i++) {
		struct exthdr *ext = at;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT && next != IPPROTO_AH && next != IPPROTO_MH)
			break;
		if ((void *)(ext + 1) > end)
			return PARSE_MALFORMED;
		if (next == IPPROTO_FRAGMENT) {
			p->fragment = 1;
			at += sizeof(*ext);
			if (ext->frag_off & htons(0xfff8)) {
				p->protocol = ext->nexthdr;
				return PARSE_NO_PORTS;
			}
		} else {
			/* AH counts words of 4 bytes less two, the others words of 8 less one (RFC 4302, 8200). */
			at += next == IPPROTO_AH ? (ext->len + 2) * 4 : (ext->len + 1) * 8;
		}
		next = ext->nexthdr;
	}
	p->protocol = next;
	return parse_l4(p, at, end);
}

static inline enum parse_result parse_packet(struct packet *p, void *data, void *end)
{
	struct ethhdr *eth = data;
	__be16 proto;
	void *at;
	int i;

	p->ip4 = NULL;
	p->ip6 = NULL;
	p->l4 = NULL;
	p->vlan = 0;
	p->protocol = 0;
	p->fragment = 0;
	if ((void *)(eth + 1) > end)
		return PARSE_MALFORMED;
	p->eth = eth;
	proto = eth->h_proto;
	at = eth + 1;
#pragma unroll
	for (i = 0; i < MAX_VLANS; i++) {
		struct vlanhdr *tag = at;

		if (proto != htons(ETH_P_8021Q) && proto != htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > end)
			return PARSE_MALFORMED;
		if (!i)
			p->vlan = ntohs(tag->tci) & 0xfff;
		proto = tag->proto;
		at = tag + 1;
	}
	p->eth_proto = ntohs(proto);
	if (proto == htons(ETH_P_IP))
		return parse_ip4(p, at, end);
	if (proto == htons(ETH_P_IPV6))
		return parse_ip6(p, at, end);
	return PARSE_NOT_IP;
}

/*
 * The TCP header. Checked again: the verifier does not remember which path proved 20 bytes, as it does not
 * keep the protocol number and the size that was compared together.
 */
static inline struct tcphdr *packet_tcp(const struct packet *p, void *end)
{
	struct tcphdr *tcp = p->l4;

	return (void *)(tcp + 1) > end ? NULL : tcp;
}

/* Bytes of the IP packet, by its header. */
static inline __u32 ip_length(const struct packet *p)
{
	if (p->ip4)
		return ntohs(p->ip4->tot_len);
	return p->ip6 ? ntohs(p->ip6->payload_len) + sizeof(struct ipv6hdr) : 0;
}

/* Both ports as they lie in the packet. */
static inline __u32 ports_of(const void *l4)
{
	return *(const __u32 *)l4;
}

/*
 * Fills `f` from a parsed IP packet; ports stay 0 where there are none. In whole words of 8 bytes: the key is read back
 * at once, and a CPU forwards a load from one store that covers it, but waits for the cache when it would take several.
 */
static inline void packet_flow(const struct packet *p, enum parse_result parsed, struct flow *f)
{
	word64 *word = (word64 *)f;
	__u64 last = (__u64)p->protocol << 32;

	if (p->ip4) {
		last |= (__u64)AF_INET << 40;
		word[0] = p->ip4->saddr;
		word[1] = 0;
		word[2] = p->ip4->daddr;
		word[3] = 0;
	} else if (p->ip6) {
		const __be32 *src = p->ip6->saddr, *dst = p->ip6->daddr;

		last |= (__u64)AF_INET6 << 40;
		word[0] = (__u64)src[1] << 32 | src[0];
		word[1] = (__u64)src[3] << 32 | src[2];
		word[2] = (__u64)dst[1] << 32 | dst[0];
		word[3] = (__u64)dst[3] << 32 | dst[2];
	} else {
		word[0] = word[1] = word[2] = word[3] = 0;
	}
	if (parsed == PARSE_OK && has_ports(p->protocol))
		last |= ports_of(p->l4);
	word[4] = last;
}

/* Whether an ICMP message quotes the packet that it is about. */
static inline int is_icmp_error(__u8 type, const int v6)
{
	if (v6)
		return type && type < ICMPV6_ECHO;
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}
