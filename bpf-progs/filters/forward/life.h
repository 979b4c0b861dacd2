/*
 * What a packet does to its flow: state, and how long it may be silent from now on. Anybody can send a segment with
 * these addresses and ports, so TCP's are judged by their numbers, as conntrack and the two ends do (RFC 5961, RFC 5382
 * §5). All are carried on; who cannot guess the numbers opens nothing, ends nothing and shortens nothing.
 *
 *   SYN ─▶ opening ── answer, and its acknowledgement ─▶ open ─ FIN ─▶ closing ─ the other FIN ─▶ closed ─ SYN ─▶ opening
 *             └────────────────── RST that was asked for, or is just where the receiver waits ──────┘
 */
#pragma once
#include "flow.h"

/* Other lanes that may change a flow between a look at it and our own change. */
#define FOLLOW_TRIES 8
/* What a receiver has told may lag so far behind a sender that is done: more, and it tells again in between. */
#define LAG 0xffff
/* How far from there a FIN may be: beyond any window in use. */
#define FIN_REACH (1 << 24)

/* What a segment means for its flow, as bits. */
enum event {
	EVENT_SYN = 1,    /* the client opens */
	EVENT_ANSWER = 2, /* the backend agrees */
	EVENT_OPENS = 4,  /* the client has heard it */
	EVENT_FIN = 8,
	EVENT_RESET = 16, /* its receiver believes it, too */
	EVENT_DOUBT = 32, /* a RST behind what its sender has just sent; if that was forged, the receiver objects */
	EVENT_FORGED = 64,
};

/* The number behind a segment. */
static inline __u32 next_of(const struct segment *s)
{
	return ntohl(s->seq) + s->length;
}

/* Whether `s` acknowledges `other`, or the beginning of it. */
static inline int acknowledges(const struct segment *s, const struct segment *other)
{
	return s->flags & TCP_ACK && next_of(other) - ntohl(s->ack) < other->length;
}

/* `same`, `other`: the last segments of its own direction and of the other one. */
static inline __u32 event_of(const struct segment *s, const struct segment *same, const struct segment *other,
			     __u64 word, __u32 direction)
{
	__u32 seq = ntohl(s->seq), ahead = seq - ntohl(other->ack), state = STATE_OF(word), event = 0;
	const int answered = SEEN_OF(word) & SEEN_ANSWER;

	if (s->flags & TCP_RST) {
		/* RFC 9293 §3.5.2: the answer to a SYN has no number but the one that it acknowledges. */
		if (!answered)
			return direction == BACK && acknowledges(s, other) ? EVENT_RESET : EVENT_FORGED;
		if (!ahead)
			return EVENT_RESET;
		return seq == next_of(same) && ahead <= LAG ? EVENT_DOUBT : EVENT_FORGED;
	}
	if (s->flags & TCP_SYN) {
		if (direction == BACK)
			return acknowledges(s, other) ? EVENT_ANSWER : 0;
		return s->flags & TCP_ACK || state == TCP_OPEN || state == TCP_CLOSING ? 0 : EVENT_SYN;
	}
	if (state == TCP_OPENING && direction == FORTH && answered && acknowledges(s, other))
		event = EVENT_OPENS;
	if (s->flags & TCP_FIN && ahead + FIN_REACH < 2 * FIN_REACH)
		event |= EVENT_FIN;
	return event;
}

/* The word of a flow after an event. */
static inline __u64 word_after(__u64 word, __u32 direction, __u32 event)
{
	__u32 state = STATE_OF(word), seen = SEEN_OF(word);

	if (state == UDP_OPENING) {
		if (direction == BACK)
			state = UDP_OPEN;
	} else if (event & EVENT_RESET) {
		state = TCP_CLOSED;
	} else if (event & EVENT_ANSWER) {
		seen |= SEEN_ANSWER;
	} else if (event & EVENT_SYN) {
		if (state == TCP_CLOSED) {
			/* The client uses its port again: the tuple is still unique, what is old is the two ends' affair. */
			seen = 0;
			state = TCP_OPENING;
		}
	} else {
		if (event & EVENT_OPENS && state == TCP_OPENING)
			state = TCP_OPEN;
		if (event & EVENT_FIN && (state == TCP_OPEN || state == TCP_CLOSING)) {
			seen |= direction == FORTH ? SEEN_FIN_FORTH : SEEN_FIN_BACK;
			state = (seen & SEEN_FINS) == SEEN_FINS ? TCP_CLOSED : TCP_CLOSING;
		}
	}
	return WORD_OF(EPOCH_OF(word), seen, state);
}

