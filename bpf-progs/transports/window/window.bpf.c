/*
 * Reliable datagrams with a window: each arrives once and in order, or its sender hears of an error. Go-back-N: who receives
 * takes the next number only, and answers everything with the number that it waits for.
 *
 *   send ring ─▶ flight[WINDOW] ── DATA epoch, number ─▶ the next one? ─▶ receive ring
 *                   ▲ timer: again                └────◀── ACK: number that is waited for
 */
#define TRANSPORT window
#define TRANSPORT_PROTOCOL 253 /* for experiments (RFC 3692) */
#include "datagrams.h"

#define WINDOW 32                    /* datagrams of a socket that are under way */
#define TICK_NS (5 * NS_PER_MS)      /* how often a socket that waits looks at its times */
#define AGAIN_NS (20 * NS_PER_MS)    /* so long for an ACK; twice as long each time, */
#define MOST_DOUBLINGS 6             /* up to 1.28 s */
#define DEAD_NS (5000 * NS_PER_MS)   /* who says nothing is given up */
#define QUIET_NS (10000 * NS_PER_MS) /* who said nothing may have a clock that began anew */
#define SAME_ACKS 3                  /* so many for the same number: others came, it did not */

enum { DATA = 1, ACK = 2 };

struct window_header { /* behind struct datagram_header */
	__be32 kind;
	__be32 epoch;  /* of the sender's numbers: µs of its clock when they began with 0 */
	__be32 number; /* of the datagram; in an ACK: of the one that is waited for */
};

enum window_count {
	DATAGRAM_COUNTS, InDatagrams, InDuplicates, InAhead, InStale, InNoRoom, InAcks,
	OutDatagrams, OutAgain, OutAcks, GivenUp, WINDOW_COUNTS,
};
DATAGRAM_COUNTERS(enum window_count, WINDOW_COUNTS);

struct window_peer {
	__u64 alive_ns;       /* when its last ACK came, or it began to be waited for */
	__u32 epoch, next;    /* ours, and the next number in it, */
	__u32 acked, same;    /* the first that the peer does not have, and how often it said so again */
	__u32 gone, upto;     /* it was given up: what waits for it before that position of the send ring is lost */
	__u32 known;          /* whether these are: */
	__u32 theirs, waited; /* the peer's epoch, and the number in it that we wait for */
};
DATAGRAM_MAP(window_peers, LRU_HASH, 4096, struct datagram_peer, struct window_peer);

struct flight { /* a datagram under way; it lies in the send ring until the peer has it */
	struct datagram_peer to;
	__u32 number;
	__u32 at, room; /* where its record is, and bytes up to the next */
	__u32 tries, done;
	__u64 due_ns;   /* when it is to go, or to go again */
};

struct window_flow { /* flight[first % WINDOW] to flight[(end - 1) % WINDOW] are used */
	struct flight flight[WINDOW];
	__u32 first, end;
};
DATAGRAM_MAP(window_flows, ARRAY, 1024, __u32, struct window_flow);

/* What is known of a peer; it is made when `now` is given. */
static inline struct window_peer *peer_of(const struct datagram_peer *who, __u64 now)
{
	struct window_peer *p = bpf_map_lookup_elem(&window_peers, who), fresh = { .alive_ns = now, .epoch = now >> 10 };

	if (p || !now || bpf_map_update_elem(&window_peers, who, &fresh, BPF_NOEXIST))
		return p;
	return bpf_map_lookup_elem(&window_peers, who);
}

/* Flights to a peer before `number` are done; the others are due if they are to go `again`. */
static noinline void window_mark(struct window_flow *f, const struct datagram_peer *to, __u32 number, int again)
{
	for (__u32 i = 0; i < WINDOW; i++) {
		struct flight *fl = &f->flight[i];

		if (same_peer(&fl->to, to) && (__s32)(fl->number - number) < 0)
			fl->done = 1;
		else if (same_peer(&fl->to, to) && again)
			fl->due_ns = 0;
	}
}

/* What came for the socket of a stream, whole, in the lane of the socket. */
static inline int window_input(struct xdp_md *ctx, struct datagram *d, struct datagram_socket *s, __u32 id)
{
	struct window_flow *f = bpf_map_lookup_elem(&window_flows, &id);
	struct datagram_peer who = peer_from(d, s);
	__u64 now = bpf_ktime_get_ns();
	struct window_header h;
	struct window_peer *p;
	__u32 number;

	if (!f || datagram_own(ctx, d, &h, sizeof(h)))
		return count(InErrors), XDP_DROP;
	number = ntohl(h.number);
	p = peer_of(&who, h.kind == htonl(DATA) && !number ? now : 0);
	if (!p)
		return count(InStale), XDP_DROP;
	if (h.kind == htonl(ACK) && ntohl(h.epoch) == p->epoch && number - p->acked <= p->next - p->acked) {
		p->same = number == p->acked ? p->same + 1 : 0;
		p->acked = number, p->alive_ns = now;
		window_mark(f, &who, number, p->same == SAME_ACKS);
		return count(InAcks), el_ready(id), XDP_DROP;
	}
	if (h.kind == htonl(DATA) && !number && (!p->known || ((__s32)(ntohl(h.epoch) - p->theirs) > 0 ||
	    (ntohl(h.epoch) != p->theirs && now - p->alive_ns > QUIET_NS)))) /* numbers begin anew */
		p->known = 1, p->theirs = ntohl(h.epoch), p->waited = 0;
	if (h.kind != htonl(DATA) || s->state != SOCKET_OPEN || !p->known || ntohl(h.epoch) != p->theirs)
		return count(InStale), XDP_DROP;
	p->alive_ns = p->next == p->acked ? now : p->alive_ns;
	if (number != p->waited)
		count((__s32)(number - p->waited) < 0 ? InDuplicates : InAhead);
	else if (datagram_deliver(ctx, s, id, d))
		count(InNoRoom);
	else
		count(InDatagrams), p->waited++;
	h.kind = htonl(ACK), h.number = htonl(p->waited);
	return count(OutAcks), datagram_answer(ctx, d, &h, sizeof(h));
}
DATAGRAM_INGRESS(window_input);

