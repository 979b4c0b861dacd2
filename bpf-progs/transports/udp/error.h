/*
 * ICMP errors about datagrams of ours (RFC 1122 §4.1.3.3): told to sockets that are connected with the peer, and of what
 * Linux calls fatal only (net/ipv4/icmp.c, icmp_err_convert; net/ipv6/icmp.c).
 */
#pragma once
#include "receive.h"

enum { ICMP_PROT_UNREACH = 2, ICMP_PORT_UNREACH = 3, ICMP_FRAG_NEEDED = 4 };
enum { ICMPV6_UNREACH = 1, ICMPV6_TOO_BIG = 2, ICMPV6_PARAMETER = 4 };

/* The error by the type and code of the message; 0: one that may pass. */
static inline __u32 icmp4_errno(__u8 type, __u8 code)
{
	if (type == ICMP_PARAMETERPROB)
		return EPROTO;
	if (type != ICMP_DEST_UNREACH)
		return 0;
	switch (code) {
	case ICMP_PROT_UNREACH:
		return ENOPROTOOPT;
	case ICMP_PORT_UNREACH:
		return ECONNREFUSED;
	case ICMP_FRAG_NEEDED:
		return EMSGSIZE;
	case 6: /* network, and host, unknown; prohibited */
	case 9:
		return ENETUNREACH;
	case 7:
	case 10:
	case 13:
		return EHOSTUNREACH;
	default:
		return 0;
	}
}

static inline __u32 icmp6_errno(__u8 type, __u8 code)
{
	if (type == ICMPV6_TOO_BIG)
		return EMSGSIZE;
	if (type == ICMPV6_PARAMETER)
		return EPROTO;
	if (type != ICMPV6_UNREACH)
		return 0;
	/* port; prohibited, by policy or route */
	return code == 4 ? ECONNREFUSED : code == 1 || code == 5 || code == 6 ? EACCES : 0;
}

/* Takes the error apart: `d` is made a datagram from the peer that the quoted one went to. Its errno; 0: none of ours. */
static inline __u32 icmp_quoted(struct xdp_md *ctx, struct datagram *d)
{
	__u32 at = 0, len = 0, whole, error, i;
	struct icmphdr icmp;
	struct udphdr udp;
	__u64 sum = 0;

	if (datagram_ip(ctx, d, &at, &len) != DATAGRAM_OK || bpf_xdp_load_bytes(ctx, at, &icmp, sizeof(icmp)))
		return 0;
	whole = el_packet_sum(ctx, at, len);
	if (d->family == AF_INET6) {
		for (i = 0; i < 4; i++)
			sum += (__u64)d->src[i] + d->dst[i];
		sum += htons(len) + htons(IPPROTO_ICMPV6);
	}
	if (d->protocol != (d->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6) || whole > 0xffff || csum_fold(sum + whole))
		return 0;
	at += sizeof(icmp);
	if (d->family == AF_INET) {
		struct iphdr ip;

		error = icmp4_errno(icmp.type, icmp.code);
		if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.protocol != IPPROTO_UDP || ip.ihl < 5 ||
		    ip.frag_off & IP_OFFSET_MASK)
			return 0;
		at += ip.ihl * 4;
		d->src[0] = ip.daddr;
		d->dst[0] = ip.saddr;
	} else {
		struct ipv6hdr ip;

		error = icmp6_errno(icmp.type, icmp.code);
		if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_UDP)
			return 0;
		at += sizeof(ip);
		memcpy(d->src, ip.daddr, sizeof(d->src));
		memcpy(d->dst, ip.saddr, sizeof(d->dst));
	}
	if (bpf_xdp_load_bytes(ctx, at, &udp, sizeof(udp)))
		return 0;
	d->sport = udp.dest;
	d->dport = udp.source;
	return error;
}

static inline int udp_error(struct xdp_md *ctx, struct datagram *d)
{
	__u32 error = icmp_quoted(ctx, d), entry, id;
	struct udp_socket *s;

	if (!error)
		return XDP_PASS;
	entry = datagram_connected(d);
	if (!entry)
		return XDP_PASS;
	if (entry >> ENTRY_LANE_SHIFT != bpf_get_smp_processor_id())
		return hand_over(entry);
	id = entry & ENTRY_ID;
	s = socket_of(id);
	if (!s || s->state != SOCKET_OPEN)
		return XDP_PASS;
	count(ErrorsIn);
	udp_fail(s, id, error);
	return XDP_DROP;
}
