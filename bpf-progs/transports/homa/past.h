/*
 * At most once: what calls channels had that are no more is remembered for as long as packets live, and none of them is begun a
 * second time; who asks for one is told that it is over. Nothing is forgotten for something new. A channel begins where there is a
 * place for it here (share_full), so there is one when it ends; who finds none is told so, and nothing of the call was executed.
 *
 *   homa_past    key ─▶ calls, until when                  a place
 *   homa_queue   of each lane: head ─ keys, oldest first ─ tail        where the lane finds what is to be forgotten
 *
 * A place is a slot of a client of our kind, whose last call says all of those before. HomaModule counts the calls of a host: a place
 * has a bit for each of 64.
 */
#pragma once
#include "clock.h"
#include "share.h"

#define PAST_BLOCK (1ULL << 63)
#define BLOCK_SHIFT 7 /* of ids: 64 calls, and the bit that says whose it is */

/* Places that are looked at for each channel that begins: more than one, for it takes one. */
#define REAPED 4

struct homa_queued {
	struct homa_past_key key;
	__u64 until_ns; /* not before that */
};
/* The loader sets max_entries to homa_past_places for each lane. */
HOMA_MAP(homa_queue, ARRAY, 1024, __u32, struct homa_queued);

static inline struct homa_queued *queued_at(__u32 position)
{
	__u32 key = bpf_get_smp_processor_id() * homa_past_places + (position & (homa_past_places - 1));

	return bpf_map_lookup_elem(&homa_queue, &key);
}

/* `id`: as the client has it. */
static inline void past_key(struct homa_past_key *k, const __be32 *address, __u32 family, __u64 id, __u32 foreign)
{
	mapped(k->address, address, family);
	k->lane = bpf_get_smp_processor_id();
	k->what = foreign ? id >> BLOCK_SHIFT | PAST_BLOCK : ID_SLOT(id);
}

static inline __u64 block_bit(__u64 id)
{
	return 1ULL << (id >> 1 & 63);
}

/* Whether the call that a packet is of was one of a channel that is no more. */
noinline int is_past(const struct homa_packet *p NONNULL)
{
	struct homa_past_key k = { .port = p->h.common.sport, .served = p->h.common.dport };
	__u32 foreign = !is_marked(p), i;
	__u64 now = bpf_ktime_get_ns();
	struct homa_past *past;

	past_key(&k, p->src, p->family, p->id, foreign);
	for (i = 0; i < ETHERLOOM_MAX_LANES && i < homa_lane_count && can_loop; i++) {
		k.lane = i;
		past = bpf_map_lookup_elem(&homa_past, &k);
		if (past && now < past->until_ns && (foreign ? (past->calls & block_bit(p->id)) != 0 : homa_after(p->id, past->calls) <= 0))
			return 1;
	}
	return 0;
}

/* Forgets what is old enough, of this lane's. */
noinline int past_reap(void)
{
	__u64 now = bpf_ktime_get_ns();
	struct homa_queued *q, *to;
	struct homa_ledger *l;
	struct homa_past *past;
	__u32 i;

	for (i = 0; i < REAPED; i++) {
		l = ledger_begin();
		if (!l || l->head == l->tail)
			break;
		q = queued_at(l->head);
		if (!q || now < q->until_ns)
			break;
		l->next_head = l->head + 1;
		l->key = q->key;
		past = bpf_map_lookup_elem(&homa_past, &l->key);
		if (past && now < past->until_ns) {
			/* The slot has had another channel since: it takes its turn again. */
			to = queued_at(l->tail);
			if (!to)
				break;
			to->key = l->key;
			to->until_ns = past->until_ns;
			l->next_tail = l->tail + 1;
		} else {
			l->act = PAST_DROPPED;
			share_becomes(l, 0, l->key.address, 0, 0, -1);
			l->entries = 1;
		}
		ledger_commit(l);
	}
	return 0;
}

/* A channel ends: its last call is remembered, and it is not counted any more. */
noinline int past_keep(const struct homa_rpc *r NONNULL, __u32 id)
{
	struct homa_past_key k = { .port = r->rport, .served = r->port };
	struct homa_ledger *l = ledger_begin();
	__u64 call = r->id ^ 1;
	struct homa_queued *q;
	struct homa_past *past;

	if (!l || !r->counted)
		return 0;
	past_key(&k, r->remote, r->family, call, r->foreign);
	past = bpf_map_lookup_elem(&homa_past, &k);
	l->key = k;
	l->act = PAST_WRITTEN;
	l->past.calls = r->foreign ? (past ? past->calls : 0) | block_bit(call) : call;
	l->past.until_ns = (__u64)bpf_ktime_get_ns() + LIFE_NS;
	if (!past) {
		q = queued_at(l->tail);
		if (!q)
			return 0;
		q->key = k;
		q->until_ns = l->past.until_ns;
		l->next_tail = l->tail + 1;
	}
	share_moves(l, r, id, -1, !past);
	ledger_commit(l);
	return 0;
}
