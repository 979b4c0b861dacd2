/* What happened, per lane: a PERCPU_ARRAY by these numbers. */
#pragma once
#include "bpf.h"

enum homa_count {
	CallsOut,      /* requests that a client's slot began to send */
	CallsIn,       /* requests that a server has whole */
	ResponsesOut,  /* responses begun */
	ResponsesIn,   /* responses that a client has whole */
	DataOut,       /* DATA packets, those sent again among them */
	DataIn,
	Retransmits,
	Duplicates,    /* DATA that was there already */
	OldData,       /* DATA of a call before the present one: at most once */
	BadPackets,    /* too short, or fields that cannot be */
	CsumErrors,
	NoPorts,       /* requests for a port that nobody serves */
	NoStreams,     /* requests for which there was no slot */
	NoMemory,      /* no memory for a ring */
	NoRoom,        /* DATA for which the ring had no room: asked for again */
	NoRoutes,      /* nobody knows the way */
	Unresolved,    /* times that a neighbour was not known yet */
	BadRecords,    /* what stood in a send ring and was no message */
	Skipped,       /* responses to calls that the client gave up */
	Timeouts,
	Refused,       /* calls that the server's host refused, or had lost */
	Grants,        /* GRANT packets sent; from here on by their types, out and in */
	GrantsIn,
	Resends,
	ResendsIn,
	Unknowns,
	UnknownsIn,
	Busies,
	BusiesIn,
	Cutoffs,
	CutoffsIn,
	NeedAcks,
	NeedAcksIn,
	Acks,
	AcksIn,
	FifoGrants,    /* of the grants: to the oldest message, for its share */
	Opened,        /* channels of clients, */
	Closed,        /* and those that rested long enough */
	OtherLane,     /* handed to the lane of their slot */
	Throttled,     /* packets that waited for the NIC's queue to become short */
	ErrorsIn,      /* ICMP errors about calls under way, */
	TooBig,        /* and of them those that told of a smaller MTU: sent again in smaller packets */
	HOMA_COUNTS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOMA_COUNTS);
	__type(key, enum homa_count); /* its names go with the object */
	__type(value, __u64);
} homa_counters SEC(".maps");

static inline void count(enum homa_count what)
{
	__u32 key = what;
	__u64 *n = bpf_map_lookup_elem(&homa_counters, &key);

	if (n)
		*n += 1;
}
