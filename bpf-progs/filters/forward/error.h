/*
 * ICMP errors (RFC 5508 §4). An error quotes the packet that it is about, as that was where the error was made: so it
 * belongs to the flow of the quoted packet's answer, and goes the answer's way. Quotation and envelope are translated;
 * the envelope's source becomes our own address, as the reporter's may mean nothing where the error goes.
 */
#pragma once
#include "rewrite.h"

static inline int is_error(__u8 type, const int v6)
{
	if (v6)
		return type && type < ICMPV6_ECHO;
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

/* Translates the quotation and mends the ICMP checksum, but for IPv6's pseudo header; `diff` is what that adds. */
static inline void rewrite_quoted(struct icmphdr *icmp, void *quoted, struct udphdr *l4, void *end, const struct ends *e,
				  const int v6, __u64 diff)
{
	__be32 *src = IP_SRC(quoted, v6), *dst = IP_DST(quoted, v6);
	__u64 addrs, all;
	__sum16 *check;
	__u16 before;

	addrs = diff_addr(src, e->dst, v6) + diff_addr(dst, e->src, v6);
	all = addrs + csum_diff2(l4->source, e->dport) + csum_diff2(l4->dest, e->sport);
	diff += all;
	copy_addr(src, e->dst, v6);
	copy_addr(dst, e->src, v6);
	l4->source = e->dport;
	l4->dest = e->sport;
	/* Its own checksums take part of that back. */
	if (!v6) {
		before = IP4(quoted)->check;
		IP4(quoted)->check = csum_apply(before, addrs);
		diff += csum_diff2(before, IP4(quoted)->check);
	}
	if ((v6 ? IP6(quoted)->nexthdr : IP4(quoted)->protocol) == IPPROTO_UDP) {
		before = l4->check;
		l4->check = csum_apply_udp(before, all);
		diff += csum_diff2(before, l4->check);
	} else {
		/* TCP's lies beyond the eight bytes that every quotation has. */
		check = (void *)l4 + offsetof(struct tcphdr, check);
		if ((void *)(check + 1) <= end) {
			before = *check;
			*check = csum_apply(before, all);
			diff += csum_diff2(before, *check);
		}
	}
	icmp->checksum = csum_apply(icmp->checksum, diff);
}

static inline int icmp_message(void *data, void *end, const struct view *v, const int v6)
{
	void *ip = data + (v->ip & MAX_OFFSET), *quoted;
	struct icmphdr *icmp = data + (v->l4 & MAX_OFFSET);
	__u32 bytes = end - data;
	__u64 diff;
	struct udphdr *l4;
	enum found found;
	struct match m;
	struct ends e;
	__u8 protocol;

	quoted = icmp + 1;
	if (ip + IP_BYTES(v6) > end || quoted + IP_BYTES(v6) > end || !is_error(icmp->type, v6) || !to_us(ip, v6))
		return verdict(COUNT_NOT_OURS, bytes, XDP_PASS);
	if (v6) {
		protocol = IP6(quoted)->nexthdr;
		l4 = quoted + sizeof(struct ipv6hdr);
	} else {
		if (IP4(quoted)->version != 4 || IP4(quoted)->ihl < 5 || IP4(quoted)->frag_off & IP_OFFSET_MASK)
			return verdict(COUNT_NOT_OURS, bytes, XDP_PASS);
		protocol = IP4(quoted)->protocol;
		l4 = quoted + IP4(quoted)->ihl * 4;
	}
	/* The envelope must be addressed to whom the quoted packet came from. */
	if (!has_ports(protocol) || (void *)(l4 + 1) > end || !same_addr(IP_DST(ip, v6), IP_SRC(quoted, v6), v6))
		return verdict(COUNT_NOT_OURS, bytes, XDP_PASS);
	found = find_flow(IP_DST(quoted, v6), IP_SRC(quoted, v6), l4->dest, l4->source, protocol, v6, bpf_ktime_get_ns(), &m);
	if (found == NOT_OURS || found == NO_FLOW)
		return verdict(COUNT_NOT_OURS, bytes, XDP_PASS);
	if (found == NO_ANSWER)
		return verdict(COUNT_NO_FLOW, bytes, XDP_DROP);
	if (IP_HOPS(ip, v6) <= 1)
		return verdict(COUNT_TTL, bytes, XDP_DROP);
	ends_of(m.flow, m.slot, m.direction, v6, &e);
	diff = diff_addr(IP_SRC(ip, v6), e.src, v6) + diff_addr(IP_DST(ip, v6), e.dst, v6);
	rewrite_quoted(icmp, quoted, l4, end, &e, v6, v6 ? diff : 0);
	rewrite_ip(ip, &e, v6, diff);
	count(COUNT_ERROR, bytes);
	return send(data, end, m.flow, m.direction);
}

/* ICMP: errors about our flows are translated, everything else is for the host. Returns the verdict. */
noinline int on_icmp(struct xdp_md *ctx, const struct view *v)
{
	if (!v)
		return XDP_ABORTED;
	return v->v6 ? icmp_message(data_of(ctx), data_end_of(ctx), v, 1) :
		       icmp_message(data_of(ctx), data_end_of(ctx), v, 0);
}
