/*
 * What happened, per lane: a PERCPU_ARRAY by these numbers. Names are those of Linux's /proc/net/snmp and netstat, so
 * that what is known of them holds; the last ones are our own.
 */
#pragma once
#include "bpf.h"

enum tcp_count {
	InSegs,
	OutSegs,
	InErrs,                  /* cut short, bad lengths */
	InCsumErrors,
	RetransSegs,
	ActiveOpens,
	PassiveOpens,
	AttemptFails,
	EstabResets,
	OutRsts,
	ListenOverflows,
	ListenDrops,
	SyncookiesSent,
	SyncookiesRecv,
	SyncookiesFailed,
	PAWSEstab,
	TCPChallengeACK,
	TCPSYNChallenge,
	TCPACKSkippedSeq,        /* ACKs owed to segments out of window, held back by the rate limit */
	TCPACKSkippedChallenge,  /* the same of challenge ACKs */
	DelayedACKs,
	TCPPureAcks,
	TCPOFOQueue,
	TCPOFODrop,
	TCPOFOMerge,
	TCPRcvQDrop,
	TCPDSACKOldSent,
	TCPDSACKRecv,
	TCPSACKDiscard,
	TCPSACKReneging,
	TCPSackRecovery,
	TCPRenoRecovery,
	TCPFastRetrans,
	TCPSlowStartRetrans,
	TCPLostRetransmit,
	TCPTimeouts,
	TCPLossProbes,
	TCPLossProbeRecovery,
	TCPSpuriousRTOs,
	TCPFullUndo,
	TCPDSACKUndo,
	TCPKeepAlive,
	TCPWinProbe,
	TCPMTUPFail,
	TCPMTUPSuccess,
	TCPAbortOnTimeout,
	TCPAbortOnData,
	TCPDeliveredCE,
	TCPTimeWait,
	TCPTimeWaitRecycled,
	OtherLane,               /* segments that RSS brought to a lane which does not own the flow */
	LaneDied,                /* flows that were mended: their lane died at work on them */
	NoStream,                /* connections refused for want of a stream or of room in the tables */
	NoStreamMemory,          /* connections refused for want of memory for their rings */
	NoRoute,                 /* packets that waited for a route or a neighbour */
	TCPNoAlgorithm,          /* congestion control by a number that nothing has */
	ScoreboardFull,          /* SACK blocks not noted: more than TCP_SPANS pieces */
	TCP_COUNTS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TCP_COUNTS);
	__type(key, enum tcp_count); /* its names go with the object */
	__type(value, __u64);
} tcp_counters SEC(".maps");

static inline void count(enum tcp_count what)
{
	__u32 key = what;
	__u64 *n = bpf_map_lookup_elem(&tcp_counters, &key);

	if (n)
		*n += 1;
}
