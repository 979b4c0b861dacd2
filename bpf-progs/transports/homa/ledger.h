/*
 * What a lane knows of its channels' number, and of calls that are over (past.h), changes in several places at a time. It is written
 * down first and then made so: a lane that dies in between does all of it in its next life, before anything else of the kind.
 */
#pragma once
#include "incoming.h"
#include "parse.h"

struct homa_share_key {
	__be32 address[4]; /* of a peer, IPv4 mapped; zeros: of a port */
	__u32 port;        /* as on the wire; 0: of a peer, or, without an address, of all ports */
	__u32 lane;
};

struct homa_share {
	__u32 living; /* channels */
	__u32 past;   /* places in the memory of past calls */
};

/* The loader sets max_entries: every channel and every place may be another peer's. */
HOMA_MAP(homa_shares, HASH, 1024, struct homa_share_key, struct homa_share);

struct homa_past_key {
	__be32 address[4]; /* as of a channel */
	__be16 port;
	__be16 served;
	__u32 lane; /* that remembers: nobody else changes it */
	__u64 what; /* a client's slot; or PAST_BLOCK and the upper bits of HomaModule's ids */
};

struct homa_past {
	__u64 calls; /* of a slot: the id of its last one, as the client has it; of a block: a bit for each */
	__u64 until_ns;
};

/* The loader sets max_entries to homa_past_places for each lane. */
HOMA_MAP(homa_past, HASH, 1024, struct homa_past_key, struct homa_past);

enum past_act { PAST_STAYS, PAST_WRITTEN, PAST_DROPPED };

#define LEDGER_SHARES 3

struct homa_ledger {
	__u32 pending; /* what follows is to be made so */
	__u32 head;    /* of the lane's queue of past calls: the oldest, */
	__u32 tail;    /* and where the next one goes */
	__u32 next_head;
	__u32 next_tail;
	__u32 slot;    /* becomes counted, or is not any more; 0: none */
	__u32 counted;
	__u32 act;     /* enum past_act, with key and past */
	struct homa_past_key key;
	struct homa_past past;
	__u32 entries; /* of: */
	__u32 pad;
	struct {
		struct homa_share_key key;
		struct homa_share share;
	} to[LEDGER_SHARES];
};
HOMA_MAP(homa_ledgers, ARRAY, ETHERLOOM_MAX_LANES, __u32, struct homa_ledger);

/* Made so; twice is as well as once. */
noinline int ledger_apply(struct homa_ledger *l NONNULL)
{
	struct homa_rpc *r;
	__u32 i;

	if (l->act == PAST_WRITTEN)
		bpf_map_update_elem(&homa_past, &l->key, &l->past, BPF_ANY);
	else if (l->act == PAST_DROPPED)
		bpf_map_delete_elem(&homa_past, &l->key);
	for (i = 0; i < LEDGER_SHARES; i++) {
		if (i >= l->entries)
			break;
		if (l->to[i].share.living | l->to[i].share.past)
			bpf_map_update_elem(&homa_shares, &l->to[i].key, &l->to[i].share, BPF_ANY);
		else
			bpf_map_delete_elem(&homa_shares, &l->to[i].key);
	}
	l->head = l->next_head;
	l->tail = l->next_tail;
	r = l->slot ? rpc_of(l->slot) : 0;
	if (r)
		r->counted = l->counted;
	in_order();
	l->pending = 0;
	return 0;
}

/* A clean page of this lane's. What its last life left half done is done now. */
static inline struct homa_ledger *ledger_begin(void)
{
	__u32 lane = bpf_get_smp_processor_id();
	struct homa_ledger *l = bpf_map_lookup_elem(&homa_ledgers, &lane);

	if (!l)
		return 0;
	if (l->pending)
		ledger_apply(l);
	l->next_head = l->head;
	l->next_tail = l->tail;
	l->slot = 0;
	l->act = PAST_STAYS;
	l->entries = 0;
	return l;
}

static inline void ledger_commit(struct homa_ledger *l)
{
	in_order();
	l->pending = 1;
	in_order();
	ledger_apply(l);
}
