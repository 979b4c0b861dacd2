/*
 * Grants: the receiver says who may send. Of the messages that are longer than what comes unasked, the eight with the fewest
 * bytes left are active, one of a peer at most (overcommitment: one of them will not use its turn); the others wait in
 * trees. An active one may always be sent so far beyond what has come of it as its part of the window is.
 *
 *   DATA ─▶ homa_consider ─┬─ active[8]: grant to received + window            all of it granted ─▶ the best of those that wait
 *                          └─ trees (waiting.h)    ◀─ who has more left than it ─┘       5 % of bytes: the oldest of them
 *
 * Of all messages together no more is under way than incoming.h allows: who finds too little left of that is served when
 * something has come.
 */
#pragma once
#include "incoming.h"

const volatile __u32 homa_window = 0; /* bytes; 0: max_incoming / (active + 1) */
const volatile __u32 homa_fifo_grant = 50; /* thousandths of granted bytes for the oldest, */
const volatile __u32 homa_fifo_step = 50000; /* so many at a time */

#define MOST_BETWEEN (1U << 30) /* turns of the oldest: the sum is signed */

struct homa_measure {
	__u32 to;       /* end of the bytes that may be sent */
	__u32 most;     /* bytes more than may be now, at most */
	__u32 priority;
	__u32 cut;      /* out: `most` was less than there is ring for */
};

/* May be sent up to there, as far as there is room for it. How many bytes are new of that. */
noinline __u32 grant_to(struct homa_rpc *r NONNULL, __u32 id, struct homa_measure *m NONNULL)
{
	__u32 room = el_stream_rcv_limit(id) - r->in_at, to = m->to, more;

	room = (__s32)room < HOMA_ALIGN ? 0 : room - HOMA_ALIGN;
	r->stalled = to > room && room < r->in_len;
	if (r->stalled)
		to = room;
	if (to > r->in_len)
		to = r->in_len;
	m->cut = 0;
	if (to <= r->in_granted)
		return 0;
	more = to - r->in_granted;
	if (more > m->most) {
		m->cut = 1;
		more = m->most;
		if (!more)
			return 0;
	}
	r->in_granted += more;
	r->grant_priority = m->priority;
	r->due |= DUE_GRANT;
	/* Not a function more: so deep are they called here. */
	recount(r, id);
	el_ready(id);
	return more;
}

static inline __u32 window_of(const struct homa_receiver *v)
{
	return homa_window ? homa_window : incoming_share() / (v->count + 1);
}

/* So many bytes were granted: of them the oldest that waits has a share. */
static inline void grant_oldest(struct homa_receiver *v, __u32 more)
{
	struct homa_measure m = {};
	struct homa_rpc *o;
	__u64 turn;
	__u32 old;

	v->fewest -= more;
	if (v->fewest >= 0)
		return;
	old = oldest_waiting();
	o = old ? rpc_of(old) : 0;
	if (o && o->granting != GRANTING_WAITS) {
		/* A lane that died left it in the trees. The next one has its turn soon. */
		drop_oldest();
		v->fewest = 0;
		return;
	}
	if (o && o->in_granted < in_received(o) + homa_fifo_step) {
		m.to = in_received(o) + homa_fifo_step;
		m.most = incoming_room(v);
		m.priority = max_sched();
		if (grant_to(o, old, &m)) {
			count(FifoGrants);
			/* Whether its bytes come or not, somebody else is the oldest. */
			if (o->in_granted >= o->in_len) {
				o->granting = GRANTING_NOT;
				unwant_grant(old);
			}
		} else if (m.cut) {
			/* When there is room for it. */
			v->fewest = 0;
			return;
		}
	}
	turn = (__u64)homa_fifo_step * (1000 - homa_fifo_grant) / homa_fifo_grant;
	v->fewest += turn < MOST_BETWEEN ? turn : MOST_BETWEEN;
}

/* The one at that place has its part of the window, as far as others are not under way; one that `waited` in vain a packet. */
noinline int grant_active(struct homa_rpc *r NONNULL, __u32 id, __u32 at, __u32 waited)
{
	struct homa_receiver *v = receiver_here();
	__u32 got = in_received(r), more;
	struct homa_measure m = {};

	if (!v)
		return 0;
	m.to = got + window_of(v);
	m.most = incoming_room(v);
	/* By its clock: it has waited for a while, and there is nothing left. */
	if (waited && m.most < ONE_PACKET)
		m.most = ONE_PACKET;
	m.priority = sched_priority(r->in_len - got);
	more = grant_to(r, id, &m);
	at &= OVERCOMMIT - 1;
	if (more)
		v->active[at].priority = m.priority;
	if (m.cut)
		v->needy |= 1U << at;
	else
		v->needy &= ~(1U << at);
	if (more && homa_fifo_grant)
		grant_oldest(v, more);
	return 0;
}

/* The message is granted to its end: its place is free, and its rank its own until its bytes are here. */
static inline void granted_all(struct homa_rpc *r, __u32 id)
{
	r->granting = GRANTING_DONE;
	leave_active(id);
	keep_rank(id, r->grant_priority);
}