/* From now on a flow may be silent for as long as its state allows. */
static inline void live_on(struct mapping *f, __u64 word, __u64 now)
{
	__u32 state = STATE_OF(word);

	/* What is compared is what is used: clang would compare another form of it. */
	barrier_var(state);
	if (state < STATES)
		*(volatile __u64 *)&f->expires_ns = now + hop.age_ns[state];
}

/* `live_on` for a flow whose word was changed just now. 0: it is another flow by now. */
static inline int settle(struct mapping *f, __u64 word, __u64 now)
{
	__u64 again;

	live_on(f, word, now);
	/* Changed by another lane just now: one of the two times was written last, and it must be the later state's. */
	again = *WORD(f);
	if (unlikely(again != word)) {
		if (EPOCH_OF(again) != EPOCH_OF(word))
			return 0;
		live_on(f, again, now);
	}
	return 1;
}

/* A flow that may be dead lives no longer than one that is; its next packet says that it is not. */
static inline void doubt(struct mapping *f, __u64 now)
{
	volatile __u64 *expires = &f->expires_ns;
	__u64 until = now + hop.age_ns[TCP_CLOSED];

	if (*expires > until)
		*expires = until;
}

/*
 * Changes a flow by a packet, whatever other lanes or CPUs do to it meanwhile: both directions of one may meet different
 * ones. 0: the slot has another flow since `word` was read.
 */
noinline int follow(__u32 slot, __u64 word, __u32 direction, const struct segment *s, __u64 now)
{
	struct mapping *f = bpf_map_lookup_elem(&flows, &slot);
	struct segment *same, *other;
	__u32 event = 0;
	__u64 next, was;
	int i;

	if (!f || !s)
		return 0;
	if (STATE_OF(word) < UDP_OPENING) {
		same = direction == FORTH ? &f->last[FORTH] : &f->last[BACK];
		other = direction == FORTH ? &f->last[BACK] : &f->last[FORTH];
		event = event_of(s, same, other, word, direction);
		if (event & EVENT_DOUBT)
			doubt(f, now);
		if (event & (EVENT_DOUBT | EVENT_FORGED))
			return 1;
		/* Until there is an answer all that counts is what it has to answer. */
		if (!(s->flags & TCP_RST) && (event || (SEEN_OF(word) & SEEN_ANSWER && !(s->flags & TCP_SYN))))
			*same = *s;
	}
	for (i = 0; i < FOLLOW_TRIES; i++) {
		next = word_after(word, direction, event);
		if (next == word)
			break;
		was = __sync_val_compare_and_swap((word64 *)WORD(f), word, next);
		if (was == word) {
			if (STATE_OF(word) == TCP_CLOSED && STATE_OF(next) == TCP_OPENING)
				count(COUNT_REOPENED, 0);
			word = next;
			break;
		}
		if (EPOCH_OF(was) != EPOCH_OF(word))
			return 0;
		word = was;
	}
	return settle(f, word, now);
}

/* What a packet does to its flow; `s`: TCP's numbers. 0: there is another flow by now. */
static inline int touch(struct match *m, __u8 protocol, const struct segment *s, __u64 now)
{
	__u32 state = STATE_OF(m->word);

	if (protocol == IPPROTO_TCP) {
		if (s->flags & (TCP_SYN | TCP_FIN | TCP_RST) || state == TCP_OPENING)
			return follow(m->slot, m->word, m->direction, s, now);
		if (m->direction == FORTH)
			m->flow->last[FORTH] = *s;
		else
			m->flow->last[BACK] = *s;
	} else if (state == UDP_OPENING) {
		return follow(m->slot, m->word, m->direction, s, now);
	}
	return settle(m->flow, m->word, now);
}
