/* Drops every packet: the shortest way a frame can take. */
#include "bpf.h"

SEC("xdp")
int drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

license("Dual MIT/GPL");
