/* What happened, per lane: a PERCPU_ARRAY by these numbers. The first are those of Linux's /proc/net/snmp, "Udp". */
#pragma once
#include "bpf.h"

enum udp_count {
	InDatagrams,
	NoPorts,       /* for a port that nobody has */
	InErrors,      /* everything that came for a socket and was not delivered */
	OutDatagrams,
	RcvbufErrors,  /* of these: no room in the receive ring */
	SndbufErrors,  /* what stood in a send ring and was no datagram */
	InCsumErrors,
	MemErrors,     /* no memory for a receive ring */
	OutTooLong,    /* our own from here on: longer than the port or the route takes */
	OutNoRoutes,   /* nobody knows the way, or the neighbour does not answer */
	OtherLane,     /* handed to the lane of its socket */
	ErrorsIn,      /* ICMP errors that a connected socket was told of */
	UnresolvedDiscards, /* dropped for others while they waited for a neighbour */
	UDP_COUNTS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, UDP_COUNTS);
	__type(key, enum udp_count); /* its names go with the object */
	__type(value, __u64);
} udp_counters SEC(".maps");

static inline void count(enum udp_count what)
{
	__u32 key = what;
	__u64 *n = bpf_map_lookup_elem(&udp_counters, &key);

	if (n)
		*n += 1;
}
