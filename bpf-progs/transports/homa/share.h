/*
 * Shares: how many channels a peer may have, and a port. A channel is a stream, and a client makes one of a number that it
 * chooses: without a bound one peer has all streams of the host by as many packets, and many peers leave none to the host's own
 * clients. Each lane counts its own, where a channel begins (homa_open) and where it ends (homa_forget). A peer's packets come to
 * one lane; of ports the sum of all lanes counts, which may go over it by one each when they begin channels at the same time.
 */
#pragma once
#include "active.h"
#include "parse.h"

const volatile __u32 homa_peer_slots = 1024;
const volatile __u32 homa_port_slots = 1024;
const volatile __u32 homa_all_slots = 1024; /* of all ports together */

struct homa_share_key {
	__be32 address[4]; /* of a peer; zeros: of a port */
	__u32 port;        /* as on the wire; 0: of a peer, or, without an address, of all ports */
	__u32 lane;
};

/* Channels. The loader sets max_entries to twice the number of streams. */
HOMA_MAP(homa_shares, HASH, 1024, struct homa_share_key, __u32);

static inline void share_key(struct homa_share_key *k, const __be32 *address, __u32 port)
{
	if (address)
		memcpy(k->address, address, sizeof(k->address));
	k->port = port;
	k->lane = bpf_get_smp_processor_id();
}

/* Of all lanes. */
static inline __u32 share_of(struct homa_share_key *k)
{
	__u32 sum = 0, i, *n;

	for (i = 0; i < ETHERLOOM_MAX_LANES && i < homa_lane_count && can_loop; i++) {
		k->lane = i;
		n = bpf_map_lookup_elem(&homa_shares, k);
		if (n)
			sum += *n;
	}
	return sum;
}

/* Whether the peer, or the port, or all of them have as many as they may. */
noinline int share_full(const struct homa_packet *p NONNULL)
{
	struct homa_share_key peer = {}, port = {};
	__u32 *n;

	share_key(&peer, p->src, 0);
	n = bpf_map_lookup_elem(&homa_shares, &peer);
	if (n && *n >= homa_peer_slots)
		return 1;
	if (share_of(&port) >= homa_all_slots)
		return 1;
	port.port = p->h.common.dport;
	return share_of(&port) >= homa_port_slots;
}

/* Whether the peer, or the port, has three quarters of what it may have: channels that rest are to go. */
noinline int share_short(const struct homa_rpc *r NONNULL)
{
	struct homa_share_key peer = {}, port = {};
	__u32 *n;

	share_key(&peer, r->remote, 0);
	n = bpf_map_lookup_elem(&homa_shares, &peer);
	if (n && *n > homa_peer_slots - homa_peer_slots / 4)
		return 1;
	share_key(&port, 0, r->port);
	n = bpf_map_lookup_elem(&homa_shares, &port);
	return n && *n > homa_port_slots - homa_port_slots / 4;
}

static inline void share_moves(struct homa_share_key *k, __s32 by)
{
	__u32 *n = bpf_map_lookup_elem(&homa_shares, k), first = 1;

	if (!n) {
		if (by > 0)
			bpf_map_update_elem(&homa_shares, k, &first, BPF_ANY);
	} else if (*n + by)
		*n += by;
	else
		bpf_map_delete_elem(&homa_shares, k);
}

/* A channel began, or ended: `by` is 1 or -1. */
noinline int share_move(const struct homa_rpc *r NONNULL, __s32 by)
{
	struct homa_share_key peer = {}, port = {};

	share_key(&peer, r->remote, 0);
	share_moves(&peer, by);
	share_key(&port, 0, 0);
	share_moves(&port, by);
	port.port = r->port;
	share_moves(&port, by);
	return 0;
}
