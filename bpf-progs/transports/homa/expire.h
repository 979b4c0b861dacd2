/* Ticks: who waits for bytes asks for them, who waits for an ACK asks for that, who waits too long gives up. */
#pragma once
#include "send.h"

/* Whether the slot waits for its peer, rather than for its application or for the NIC. */
static inline int homa_waits(const struct homa_rpc *r, __u32 id)
{
	__u32 room;

	switch (r->phase) {
	case PHASE_OUT:
		/* All that may be sent was, or else it is not the peer's turn. */
		return r->out_next >= r->out_granted || r->no_room == NO_ROOM_NOW;
	case PHASE_IN:
		room = el_stream_rcv_limit(id) - r->in_at;
		room = (__s32)room < HOMA_ALIGN ? 0 : room - HOMA_ALIGN;
		/* All that was granted, or has room, has come. */
		return r->in_next < r->in_granted && r->in_next < room;
	default:
		return 0;
	}
}

/*
 * How far the call is: another number when anything of it comes or goes, whatever is said meanwhile. BUSY and RESEND of a peer put off
 * when it is given up, and nothing says that it ever does more.
 */
const volatile __u32 homa_busy_ms = 300000;

static inline __u64 homa_far(const struct homa_rpc *r)
{
	__u32 bytes = r->phase == PHASE_IN ? in_received(r) : r->out_next + r->out_granted + r->out_freed;

	/* Three lengths of messages are less than 2^22. */
	return r->id >> ID_SEQ_SHIFT << ID_SEQ_SHIFT | r->phase << 23 | bytes;
}

static inline int homa_stands(struct homa_rpc *r, __u32 id)
{
	__u64 far = homa_far(r), now = bpf_ktime_get_ns();

	if (far != r->moved || !homa_waits(r, id)) {
		r->moved = far;
		r->moved_ns = now;
		return 0;
	}
	return now - r->moved_ns >= homa_busy_ms * NS_PER_MS;
}

/*
 * Whether it is time to ask a client that is silent. Nobody knows whether it is the one who sends: its address may be forged, and who
 * has it never asked. So it is asked at twice the distance each time, and not for ever. Clients ask whom they chose themselves.
 */
#define MOST_ASKS 4

static inline int homa_asks(struct homa_rpc *r)
{
	if (r->state == SLOT_CLIENT)
		return 1;
	if (r->asks >= MOST_ASKS || r->silent < (__u32)TICK_MS << r->asks)
		return 0;
	r->asks++;
	return 1;
}

static inline void homa_late(struct homa_rpc *r, __u32 id)
{
	__u32 grantless = r->phase == PHASE_OUT ? r->out_granted < r->out_len : !homa_waits(r, id);
	__u32 most = r->state == SLOT_SERVER && grantless ? GRANTLESS_TICKS : TIMEOUT_TICKS;

	if (r->silent >= most) {
		count(Timeouts);
		/* Who has heard nothing may still be there: the call is not to be executed a second time. */
		if (r->state == SLOT_SERVER)
			homa_reset(r, id, ETIMEDOUT);
		else
			homa_end(r, id, r->told ? r->told : r->phase == PHASE_OUT && r->no_room == NO_ROOM_NOW ? ENOBUFS : ETIMEDOUT);
		return;
	}
	if (r->state == SLOT_SERVER && r->phase == PHASE_OUT) {
		if (r->out_granted >= r->out_len && homa_asks(r))
			r->due |= DUE_NEED_ACK;
	} else if (r->silent >= RESEND_TICKS && homa_waits(r, id) && homa_asks(r)) {
		r->ask = 0;
		r->due |= DUE_RESEND;
	}
}

/* Grants, looked at by the clock. */
static inline void homa_regrant(struct homa_rpc *r, __u32 id)
{
	__u32 got = in_received(r), silent = got < r->in_granted && got == r->in_seen;

	/* Its sender is granted more and sends nothing, whatever it says: others are not to wait for it. DATA brings it back. */
	if (silent) {
		r->quiet = 1;
		if (r->granting == GRANTING_DONE)
			homa_ungrant(r, id);
		homa_uncount(r, id);
	}
	r->in_seen = got;
	if (r->in_granted >= r->in_len)
		return;
	if (r->granting == GRANTING_ACTIVE && silent)
		homa_ungrant(r, id);
	else if (r->granting == GRANTING_WAITS)
		/* A place may be free that nobody has taken. */
		promote();
	else if (r->stalled || (r->granting != GRANTING_WAITS && got >= r->in_granted))
		/* One that found no memory to wait in, or no room, or that others left nothing for. */
		homa_consider(r, id, 1);
}

/* A timer fired. The slot may be over after it. */
noinline int homa_expire(struct homa_rpc *r NONNULL, __u32 id)
{
	__u32 ms = TICK_MS;
	__u8 as = r->ticked;

	r->ticked = 0;
	if (r->state == SLOT_GONE)
		return 0;
	if (r->state == SLOT_SERVER && r->phase == PHASE_REST && !r->heard && as == ARMED_REST) {
		/* It was quiet for as long as channels rest: a tick that is left of the last call says nothing of that. */
		count(Closed);
		homa_end(r, id, r->error);
		return 0;
	}
	if (r->phase == PHASE_REST) {
		r->heard = 0;
		if (r->state == SLOT_SERVER)
			homa_arm(r, id, REST_MS, ARMED_REST);
		return 0;
	}
	if (r->unresolved_ns && (r->due || r->phase == PHASE_OUT)) {
		/* GEN goes on, and looks for the neighbour. It may have come meanwhile. */
		homa_arm(r, id, TICK_MS, ARMED_TICK);
		return 0;
	}
	r->unresolved_ns = 0;
	if (r->phase == PHASE_IN && r->in_len != LEN_UNKNOWN)
		homa_regrant(r, id);
	if (homa_stands(r, id)) {
		count(Timeouts);
		homa_fail(r, id, ETIMEDOUT);
		return 0;
	}
	/* A client that waits for a grant asks whether its request is there: who does not is no more, and its channel need not be. */
	if (r->heard || (!homa_waits(r, id) && (r->state != SLOT_SERVER || r->phase != PHASE_IN))) {
		r->silent = 0;
		r->asks = 0;
		if (r->state == SLOT_SERVER && r->phase == PHASE_OUT)
			ms = NEED_ACK_MS;
	} else {
		r->silent += TICK_MS;
		homa_late(r, id);
		if (r->state == SLOT_FREE || r->state == SLOT_GONE)
			return 0;
	}
	r->heard = 0;
	/* While a server's application works nobody waits for anything, and a client asks by itself. */
	if (r->phase != PHASE_SERVE)
		homa_arm(r, id, ms, ARMED_TICK);
	else
		homa_arm(r, id, REST_MS, ARMED_REST);
	return 0;
}
