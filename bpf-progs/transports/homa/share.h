/*
 * Shares: how many channels a peer may have, and a port. A channel is a stream, and a client makes one of a number that it
 * chooses: without a bound one peer has all streams of the host by as many packets, and many peers leave none to the host's own
 * clients. Each lane counts its own, where a channel begins (homa_open) and where it ends (homa_forget). A peer's packets come to
 * one lane; of ports the sum of all lanes counts, which may go over it by one each when they begin channels at the same time.
 *
 * What is remembered of calls that are over is shared in the same way (past.h): a channel begins where there is a place for what is to
 * be remembered of it, and a peer has half of a lane's at most.
 */
#pragma once
#include "ledger.h"

const volatile __u32 homa_peer_slots = 1024;
const volatile __u32 homa_port_slots = 1024;
const volatile __u32 homa_all_slots = 1024; /* of all ports together */
const volatile __u32 homa_past_places = 1024; /* of a lane, a power of two */

/* What is counted under a key, of this lane; by `address`, which is mapped, or by port. */
static inline struct homa_share *share_at(struct homa_share_key *k, const __be32 *address, __u32 port)
{
	if (address)
		memcpy(k->address, address, sizeof(k->address));
	k->port = port;
	k->lane = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&homa_shares, k);
}

/* Channels of all lanes. */
static inline __u32 share_of(__u32 port)
{
	struct homa_share_key k = { .port = port };
	__u32 sum = 0, i;
	struct homa_share *n;

	for (i = 0; i < ETHERLOOM_MAX_LANES && i < homa_lane_count && can_loop; i++) {
		k.lane = i;
		n = bpf_map_lookup_elem(&homa_shares, &k);
		if (n)
			sum += n->living;
	}
	return sum;
}

/* Whether the peer, or the port, or all of them have as many as they may. */
noinline int share_full(const struct homa_packet *p NONNULL)
{
	struct homa_share_key peer = {}, all = {};
	struct homa_ledger *l = ledger_begin();
	struct homa_share *n;
	__be32 address[4];

	if (!l)
		return 1;
	mapped(address, p->src, p->family);
	n = share_at(&peer, address, 0);
	if (n && (n->living >= homa_peer_slots || n->living + n->past >= homa_past_places / 2))
		return 1;
	n = share_at(&all, 0, 0);
	if ((n ? n->living : 0) + (l->tail - l->head) >= homa_past_places)
		return 1;
	return share_of(0) >= homa_all_slots || share_of(p->h.common.dport) >= homa_port_slots;
}

/* Whether the peer, or the port, has three quarters of what it may have: channels that rest are to go. */
noinline int share_short(const struct homa_rpc *r NONNULL)
{
	struct homa_share_key peer = {}, port = {};
	struct homa_share *n;
	__be32 address[4];

	mapped(address, r->remote, r->family);
	n = share_at(&peer, address, 0);
	if (n && n->living > homa_peer_slots - homa_peer_slots / 4)
		return 1;
	n = share_at(&port, 0, r->port);
	return n && n->living > homa_port_slots - homa_port_slots / 4;
}

/* Writes down what a share becomes. */
static inline void share_becomes(struct homa_ledger *l, __u32 i, const __be32 *address, __u32 port, __s32 living, __s32 past)
{
	struct homa_share_key k = {};
	struct homa_share *n = share_at(&k, address, port);

	l->to[i].key = k;
	l->to[i].share.living = n ? n->living + living : living > 0 ? living : 0;
	l->to[i].share.past = n ? n->past + past : past > 0 ? past : 0;
}

/* The three that a channel is counted in, as it begins or ends: `by` is 1 or -1. */
static inline void share_moves(struct homa_ledger *l, const struct homa_rpc *r, __u32 id, __s32 by, __s32 past)
{
	__be32 address[4];

	mapped(address, r->remote, r->family);
	share_becomes(l, 0, address, 0, by, past);
	share_becomes(l, 1, 0, 0, by, 0);
	share_becomes(l, 2, 0, r->port, by, 0);
	l->entries = 3;
	l->slot = id;
	l->counted = by > 0;
}

/* A channel begins, or one that nothing was executed on ends. */
noinline int share_count(const struct homa_rpc *r NONNULL, __u32 id, __s32 by)
{
	struct homa_ledger *l = ledger_begin();

	if (!l || r->counted == (by > 0))
		return 0;
	share_moves(l, r, id, by, 0);
	ledger_commit(l);
	return 0;
}
