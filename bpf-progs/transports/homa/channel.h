/*
 * Channels: what a server knows of a client's slot. Its calls come one after the other, so the number of the last one is all
 * that tells new ones from old: a newer one is begun, an older one is dropped, and none is ever executed twice.
 */
#pragma once
#include "pace.h"
#include "past.h"

struct homa_channel_key {
	__be32 address[4]; /* the client's; IPv4 mapped (RFC 4291 §2.5.5.2) */
	__be16 port;       /* the client's, */
	__be16 served;     /* and the server's */
	__u32 slot;
};

/* Of the values: who a packet is for is known without a look at the slot, which is its lane's. */
#define ENTRY_LANE_SHIFT 24
#define ENTRY_ID 0xffffff

/* The loader sets max_entries to the number of streams. */
HOMA_MAP(homa_channels, HASH, 1024, struct homa_channel_key, __u32);

struct homa_listener {
	__be32 address[4]; /* zeros: any of the host's */
	__u32 any;
	__u32 app;
	__u32 snd_bytes; /* sizes that rings of its slots may have */
	__u32 rcv_bytes;
	__u32 since; /* homa_serving when it was made */
	__u8 lane_app[ETHERLOOM_MAX_LANES]; /* application of each lane, 0: `app` */
};

/* By port, host order. */
HOMA_MAP(homa_listeners, HASH, 64, __u32, struct homa_listener);

/* Counts what became of listeners: a channel looks at its own again when that is another than it was. */
HOMA_MAP(homa_serving, ARRAY, 1, __u32, __u32);

/* Rings begin so, and grow for longer messages. */
#define FIRST_RING 4096

/*
 * A request's ring is promised what may come of it unasked and no more, until so much has come: a first packet may promise a million
 * bytes and be all that ever comes. Honest senders are granted to the end of the smaller ring meanwhile, which is more than they have
 * sent by then.
 */
#define UNPROVEN_RING 65536
#define PROVEN_BYTES 8192

static inline int hand_over(__u32 lane)
{
	count(OtherLane);
	return bpf_redirect_map(&homa_lanes, lane, XDP_DROP);
}

/* Whether the entry of a channel says that it is another lane's. */
static inline int is_elsewhere(__u32 entry)
{
	return entry >> ENTRY_LANE_SHIFT != bpf_get_smp_processor_id();
}

static inline __u32 channel_of(const struct homa_packet *p)
{
	struct homa_channel_key k = { .port = p->h.common.sport, .served = p->h.common.dport, .slot = ID_SLOT(p->id) };
	__u32 *entry;

	mapped(k.address, p->src, p->family);
	entry = bpf_map_lookup_elem(&homa_channels, &k);
	return entry ? *entry : 0;
}

/* Takes the channel's entry away, if it is of this slot: it may be another's by now. Entries of this lane change in this lane only. */
static inline void channel_close(const struct homa_rpc *r, __u32 id)
{
	struct homa_channel_key k = { .port = r->rport, .served = r->port, .slot = ID_SLOT(r->id) };
	__u32 *entry;

	mapped(k.address, r->remote, r->family);
	entry = bpf_map_lookup_elem(&homa_channels, &k);
	if (entry && *entry == (bpf_get_smp_processor_id() << ENTRY_LANE_SHIFT | id))
		bpf_map_delete_elem(&homa_channels, &k);
}

/*
 * The end of a channel, whatever ends it: of its last call is known that it was, and then packets find it no more. Its slot is SLOT_GONE
 * by then: no call begins on it that nobody would remember. Said again after a death, it changes nothing.
 */
noinline int homa_forget(struct homa_rpc *r NONNULL, __u32 id)
{
	past_keep(r, id);
	channel_close(r, id);
	return 0;
}

/* The slot is over: its stream's memory goes when the application lets go of it, too. */
noinline int homa_end(struct homa_rpc *r NONNULL, __u32 id, __u32 error)
{
	if (r->state == SLOT_SERVER)
		r->state = SLOT_GONE;
	if (r->state != SLOT_CLIENT)
		homa_forget(r, id);
	homa_ungrant(r, id);
	if (r->pacing)
		unthrottle(id);
	r->pacing = PACING_NOT;
	r->state = SLOT_FREE;
	homa_uncount(r, id);
	r->error = error;
	el_stream_event(id, error ? EL_EV_ERR | EL_EV_HUP : EL_EV_HUP);
	el_stream_free(id);
	return 0;
}

/* The server gives up a call that its client waits for: GEN tells that, and ends the slot. */
static inline void homa_reset(struct homa_rpc *r, __u32 id, __u32 error)
{
	r->state = SLOT_GONE;
	homa_forget(r, id);
	homa_ungrant(r, id);
	homa_uncount(r, id);
	r->error = error;
	r->due = DUE_UNKNOWN;
	el_ready(id);
}

