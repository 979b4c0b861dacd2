/* Lets every packet through: what the engine itself costs. */
#include "bpf.h"

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

license("Dual MIT/GPL");
