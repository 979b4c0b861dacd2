/*
 * Carousel's timing wheel (SIGCOMM 2017) on a pkt_queue: a packet waits in a bucket of 500 ns until its time, at most
 * 25 ms ahead, and a pacer timer sends it. Every lane has a wheel of its own, so nothing is locked.
 *
 *   xdp_egress: carousel_put(ctx, at, now) ─▶ bucket ⌈at / 500⌉ mod 50000 ─▶ pacer ─▶ carousel_sent(frame) ─▶ its port
 *
 * Packets with growing times leave in that order, none before its time; but one that lies further ahead than the wheel
 * spans leaves at the wheel's end, so make none while one of the same stream waits (CAROUSEL_HORIZON_NS). A program that includes this file defines
 * `static inline void carousel_sent(const struct xdp_frame *frame, __u64 now)`, called for each packet that leaves the wheel.
 */
#pragma once
#include "bpf.h"
#include "kfuncs.gen.h"

#define CAROUSEL_SLOT_NS 500ULL
#define CAROUSEL_SLOTS 50000ULL
/* Packets that wait for one slot. */
#define CAROUSEL_DEPTH 1024
/* Packets that one call of the pacer sends. */
#define CAROUSEL_BURST 32
#define CAROUSEL_LANES 64
/* So far ahead a packet has a slot of its own even when the pacer is late, ns. */
#define CAROUSEL_HORIZON_NS 24000000ULL
#define CAROUSEL_IDLE (~0ULL)
/* A pacer so much behind its time died with its lane: 1 ms. */
#define CAROUSEL_LATE (1000000 / CAROUSEL_SLOT_NS)

struct carousel_lane {
	struct bpf_timer pacer;
	/* Slot, counted from time 0, before which nothing waits, and for which the pacer is armed. */
	__u64 armed;
	__u64 ready; /* 0: neither is of any meaning yet */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CAROUSEL_LANES);
	__type(key, __u32);
	__type(value, struct carousel_lane);
} carousel_lanes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PKT_QUEUE);
	__uint(max_entries, CAROUSEL_SLOTS);
	__uint(map_extra, CAROUSEL_DEPTH);
} carousel SEC(".maps");

static inline void carousel_sent(const struct xdp_frame *frame, __u64 now);

static inline void carousel_arm(struct carousel_lane *lane, __u64 slot)
{
	lane->armed = slot;
	bpf_timer_start(&lane->pacer, slot * CAROUSEL_SLOT_NS, BPF_F_TIMER_ABS | BPF_F_TIMER_PACER);
}

/* The pacer: sends what is due, oldest first, and is armed for what comes next. */
static int carousel_turn(void *map, __u32 *key, struct carousel_lane *lane)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 here = now / CAROUSEL_SLOT_NS;
	__u64 slot = lane->armed;

	for (int i = 0; i < CAROUSEL_BURST; i++) {
		__u64 from = slot % CAROUSEL_SLOTS;
		__u64 next = el_pkt_queue_next(&carousel, from);
		struct xdp_frame *frame;

		if (next >= CAROUSEL_SLOTS) {
			lane->armed = CAROUSEL_IDLE;
			return 0;
		}
		slot += next >= from ? next - from : next + CAROUSEL_SLOTS - from;
		if (slot > here)
			break;
		frame = bpf_pkt_queue_dequeue(&carousel, next);
		if (!frame) {
			/* The port has no room: the packet stays where it is, until the next slot. */
			lane->armed = slot;
			bpf_timer_start(&lane->pacer, (here + 1) * CAROUSEL_SLOT_NS, BPF_F_TIMER_ABS | BPF_F_TIMER_PACER);
			return 0;
		}
		carousel_sent(frame, now);
		bpf_packet_send(frame, frame->ifindex);
	}
	carousel_arm(lane, slot);
	return 0;
}

/* For xdp_gen when it makes nothing because enough waits: arms the pacer again if it died with its lane. */
static inline void carousel_mend(__u64 now)
{
	__u32 self = bpf_get_smp_processor_id();
	struct carousel_lane *lane = bpf_map_lookup_elem(&carousel_lanes, &self);

	if (lane && lane->ready && lane->armed != CAROUSEL_IDLE && now / CAROUSEL_SLOT_NS > lane->armed + CAROUSEL_LATE)
		carousel_arm(lane, lane->armed);
}

/*
 * What xdp_egress returns for a packet that is to leave at `at` ns; `now` is bpf_ktime_get_ns().
 *   XDP_REDIRECT  it waits in the wheel
 *   XDP_TX        it is due and nothing waits: it goes past the wheel, and carousel_sent is not called for it
 *   less than 0   its slot is full: return XDP_REDIRECT, and it is dropped and counted
 */
static inline int carousel_put(struct xdp_md *ctx, __u64 at, __u64 now)
{
	__u32 self = bpf_get_smp_processor_id();
	__u64 here = now / CAROUSEL_SLOT_NS;
	__u64 slot = (at + CAROUSEL_SLOT_NS - 1) / CAROUSEL_SLOT_NS;
	struct carousel_lane *lane = bpf_map_lookup_elem(&carousel_lanes, &self);
	__u64 first;
	int full;

	if (!lane)
		return -1;
	if (!lane->ready) {
		bpf_timer_init(&lane->pacer, &carousel_lanes, CLOCK_MONOTONIC);
		bpf_timer_set_callback(&lane->pacer, carousel_turn);
		lane->armed = CAROUSEL_IDLE;
		lane->ready = 1;
	}
	if (at <= now && lane->armed == CAROUSEL_IDLE)
		return XDP_TX;
	/* The wheel spans from the first slot that may hold something; what lies further ahead goes into the last. */
	first = lane->armed < here ? lane->armed : here;
	if (slot < here)
		slot = here;
	if (slot > first + CAROUSEL_SLOTS - 1)
		slot = first + CAROUSEL_SLOTS - 1;
	full = bpf_pkt_queue_enqueue(ctx, &carousel, slot % CAROUSEL_SLOTS);
	if (full)
		return full;
	if (slot < lane->armed)
		carousel_arm(lane, slot);
	else
		carousel_mend(now);
	return XDP_REDIRECT;
}
