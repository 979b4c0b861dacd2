/*
 * Grants: the receiver says who may send. Of the messages that are longer than what comes unasked, the eight with the fewest
 * bytes left are active, one of a peer at most (overcommitment: one of them will not use its turn); the others wait in a
 * tree. An active one may always be sent so far beyond what has come of it as its part of the window is.
 *
 *   DATA ─▶ homa_consider ─┬─ active[8]: grant to received + window            all of it granted ─▶ the best of the tree
 *                          └─ tree, by bytes left  ◀─ who has more left than it ─┘       5 % of bytes: the oldest of the tree
 */
#pragma once
#include "waiting.h"

const volatile __u32 homa_max_incoming = 400000;
const volatile __u32 homa_window = 0; /* bytes; 0: max_incoming / (active + 1) */
const volatile __u32 homa_fifo_grant = 50; /* thousandths of granted bytes for the oldest, */
const volatile __u32 homa_fifo_step = 50000; /* so many at a time */

/* May be sent up to there, as far as there is room for it. Whether that is news. */
static inline int grant_to(struct homa_rpc *r, __u32 id, __u32 to, __u32 priority)
{
	__u32 room = el_stream_rcv_limit(id) - r->in_at, more;

	room = (__s32)room < HOMA_ALIGN ? 0 : room - HOMA_ALIGN;
	r->stalled = to > room && room < r->in_len;
	if (r->stalled)
		to = room;
	if (to > r->in_len)
		to = r->in_len;
	if (to <= r->in_granted)
		return 0;
	more = to - r->in_granted;
	r->in_granted = to;
	r->grant_priority = priority;
	r->due |= DUE_GRANT;
	el_ready(id);
	return more;
}

static inline __u32 window_of(const struct homa_receiver *v)
{
	return homa_window ? homa_window : homa_max_incoming / (v->count + 1);
}

/* An active one has its part of the window; of what is granted the oldest that waits has a share. */
noinline int grant_active(struct homa_rpc *r NONNULL, __u32 id)
{
	struct homa_receiver *v = receiver_here();
	__u32 got = in_received(r), more, old;
	struct homa_rpc *o;

	if (!v)
		return 0;
	more = grant_to(r, id, got + window_of(v), sched_priority(r->in_len - got));
	if (!more || !homa_fifo_grant)
		return 0;
	v->fewest -= more;
	if (v->fewest >= 0)
		return 0;
	v->fewest += homa_fifo_step * (1000 / homa_fifo_grant - 1);
	old = oldest_waiting();
	o = old ? rpc_of(old) : 0;
	if (o && o->granting == GRANTING_WAITS && o->in_granted < in_received(o) + homa_fifo_step) {
		count(FifoGrants);
		grant_to(o, old, in_received(o) + homa_fifo_step, max_sched());
	}
	return 0;
}

/* Whoever is best of those that wait takes the place that is free. */
noinline int promote(void)
{
	struct homa_receiver *v = receiver_here();
	__u32 at = free_place(), id, i;
	struct homa_rpc *r;

	if (!v)
		return 0;
	/* Until one keeps the place: of some all is granted by now, as the oldest, or at once. */
	for (i = 0; at < OVERCOMMIT && i < LOOK_AT && can_loop; i++) {
		id = take_best();
		r = id ? rpc_of(id) : 0;
		if (!r)
			return 0;
		r->granting = GRANTING_NOT;
		if (r->phase != PHASE_IN || r->in_granted >= r->in_len)
			continue;
		enter_active(v, r, id, at);
		grant_active(r, id);
		if (r->in_granted < r->in_len)
			return 0;
		r->granting = GRANTING_NOT;
		leave_active(id);
	}
	return 0;
}

/* The message needs no grants any more, or is no more. */
noinline int homa_ungrant(struct homa_rpc *r NONNULL, __u32 id)
{
	__u8 was = r->granting;

	r->granting = GRANTING_NOT;
	if (was == GRANTING_WAITS)
		unwant_grant(id);
	else if (was == GRANTING_ACTIVE) {
		leave_active(id);
		promote();
	}
	return 0;
}

/* More came of a message that wants grants, or it is looked at again. */
noinline int homa_consider(struct homa_rpc *r NONNULL, __u32 id)
{
	struct homa_receiver *v = receiver_here();
	__u32 left = r->in_len - in_received(r), peer = peer_number(r->remote), at = OVERCOMMIT, i;
	struct homa_rpc *d = 0;
	__u32 gone;

	if (!v)
		return 0;
	if (r->granting == GRANTING_WAITS)
		unwant_grant(id);
	if (r->granting != GRANTING_ACTIVE) {
		r->granting = GRANTING_NOT;
		if (!r->in_born)
			r->in_born = ++v->born ? v->born : ++v->born;
		/* First of all: a place that a lane left when it died may be this peer's. */
		at = free_place();
		if (is_active(v, peer))
			at = OVERCOMMIT;
		if (at >= OVERCOMMIT) {
			at = whom_to_displace(peer, left);
			if (at >= OVERCOMMIT) {
				want_grant(r, id);
				return 0;
			}
			gone = v->active[at & (OVERCOMMIT - 1)].id;
			d = rpc_of(gone);
			leave_active(gone);
			if (d)
				want_grant(d, gone);
		}
		enter_active(v, r, id, at);
	} else {
		for (i = 0; i < OVERCOMMIT; i++) {
			if (v->active[i].id == id)
				v->active[i].left = left;
		}
	}
	grant_active(r, id);
	if (r->in_granted >= r->in_len)
		homa_ungrant(r, id);
	return 0;
}
