/*
 * What a transport of datagrams is made of, so that its own file says its protocol only:
 *
 *   #define TRANSPORT mine            the name by which sockets ask for it: its maps and programs begin with it
 *   #define TRANSPORT_PROTOCOL 253    IP protocol
 *   #include "datagrams.h"
 *
 *   enum mine_count { DATAGRAM_COUNTS, InDatagrams, …, MINE_COUNTS };
 *   DATAGRAM_COUNTERS(enum mine_count, MINE_COUNTS);
 *
 *   static inline int mine_input(struct xdp_md *ctx, struct datagram *d, struct datagram_socket *s, __u32 id) …
 *   DATAGRAM_INGRESS(mine_input);
 *   SEC("xdp_gen") int mine_gen(struct xdp_md *ctx) …
 *
 * Behind IP stands what begins as UDP's header, then the transport's own, then the payload. A map mine_flows, an ARRAY, has
 * an entry for each socket, which is zeros when the socket is made. All that is of a socket happens in its lane, one packet
 * after the other. The control plane is host/transports/datagrams/.
 */
#pragma once
#include "datagrams/frame.h"
#include "datagrams/tables.h"
#include "layout.gen.h"

/* Whom a socket has to do with: a key for what is known of him. */
struct datagram_peer {
	__be32 address[4];
	__be16 port;
	__u16 pad;
	__u32 life; /* of the socket */
};

#define SOCKET_LOST 8 /* peers that are remembered until the application looks */

/* `state` to `local` are the control plane's until the socket is in a table, then nobody writes them but `state`: its lane. */
struct datagram_socket {
	__u8 state;      /* enum socket_state */
	__u8 family;     /* of what it sends; 0: both */
	__be16 port;
	__be32 local[4]; /* 0: as the route says */
	__u32 sent;      /* positions: up to where the send ring is done with, */
	__u32 received;  /* and the receive ring is filled */
	__u32 drops;     /* datagrams for which the receive ring had no room */
	__u32 errors;    /* counts what `error` was, */
	__u32 error;     /* the last one, errno */
	__u32 ip_id;
	__u32 life;      /* a number that no other socket had: those of streams are used again */
	__u32 losses;    /* peers that were lost, the last of them in lost[(losses - 1) % SOCKET_LOST] */
	struct datagram_peer lost[SOCKET_LOST];
};

/* What stands behind IP. */
struct datagram_header {
	__be16 sport;
	__be16 dport;
	__be16 len;    /* from here to the end of the payload */
	__sum16 check; /* of pseudo header and these bytes */
};

struct datagram_clock {
	struct bpf_timer timer;
};

/* The loader sets max_entries to the number of streams. */
DATAGRAM_MAP(OWN(_sockets), ARRAY, 1024, __u32, struct datagram_socket);
DATAGRAM_MAP(OWN(_clocks), ARRAY, 1024, __u32, struct datagram_clock);

/* First in the enum of what is counted: by DATAGRAM_INGRESS. */
#define DATAGRAM_COUNTS InErrors, InCsumErrors, NoPorts, OtherLane

/* What happened, per lane, by the names of an enum, which go with the object. */
#define DATAGRAM_COUNTERS(names, number) \
	DATAGRAM_MAP(OWN(_counters), PERCPU_ARRAY, number, names, __u64); \
	static inline void count(names what) \
	{ \
		__u32 key = what; \
		__u64 *n = bpf_map_lookup_elem(&OWN(_counters), &key); \
 \
		if (n) \
			*n += 1; \
	} \
	_Static_assert(number > 0, "names of counters, and how many")

/* ── sockets ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static inline struct datagram_socket *socket_of(__u32 id)
{
	return bpf_map_lookup_elem(&OWN(_sockets), &id);
}

/* What Linux calls sk_err: the application is told that it is there, and looks. */
static inline void socket_fail(struct datagram_socket *s, __u32 id, __u32 error)
{
	s->error = error;
	s->errors++;
	el_stream_event(id, EL_EV_ERR);
}

/* The same, of what was sent to that peer, which the application is told: others of the socket are as they were. */
static inline void socket_lost(struct datagram_socket *s, __u32 id, const struct datagram_peer *who, __u32 error)
{
	s->lost[s->losses % SOCKET_LOST] = *who;
	s->losses++;
	socket_fail(s, id, error);
}

/* The stream's memory goes when the application lets go of it, too. */
static inline void socket_free(struct datagram_socket *s, __u32 id)
{
	s->state = SOCKET_FREE;
	el_stream_event(id, EL_EV_HUP);
	el_stream_free(id);
}

