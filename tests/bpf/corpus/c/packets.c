/* Parsing as people write it: bounds checks, cursors, variable headers, option loops; with and without the mistake. */
#include "../../../../bpf-progs/include/bpf.h"

struct eth { __u8 dst[6], src[6]; __u16 type; } __attribute__((packed));
struct ip { __u8 vihl, tos; __u16 len, id, frag; __u8 ttl, proto; __u16 sum; __u32 src, dst; };
struct udp { __u16 sport, dport, len, sum; };

#define DATA(ctx) ((void *)(long)(ctx)->data)
#define END(ctx) ((void *)(long)(ctx)->data_end)

SEC("xdp") int parse_checks_each_header(struct xdp_md *ctx)
{
	struct eth *eth = DATA(ctx);
	if ((void *)(eth + 1) > END(ctx))
		return XDP_DROP;
	struct ip *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > END(ctx))
		return XDP_DROP;
	return ip->ttl ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int parse_forgets_the_second_check(struct xdp_md *ctx)
{
	struct eth *eth = DATA(ctx);
	if ((void *)(eth + 1) > END(ctx))
		return XDP_DROP;
	struct ip *ip = (void *)(eth + 1);
	return ip->ttl ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int parse_checks_the_pointer_not_its_end(struct xdp_md *ctx)
{
	struct eth *eth = DATA(ctx);
	if ((void *)eth > END(ctx))
		return XDP_DROP;
	return eth->type ? XDP_PASS : XDP_DROP;
}

static inline struct udp *udp_of(struct xdp_md *ctx, int check)
{
	struct eth *eth = DATA(ctx);
	if ((void *)(eth + 1) + sizeof(struct ip) > END(ctx))
		return 0;
	struct ip *ip = (void *)(eth + 1);
	struct udp *udp = (void *)ip + (ip->vihl & 15) * 4;
	if (check && (void *)(udp + 1) > END(ctx))
		return 0;
	return udp;
}

SEC("xdp") int variable_header_checked(struct xdp_md *ctx)
{
	struct udp *udp = udp_of(ctx, 1);
	return udp && udp->dport == 53 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int variable_header_not_checked(struct xdp_md *ctx)
{
	struct udp *udp = udp_of(ctx, 0);
	return udp && udp->dport == 53 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int option_loop_bounded(struct xdp_md *ctx)
{
	__u8 *at = DATA(ctx), *end = END(ctx);
	int kinds = 0;
	for (int i = 0; i < 10; i++) {
		if (at + 2 > end)
			break;
		__u8 len = at[1];
		kinds += at[0];
		if (len < 2)
			break;
		at += len;
	}
	return kinds & 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int option_loop_without_its_check(struct xdp_md *ctx)
{
	__u8 *at = DATA(ctx), *end = END(ctx);
	int kinds = 0;
	if (at + 2 > end)
		return XDP_PASS;
	for (int i = 0; i < 10; i++) {
		kinds += at[0];
		at += at[1];
	}
	return kinds & 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int payload_sum_of_100_bytes(struct xdp_md *ctx)
{
	__u8 *at = DATA(ctx), *end = END(ctx);
	__u32 sum = 0;
	for (int i = 0; i < 100; i++) {
		if (at + i + 1 > end)
			break;
		sum += at[i];
	}
	return sum & 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int adjust_head_then_parse_again(struct xdp_md *ctx)
{
	if (bpf_xdp_adjust_head(ctx, -8))
		return XDP_ABORTED;
	__u64 *head = DATA(ctx);
	if ((void *)(head + 1) > END(ctx))
		return XDP_DROP;
	*head = 1;
	return XDP_TX;
}

SEC("xdp") int adjust_head_and_go_on_as_before(struct xdp_md *ctx)
{
	__u64 *head = DATA(ctx);
	if ((void *)(head + 1) > END(ctx))
		return XDP_DROP;
	if (bpf_xdp_adjust_head(ctx, -8))
		return XDP_ABORTED;
	*head = 1;
	return XDP_TX;
}

SEC("tc") int tc_rewrites_what_it_checked(struct __sk_buff *skb)
{
	struct eth *eth = DATA(skb);
	if ((void *)(eth + 1) > END(skb))
		return TC_ACT_SHOT;
	__u8 swap = eth->dst[5];
	eth->dst[5] = eth->src[5];
	eth->src[5] = swap;
	return TC_ACT_OK;
}

SEC("tc") int tc_stores_bytes_and_reads_the_old_packet(struct __sk_buff *skb)
{
	struct eth *eth = DATA(skb);
	__u16 type = 8;
	if ((void *)(eth + 1) > END(skb))
		return TC_ACT_SHOT;
	bpf_skb_store_bytes(skb, 12, &type, sizeof(type), 0);
	return eth->type ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("socket") int socket_loads_bytes_by_helper(struct __sk_buff *skb)
{
	struct ip ip;
	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return 0;
	return ip.proto == 17 ? skb->len : 0;
}

SEC("socket") int socket_reads_data_directly(struct __sk_buff *skb)
{
	struct eth *eth = DATA(skb);
	if ((void *)(eth + 1) > END(skb))
		return 0;
	return eth->type;
}

license("GPL");
