/*
 * What a transport of datagrams shares with its applications and its control plane (host/transports/datagrams/), whatever it
 * sends: records in rings, and names that begin with the transport's. Who includes this says it first: #define TRANSPORT udp.
 *
 *   send ring, receive ring:  │ record 32 B │ payload, filled up to a multiple of 32 │ record │ payload …
 *
 * Records begin at multiples of 32, so none is cut where the ring begins anew.
 */
#pragma once
#include "bpf.h"
#include "endian.h"
#include "kfuncs.gen.h"
#include "net.h"

#ifndef TRANSPORT
#error "#define TRANSPORT, the name by which sockets ask for it, before this is included"
#endif

#define DATAGRAM_JOIN_(a, b) a##b
#define DATAGRAM_JOIN(a, b) DATAGRAM_JOIN_(a, b)
/* OWN(_lanes) is udp_lanes, where TRANSPORT is udp. */
#define OWN(what) DATAGRAM_JOIN(TRANSPORT, what)

#define DATAGRAM_ALIGN 32
#define NS_PER_MS 1000000ULL
#define NONNULL __attribute__((btf_decl_tag("arg:nonnull")))

/* Errors of Linux (include/uapi/asm-generic). */
enum {
	ENOMEM = 12, EACCES = 13, EPROTO = 71, EMSGSIZE = 90, ENOPROTOOPT = 92, ENETUNREACH = 101, ECONNRESET = 104,
	ETIMEDOUT = 110, ECONNREFUSED = 111, EHOSTUNREACH = 113,
};

struct datagram_record {
	__u32 len;       /* of the payload; what follows says whose it is: the sender's, or the receiver's */
	__u8 family;     /* AF_INET, AF_INET6 */
	__u8 ttl;        /* hop limit; to be sent: 0 for 64 */
	__be16 port;
	__be32 address[4]; /* IPv4 in word 0, the others 0 */
	__u8 tos;        /* traffic class */
	__u8 pad[3];
	__u32 ifindex;   /* port of the engine that it came in by */
};
_Static_assert(sizeof(struct datagram_record) == DATAGRAM_ALIGN, "a record is never cut in two");

/* Bytes that a datagram takes in a ring. */
static inline __u32 datagram_room(__u32 len)
{
	return DATAGRAM_ALIGN + ((len + DATAGRAM_ALIGN - 1) & ~(DATAGRAM_ALIGN - 1));
}

/* Of `state` of a socket. */
enum socket_state { SOCKET_FREE, SOCKET_OPEN, SOCKET_CLOSING /* what is in its send ring goes out still */ };

static inline __u32 same_address(const __be32 *a, const __be32 *b)
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}
