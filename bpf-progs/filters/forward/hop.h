/* A hop: its constants, the tables that the host fills, and what it counts. */
#pragma once
#include "bpf.h"
#include "csum.h"
#include "hash.h"
#include "net.h"

/* Of a flow; of these each has its age. SETUP: somebody is writing it. */
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
	COUNT_DISPLACED,   /* of these: took that of a flow without an answer, for want even of closed ones */
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

#define LISTEN(v6) ((v6) ? hop.listen6 : &hop.listen4)
#define SOURCE(v6) ((v6) ? hop.source6 : &hop.source4)
