/*
 * A flow, and how a packet finds the one that it belongs to. A flow lives in the slot of the source port that it was
 * given, so an answer finds it without a search; a request finds the slot by the client's tuple. One slot, one port,
 * whatever the protocol: tuples are unique.
 *
 *   request ─▶ table4/6 { client, port, listener } ─▶ slot ─┐
 *   answer  ─▶ destination port − first port ───────────────┴▶ flows[slot] ─▶ addresses, ports, MACs, differences
 *
 * A slot is free when its time is past: see slot.h.
 */
#pragma once
#include "addr.h"
#include "hop.h"

/* FINs by direction; the backend's SYN, without which a client's word opens nothing (RFC 5382 §5). */
enum seen { SEEN_FIN_FORTH = 1, SEEN_FIN_BACK = 2, SEEN_FINS = 3, SEEN_ANSWER = 4 };

/* A TCP segment's numbers: by those of the last ones it is judged whether another is of the same connection (life.h). */
struct segment {
	__be32 seq;
	__be32 ack;
	__u32 length; /* as sequence numbers count: with SYN and FIN */
	__u32 flags;
} __attribute__((aligned(8)));

struct mapping {
	__u64 expires_ns;
	/* One word, WORD(): it changes as one, so nobody who is late changes the flow that came after. */
	__u8 state;
	__u8 seen; /* SEEN_* */
	__u16 pad;
	__u32 epoch; /* counts the flows that the slot has had */
	__be32 client[4];
	__be32 backend[4];
	__be16 client_port;
	__be16 listen_port;
	__be16 backend_port;
	__u8 protocol;
	__u8 family;
	__u16 diff;      /* transport checksum: request as it came → as it leaves; its complement is the way back */
	__u16 addr_diff; /* the same of the addresses alone */
	__u16 client_mac[3]; /* of whoever brought its last packet */
	__u16 generation;    /* of `links`, when backend_mac was looked up */
	__u16 backend_mac[3];
	__u16 pad2;
	__u32 backend_index;
	struct segment last[2]; /* TCP: of each direction, resets left out */
};

/* State, SEEN_* and epoch of a flow, as bytes 0, 1 and 4 … 7 of what WORD points to. */
#define WORD(f) ((volatile word64 *)&(f)->state)
#define STATE_OF(word) ((__u8)(word))
#define SEEN_OF(word) ((__u8)((word) >> 8))
#define EPOCH_OF(word) ((__u32)((word) >> 32))
#define WORD_OF(epoch, seen, state) ((__u64)(epoch) << 32 | (__u32)(seen) << 8 | (__u32)(state))

/* Clients, made and compared in whole words: see packet_flow of parse.h. */
struct key4 {
	__be32 addr;
	__be16 port;
	__be16 listen_port;
	__u64 protocol;
} __attribute__((aligned(8)));

struct key6 {
	__be32 addr[4];
	__be16 port;
	__be16 listen_port;
	__u32 protocol;
} __attribute__((aligned(8)));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct mapping);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct key4);
	__type(value, __u32);
} table4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct key6);
	__type(value, __u32);
} table6 SEC(".maps");

/* A flow as a packet found it. */
struct match {
	struct mapping *flow;
	__u64 word; /* as it was then */
	__u32 slot;
	__u32 direction;
};

enum found { FOUND, NOT_OURS, NO_FLOW, NO_ANSWER };

static inline int alive(const struct mapping *f, __u64 word, __u64 now)
{
	return f->expires_ns >= now && STATE_OF(word) != SETUP;
}

/* The slot that table4 or table6 has for a client. `ports`: the client's and the listener's, as they lie in a packet. */
static inline __u32 *look_up(const __be32 *client, __u32 ports, __u8 protocol, const int v6)
{
	if (v6) {
		struct key6 key;
		word64 *word = (word64 *)&key;

		word[0] = (__u64)client[1] << 32 | client[0];
		word[1] = (__u64)client[3] << 32 | client[2];
		word[2] = (__u64)protocol << 32 | ports;
		return bpf_map_lookup_elem(&table6, &key);
	}
	struct key4 key;
	word64 *word = (word64 *)&key;

	word[0] = (__u64)ports << 32 | client[0];
	word[1] = protocol;
	return bpf_map_lookup_elem(&table4, &key);
}

/* The flow of a packet by its addresses and ports. NO_FLOW: for our listener; NO_ANSWER: for a port that we gave. */
static inline enum found find_flow(const __be32 *src, const __be32 *dst, __be16 sport, __be16 dport, __u8 protocol,
				   const int v6, __u64 now, struct match *m)
{
	__u32 slot = ntohs(dport) - hop.first_port, ports = (__u32)dport << 16 | sport, *known;
	struct mapping *f;
	__u64 word;

	if (slot < hop.slots) {
		if (!same_addr(dst, SOURCE(v6), v6))
			return NOT_OURS;
		f = bpf_map_lookup_elem(&flows, &slot);
		if (!f)
			return NO_ANSWER;
		word = *WORD(f);
		if (!alive(f, word, now) || f->protocol != protocol || f->family != (v6 ? AF_INET6 : AF_INET) ||
		    f->backend_port != sport || !same_addr(src, f->backend, v6))
			return NO_ANSWER;
		m->direction = BACK;
	} else {
		if (!same_addr(dst, LISTEN(v6), v6))
			return NOT_OURS;
		known = look_up(src, ports, protocol, v6);
		if (!known)
			return NO_FLOW;
		slot = *known;
		f = bpf_map_lookup_elem(&flows, &slot);
		if (!f)
			return NO_FLOW;
		word = *WORD(f);
		if (!alive(f, word, now) || f->protocol != protocol || f->family != (v6 ? AF_INET6 : AF_INET) ||
		    *(word32 *)&f->client_port != ports || !same_addr(src, f->client, v6))
			return NO_FLOW;
		m->direction = FORTH;
	}
	m->flow = f;
	m->word = word;
	m->slot = slot;
	return FOUND;
}
