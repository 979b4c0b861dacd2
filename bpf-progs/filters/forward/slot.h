/*
 * Which slot a new flow gets. Nothing sweeps: whoever opens a flow takes a free slot over (compare-and-swap, since two
 * lanes or CPUs may want it): that of the client's own port, else the one longest at rest. When none is free a flow has
 * to go that nobody misses: one that is closed, else one that never got an answer; never one that is open.
 */
#pragma once
#include "life.h"

/* Slots looked at for one that has rested; and how often, should all be taken or other lanes be faster. */
#define PORT_TRIES 64
#define CLAIM_TRIES 4
/* From one slot to the next that is looked at: clients' ports lie side by side, so their flows do. A prime above any
 * number of slots: all of them come before one comes again. */
#define PORT_STEP 2654435761ULL
/* A slot aged so long ago is as good as any: no backend remembers its last connection (Linux: TCP_TIMEWAIT_LEN). */
#define REST_NS 60000000000ULL
/* Until a slot that is being filled may be used again, should its writer die. */
#define SETUP_NS 1000000000ULL
/* Later than any time; and what puts one kind of flow behind another, whatever their times. */
#define NEVER_NS (1LL << 62)
#define HALF_OPEN_NS (1LL << 61)

/* States, as bits: never answered, so that a flood of them costs who floods nothing; and what goes before its time. */
#define HALF_OPEN(state) ((1 << TCP_OPENING | 1 << UDP_OPENING) >> ((state) & 7) & 1)
#define EARLY(state) ((1 << TCP_OPENING | 1 << UDP_OPENING | 1 << TCP_CLOSED) >> ((state) & 7) & 1)

/* Where a slot is looked for when the preferred one is taken: shared by all lanes. */
__u32 cursor = 0;

/*
 * The slot becomes ours, and its next flow begins: unless somebody was faster since `seen`, its time, and `word` were
 * read, or a packet has just made more of the flow in it than it was then.
 */
static inline int claim(struct mapping *f, __u64 word, __u64 seen, __u64 now)
{
	if (__sync_val_compare_and_swap(&f->expires_ns, seen, now + SETUP_NS) != seen)
		return 0;
	if (__sync_val_compare_and_swap((word64 *)WORD(f), word, WORD_OF(EPOCH_OF(word) + 1, 0, SETUP)) == word)
		return 1;
	live_on(f, *WORD(f), now);
	return 0;
}

/* Claims a slot that is aged, or has what may go before its time where `early` says so. Returns it, or -1. */
static inline int claim_slot(__u32 slot, __u64 now, const int early)
{
	struct mapping *f = bpf_map_lookup_elem(&flows, &slot);
	__u64 word, seen;

	if (!f)
		return -1;
	word = *WORD(f);
	seen = *(volatile __u64 *)&f->expires_ns;
	if (seen >= now && !(early && EARLY(STATE_OF(word))))
		return -1;
	if (!claim(f, word, seen, now))
		return -1;
	if (early && seen >= now)
		count(STATE_OF(word) == TCP_CLOSED ? COUNT_EVICTED : COUNT_DISPLACED, 0);
	return slot;
}

/*
 * Looks, from the cursor on and all over the table, for a slot that was never used or has rested; else for the one
 * among those seen that has been free longest, or will be free first of those closed, or of those half open. Returns
 * it, or -1. Global functions are verified once, by themselves, and not for each way that leads to them.
 */
noinline int look_for_slot(__u64 now)
{
	/* As far as anybody looks, so that no two lanes look at the same slots. */
	__u32 start = __sync_fetch_and_add(&cursor, PORT_TRIES), best = 0, slots = hop.slots, slot, state, i;
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
		state = f->state;
		if (!seen || (__u64)seen + REST_NS < now)
			return slot;
		if ((__u64)seen < now || EARLY(state)) {
			/* Chosen by masks: bounds that shrink by one a round would make each round another to a verifier. */
			seen += HALF_OPEN_NS & ((__s64)now - seen - 1) >> 63 & -(__s64)HALF_OPEN(state);
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
