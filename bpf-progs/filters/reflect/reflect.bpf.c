/*
 * Reflector: sends packets back where they came from. For round trips and throughput, and the shortest program that
 * transmits. `reflect` answers UDP, `reflect_l2` any frame.
 */
#include "parse.h"

struct settings {
	__u16 port; /* UDP port that is answered, 0: all */
	__u16 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

static inline void swap_macs(struct ethhdr *eth)
{
	__u8 source[ETH_ALEN];

	memcpy(source, eth->h_source, ETH_ALEN);
	memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	memcpy(eth->h_dest, source, ETH_ALEN);
}

static inline void swap32(__be32 *a, __be32 *b)
{
	__be32 was = *a;

	*a = *b;
	*b = was;
}

/* Sums do not change when words of them change places: no checksum is touched. */
SEC("xdp")
int reflect(struct xdp_md *ctx)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct settings *s;
	struct udphdr *udp;
	struct packet p;
	__u32 zero = 0;
	__be16 port;

	if (parse_packet(&p, data, end) != PARSE_OK || p.protocol != IPPROTO_UDP)
		return XDP_PASS;
	udp = p.l4;
	s = bpf_map_lookup_elem(&settings, &zero);
	if (!s || (s->port && udp->dest != htons(s->port)))
		return XDP_PASS;
	port = udp->source;
	udp->source = udp->dest;
	udp->dest = port;
	if (p.ip4) {
		swap32(&p.ip4->saddr, &p.ip4->daddr);
	} else if (p.ip6) {
		int i;

#pragma unroll
		for (i = 0; i < 4; i++)
			swap32(&p.ip6->saddr[i], &p.ip6->daddr[i]);
	}
	swap_macs(p.eth);
	return XDP_TX;
}

SEC("xdp/l2")
int reflect_l2(struct xdp_md *ctx)
{
	struct ethhdr *eth = data_of(ctx);

	if ((void *)(eth + 1) > data_end_of(ctx))
		return XDP_DROP;
	swap_macs(eth);
	return XDP_TX;
}

license("GPL");
