/* DATA: bytes of a message, to the receive ring of its slot. */
#pragma once
#include "channel.h"
#include "cutoffs.h"

/* A part of a message, as its packet says. */
struct homa_part {
	__u32 offset;
	__u32 bytes;
	__u32 total; /* of the message */
	__u32 fresh; /* the message begins with it, for us */
};

/* 0: it cannot be. A card that cut a large packet counted on in `sequence`. */
static inline int part_of(const struct homa_packet *p, struct homa_part *d)
{
	d->total = ntohl(p->h.message_length);
	d->offset = ntohl(p->h.offset);
	if (d->offset == 0xffffffff)
		d->offset = ntohl(p->h.common.sequence);
	d->bytes = p->len - sizeof(struct homa_data);
	d->fresh = 0;
	return d->total <= HOMA_MAX_MESSAGE && d->offset <= d->total && d->bytes <= d->total - d->offset && (d->bytes || !d->total);
}

/* How much of the ring there is for the message, from its record on; made larger while nothing lies ahead in it. */
static inline __u32 homa_ring(struct homa_rpc *r, __u32 id, const struct homa_part *d)
{
	__u32 room = el_stream_rcv_limit(id) - r->in_at, need = homa_room(d->total);

	if (room >= need || (!d->fresh && r->spans.count))
		return room;
	if (r->state == SLOT_SERVER && need > UNPROVEN_RING && (d->fresh || in_received(r) < PROVEN_BYTES))
		need = UNPROVEN_RING;
	if (el_stream_widen(id, need) < 0)
		return room;
	return el_stream_rcv_limit(id) - r->in_at;
}

/* Bytes of a message that is begun are dropped: when there is room they are asked for (homa_room_again). */
static inline void homa_lacks(struct homa_rpc *r, const struct homa_part *d, __u32 room)
{
	if (d->fresh)
		return;
	r->lacking = 1;
	r->lacked = room;
}

/* The application has read, or others have given memory back: what found no room is asked for, without waiting for silence. */
static inline void homa_room_again(struct homa_rpc *r, __u32 id)
{
	struct homa_part rest = { .total = r->in_len };
	__u32 room, need;

	if (r->phase != PHASE_IN || r->in_len == LEN_UNKNOWN) {
		r->lacking = 0;
		return;
	}
	room = homa_ring(r, id, &rest);
	need = homa_room(r->in_len);
	/* For a packet, or the rest. */
	if ((__s32)room < 0 || (room < need && room - r->lacked < ONE_PACKET))
		return;
	r->lacking = 0;
	r->ask = 0;
	r->due |= DUE_RESEND;
}

static inline void homa_long(struct homa_rpc *r, __u32 total)
{
	r->in_end = r->in_at + homa_room(total);
	r->in_len = total;
}

/* A message begins to come in: what went out before it has arrived. */
static inline void homa_begin(struct homa_rpc *r, __u32 id, const struct homa_packet *p, const struct homa_part *d)
{
	spans_clear(r);
	if (r->phase == PHASE_OUT)
		homa_out_done(r, id);
	r->due &= DUE_CUTOFFS;
	/* Until the end of this nothing is whole, wherever the lane dies. */
	r->in_len = LEN_UNKNOWN;
	r->in_next = 0;
	r->in_most = 0;
	/* Whatever its sender claims: others are to be granted, too. What comes beyond it comes all the same. */
	r->in_granted = d->offset + d->bytes > homa_unscheduled ? d->offset + d->bytes : homa_unscheduled;
	if (r->in_granted > ntohl(p->h.incoming))
		r->in_granted = ntohl(p->h.incoming);
	if (r->in_granted > d->total)
		r->in_granted = d->total;
	r->in_born = 0;
	r->lacking = 0;
	count_length(d->total, r->in_granted);
	r->ask = 0;
	r->phase = PHASE_IN;
	if (r->state == SLOT_SERVER) {
		r->id = p->id ^ 1;
		memcpy(r->local, p->dst, sizeof(r->local));
		r->foreign = !is_marked(p);
	}
	homa_long(r, d->total);
}

static inline __u32 homa_call(const struct homa_rpc *r, const struct homa_packet *p)
{
	return r->state == SLOT_CLIENT ? (p->id >> ID_SEQ_SHIFT) - r->base : p->id >> ID_SEQ_SHIFT;
}

/* Writes the record before the bytes of the message, in the place of their header. 0: it stands. */
static inline int homa_record_before(struct xdp_md *ctx, __u32 at, const word32 *words)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	word32 *to = data + PLAIN_BYTES - sizeof(struct homa_record);
	__u32 i;

	if (at != PLAIN_BYTES - sizeof(struct homa_record) || data + PLAIN_BYTES > end)
		return bpf_xdp_store_bytes(ctx, at, words, sizeof(struct homa_record));
	for (i = 0; i < sizeof(struct homa_record) / 4; i++)
		to[i] = words[i];
	return 0;
}

