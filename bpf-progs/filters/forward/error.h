/*
 * ICMP errors (RFC 5508 §4). An error quotes the packet that it is about, as that was where the error was made: so it
 * belongs to the flow of the quoted packet's answer, and goes the answer's way. Quotation and envelope are translated;
 * the envelope's source becomes our own address, as the reporter's may mean nothing where the error goes.
 */
#pragma once
#include "rewrite.h"

/*
 * The protocol of a quoted IP packet, and where it has its ports: offset << 8 | protocol. 0: it has none, or is not for
 * us. A first fragment has them, and a packet with options or extension headers.
 */
noinline int quoted_ports(struct xdp_md *ctx, const struct view *v)
{
	struct chain c = { .until = data_end_of(ctx) - data_of(ctx) };
	struct ipv6hdr ip6;
	struct iphdr ip;
	__u32 at;

	if (!v)
		return 0;
	at = v->l4 + sizeof(struct icmphdr);
	if (v->v6) {
		if (bpf_xdp_load_bytes(ctx, at, &ip6, sizeof(ip6)))
			return 0;
		c.at = at + sizeof(ip6);
		c.next = ip6.nexthdr;
		if (!walk_chain(ctx, &c) || c.later || c.strange)
			return 0;
	} else {
		if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 ||
		    ip.frag_off & IP_OFFSET_MASK)
			return 0;
		c.at = at + ip.ihl * 4;
		c.next = ip.protocol;
	}
	if (!has_ports(c.next) || c.at > MAX_OFFSET)
		return 0;
	return c.at << 8 | c.next;
}

/* Translates the quotation and mends the ICMP checksum, but for IPv6's pseudo header; `diff` is what that adds. */
static inline void rewrite_quoted(struct icmphdr *icmp, void *quoted, struct udphdr *l4, void *end, __u8 protocol,
				  const struct ends *e, const int v6, __u64 diff)
{
	__be32 *src = IP_SRC(quoted, v6), *dst = IP_DST(quoted, v6);
	__u64 addrs, all;
	__sum16 *check;
	__u16 before;

	addrs = diff_addr(src, e->dst, v6) + diff_addr(dst, e->src, v6);
	all = addrs + csum_diff2(l4->source, e->dport) + csum_diff2(l4->dest, e->sport);
	diff += all;
	/* Summed now, so that the words of all addresses need not be kept: the stack is 512 bytes for all callers. */
	barrier_var(addrs);
	barrier_var(all);
	barrier_var(diff);
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
	if (protocol == IPPROTO_UDP) {
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

static inline int icmp_message(struct xdp_md *ctx, const struct view *v, __u32 ports, const int v6)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	void *ip = data + (v->ip & MAX_OFFSET), *quoted;
	struct icmphdr *icmp = data + (v->l4 & MAX_OFFSET);
	__u32 bytes = end - data;
	__u64 diff;
	struct udphdr *l4;
	enum found found;
	struct match m;
	struct ends e;

	quoted = icmp + 1;
	if (ip + IP_BYTES(v6) > end || quoted + IP_BYTES(v6) > end || !is_icmp_error(icmp->type, v6) || !to_us(ip, v6))
		return verdict(COUNT_NOT_OURS, bytes, XDP_PASS);
	l4 = data + ((ports >> 8) & MAX_OFFSET);
	/* The envelope must be addressed to whom the quoted packet came from. */
	if (!ports || (void *)(l4 + 1) > end || !same_addr(IP_DST(ip, v6), IP_SRC(quoted, v6), v6))
		return verdict(COUNT_NOT_OURS, bytes, XDP_PASS);
	found = find_flow(IP_DST(quoted, v6), IP_SRC(quoted, v6), l4->dest, l4->source, (__u8)ports, v6, bpf_ktime_get_ns(), &m);
	if (found == NOT_OURS || found == NO_FLOW)
		return verdict(COUNT_NOT_OURS, bytes, XDP_PASS);
	if (found == NO_ANSWER)
		return verdict(COUNT_NO_FLOW, bytes, XDP_DROP);
	if (IP_HOPS(ip, v6) <= 1)
		return verdict(COUNT_TTL, bytes, XDP_DROP);
	ends_of(m.flow, m.slot, m.direction, v6, &e);
	diff = diff_addr(IP_SRC(ip, v6), e.src, v6) + diff_addr(IP_DST(ip, v6), e.dst, v6);
	barrier_var(diff);
	rewrite_quoted(icmp, quoted, l4, end, (__u8)ports, &e, v6, v6 ? diff : 0);
	rewrite_ip(ip, &e, v6, diff);
	count(COUNT_ERROR, bytes);
	return send(data, end, m.flow, m.slot, m.direction);
}

/* The two families are two functions, so that their stacks are not one. `ports`: what quoted_ports said. */
noinline int on_icmp4(struct xdp_md *ctx, const struct view *v, __u32 ports)
{
	return v ? icmp_message(ctx, v, ports, 0) : XDP_ABORTED;
}

noinline int on_icmp6(struct xdp_md *ctx, const struct view *v, __u32 ports)
{
	return v ? icmp_message(ctx, v, ports, 1) : XDP_ABORTED;
}

/* ICMP: errors about our flows are translated, everything else is for the host. Returns the verdict. */
static inline int on_icmp(struct xdp_md *ctx, const struct view *v)
{
	__u32 ports = quoted_ports(ctx, v);

	return v->v6 ? on_icmp6(ctx, v, ports) : on_icmp4(ctx, v, ports);
}
