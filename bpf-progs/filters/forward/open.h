/* A new flow: for whom, to which backend, from which slot. */
#pragma once
#include "slot.h"

#define BACKEND_TRIES 8

/* Who asks for a new flow. */
struct request {
	__be32 client[4];
	__be16 client_port;
	__be16 listen_port;
	__u16 mac[3];
	__u8 protocol;
	__u8 family;
	__u8 tcp_flags;
	__u8 hops; /* that it has left */
	__u32 slot; /* out */
	__u32 backend; /* out */
	__u64 now;
};

static inline __u32 *known_slot(const struct request *r)
{
	__u32 ports = (__u32)r->listen_port << 16 | r->client_port;

	return r->family == AF_INET6 ? look_up(r->client, ports, r->protocol, 1) : look_up(r->client, ports, r->protocol, 0);
}

static inline long enter(const struct request *r, __u32 slot, __u64 flags)
{
	if (r->family == AF_INET6) {
		struct key6 key = { { r->client[0], r->client[1], r->client[2], r->client[3] }, r->client_port,
				    r->listen_port, r->protocol };

		return bpf_map_update_elem(&table6, &key, &slot, flags);
	}
	struct key4 key = { r->client[0], r->client_port, r->listen_port, r->protocol };

	return bpf_map_update_elem(&table4, &key, &slot, flags);
}

/* Takes the key of the flow that had the slot before, unless its client has another slot by now. */
static inline void forget(const struct mapping *f, __u32 slot)
{
	__u32 *known, ports = (__u32)f->listen_port << 16 | f->client_port;

	if (f->family == AF_INET6) {
		struct key6 key = { { f->client[0], f->client[1], f->client[2], f->client[3] }, f->client_port,
				    f->listen_port, f->protocol };

		known = look_up(f->client, ports, f->protocol, 1);
		if (known && *known == slot)
			bpf_map_delete_elem(&table6, &key);
	} else if (f->family == AF_INET) {
		struct key4 key = { f->client[0], f->client_port, f->listen_port, f->protocol };

		known = look_up(f->client, ports, f->protocol, 0);
		if (known && *known == slot)
			bpf_map_delete_elem(&table4, &key);
	}
}

/*
 * The slot that a client's own port leads to: of the same port, where that is one of ours (RFC 4787 REQ-3). It is the
 * same after a restart, when nobody here knows which ports a backend still holds in TIME_WAIT: that lets a SYN in if
 * its sequence number or timestamp is later, and those of one client's port are, those of two are as chance has it.
 * Linux connects from even ports, which halved are 14,116 slots of their own. UDP keeps its parity (REQ-4) unless
 * somebody else has that slot: then any will do.
 */
static inline __u32 preferred_slot(const struct request *r)
{
	__u32 port = ntohs(r->client_port), slot = port - hop.first_port;

	if (slot < hop.slots)
		return slot;
	if (!hop.slots)
		return 0;
	if (r->protocol == IPPROTO_TCP)
		return (port >> 1 | (port & 1) << 15) % hop.slots;
	slot = port % hop.slots;
	if ((hop.first_port + slot - port) & 1)
		slot = slot ? slot - 1 : hop.slots > 1;
	return slot;
}

static inline struct backend *choose_backend(struct request *r, const struct listener *l)
{
	__u32 hash, n, i;
	struct backend *b;

	hash = jhash_addr(r->client, hop.secret ^ ((__u32)r->client_port << 16 | r->listen_port));
	for (i = 0; i < BACKEND_TRIES && i < l->count; i++) {
		n = l->first + (hash + i) % l->count;
		b = bpf_map_lookup_elem(&backends, &n);
		if (b && b->up) {
			r->backend = n;
			return b;
		}
	}
	return NULL;
}