/* The send ring before that position is done with. Saying it twice does no harm, as a lane may die after the first time. */
static inline void socket_done(struct datagram_socket *s, __u32 id, __u32 upto)
{
	s->sent = upto;
	el_stream_acked(id, upto);
}

/* Begins a run of gen: what the application asked for. 0: there is no socket any more. */
static inline int socket_attend(struct datagram_socket *s, __u32 id)
{
	__u32 asked = el_stream_requests(id);

	/* A stream that never became a socket: nobody but its application knows of it. */
	if (asked & EL_REQ_ABORT || (asked & EL_REQ_CLOSE && s->state == SOCKET_FREE)) {
		socket_free(s, id);
		return 0;
	}
	if (asked & EL_REQ_CLOSE && s->state == SOCKET_OPEN)
		s->state = SOCKET_CLOSING;
	/* The lane died, and is another. */
	if (asked & EL_REQ_REVIVED) {
		el_stream_received(id, s->received);
		el_stream_acked(id, s->sent);
	}
	return s->state != SOCKET_FREE;
}

static int datagram_on_clock(void *map, __u32 *id, struct datagram_clock *clock)
{
	el_ready(*id);
	return 0;
}

/* Has gen run for the socket in a while. There is one clock: the last wish counts. */
static inline void socket_later(__u32 id, __u64 ns)
{
	struct datagram_clock *c = bpf_map_lookup_elem(&OWN(_clocks), &id);

	if (!c)
		return;
	/* It stays with the stream; whoever had the number before may have died between the two. */
	bpf_timer_init(&c->timer, &OWN(_clocks), CLOCK_MONOTONIC);
	bpf_timer_set_callback(&c->timer, datagram_on_clock);
	bpf_timer_start(&c->timer, ns, 0);
}

static inline struct datagram_peer peer_from(const struct datagram *d, const struct datagram_socket *s)
{
	struct datagram_peer p = { .port = d->sport, .life = s->life };

	memcpy(p.address, d->src, sizeof(p.address));
	return p;
}

static inline struct datagram_peer peer_to(const struct datagram_record *r, const struct datagram_socket *s)
{
	struct datagram_peer p = { .port = r->port, .life = s->life };

	memcpy(p.address, r->address, sizeof(p.address));
	return p;
}

static inline int same_peer(const struct datagram_peer *a, const struct datagram_peer *b)
{
	return a->port == b->port && a->life == b->life && same_address(a->address, b->address);
}

/* ── sending ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/*
 * Reads the record at position `at` of the send ring. Bytes that it and its payload take; 0: nothing waits there. What is no
 * datagram only an application writes that means harm: that is the end of its socket.
 */
static inline __u32 datagram_read(struct xdp_md *ctx, struct datagram_socket *s, __u32 id, __u32 at, struct datagram_record *r)
{
	__u32 waiting = el_stream_snd_end(id) - at, room;
	void *data = data_of(ctx);

	if (!waiting || data + sizeof(*r) > data_end_of(ctx))
		return 0;
	if (waiting >= sizeof(*r) && el_stream_fetch(ctx, 0, id, at, sizeof(*r)) >= 0) {
		memcpy(r, data, sizeof(*r));
		room = datagram_room(r->len);
		if (r->len <= 0xffff && room <= waiting && (r->family == AF_INET || r->family == AF_INET6) &&
		    (!s->family || s->family == r->family) &&
		    (r->family == AF_INET6 || !(r->address[1] | r->address[2] | r->address[3])))
			return room;
	}
	socket_fail(s, id, EPROTO);
	socket_free(s, id);
	return 0;
}

/* Sum of the pseudo header for `len` bytes behind IP. */
static inline __u64 datagram_pseudo(const __be32 *src, const __be32 *dst, __u32 len)
{
	__u64 sum = htons(TRANSPORT_PROTOCOL) + htons(len);
	__u32 i;

	for (i = 0; i < 4; i++)
		sum += (__u64)src[i] + dst[i];
	return sum;
}

/*
 * Makes the packet of the datagram whose record stands at `at` of the send ring, with `size` bytes of the transport's own
 * header. XDP_TX: it may go; XDP_ABORTED: another port is to make it, and will be asked; XDP_DROP: its neighbour is asked for,
 * and does not answer yet; negative: why it cannot be sent, an errno.
 */