/* Who serves the port at the address of this host; NULL: nobody. */
static inline struct homa_listener *listener_of(const struct homa_packet *p)
{
	struct homa_address own;
	__u32 port = ntohs(p->h.common.dport);
	struct homa_listener *l = bpf_map_lookup_elem(&homa_listeners, &port);

	if (!l)
		return 0;
	mapped(own.address, p->dst, p->family);
	if (!l->any && !same_address(l->address, own.address))
		return 0;
	return bpf_map_lookup_elem(&homa_addresses, &own) ? l : 0;
}

static inline __u32 serving_now(void)
{
	__u32 key = 0, *now = bpf_map_lookup_elem(&homa_serving, &key);

	return now ? *now : 0;
}

/* Whether who served the port when the channel began does so still. */
static inline int is_served(struct homa_rpc *r, const struct homa_packet *p)
{
	__u32 now = serving_now();
	struct homa_listener *l;

	if (r->serving == now)
		return 1;
	l = listener_of(p);
	if (!l || (__s32)(l->since - r->serving) > 0)
		return 0;
	r->serving = now;
	return 1;
}

static inline int is_own(const struct homa_packet *p)
{
	struct homa_address own;

	mapped(own.address, p->dst, p->family);
	return bpf_map_lookup_elem(&homa_addresses, &own) != 0;
}

/* Nobody's address: several stations', this host's own, or none (RFC 1122 §3.2.1.3). What it asks for nobody is to be answered for. */
noinline int from_nobody(const struct homa_packet *p NONNULL)
{
	__u32 top = ntohl(p->src[0]) >> 24;
	struct homa_address own;

	if (p->family == AF_INET) {
		if (!top || top == 127 || top >= 224)
			return 1;
	} else if (top == 255 || (!p->src[0] && !p->src[1] && !p->src[2] && ntohl(p->src[3]) <= 1))
		return 1;
	mapped(own.address, p->src, p->family);
	return bpf_map_lookup_elem(&homa_addresses, &own) != 0;
}

/* A slot for a client's that was not heard of, or is no more: its number; 0: there is none to be had. */
static noinline __u32 homa_open(struct xdp_md *ctx, const struct homa_packet *p NONNULL, const struct homa_listener *l NONNULL,
				__u32 total)
{
	struct homa_channel_key k = { .port = p->h.common.sport, .served = p->h.common.dport, .slot = ID_SLOT(p->id) };
	__u32 lane = bpf_get_smp_processor_id(), app, entry, first = homa_room(total);
	struct homa_rpc *r;
	int id;

	past_reap();
	if (share_full(p)) {
		count(NoStreams);
		return 0;
	}
	app = l->lane_app[lane % ETHERLOOM_MAX_LANES];
	id = el_stream_draft(app ? app : l->app, l->snd_bytes, l->rcv_bytes);
	if (id < 0) {
		count(NoStreams);
		return 0;
	}
	/* From here on a lane that dies leaves a stream that its next life visits, and ends. */
	el_stream_route(id, ctx->ingress_ifindex, HOMA_TRANSPORT);
	if (first > UNPROVEN_RING)
		first = UNPROVEN_RING;
	if (el_stream_promise(id, FIRST_RING, first > FIRST_RING ? first : FIRST_RING) < 0) {
		count(NoMemory);
		el_stream_free(id);
		return 0;
	}
	r = rpc_of(id);
	if (!r) {
		el_stream_free(id);
		return 0;
	}
	memset(r, 0, sizeof(*r));
	r->family = p->family;
	r->port = p->h.common.dport;
	r->rport = p->h.common.sport;
	r->lane = lane;
	memcpy(r->local, p->dst, sizeof(r->local));
	memcpy(r->remote, p->src, sizeof(r->remote));
	/* As if the call were over, until it is known that it is not. */
	r->id = p->id ^ 1;
	r->serving = serving_now();
	share_count(r, id, 1);
	r->state = SLOT_SERVER;
	mapped(k.address, p->src, p->family);
	entry = lane << ENTRY_LANE_SHIFT | id;
	/* Two lanes may have found that there is none. And in the other one the call may have begun and ended since this one looked. */
	if (bpf_map_update_elem(&homa_channels, &k, &entry, BPF_NOEXIST) || is_past(p)) {
		r->state = SLOT_FREE;
		channel_close(r, id);
		share_count(r, id, -1);
		el_stream_free(id);
		if (!bpf_map_lookup_elem(&homa_channels, &k))
			count(NoStreams);
		return 0;
	}
	/* Of no call yet: that of the packet is newer. */
	r->id -= 1ULL << ID_SEQ_SHIFT;
	count(Opened);
	return id;
}
