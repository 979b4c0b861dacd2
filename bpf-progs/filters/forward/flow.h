/*
 * What a hop remembers. A flow lives in the slot of the source port that it was given, so an answer finds it without a
 * search; a request finds the slot by the client's tuple. One slot, one port, whatever the protocol: tuples are unique.
 *
 *   request ─▶ table4/6 { client, port, listener } ─▶ slot ─┐
 *   answer  ─▶ destination port − first port ───────────────┴▶ flows[slot] ─▶ addresses, ports, MACs, differences
 *
 * A slot is free when its time is past: nothing sweeps, whoever opens a flow takes an aged slot over (compare-and-swap
 * on the time, since two lanes or CPUs may want it): that of the client's own port, else the one longest at rest.
 */
#pragma once
#include "bpf.h"
#include "csum.h"
#include "hash.h"
#include "net.h"

/* Slots looked at for one that has rested; and how often, should all be taken or other lanes be faster. */
#define PORT_TRIES 64
#define CLAIM_TRIES 4
/* From one slot to the next that is looked at: clients' ports lie side by side, so their flows do. A prime above any
 * number of slots: all of them come before one comes again. */
#define PORT_STEP 2654435761ULL
/* A slot aged so long ago is as good as any: no backend remembers its last connection (Linux: TCP_TIMEWAIT_LEN). */
#define REST_NS 60000000000ULL
#define BACKEND_TRIES 8
/* Other lanes that may change a flow between a look at it and our own change. */
#define FOLLOW_TRIES 8
/* Until a slot that is being filled may be used again, should its writer die. */
#define SETUP_NS 1000000000ULL
/* Later than any time. */
#define NEVER_NS (1LL << 62)

enum state { TCP_OPENING, TCP_OPEN, TCP_CLOSING, TCP_CLOSED, UDP_OPENING, UDP_OPEN, STATES, SETUP };
enum direction { FORTH, BACK };

/* COMPLETE_*: frames arriving there may carry a sum of the pseudo header only: the sum is completed. KEEP_PARTIAL:
 * it is carried on as it is, for generic XDP, where the kernel still completes it when the frame leaves. */
enum flag { COMPLETE_FORTH = 1, COMPLETE_BACK = 2, KEEP_PARTIAL = 4 };

struct hop {
	__be32 listen4; /* address that clients call; 0: no IPv4 */
	__be32 source4; /* address that backends see */
	__be32 listen6[4];
	__be32 source6[4];
	__u32 first_port; /* host order; slot i has port first_port + i */
	__u32 slots;      /* as `flows` has entries */
	__u32 flags;
	__u32 secret;
	__u64 age_ns[STATES];
};

/* FINs by direction; the backend's SYN, without which a client's word opens nothing (RFC 5382 §5). */
enum seen { SEEN_FIN_FORTH = 1, SEEN_FIN_BACK = 2, SEEN_FINS = 3, SEEN_ANSWER = 4 };

/* Constants of this instance, set before it is loaded: both compilers fold them. */
const volatile struct hop hop = {};

/* What may change while packets flow: an interface that comes back has another address, and so has a backend. */
struct links {
	__u16 in[3];      /* our Ethernet address towards clients */
	__u16 generation; /* counts the changes of `backends`: flows of another one ask again */
	__u16 out[3];     /* and towards backends */
	__u16 pad;
} __attribute__((aligned(8)));

/* Of its own map, .data: the host writes it as a whole. */
struct links links = { .generation = 1 };

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

struct listener_key {
	__be16 port;
	__u8 protocol;
	__u8 family;
};

/* Backends first … first + count - 1 share the connections of a listener. */
struct listener {
	__u32 first;
	__u32 count;
};

struct backend {
	__be32 addr[4];
	__be16 port;
	__u16 up;
	__u16 mac[3];
	__u16 pad;
};

struct count {
	__u64 packets;
	__u64 bytes;
};

enum reason {
	COUNT_FORTH,       /* translated towards a backend */
	COUNT_BACK,        /* translated towards a client */
	COUNT_ERROR,       /* of these two: ICMP errors */
	COUNT_FRAGMENT,    /* of these two: later fragments */
	COUNT_COMPLETED,   /* of these two: checksum completed */
	COUNT_OPENED,      /* flows */
	COUNT_REOPENED,    /* of these: a closed flow taken up by its own client */
	COUNT_EVICTED,     /* of these: took the port of a closed flow before its time, for want of others */
	COUNT_NOT_IP,      /* passed from here … */
	COUNT_NOT_OURS,
	COUNT_NO_LISTENER,
	COUNT_NO_FLOW,     /* dropped from here … */
	COUNT_NO_PORT,
	COUNT_NO_BACKEND,
	COUNT_NO_FRAGMENT,
	COUNT_TTL,
	COUNT_MALFORMED,
	REASONS,
};

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

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct listener_key);
	__type(value, struct listener);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS);
	__type(key, __u32);
	__type(value, struct count);
} counters SEC(".maps");

