/*
 * Datagrams whose neighbour is asked for. Each leaves its send ring, so that those behind it go on, and lies in a slot of the
 * lane until the neighbour answers, or has not in three seconds. So many for one neighbour, as in Linux' arp_queue
 * (net/core/neighbour.c): of more the oldest is dropped.
 *
 *   send ring ── udp_park ──▶ slot, payload ── udp_unpark: every 2 ms, in order ──▶ frame
 */
#pragma once
#include "../tcp/loop.h"
#include "frame.h"

#define SLOTS 256
#define SLOTS_EACH 101 /* unres_qlen */
/* How often it is looked whether a neighbour has answered. */
#define NEIGHBOUR_NS (2 * NS_PER_MS)
/* Nobody answers: three requests, a second apart (RFC 1122 §2.3.2.1, RFC 4861 §10). */
#define UNANSWERED_NS (3000 * NS_PER_MS)

struct udp_slot {
	__u32 socket;   /* its stream and one; 0: free. Written last */
	__u32 order;    /* the lower came first */
	__u64 since_ns; /* that its neighbour is asked for */
	__u64 look_ns;  /* when to look next: the same for all of a socket's to one address */
	__be32 hop[4];
	struct datagram_record record;
	__u32 sum;      /* of the payload */
	__u32 pad;
};

struct udp_slots {
	struct udp_slot slot[SLOTS];
	__u32 order; /* of the next */
	/* Where a walk over the slots is, and what it has found: here, where the verifier takes it for anything and need not count. */
	volatile __u32 at;
	__u32 free, own, first, oldest;
	__u32 first_order, oldest_order;
	__u64 first_look;
	__u64 since_ns;
};

struct udp_payload {
	__u8 bytes[ETHERLOOM_FRAME_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct udp_slots);
} udp_unresolved SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct udp_payload);
} udp_payloads SEC(".maps");

static inline struct udp_slots *udp_slots_here(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&udp_unresolved, &key);
}

/* The slot where a walk is; 0 behind the last. */
static inline struct udp_slot *udp_slot_here(struct udp_slots *p)
{
	__u32 i = p->at;

	return i < SLOTS ? &p->slot[i] : 0;
}

#define for_each_slot(p, c) for ((p)->at = 0; can_loop && ((c) = udp_slot_here(p)); (p)->at++)

/* The bit of an address in udp_socket.parked. */
static inline __u64 udp_bit(const __be32 *address)
{
	return 1ULL << ((address[0] ^ address[1] ^ address[2] ^ address[3]) * 0x9e3779b1U >> 26);
}

/* The slot of the socket that is to be looked at first; SLOTS: it has none. */
static noinline __u32 udp_next(struct udp_slots *p, __u32 id)
{
	struct udp_slot *c;

	p->first = SLOTS;
	for_each_slot(p, c) {
		if (c->socket != id + 1)
			continue;
		if (p->first < SLOTS && (c->look_ns > p->first_look ||
					 (c->look_ns == p->first_look && (__s32)(c->order - p->first_order) > 0)))
			continue;
		p->first = p->at;
		p->first_look = c->look_ns;
		p->first_order = c->order;
	}
	return p->first;
}

/* Those of the socket to an address are looked at then. How many there are. */
static noinline __u32 udp_look_at(struct udp_slots *p, __u32 id, const __be32 *address, __u64 look_ns)
{
	struct udp_slot *c;

	p->own = 0;
	for_each_slot(p, c) {
		if (c->socket != id + 1 || !same_address(c->record.address, address))
			continue;
		c->look_ns = look_ns;
		p->own++;
	}
	return p->own;
}

/* The socket is closed: what it had waits no more. */
static inline void udp_forget(__u32 id)
{
	struct udp_slots *p = udp_slots_here();
	struct udp_slot *c;

	if (!p)
		return;
	for_each_slot(p, c) {
		if (c->socket == id + 1)
			c->socket = 0;
	}
}

/*
 * A slot for one more that waits for that neighbour, whoever sent it: a free one, else the oldest of all; the neighbour's own
 * oldest when it has its share. `since_ns` is since when the neighbour is asked for.
 */
static noinline __u32 udp_slot_for(struct udp_slots *p, const __be32 *hop, __u64 now)
{
	struct udp_slot *c;

	p->free = p->first = p->oldest = SLOTS;
	p->own = 0;
	p->since_ns = now;
	for_each_slot(p, c) {
		if (!c->socket) {
			p->free = p->at;
			continue;
		}
		if (p->oldest >= SLOTS || (__s32)(c->order - p->oldest_order) < 0) {
			p->oldest = p->at;
			p->oldest_order = c->order;
		}
		if (!same_address(c->hop, hop))
			continue;
		p->own++;
		if (p->first >= SLOTS || (__s32)(c->order - p->first_order) < 0) {
			p->first = p->at;
			p->first_order = c->order;
			p->since_ns = c->since_ns;
		}
	}
	return p->own >= SLOTS_EACH ? p->first : p->free < SLOTS ? p->free : p->oldest;
}

static int on_clock(void *map, __u32 *id, struct udp_clock *clock)
{
	el_ready(*id);
	return 0;
}

/* The socket is looked at again in a while. */
static inline void udp_later(__u32 id)
{
	struct udp_clock *c = bpf_map_lookup_elem(&udp_clocks, &id);

	if (!c)
		return;
	/* It stays with the stream; whoever had the number before may have died between the two. */
	bpf_timer_init(&c->timer, &udp_clocks, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&c->timer, on_clock);
	bpf_timer_start(&c->timer, NEIGHBOUR_NS, 0);
}
