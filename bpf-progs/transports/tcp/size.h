/*
 * How large the rings are to be. Who asks for a size has it from the start, as by SO_SNDBUF and SO_RCVBUF. Others begin with
 * a first window of segments: the receive ring doubles when so much comes in a round trip that it may limit the peer (Dynamic
 * Right-Sizing: M. Fisk, W. Feng, 2001; Linux: tcp_rcv_space_adjust); the send ring holds twice the congestion window, what
 * is in flight and what comes next (Linux: tcp_sndbuf_expand), once it was found full.
 */
#pragma once
#include "recovery.h"

/* Rings grow up to this, where no option says otherwise. */
#define RING_BYTES (4u << 20)

/* What a ring begins with, of which an option asks for so many bytes; 0: none does. */
static inline __u32 first_ring(__u32 asked)
{
	return TCP_DEFAULT(asked, 16384);
}

/* From here on it is measured how much comes in a round trip. */
static inline void mark_received(struct tcp_flow *f, __u64 now)
{
	f->mark_us = US(now);
	f->rcv_look = f->rcv_nxt + f->rcv_size / 2;
}

/*
 * Round trip as a receiver sees it, µs: since the ACK left that the segment answers, waits in either host included. A peer
 * that had nothing to send makes it look longer.
 */
static inline __u32 receiver_rtt(const struct tcp_flow *f, __u32 tsecr, __u64 now)
{
	__u32 ms = f->flags & FLOW_TIMESTAMPS ? ts_now(f, now) - tsecr : 0;

	return most(f->rtt.srtt, least(ms, 1000) * 1000) + 1000;
}

/*
 * Half of the ring was received. A peer can send once in a round trip what it is offered: should it have sent this in one, it
 * will send twice as much in the next, as windows double in slow start, and the ring is to be larger. An application that
 * does not read along gets no second one: the core waits until the ring before was read. `tsecr`: of the segment.
 */
noinline int tcp_widen(struct tcp_flow *f NONNULL, __u32 tsecr, __u64 now)
{
	__u32 size = 2 * f->rcv_size, fast = US(now) - f->mark_us <= receiver_rtt(f, tsecr, now);
	int got;

	/* What lies beyond a hole would have to move. */
	if (fast && !f->ooo.count) {
		got = el_stream_widen(f->id, f->flags & FLOW_WSCALE ? size : least(size, 65536));
		if (got > (int)f->rcv_size)
			f->rcv_size = got;
	}
	mark_received(f, now);
	return 0;
}

/* Data was received in order. */
static inline void right_size(struct tcp_flow *f, __u32 tsecr, __u64 now)
{
	if (!before(f->rcv_nxt, f->rcv_look))
		tcp_widen(f, tsecr, now);
}

/* The congestion window has outgrown what the send ring was asked to hold. */
noinline int tcp_room(struct tcp_flow *f NONNULL)
{
	__u32 i;

	for (i = 0; i < 32; i++) {
		if (f->snd_room >= 24 || !(2 * (__u64)f->cc.cwnd >> (f->snd_room & 31)))
			break;
		f->snd_room++;
	}
	el_stream_snd_goal(f->id, 1u << (f->snd_room & 31));
	return 0;
}

/* Something was acknowledged. */
static inline void send_room(struct tcp_flow *f)
{
	if (f->snd_room < 24 && 2 * (__u64)f->cc.cwnd >> (f->snd_room & 31))
		tcp_room(f);
}
