/*
 * Which priorities what goes unasked should have: the receiver says so to its senders. Lengths of messages that come are
 * counted, weighed by their unscheduled bytes; the control plane makes cutoffs of them, and a version; who sends by another
 * version is told the present one (CUTOFFS).
 *
 *   homa_begin ─▶ homa_lengths ─ control plane ─▶ homa_cutoffs ─ another version in DATA ─▶ CUTOFFS ─▶ homa_peers of the sender
 */
#pragma once
#include "peer.h"
#include "parse.h"

const volatile __u32 homa_cutoffs_apart_ms = 1; /* CUTOFFS to a peer, at least */

/* Four classes for each doubling of the length. */
#define LENGTHS 84

struct homa_bytes {
	__u64 unscheduled;
	__u64 scheduled;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LENGTHS);
	__type(key, __u32);
	__type(value, struct homa_bytes);
} homa_lengths SEC(".maps");

/* Class of a length: 4 log2, with the two bits below the first. What is shorter than 4 has one of its own each. */
static inline __u32 length_class(__u32 len)
{
	__u32 top = 0, n = len;

	if (len < 4)
		return len;
	if (n >= 1 << 16)
		n >>= 16, top += 16;
	if (n >= 1 << 8)
		n >>= 8, top += 8;
	if (n >= 1 << 4)
		n >>= 4, top += 4;
	if (n >= 1 << 2)
		n >>= 2, top += 2;
	if (n >= 2)
		top += 1;
	return 4 * (top - 1) + ((len >> (top - 2)) & 3);
}

static inline void count_length(__u32 len, __u32 unscheduled)
{
	__u32 key = length_class(len);
	struct homa_bytes *n = bpf_map_lookup_elem(&homa_lengths, &key);

	if (!n)
		return;
	n->unscheduled += unscheduled;
	n->scheduled += len - unscheduled;
}

/* Whether the sender of the packet is to be told our cutoffs. */
static inline int wants_cutoffs(const struct homa_packet *p)
{
	__u32 key = 0;
	struct homa_own_cutoffs *own = bpf_map_lookup_elem(&homa_cutoffs, &key);
	struct homa_peer *peer;
	__u64 now;

	if (!own || !own->version || own->version == ntohs(p->h.cutoff_version))
		return 0;
	peer = peer_of(p->src, p->family);
	now = bpf_ktime_get_ns();
	if (!peer || now < peer->told_ns + homa_cutoffs_apart_ms * NS_PER_MS)
		return 0;
	peer->told_ns = now;
	return 1;
}

/* The peer says how it wants its messages. */
noinline int take_cutoffs(struct xdp_md *ctx, const struct homa_packet *p NONNULL)
{
	struct homa_peer *peer = peer_of(p->src, p->family);
	struct homa_cutoffs c;
	__u32 i;

	count(CutoffsIn);
	if (!peer || bpf_xdp_load_bytes(ctx, p->at, &c, sizeof(c)))
		return XDP_DROP;
	/* The first is that of the lowest priority, which takes all: 0 would say that nothing is known. */
	for (i = 0; i < HOMA_PRIORITIES; i++)
		peer->cutoffs[i] = ntohl(c.unsched_cutoffs[i]);
	if (!peer->cutoffs[0])
		peer->cutoffs[0] = HOMA_MAX_MESSAGE;
	peer->version = c.cutoff_version;
	return XDP_DROP;
}