static inline int datagram_send(struct xdp_md *ctx, struct datagram_socket *s, __u32 id, __u32 at, const void *own, __u32 size)
{
	struct datagram_header h = { .sport = s->port };
	struct datagram_record r = {};
	struct datagram_hop hop = {};
	struct datagram_route *w;
	__u32 ip, len, sum;
	void *data;
	__be32 from[4];

	if (!datagram_read(ctx, s, id, at, &r))
		return XDP_ABORTED;
	w = datagram_way(ctx, &r, bpf_ktime_get_ns(), &hop);
	if (!w)
		return XDP_DROP;
	if (w->error)
		return -(int)w->error;
	if (w->ifindex != ctx->egress_ifindex) {
		el_stream_route(id, w->ifindex, TRANSPORT_PROTOCOL);
		el_ready(id);
		return XDP_ABORTED;
	}
	ip = datagram_headers(r.family);
	len = sizeof(h) + size + r.len;
	if (!datagram_fits(ctx, w, ip + len))
		return -EMSGSIZE;
	h.dport = r.port;
	h.len = htons(len);
	if (el_stream_fetch(ctx, ip + sizeof(h) + size, id, at + sizeof(r), r.len) < 0 ||
	    bpf_xdp_store_bytes(ctx, ip, &h, sizeof(h)) || bpf_xdp_store_bytes(ctx, ip + sizeof(h), own, size))
		return -EPROTO;
	sum = el_packet_sum(ctx, ip, len);
	data = data_of(ctx);
	if (sum > 0xffff || data + sizeof(struct ethhdr) + sizeof(struct ipv6hdr) > data_end_of(ctx))
		return -EPROTO;
	memcpy(from, s->local, sizeof(from));
	if (!(from[0] | from[1] | from[2] | from[3]))
		memcpy(from, w->from, sizeof(from));
	write_macs(data, w);
	if (r.family == AF_INET) {
		((__be16 *)data)[6] = htons(ETH_P_IP);
		write_ip4(data + sizeof(struct ethhdr), &r, from[0], sizeof(struct iphdr) + len, s->ip_id++);
	} else {
		((__be16 *)data)[6] = htons(ETH_P_IPV6);
		write_ip6(data + sizeof(struct ethhdr), &r, from, len);
	}
	h.check = csum_fold(datagram_pseudo(from, r.address, len) + sum);
	if (bpf_xdp_store_bytes(ctx, ip, &h, sizeof(h)) ||
	    bpf_xdp_adjust_tail(ctx, (__s32)(ip + len) - (__s32)bpf_xdp_get_buff_len(ctx)))
		return -EPROTO;
	return XDP_TX;
}

/* ── receiving ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Reads the transport's own header of an arrived packet; the payload is what stands behind it. 0; -1: it is too short. */
static inline int datagram_own(struct xdp_md *ctx, struct datagram *d, void *own, __u32 size)
{
	if (d->len < size || bpf_xdp_load_bytes(ctx, d->payload, own, size))
		return -1;
	d->payload += size;
	d->len -= size;
	return 0;
}

/*
 * Puts a record and the payload (`d->payload`, `d->len`) into the receive ring. The record is written over what stands before
 * the payload, which is not needed any more. 0; negative: the ring has no room for it, or there is no memory for a ring.
 */
static inline int datagram_deliver(struct xdp_md *ctx, struct datagram_socket *s, __u32 id, const struct datagram *d)
{
	struct datagram_record r = { .len = d->len, .family = d->family, .ttl = d->ttl, .port = d->sport, .tos = d->tos };
	__u32 need = datagram_room(d->len), at = d->payload - sizeof(r);

	memcpy(r.address, d->src, sizeof(r.address));
	r.ifindex = ctx->ingress_ifindex;
	if (el_stream_rcv_limit(id) - s->received < need || bpf_xdp_store_bytes(ctx, at, &r, sizeof(r)) ||
	    el_stream_place(ctx, at, id, s->received, sizeof(r) + d->len) < 0) {
		s->drops++;
		return -1;
	}
	/* First here, then to the stream: a lane that dies between the two says it again. */
	s->received += need;
	el_stream_received(id, s->received);
	return 0;
}

