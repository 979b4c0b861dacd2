/*
 * ICMP errors about requests of ours (RFC 1122 §3.2.2.1). Believed only when they quote an RPC that is under way, with its
 * number, ports and addresses: a quote that ends before the number is nobody's. That the host has no Homa, or the port is
 * closed, is final for a call that its server never spoke of; all else may pass, and is what the call ends with if it does not
 * (RFC 5461).
 */
#pragma once
#include "dispatch.h"

enum { ICMP_PROT_UNREACH = 2, ICMP_PORT_UNREACH = 3, ICMP_FRAG_NEEDED = 4 };
enum { ICMPV6_UNREACH = 1, ICMPV6_PARAMETER = 4, ICMPV6_PORT = 4, ICMPV6_NEXT_HEADER = 1 };

/* errno of the message; 0: it says nothing of the kind. */
static inline __u32 icmp_errno(__u32 family, __u8 type, __u8 code)
{
	if (family == AF_INET) {
		if (type != ICMP_DEST_UNREACH || code == ICMP_FRAG_NEEDED)
			return 0;
		return code == ICMP_PROT_UNREACH || code == ICMP_PORT_UNREACH ? ECONNREFUSED : EHOSTUNREACH;
	}
	if (type == ICMPV6_PARAMETER)
		return code == ICMPV6_NEXT_HEADER ? ECONNREFUSED : 0;
	if (type != ICMPV6_UNREACH)
		return 0;
	return code == ICMPV6_PORT ? ECONNREFUSED : EHOSTUNREACH;
}

/* Makes `p` the packet that is quoted, as it was sent: its errno; 0: none of Homa's, or not whole. */
static inline __u32 icmp_quoted(struct xdp_md *ctx, struct homa_packet *p)
{
	__u32 whole, error, i;
	struct icmphdr icmp;
	__u64 sum = 0;

	if (homa_ip(ctx, p) != PACKET_OK || p->protocol != (p->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6) ||
	    bpf_xdp_load_bytes(ctx, p->at, &icmp, sizeof(icmp)))
		return 0;
	whole = el_packet_sum(ctx, p->at, p->len);
	if (p->family == AF_INET6) {
		for (i = 0; i < 4; i++)
			sum += (__u64)p->src[i] + p->dst[i];
		sum += htons(p->len) + htons(IPPROTO_ICMPV6);
	}
	if (whole > 0xffff || csum_fold(sum + whole))
		return 0;
	error = icmp_errno(p->family, icmp.type, icmp.code);
	p->at += sizeof(icmp);
	if (p->family == AF_INET) {
		struct iphdr ip;

		if (bpf_xdp_load_bytes(ctx, p->at, &ip, sizeof(ip)) || ip.protocol != IPPROTO_HOMA || ip.ihl < 5 ||
		    ip.frag_off & IP_OFFSET_MASK)
			return 0;
		p->at += ip.ihl * 4;
		p->src[0] = ip.saddr;
		p->dst[0] = ip.daddr;
	} else {
		struct ipv6hdr ip;

		if (bpf_xdp_load_bytes(ctx, p->at, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_HOMA)
			return 0;
		p->at += sizeof(ip);
		memcpy(p->src, ip.saddr, sizeof(p->src));
		memcpy(p->dst, ip.daddr, sizeof(p->dst));
	}
	if (bpf_xdp_load_bytes(ctx, p->at, &p->h.common, sizeof(p->h.common)))
		return 0;
	p->id = be64_of(p->h.common.sender_id);
	return error;
}

/* An ICMP error. What is not about a call of ours passes. */
static inline int homa_error(struct xdp_md *ctx, struct homa_packet *p)
{
	__u32 error = icmp_quoted(ctx, p), id = ID_SLOT(p->id);
	struct homa_rpc *r;

	/* Of what servers send it says nothing that their timers do not. */
	if (!error || p->id & 1)
		return XDP_PASS;
	r = rpc_of(id);
	if (!r || r->state != SLOT_CLIENT || r->port != p->h.common.sport)
		return XDP_PASS;
	if (r->lane != bpf_get_smp_processor_id())
		return hand_over(r->lane);
	if (r->id != p->id || r->rport != p->h.common.dport || !same_address(r->remote, p->dst) ||
	    !same_address(r->local, p->src) || !r->begun)
		return XDP_PASS;
	if (r->phase != PHASE_OUT && r->phase != PHASE_IN)
		return XDP_DROP;
	count(ErrorsIn);
	if (error == ECONNREFUSED && r->phase == PHASE_OUT && !r->known) {
		count(Refused);
		homa_end(r, id, ECONNREFUSED);
	} else
		r->told = error;
	return XDP_DROP;
}
