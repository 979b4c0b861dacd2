/*
 * A socket is a stream whose rings hold datagrams one after the other, each behind a record that says how long it is and
 * whose. The control plane makes sockets and fills the tables by which datagrams find them; lanes only read these.
 *
 *   send ring, receive ring:  │ record 32 B │ payload, filled up to a multiple of 32 │ record │ payload …
 *
 * Records begin at multiples of 32, so none is cut where the ring begins anew.
 */
#pragma once
#include "kfuncs.gen.h"
#include "layout.gen.h"
#include "count.h"
#include "endian.h"
#include "net.h"

#define UDP_TRANSPORT IPPROTO_UDP
#define UDP_ALIGN 32
#define NS_PER_MS 1000000ULL
#define NONNULL __attribute__((btf_decl_tag("arg:nonnull")))

/* Errors of Linux (include/uapi/asm-generic). */
enum { ENOMEM = 12, EACCES = 13, EPROTO = 71, EMSGSIZE = 90, ENOPROTOOPT = 92, ENETUNREACH = 101, ECONNREFUSED = 111, EHOSTUNREACH = 113 };

struct udp_record {
	__u32 len;       /* of the payload; what follows says whose it is: the sender's, or the receiver's */
	__u8 family;     /* AF_INET, AF_INET6 */
	__u8 ttl;        /* hop limit; to be sent: 0 for 64 */
	__be16 port;
	__be32 address[4]; /* IPv4 in word 0, the others 0 */
	__u8 tos;        /* traffic class */
	__u8 pad[3];
	__u32 ifindex;   /* port of the engine that it came in by */
};
_Static_assert(sizeof(struct udp_record) == UDP_ALIGN, "a record is never cut in two");

/* Bytes that a datagram takes in a ring. */
static inline __u32 udp_room(__u32 len)
{
	return UDP_ALIGN + ((len + UDP_ALIGN - 1) & ~(UDP_ALIGN - 1));
}

enum udp_state { UDP_FREE, UDP_OPEN, UDP_CLOSING /* what is in its send ring goes out still */ };

/* `state` to `local` are the control plane's until the socket is in a table, then nobody writes them but `state`: its lane. */
struct udp_socket {
	__u8 state;      /* enum udp_state */
	__u8 family;     /* of what it sends; 0: both */
	__be16 port;
	__be32 local[4]; /* 0: as the route says */
	__u32 sent;      /* positions: up to where the send ring is done with, */
	__u32 received;  /* and the receive ring is filled */
	__u32 drops;     /* datagrams for which the receive ring had no room */
	__u32 errors;    /* counts what `error` was, */
	__u32 error;     /* the last one, errno */
	__u32 ip_id;
	__u64 parked;    /* a bit for each address that datagrams of its may wait for (unresolved.h), */
	__u64 look_ns;   /* and before when nothing is to be done about them */
};

/* Keys are addresses and ports as an arriving datagram has them. 0 for the remote: from anybody; for the local: to any. */
struct udp_key4 {
	__be32 remote;
	__be32 local;
	__be16 rport;
	__be16 lport;
};

struct udp_key6 {
	__be32 remote[4];
	__be32 local[4];
	__be16 rport;
	__be16 lport;
};

/* Of the tables' values: who a datagram is for is known without a look at the socket, which is its lane's. */
#define ENTRY_LANE_SHIFT 24
#define ENTRY_ID 0xffffff

struct udp_address {
	__be32 address[4]; /* IPv4 in word 0 */
};

struct udp_clock {
	struct bpf_timer timer;
};

#define UDP_MAP(name, kind, entries, key_type, value_type) \
	struct { \
		__uint(type, BPF_MAP_TYPE_##kind); \
		__uint(max_entries, entries); \
		__type(key, key_type); \
		__type(value, value_type); \
	} name SEC(".maps")

/* The loader sets max_entries of the first two to the number of streams. */
UDP_MAP(udp_sockets, ARRAY, 1024, __u32, struct udp_socket);
UDP_MAP(udp_clocks, ARRAY, 1024, __u32, struct udp_clock);
UDP_MAP(udp4, HASH, 1024, struct udp_key4, __u32);
UDP_MAP(udp6, HASH, 1024, struct udp_key6, __u32);
UDP_MAP(udp_addresses, HASH, 1024, struct udp_address, __u32); /* the host's own */

struct bpf_cpumap_val {
	__u32 qsize;
	__u32 prog;
};

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct bpf_cpumap_val);
} udp_lanes SEC(".maps");

static inline struct udp_socket *socket_of(__u32 id)
{
	return bpf_map_lookup_elem(&udp_sockets, &id);
}

/* What Linux calls sk_err: the application is told that it is there, and looks. */
static inline void udp_fail(struct udp_socket *s, __u32 id, __u32 error)
{
	s->error = error;
	s->errors++;
	el_stream_event(id, EL_EV_ERR);
}