/* Interface towards clients and towards backends; without an entry a packet leaves where it came in. */
enum port { PORT_IN, PORT_OUT };

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

/* Where a slot is looked for when the preferred one is taken, and the next fragment number: shared by all lanes. */
__u32 cursor = 0;
__u32 fragment_id = 0;

static inline void count(__u32 reason, __u64 bytes)
{
	struct count *c = bpf_map_lookup_elem(&counters, &reason);

	if (c) {
		c->packets += 1;
		c->bytes += bytes;
	}
}

static inline int verdict(__u32 reason, __u64 bytes, int action)
{
	count(reason, bytes);
	return action;
}

/* One word of IPv4, four of IPv6; `v6` is a constant wherever these are called. */
static inline int same_addr(const __be32 *a, const volatile __be32 *b, const int v6)
{
	return a[0] == b[0] && (!v6 || (a[1] == b[1] && a[2] == b[2] && a[3] == b[3]));
}

static inline void copy_addr(__be32 *to, const volatile __be32 *from, const int v6)
{
	to[0] = from[0];
	if (v6) {
		to[1] = from[1];
		to[2] = from[2];
		to[3] = from[3];
	}
}

static inline __u64 diff_addr(const volatile __be32 *from, const volatile __be32 *to, const int v6)
{
	__u64 diff = csum_diff4(from[0], to[0]);

	if (v6)
		diff += csum_diff4(from[1], to[1]) + csum_diff4(from[2], to[2]) + csum_diff4(from[3], to[3]);
	return diff;
}

/* A difference in 16 bits: to be kept. */
static inline __u16 csum_keep(__u64 diff)
{
	return ~csum_fold(diff);
}

static inline void copy_mac(__u16 *to, const __u16 *from)
{
	*(word32 *)to = *(const word32 *)from;
	to[2] = from[2];
}

static inline int same_mac(const __u16 *a, const __u16 *b)
{
	return *(const word32 *)a == *(const word32 *)b && a[2] == b[2];
}

#define LISTEN(v6) ((v6) ? hop.listen6 : &hop.listen4)
#define SOURCE(v6) ((v6) ? hop.source6 : &hop.source4)

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

/* The slot becomes ours if nobody was faster since `seen` was read, and its next flow begins. */
static inline int claim(struct mapping *f, __u64 seen, __u64 now)
{
	if (__sync_val_compare_and_swap(&f->expires_ns, seen, now + SETUP_NS) != seen)
		return 0;
	*WORD(f) = WORD_OF(f->epoch + 1, 0, SETUP);
	return 1;
}

/* Claims a slot that is aged, or at least closed where `closed` says so. Returns it, or -1. */
static inline int claim_slot(__u32 slot, __u64 now, const int closed)
{
	struct mapping *f = bpf_map_lookup_elem(&flows, &slot);
	__u64 seen;

	if (!f)
		return -1;
	seen = f->expires_ns;
	if (seen >= now && !(closed && f->state == TCP_CLOSED))
		return -1;
	if (!claim(f, seen, now))
		return -1;
	if (closed && seen >= now)
		count(COUNT_EVICTED, 0);
	return slot;
}

/*
 * Looks, from the cursor on and all over the table, for a slot that was never used or has rested; else for the one
 * among those seen that has been free longest, or will be free first of those closed. Returns it, or -1. Global
 * functions are verified once, by themselves, and not for each way that leads to them.
 */
noinline int look_for_slot(__u64 now)
{
	/* As far as anybody looks, so that no two lanes look at the same slots. */
	__u32 start = __sync_fetch_and_add(&cursor, PORT_TRIES), best = 0, slots = hop.slots, slot, i;
	__s64 best_ns = NEVER_NS, seen, earlier;
	struct mapping *f;

	if (!slots)
		return -1;
	for (i = 0; i < PORT_TRIES; i++) {
		slot = (start + i) * PORT_STEP % slots;
		f = bpf_map_lookup_elem(&flows, &slot);
		if (!f)
			return -1;
		seen = f->expires_ns;
		if (!seen || (__u64)seen + REST_NS < now)
			return slot;
		if ((__u64)seen < now || f->state == TCP_CLOSED) {
			/* Chosen by masks: bounds that shrink by one a round would make each round another to a verifier. */
			earlier = (seen - best_ns) >> 63;
			best_ns += (seen - best_ns) & earlier;
			best += (slot - best) & (__u32)earlier;
		}
	}
	return best_ns == NEVER_NS ? -1 : best;
}