/* Those at the front that are done leave the window, and the next datagram of the send ring takes their room. */
static noinline void window_next(struct xdp_md *ctx, struct datagram_socket *s, struct window_flow *f, __u32 id, __u64 now)
{
	struct flight *last = &f->flight[(f->end - 1) % WINDOW], *fl = &f->flight[f->end % WINDOW];
	struct datagram_record r = {};
	struct window_peer *p;
	__u32 at, room;

	for (__u32 i = 0; i < WINDOW && f->first != f->end && f->flight[f->first % WINDOW].done; i++, f->first++)
		socket_done(s, id, f->flight[f->first % WINDOW].at + f->flight[f->first % WINDOW].room);
	if (f->first != f->end && !last->done && (p = peer_of(&last->to, now)))
		p->next = last->number + 1; /* a lane may die after any line: `end` says what was taken, all else shows */
	at = f->first == f->end ? s->sent : last->at + last->room;
	if (f->end - f->first >= WINDOW || !(room = datagram_read(ctx, s, id, at, &r)))
		return;
	fl->to = peer_to(&r, s);
	if (!(p = peer_of(&fl->to, now)))
		return;
	p->alive_ns = p->next == p->acked ? now : p->alive_ns;
	fl->done = p->gone = p->gone && (__s32)(at - p->upto) < 0;
	fl->number = p->next, fl->at = at, fl->room = room, fl->due_ns = now, fl->tries = 0, f->end++, p->next += !fl->done;
	if (fl->done) el_ready(id); /* for the next one */
}

/* The first flight that is due; WINDOW: none is. */
static noinline __u32 window_due(struct window_flow *f, __u64 now)
{
	for (__u32 i = f->first; i - f->first < WINDOW && i != f->end; i++)
		if (!f->flight[i % WINDOW].done && f->flight[i % WINDOW].due_ns <= now)
			return i % WINDOW;
	return WINDOW;
}

static inline int window_send(struct xdp_md *ctx, struct datagram_socket *s, struct window_flow *f, __u32 id,
			      struct flight *fl, __u64 now)
{
	struct window_header h = { .kind = htonl(DATA), .number = htonl(fl->number) };
	struct window_peer *p = peer_of(&fl->to, now);
	int result;

	if (!p)
		return XDP_ABORTED;
	h.epoch = htonl(p->epoch);
	result = now - p->alive_ns > DEAD_NS ? -ETIMEDOUT : datagram_send(ctx, s, id, fl->at, &h, sizeof(h));
	if (result == XDP_TX) {
		count(fl->tries ? OutAgain : OutDatagrams);
		fl->due_ns = now + (AGAIN_NS << fl->tries);
		fl->tries += fl->tries < MOST_DOUBLINGS;
	} else if (result == XDP_DROP) { /* its neighbour is asked for; others may go */
		fl->due_ns = now + TICK_NS, el_ready(id);
	} else if (result < 0) { /* what was sent to the peer is lost, and numbers begin anew */
		window_mark(f, &fl->to, p->next, 0);
		p->epoch = (now >> 10) + 1, p->next = p->acked = p->same = 0, p->gone = 1, p->upto = el_stream_snd_end(id);
		count(GivenUp), socket_lost(s, id, &fl->to, -result), el_ready(id);
	}
	return result == XDP_TX ? XDP_TX : XDP_ABORTED;
}

SEC("xdp_gen")
int window_gen(struct xdp_md *ctx)
{
	__u32 id = ctx->rx_queue_index, due;
	struct window_flow *f = bpf_map_lookup_elem(&window_flows, &id);
	struct datagram_socket *s = socket_of(id);
	__u64 now = bpf_ktime_get_ns();

	if (!s || !f || !socket_attend(s, id))
		return XDP_ABORTED;
	window_next(ctx, s, f, id, now);
	due = window_due(f, now);
	if (due < WINDOW)
		return window_send(ctx, s, f, id, &f->flight[due], now);
	if (f->first != f->end)
		socket_later(id, TICK_NS);
	else if (s->state == SOCKET_CLOSING)
		socket_free(s, id);
	return XDP_ABORTED;
}

license("Dual MIT/GPL");
