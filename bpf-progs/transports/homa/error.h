/*
 * ICMP errors about requests of ours (RFC 1122 §3.2.2.1). Believed only when they quote an RPC that is under way, with its
 * number, ports and addresses: a quote that ends before the number is nobody's. That the host has no Homa, or the port is
 * closed, is final for a call that its server never spoke of; all else may pass, and is what the call ends with if it does not
 * (RFC 5461). That a packet was too big lowers the path's MTU, and all that was sent since goes again at once (pmtu.h).
 */
#pragma once
#include "dispatch.h"
#include "send.h"

enum { ICMP_PROT_UNREACH = 2, ICMP_PORT_UNREACH = 3, ICMP_FRAG_NEEDED = 4 };
enum { ICMPV6_UNREACH = 1, ICMPV6_TOO_BIG = 2, ICMPV6_PARAMETER = 4, ICMPV6_PORT = 4, ICMPV6_NEXT_HEADER = 1 };

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

/* What an error says of the packet that it quotes. */
struct homa_told {
	__u32 error; /* errno; 0: none */
	__u32 mtu;   /* bytes that a link on the way takes; 0: nothing of that */
	__u32 len;   /* of the packet, IP header and all */
};

/* The MTU of the message; 0: it says nothing of the kind. Routers older than RFC 1191 leave it 0, which is less than any. */
static inline __u32 icmp_mtu(__u32 family, const struct icmphdr *icmp)
{
	__u32 mtu = ntohs(icmp->sequence);

	if (family == AF_INET)
		return icmp->type == ICMP_DEST_UNREACH && icmp->code == ICMP_FRAG_NEEDED ? mtu ? mtu : 1 : 0;
	if (icmp->type != ICMPV6_TOO_BIG)
		return 0;
	return icmp->id ? 0xffff : mtu ? mtu : 1;
}

/* Makes `p` the packet that is quoted, as it was sent. 0: none of Homa's, or not whole. */
noinline int icmp_quoted(struct xdp_md *ctx, struct homa_packet *p NONNULL, struct homa_told *told NONNULL)
{
	struct icmphdr icmp;
	__u32 whole, i;
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
	told->error = icmp_errno(p->family, icmp.type, icmp.code);
	told->mtu = icmp_mtu(p->family, &icmp);
	p->at += sizeof(icmp);
	if (p->family == AF_INET) {
		struct iphdr ip;

		if (bpf_xdp_load_bytes(ctx, p->at, &ip, sizeof(ip)) || ip.protocol != IPPROTO_HOMA || ip.ihl < 5 ||
		    ip.frag_off & IP_OFFSET_MASK)
			return 0;
		p->at += ip.ihl * 4;
		told->len = ntohs(ip.tot_len);
		p->src[0] = ip.saddr;
		p->dst[0] = ip.daddr;
	} else {
		struct ipv6hdr ip;

		if (bpf_xdp_load_bytes(ctx, p->at, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_HOMA)
			return 0;
		p->at += sizeof(ip);
		told->len = sizeof(ip) + ntohs(ip.payload_len);
		memcpy(p->src, ip.saddr, sizeof(p->src));
		memcpy(p->dst, ip.daddr, sizeof(p->dst));
	}
	if (bpf_xdp_load_bytes(ctx, p->at, &p->h.common, sizeof(p->h.common)))
		return 0;
	p->id = be64_of(p->h.common.sender_id);
	return told->error || told->mtu;
}

/* Whose packet is quoted: stream and lane, as homa_channels has them; 0: nobody's. */
noinline __u32 quoted_entry(const struct homa_packet *p NONNULL)
{
	struct homa_channel_key k = { .port = p->h.common.dport, .served = p->h.common.sport, .slot = ID_SLOT(p->id) };
	struct homa_rpc *r;
	__u32 *entry;

	if (p->id & 1) {
		mapped(k.address, p->dst, p->family);
		entry = bpf_map_lookup_elem(&homa_channels, &k);
		return entry ? *entry : 0;
	}
	r = rpc_of(ID_SLOT(p->id));
	return r && r->state == SLOT_CLIENT && r->port == p->h.common.sport ? r->lane << ENTRY_LANE_SHIFT | ID_SLOT(p->id) : 0;
}

/* Of homa_too_big: the path takes less than any has to, nothing can be done for the call. */
#define MTU_NONE -1

/*
 * A packet of what goes out was too big for the path. All that was sent from there on went in packets of that size: it is sent
 * again, once for each MTU, for what else was lost then is told by as many errors. Others to the same peer learn it with theirs.
 */
noinline int homa_too_big(struct homa_rpc *r NONNULL, __u32 id, const struct homa_packet *p NONNULL, const struct homa_told *told NONNULL)
{
	__u32 floor = mtu_floor(r->family), mtu = told->mtu < floor ? floor : told->mtu, from = ntohl(p->h.common.sequence);
	__u64 now = bpf_ktime_get_ns();
	struct homa_peer *peer;

	/* What fits cannot have been too big. */
	if (r->phase != PHASE_OUT || p->h.common.type != HOMA_DATA || from >= r->out_next || told->len <= told->mtu)
		return XDP_DROP;
	if (told->len <= mtu)
		return MTU_NONE;
	count(ErrorsIn);
	peer = peer_of(r->remote, r->family);
	if (!peer)
		return XDP_DROP;
	path_learned(peer->to, mtu, now);
	if (!peer->mtu || mtu < peer->mtu)
		peer->mtu = mtu;
	if (r->cut_to && mtu >= r->cut_to)
		return XDP_DROP;
	r->cut_to = mtu;
	count(TooBig);
	if (from < r->out_freed)
		from = r->out_freed;
	r->asked_priority = from < homa_unscheduled ? unscheduled_priority(peer, r->out_len) : r->priority;
	el_intervals_add(&r->spans, from, r->out_next);
	el_ready(id);
	return XDP_DROP;
}

/* An ICMP error. What is not about a call of ours passes. */
static inline int homa_error(struct xdp_md *ctx, struct homa_packet *p)
{
	struct homa_told told = {};
	__u32 entry, id;
	struct homa_rpc *r;

	/* Of what servers send it says nothing that their timers do not, but for its size. */
	if (!icmp_quoted(ctx, p, &told) || (p->id & 1 && !told.mtu))
		return XDP_PASS;
	entry = quoted_entry(p);
	if (!entry)
		return XDP_PASS;
	if (entry >> ENTRY_LANE_SHIFT != bpf_get_smp_processor_id())
		return hand_over(entry >> ENTRY_LANE_SHIFT);
	id = entry & ENTRY_ID;
	r = rpc_of(id);
	if (!r || r->state != (p->id & 1 ? SLOT_SERVER : SLOT_CLIENT) || r->id != p->id || r->rport != p->h.common.dport ||
	    !same_address(r->remote, p->dst) || !same_address(r->local, p->src) || !r->begun)
		return XDP_PASS;
	if (told.mtu) {
		int verdict = homa_too_big(r, id, p, &told);

		if (verdict != MTU_NONE)
			return verdict;
		told.error = EMSGSIZE;
	}
	if (p->id & 1 || (r->phase != PHASE_OUT && r->phase != PHASE_IN))
		return XDP_DROP;
	count(ErrorsIn);
	if (told.error != EHOSTUNREACH && r->phase == PHASE_OUT && !r->known) {
		if (told.error == ECONNREFUSED)
			count(Refused);
		homa_end(r, id, told.error);
	} else
		r->told = told.error;
	return XDP_DROP;
}