/* Claims what look_for_slot finds; if that is nothing, or another lane is faster, it looks on. The slot, or -1. */
noinline int claim_any(__u64 now)
{
	int slot, claimed, i;

	for (i = 0; i < CLAIM_TRIES; i++) {
		slot = look_for_slot(now);
		if (slot < 0)
			continue;
		claimed = claim_slot(slot, now, 1);
		if (claimed >= 0)
			return claimed;
	}
	return -1;
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
	__u64 seen, diff;
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
		seen = f->expires_ns;
		if (seen >= r->now || !claim(f, seen, r->now))
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

/* The word of a flow after a packet that may change it. */
static inline __u64 word_after(__u64 word, __u32 direction, __u32 tcp_flags)
{
	__u32 state = STATE_OF(word), seen = SEEN_OF(word);

	if (state >= UDP_OPENING) {
		if (state == UDP_OPENING && direction == BACK)
			state = UDP_OPEN;
	} else if (tcp_flags & TCP_RST) {
		state = TCP_CLOSED;
	} else if (tcp_flags & TCP_FIN) {
		seen |= direction == FORTH ? SEEN_FIN_FORTH : SEEN_FIN_BACK;
		state = (seen & SEEN_FINS) == SEEN_FINS ? TCP_CLOSED : TCP_CLOSING;
	} else if (tcp_flags & TCP_SYN) {
		if (direction == BACK) {
			seen |= SEEN_ANSWER;
		} else if (state == TCP_CLOSED && !(tcp_flags & TCP_ACK)) {
			/* The client uses its port again: the tuple is still unique, what is old is the two ends' affair. */
			seen = 0;
			state = TCP_OPENING;
		}
	} else if (state == TCP_OPENING && direction == FORTH && seen & SEEN_ANSWER) {
		state = TCP_OPEN;
	}
	return WORD_OF(EPOCH_OF(word), seen, state);
}

/*
 * Changes a flow by a packet, whatever other lanes or CPUs do to it meanwhile: both directions of one may meet different
 * ones. Its word now, or 0: the slot has another flow since `word` was read.
 */
noinline __u64 follow(__u32 slot, __u64 word, __u32 direction, __u32 tcp_flags)
{
	struct mapping *f = bpf_map_lookup_elem(&flows, &slot);
	__u64 next, was;
	int i;

	if (!f)
		return 0;
	for (i = 0; i < FOLLOW_TRIES; i++) {
		next = word_after(word, direction, tcp_flags);
		if (next == word)
			return word;
		was = __sync_val_compare_and_swap((word64 *)WORD(f), word, next);
		if (was == word) {
			if (STATE_OF(word) == TCP_CLOSED && STATE_OF(next) == TCP_OPENING)
				count(COUNT_REOPENED, 0);
			return next;
		}
		if (EPOCH_OF(was) != EPOCH_OF(word))
			return 0;
		word = was;
	}
	return word;
}

/* From now on a flow may be silent for as long as its state allows. */
static inline void live_on(struct mapping *f, __u64 word, __u64 now)
{
	__u32 state = STATE_OF(word);

	/* What is compared is what is used: clang would compare another form of it. */
	barrier_var(state);
	if (state < STATES)
		*(volatile __u64 *)&f->expires_ns = now + hop.age_ns[state];
}

/* What a packet does to its flow: state, and the time that it may now be silent. 0: there is another flow by now. */
static inline int touch(struct match *m, __u8 protocol, __u8 tcp_flags, __u64 now)
{
	struct mapping *f = m->flow;
	__u64 word = m->word, again;
	__u32 state = STATE_OF(word);

	if (protocol == IPPROTO_TCP ? tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST) || state == TCP_OPENING :
				      state == UDP_OPENING) {
		word = follow(m->slot, word, m->direction, tcp_flags);
		if (!word)
			return 0;
	}
	live_on(f, word, now);
	/* Changed by another lane just now: one of the two times was written last, and it must be the later state's. */
	again = *WORD(f);
	if (unlikely(again != word)) {
		if (EPOCH_OF(again) != EPOCH_OF(word))
			return 0;
		live_on(f, again, now);
	}
	return 1;
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