/* Opens a flow: its slot, or minus the reason why there is none. */
noinline int open_flow(struct request *r)
{
	__u32 *known, stale = 0;
	struct listener *l;
	struct backend *b;
	struct mapping *f;
	__u64 word, seen, diff;
	int slot;

	if (!r)
		return -COUNT_NO_LISTENER;
	struct listener_key key = { r->listen_port, r->protocol, r->family };
	const int v6 = r->family == AF_INET6;

	l = bpf_map_lookup_elem(&listeners, &key);
	if (!l)
		return -COUNT_NO_LISTENER;
	if (r->hops <= 1)
		return -COUNT_TTL;
	if (r->protocol == IPPROTO_TCP && (r->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
		return -COUNT_NO_FLOW;
	b = choose_backend(r, l);
	if (!b)
		return -COUNT_NO_BACKEND;
	known = known_slot(r);
	if (known) {
		/* Its own flow of old, aged: the same port again. Should another lane have it in hand, the next packet finds it. */
		r->slot = *known;
		f = bpf_map_lookup_elem(&flows, &r->slot);
		if (!f)
			return -COUNT_NO_PORT;
		word = *WORD(f);
		seen = *(volatile __u64 *)&f->expires_ns;
		if (seen >= r->now || !claim(f, word, seen, r->now))
			return -COUNT_NO_PORT;
		stale = 1;
	} else {
		slot = claim_slot(preferred_slot(r), r->now, 0);
		if (slot < 0)
			slot = claim_any(r->now);
		if (slot < 0)
			return -COUNT_NO_PORT;
		r->slot = slot;
		f = bpf_map_lookup_elem(&flows, &r->slot);
		if (!f)
			return -COUNT_NO_PORT;
		forget(f, r->slot);
	}
	f->client[0] = r->client[0];
	f->client[1] = r->client[1];
	f->client[2] = r->client[2];
	f->client[3] = r->client[3];
	f->client_port = r->client_port;
	f->listen_port = r->listen_port;
	f->backend[0] = b->addr[0];
	f->backend[1] = b->addr[1];
	f->backend[2] = b->addr[2];
	f->backend[3] = b->addr[3];
	f->backend_port = b->port;
	f->protocol = r->protocol;
	f->family = r->family;
	copy_mac(f->client_mac, r->mac);
	/* Before the address: should both change now, the next packet looks again. */
	f->generation = *(volatile __u16 *)&links.generation;
	f->backend_index = r->backend;
	copy_mac(f->backend_mac, b->mac);
	diff = v6 ? diff_addr(f->client, hop.source6, 1) + diff_addr(hop.listen6, f->backend, 1) :
		    diff_addr(f->client, &hop.source4, 0) + diff_addr(&hop.listen4, f->backend, 0);
	f->addr_diff = csum_keep(diff);
	diff += csum_diff2(f->client_port, htons(hop.first_port + r->slot)) + csum_diff2(f->listen_port, f->backend_port);
	f->diff = csum_keep(diff);
	if (enter(r, r->slot, stale ? BPF_ANY : BPF_NOEXIST)) {
		/* Another lane was faster with the same client, or the table is full. */
		f->expires_ns = 0;
		return -COUNT_NO_PORT;
	}
	__sync_lock_test_and_set((word64 *)WORD(f), WORD_OF(f->epoch, 0, r->protocol == IPPROTO_TCP ? TCP_OPENING : UDP_OPENING));
	count(COUNT_OPENED, 0);
	return r->slot;
}

/*
 * The backend's Ethernet address is asked for again: one of them has changed. One that was taken out while its flows go
 * on may have left its place to another: then the address stays as it is.
 */
noinline int refresh(__u32 slot)
{
	struct mapping *f = bpf_map_lookup_elem(&flows, &slot);
	struct backend *b;
	__u32 n;

	if (!f)
		return 0;
	f->generation = *(volatile __u16 *)&links.generation;
	n = f->backend_index;
	b = bpf_map_lookup_elem(&backends, &n);
	if (b && same_addr(b->addr, f->backend, f->family == AF_INET6) && b->port == f->backend_port)
		copy_mac(f->backend_mac, b->mac);
	return 0;
}