/* Whoever is best of those that wait takes that place, which is free. 0: it is free still, for all is granted to that one. Not a function more: so deep are they called here. */
static inline int promote_to(__u32 at)
{
	struct homa_receiver *v = receiver_here();
	__u32 id = take_best();
	struct homa_rpc *r;

	if (!v || !id)
		return 1;
	unwant_grant(id);
	r = rpc_of(id);
	/* Who does not wait is one that a lane left in the trees when it died; the oldest may be granted to its end by now. */
	if (!r || r->granting != GRANTING_WAITS)
		return 0;
	r->granting = GRANTING_NOT;
	if (r->phase != PHASE_IN || r->in_granted >= r->in_len)
		return 0;
	enter_active(v, r, id, at);
	grant_active(r, id, at, 0);
	if (r->in_granted < r->in_len)
		return 1;
	granted_all(r, id);
	return 0;
}

/* Messages in turn that are granted to their ends at once, or that a lane left in the trees. */
#define PROMOTIONS 64

/* A place may be free: somebody takes it, and keeps it. */
noinline int promote(void)
{
	__u32 at = free_place(), i;

	for (i = 0; at < OVERCOMMIT && i < PROMOTIONS && can_loop; i++)
		if (promote_to(at))
			break;
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
	} else if (was == GRANTING_DONE)
		rank_left(id, 0);
	return 0;
}

/* Of the places whose messages were granted too little and that are not among `tried`, the one with the fewest bytes left. */
noinline __u32 neediest(__u32 tried)
{
	struct homa_receiver *v = receiver_here();
	__u32 best = OVERCOMMIT, least = 0, i;

	if (!v)
		return best;
	for (i = 0; i < OVERCOMMIT; i++) {
		if ((v->needy & ~tried) & 1U << i && v->active[i].peer && (best == OVERCOMMIT || v->active[i].left < least)) {
			least = v->active[i].left;
			best = i;
		}
	}
	return best;
}

/* Less is under way than was: who was granted too little has more, fewest bytes left first. */
noinline int serve_needy(void)
{
	struct homa_receiver *v = receiver_here();
	__u32 tried = 0, ended = 0, i, at, id;
	struct homa_rpc *r;

	if (!v)
		return 0;
	for (i = 0; i < OVERCOMMIT; i++) {
		at = neediest(tried);
		if (at >= OVERCOMMIT)
			break;
		tried |= 1U << at;
		at &= OVERCOMMIT - 1;
		id = v->active[at].id;
		r = rpc_of(id);
		if (!r || r->granting != GRANTING_ACTIVE) {
			v->needy &= ~(1U << at);
			continue;
		}
		grant_active(r, id, at, 0);
		if (v->needy & 1U << at)
			break;
		if (r->in_granted >= r->in_len) {
			granted_all(r, id);
			ended = 1;
		}
	}
	if (ended)
		promote();
	return 0;
}

/* The slot has less under way, for it is over, or nobody counts on it. */
static inline void homa_uncount(struct homa_rpc *r, __u32 id)
{
	struct homa_receiver *v;

	if (under_way(r) == r->in_counted)
		return;
	homa_recount(r, id);
	v = receiver_here();
	if (v && v->needy)
		serve_needy();
}

/* More came of a message that wants grants, or it is looked at again. */
noinline int homa_consider(struct homa_rpc *r NONNULL, __u32 id, __u32 waited)
{
	struct homa_receiver *v = receiver_here();
	__u32 left = r->in_len - in_received(r), peer = peer_number(r->remote), at = OVERCOMMIT, i;
	struct homa_rpc *d = 0;
	__u32 gone;

	if (!v)
		return 0;
	if (r->granting == GRANTING_WAITS) {
		if ((v->count >= homa_overcommit || is_active(v, peer)) && whom_to_displace(peer, left) >= OVERCOMMIT) {
			still_wants(r, id, left);
			if (v->needy)
				serve_needy();
			return 0;
		}
		unwant_grant(id);
	}
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
				if (v->needy)
					serve_needy();
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
			if (v->active[i].id == id && v->active[i].peer) {
				v->active[i].left = left;
				at = i;
			}
		}
	}
	if (v->needy && !waited) {
		/* Others want more, too: all of them in their order. */
		v->needy |= 1U << (at & (OVERCOMMIT - 1));
		serve_needy();
		return 0;
	}
	grant_active(r, id, at, waited);
	if (r->in_granted >= r->in_len) {
		granted_all(r, id);
		promote();
	}
	return 0;
}

/* Bytes of the message came. */
static inline void homa_arrived(struct homa_rpc *r, __u32 id)
{
	r->quiet = 0;
	if (r->in_granted >= r->in_len) {
		if (r->granting == GRANTING_DONE)
			rank_left(id, r->in_len - in_received(r));
		homa_uncount(r, id);
		return;
	}
	homa_recount(r, id);
	homa_consider(r, id, 0);
}
