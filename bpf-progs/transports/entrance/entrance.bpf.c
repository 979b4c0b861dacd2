/*
 * The entrance of a host: every packet of its ports comes by here, and is handed to the transport that it is for.
 *
 *   XDP  entrance ─ IP protocol ─▶ ingress_of ─▶ ingress of a transport
 *             └── ICMP, IPv6 options: programs of the entrance itself, which look further and hand on by what they find
 *   GEN, EGRESS  number of the stream's transport ─▶ gen_of, egress_of
 */
#include "bpf.h"
#include "endian.h"
#include "net.h"

/* Transports have the number of their IP protocol. */
#define TRANSPORTS 256
/* Headers of options that a packet may have before it is nobody's, as for transports that walk them (RFC 8200 §4.1). */
#define MOST_OPTIONS 4

#define PROGRAMS(name) \
	struct { \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY); \
		__uint(max_entries, TRANSPORTS); \
		__type(key, __u32); \
		__type(value, __u32); \
	} name SEC(".maps")

PROGRAMS(ingress_of); /* by the protocol of a packet that arrives */
PROGRAMS(errors_of);  /* by the protocol of the packet that an ICMP error quotes */
PROGRAMS(gen_of);     /* by the transport of a stream: who makes its packets, */
PROGRAMS(egress_of);  /* and who lets them leave */

/* Looks at link and IP headers only. */
SEC("xdp")
int entrance(struct xdp_md *ctx)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end)
			return XDP_PASS;
		bpf_tail_call(ctx, &ingress_of, ip->protocol);
	} else if (eth->h_proto == htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end)
			return XDP_PASS;
		bpf_tail_call(ctx, &ingress_of, ip->nexthdr);
	}
	return XDP_PASS;
}

/* IPv6 with options before its payload; where that begins the transport finds out again. */
SEC("xdp")
int entrance_options(struct xdp_md *ctx)
{
	__u32 at = sizeof(struct ethhdr) + sizeof(struct ipv6hdr), i;
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct exthdr ext;

	if (bpf_xdp_load_bytes(ctx, 0, &eth, sizeof(eth)) || eth.h_proto != htons(ETH_P_IPV6) ||
	    bpf_xdp_load_bytes(ctx, sizeof(eth), &ip, sizeof(ip)))
		return XDP_PASS;
	ext.nexthdr = ip.nexthdr;
	for (i = 0; i < MOST_OPTIONS; i++) {
		if (ext.nexthdr != IPPROTO_HOPOPTS && ext.nexthdr != IPPROTO_DSTOPTS)
			break;
		if (bpf_xdp_load_bytes(ctx, at, &ext, sizeof(ext)))
			return XDP_PASS;
		at += (ext.len + 1) * 8;
	}
	/* ICMP behind options is not looked into, and options behind the last that counts are nobody's. */
	if (ext.nexthdr != IPPROTO_ICMPV6 && ext.nexthdr != IPPROTO_HOPOPTS && ext.nexthdr != IPPROTO_DSTOPTS)
		bpf_tail_call(ctx, &ingress_of, ext.nexthdr);
	return XDP_PASS;
}

/* ICMP errors are for who sent the packet that they quote (RFC 1122 §3.2.2); all else of ICMP is nobody's here. */
SEC("xdp")
int entrance_icmp(struct xdp_md *ctx)
{
	__u32 at = sizeof(struct ethhdr);
	struct ethhdr eth;
	struct icmphdr icmp;

	if (bpf_xdp_load_bytes(ctx, 0, &eth, sizeof(eth)))
		return XDP_PASS;
	if (eth.h_proto == htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.protocol != IPPROTO_ICMP || ip.ihl < 5 ||
		    ip.frag_off & (IP_OFFSET_MASK | IP_MORE))
			return XDP_PASS;
		at += ip.ihl * 4;
		if (bpf_xdp_load_bytes(ctx, at, &icmp, sizeof(icmp)))
			return XDP_PASS;
		if (icmp.type != ICMP_DEST_UNREACH && icmp.type != ICMP_TIME_EXCEEDED && icmp.type != ICMP_PARAMETERPROB)
			return XDP_PASS;
		if (bpf_xdp_load_bytes(ctx, at + sizeof(icmp), &ip, sizeof(ip)))
			return XDP_PASS;
		bpf_tail_call(ctx, &errors_of, ip.protocol);
	} else if (eth.h_proto == htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_ICMPV6)
			return XDP_PASS;
		at += sizeof(ip);
		/* RFC 4443 §2.1: errors have the lower half of types. */
		if (bpf_xdp_load_bytes(ctx, at, &icmp, sizeof(icmp)) || icmp.type & 0x80)
			return XDP_PASS;
		if (bpf_xdp_load_bytes(ctx, at + sizeof(icmp), &ip, sizeof(ip)))
			return XDP_PASS;
		bpf_tail_call(ctx, &errors_of, ip.nexthdr);
	}
	return XDP_PASS;
}

/* In the contexts of GEN and EGRESS `ingress_ifindex` is the number of the stream's transport. */
SEC("xdp_gen")
int entrance_gen(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &gen_of, ctx->ingress_ifindex);
	return XDP_ABORTED;
}

SEC("xdp_egress")
int entrance_egress(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &egress_of, ctx->ingress_ifindex);
	return XDP_TX;
}

license("Dual MIT/GPL");
