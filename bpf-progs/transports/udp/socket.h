/*
 * A socket is a stream whose rings hold datagrams one after the other, each behind a record that says how long it is and
 * whose (include/datagrams/). The control plane makes sockets and fills the tables by which datagrams find them; lanes only
 * read these.
 */
#pragma once
#define TRANSPORT udp
#define TRANSPORT_PROTOCOL IPPROTO_UDP
#include "layout.gen.h"
#include "count.h"
#include "datagrams/route.h"
#include "datagrams/tables.h"

/* `state` to `local` are the control plane's until the socket is in a table, then nobody writes them but `state`: its lane. */
struct udp_socket {
	__u8 state;      /* enum socket_state */
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

struct udp_clock {
	struct bpf_timer timer;
};

/* The loader sets max_entries to the number of streams. */
DATAGRAM_MAP(udp_sockets, ARRAY, 1024, __u32, struct udp_socket);
DATAGRAM_MAP(udp_clocks, ARRAY, 1024, __u32, struct udp_clock);

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