/*
 * Copies what is new of a part into the ring. What comes in order is copied and summed in one pass, for what turns out to be
 * false lies where nothing is yet; all else is summed before. 0: it is there and the slot knows it; less: dropped, and counted.
 */
noinline int homa_place(struct xdp_md *ctx, struct homa_rpc *r NONNULL, __u32 id, const struct homa_packet *p NONNULL,
			       struct homa_part *d NONNULL)
{
	__u32 end = d->offset + d->bytes, next = d->fresh ? 0 : r->in_next, from = d->offset, room, i;
	__u32 once = d->fresh ? d->bytes == d->total : d->offset == next && !r->spans.count;
	__u32 at = p->at + sizeof(struct homa_data), sum_wanted = p->h.common.checksum;
	const word32 *head = (const word32 *)&p->h;
	struct homa_record rec = {};
	word32 *words = (word32 *)&rec;
	__u64 written = 0, header = 0;
	int sum;

	if (d->total && end <= next) {
		count(Duplicates);
		return -1;
	}
	if (!once && !homa_sound(ctx, p)) {
		count(CsumErrors);
		return -1;
	}
	if (from < next) {
		at += next - from;
		from = next;
	}
	room = homa_ring(r, id, d);
	/* Further than 2^31 is none: the application reads slowly, and all that there was is full. */
	if ((__s32)room < 0 || HOMA_ALIGN + (end == d->total ? homa_room(end) - HOMA_ALIGN : end) > room) {
		count(NoRoom);
		homa_lacks(r, d, room);
		return -1;
	}
	if (once && sum_wanted)
		for (i = 0; i < sizeof(struct homa_data) / 4; i++)
			header += head[i];
	if (!from) {
		rec.len = d->total;
		rec.family = p->family;
		rec.port = p->h.common.sport;
		memcpy(rec.address, p->src, sizeof(rec.address));
		rec.call = homa_call(r, p);
		at -= sizeof(rec);
		if (homa_record_before(ctx, at, words))
			return -1;
		sum = el_stream_place(ctx, at, id, r->in_at, sizeof(rec) + end);
		for (i = 0; i < sizeof(rec) / 4; i++)
			written += words[i];
	} else
		sum = el_stream_place(ctx, at, id, r->in_at + HOMA_ALIGN + from, end - from);
	if (sum < 0) {
		count(sum == -ENOMEM ? NoMemory : NoRoom);
		homa_lacks(r, d, 0);
		return -1;
	}
	if (once && sum_wanted &&
	    csum_fold(homa_pseudo(p->src, p->dst, p->len) + header + sum + csum_fold(written))) {
		count(CsumErrors);
		return -1;
	}
	if (d->fresh)
		homa_begin(r, id, p, d);
	if (from != r->in_next) {
		if (el_intervals_add(&r->spans, from, end) < 0) {
			count(NoRoom);
			return -1;
		}
	} else {
		r->in_next = end;
		if (r->spans.count)
			r->in_next += el_intervals_trim(&r->spans, end);
	}
	if (end > r->in_most)
		r->in_most = end;
	return 0;
}

/* Tells the application of what came in order; the message may be whole. */
static inline void homa_tell(struct homa_rpc *r, __u32 id)
{
	int whole = r->in_next == r->in_len;

	homa_arrived(r, id);
	if (whole) {
		if (r->granting)
			homa_ungrant(r, id);
		r->in_at = r->in_end;
		r->received = r->in_at;
		r->due &= ~(DUE_RESEND | DUE_GRANT);
		if (r->state == SLOT_CLIENT) {
			r->phase = PHASE_REST;
			count(ResponsesIn);
			/* The next request may be written already. */
			if (el_stream_snd_end(id) != r->out_at)
				el_ready(id);
		} else {
			r->phase = PHASE_SERVE;
			count(CallsIn);
			/* The answer may be written already. */
			if (el_stream_snd_end(id) != r->out_at)
				el_ready(id);
		}
	} else {
		if (r->in_next)
			r->received = r->in_at + HOMA_ALIGN + r->in_next;
		homa_await(r, id);
	}
	el_stream_received(id, r->received);
}

/* Of a message that comes in, or that the packet begins. */
static inline int homa_take_data(struct xdp_md *ctx, struct homa_rpc *r, __u32 id, const struct homa_packet *p, struct homa_part *d)
{
	if (!d->fresh && r->in_len == LEN_UNKNOWN)
		homa_long(r, d->total);
	if (!d->fresh && d->total != r->in_len) {
		count(BadPackets);
		return XDP_DROP;
	}
	r->heard = 1;
	if (wants_cutoffs(p)) {
		r->due |= DUE_CUTOFFS;
		el_ready(id);
	}
	if (!homa_place(ctx, r, id, p, d)) {
		homa_tell(r, id);
		if (p->h.common.flags & HOMA_DATA_TELL && is_marked(p) && r->phase == PHASE_IN) {
			r->due |= DUE_GRANT;
			el_ready(id);
		}
	}
	return XDP_DROP;
}