/* Turns an arrived packet round: an answer without payload to who sent it, its own header being these bytes. */
static inline int datagram_answer(struct xdp_md *ctx, const struct datagram *d, const void *own, __u32 size)
{
	__u32 ip = datagram_headers(d->family), len = sizeof(struct datagram_header) + size, sum, i;
	struct datagram_header h = { .sport = d->dport, .dport = d->sport, .len = htons(len) };
	struct datagram_record to = { .family = d->family };
	__u16 *mac, was;
	void *data;

	if (bpf_xdp_adjust_tail(ctx, (__s32)(ip + len) - (__s32)bpf_xdp_get_buff_len(ctx)) ||
	    bpf_xdp_store_bytes(ctx, ip, &h, sizeof(h)) || bpf_xdp_store_bytes(ctx, ip + sizeof(h), own, size))
		return XDP_DROP;
	sum = el_packet_sum(ctx, ip, len);
	mac = data = data_of(ctx);
	if (sum > 0xffff || data + sizeof(struct ethhdr) + sizeof(struct ipv6hdr) > data_end_of(ctx))
		return XDP_DROP;
	for (i = 0; i < 3; i++) {
		was = mac[i];
		mac[i] = mac[i + 3];
		mac[i + 3] = was;
	}
	mac[6] = d->family == AF_INET ? htons(ETH_P_IP) : htons(ETH_P_IPV6);
	memcpy(to.address, d->src, sizeof(to.address));
	if (d->family == AF_INET)
		write_ip4(data + sizeof(struct ethhdr), &to, d->dst[0], sizeof(struct iphdr) + len, 0);
	else
		write_ip6(data + sizeof(struct ethhdr), &to, d->dst, len);
	h.check = csum_fold(datagram_pseudo(d->dst, d->src, len) + sum);
	return bpf_xdp_store_bytes(ctx, ip, &h, sizeof(h)) ? XDP_DROP : XDP_TX;
}

/* Takes a packet apart as far as the ports: DATAGRAM_OK, and `payload` is what stands behind struct datagram_header. */
static inline enum datagram_parse datagram_parse(struct xdp_md *ctx, struct datagram *d)
{
	__u32 at = 0, len = 0, sum;
	enum datagram_parse result = datagram_ip(ctx, d, &at, &len);
	struct datagram_header h;

	if (result != DATAGRAM_OK)
		return result;
	if (d->protocol != TRANSPORT_PROTOCOL)
		return DATAGRAM_NOT_OURS;
	if (len < sizeof(h) || bpf_xdp_load_bytes(ctx, at, &h, sizeof(h)) || ntohs(h.len) < sizeof(h) || ntohs(h.len) > len)
		return DATAGRAM_BAD;
	len = ntohs(h.len);
	sum = el_packet_sum(ctx, at, len);
	if (sum > 0xffff || csum_fold(datagram_pseudo(d->src, d->dst, len) + sum))
		return DATAGRAM_BAD_SUM;
	d->sport = h.sport;
	d->dport = h.dport;
	d->check = h.check;
	d->payload = at + sizeof(h);
	d->len = len - sizeof(h);
	return DATAGRAM_OK;
}

/*
 * The programs that take packets in, in any lane, and go on with them in the lane of their socket: `input` is called there,
 * (ctx, d, s, id), for what came whole and is a socket's that is open, or closing. A cpumap program cannot send back
 * (cpu_map_bpf_prog_run_xdp): its answers leave by the port that the packet came in by.
 */
#define DATAGRAM_INGRESS(input) \
	static inline int OWN(_came)(struct xdp_md *ctx) \
	{ \
		struct datagram d = {}; \
		enum datagram_parse result = datagram_parse(ctx, &d); \
		struct datagram_socket *s; \
		__u32 entry, id; \
 \
		if (result == DATAGRAM_NOT_OURS) \
			return XDP_PASS; \
		if (result != DATAGRAM_OK) { \
			count(result == DATAGRAM_BAD_SUM ? InCsumErrors : InErrors); \
			return XDP_DROP; \
		} \
		entry = datagram_connected(&d); \
		if (!entry) \
			entry = datagram_bound(&d); \
		id = entry & ENTRY_ID; \
		s = entry ? socket_of(id) : 0; \
		if (!s) { \
			count(NoPorts); \
			return XDP_PASS; \
		} \
		if (entry >> ENTRY_LANE_SHIFT != bpf_get_smp_processor_id()) { \
			count(OtherLane); \
			return bpf_redirect_map(&OWN(_lanes), entry >> ENTRY_LANE_SHIFT, XDP_DROP); \
		} \
		if (s->state == SOCKET_FREE) { \
			count(NoPorts); \
			return XDP_PASS; \
		} \
		return input(ctx, &d, s, id); \
	} \
 \
	SEC("xdp") \
	int OWN(_ingress)(struct xdp_md *ctx) \
	{ \
		return OWN(_came)(ctx); \
	} \
 \
	SEC("xdp/cpumap") \
	int OWN(_handover)(struct xdp_md *ctx) \
	{ \
		int verdict = OWN(_came)(ctx); \
 \
		return verdict == XDP_TX ? (int)bpf_redirect(ctx->ingress_ifindex, 0) : verdict; \
	} \
	_Static_assert(1, "")
