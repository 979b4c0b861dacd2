/*
 * Switch: an Ethernet bridge that learns. A frame goes to the port where its destination was last seen as a source, or
 * was put by the control plane; what nobody knows, and what is for many, goes to all ports but the one it came by.
 * One instance a switch, attached to each of its ports: the network must have no loops.
 */
#include "parse.h"

#define BPF_F_BROADCAST 8
#define BPF_F_EXCLUDE_INGRESS 16

enum outcome {
	FORWARDED,
	FLOODED,
	FILTERED,  /* destination is where the frame came from */
	MALFORMED, /* too short, or a source that is a group */
	OUTCOMES,
};

struct station {
	__u8 mac[ETH_ALEN];
	__u16 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct station);
	__type(value, __u32); /* ifindex */
} stations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 256);
	__type(key, __u32); /* ifindex */
	__type(value, __u32);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

static inline void count(__u32 outcome)
{
	__u64 *n = bpf_map_lookup_elem(&outcomes, &outcome);

	if (n)
		(*n)++;
}

SEC("xdp")
int l2_switch(struct xdp_md *ctx)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	__u32 from = ctx->ingress_ifindex;
	struct station station = {};
	struct ethhdr *eth = data;
	__u32 *port;

	if ((void *)(eth + 1) > end || (eth->h_source[0] & 1)) {
		count(MALFORMED);
		return XDP_DROP;
	}
	memcpy(station.mac, eth->h_source, ETH_ALEN);
	port = bpf_map_lookup_elem(&stations, &station);
	if (!port || *port != from)
		bpf_map_update_elem(&stations, &station, &from, BPF_ANY);
	if (!(eth->h_dest[0] & 1)) {
		memcpy(station.mac, eth->h_dest, ETH_ALEN);
		port = bpf_map_lookup_elem(&stations, &station);
		if (port) {
			if (*port == from) {
				count(FILTERED);
				return XDP_DROP;
			}
			count(FORWARDED);
			return bpf_redirect_map(&ports, *port, XDP_DROP);
		}
	}
	count(FLOODED);
	return bpf_redirect_map(&ports, 0, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS);
}

license("GPL");
