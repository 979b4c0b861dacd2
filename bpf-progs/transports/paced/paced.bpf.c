/*
 * Paced senders: the smallest transport. Each stream sends packets of one size at a rate of its own, through a timing
 * wheel. It shows how a transport is made of hooks, and it is what pacing is measured with.
 *
 *   el_ready ─▶ xdp_gen: a packet ─▶ xdp_egress: its time ─▶ wheel ─▶ pacer ─▶ port, el_ready again
 *
 * xdp_gen and xdp_egress of the port are entrances: they tail-call the programs of the stream's transport.
 */
#include "carousel.h"
#include "net.h"

#define NS_PER_S 1000000000ULL
/* IEEE 802 local experimental EtherType 1. */
#define ETH_P_EXPERIMENTAL 0x88b5
#define MAX_TRANSPORTS 16
#define MAX_STREAMS 1024

struct paced_stream {
	__u64 rate;    /* bytes of frames per second */
	__u64 left;    /* packets still to be made */
	__u64 next;    /* when the next one may leave, ns */
	__u64 rest;    /* what is missing to the next whole ns: parts of 1 / rate */
	__u64 made;
	__u64 sent;
	__u64 last;    /* when the last one left, ns */
	__u64 late;    /* by how much those from the wheel left after their times, all together, ns */
	__u32 size;    /* bytes of a frame: 60 to 1514 */
	__u32 ahead;   /* packets that may wait in the wheel at a time */
	__u32 waiting; /* packets that do */
	__u32 credit;  /* by so much a stream that was held up may be behind and catch up, ns: 0 as in Carousel */
};

struct paced_header {
	struct ethhdr eth;
	__u16 pad;
	__u32 stream;
	__u32 number;
	__u64 at; /* when it was to leave, ns */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_STREAMS);
	__type(key, __u32);
	__type(value, struct paced_stream);
} paced_streams SEC(".maps");

static inline struct paced_stream *stream_of(__u32 id)
{
	return bpf_map_lookup_elem(&paced_streams, &id);
}

static inline void carousel_sent(const struct xdp_frame *frame, __u64 now)
{
	struct paced_stream *s = stream_of(frame->stream);
	__u64 at;

	if (!s)
		return;
	if (!el_frame_load(frame, offsetof(struct paced_header, at), &at, sizeof(at)))
		s->late += now - at;
	s->waiting--;
	s->last = now;
	s->sent++;
	if (s->left)
		el_ready(frame->stream);
}

SEC("xdp_gen/paced")
int paced_gen(struct xdp_md *ctx)
{
	struct paced_stream *s = stream_of(ctx->rx_queue_index);
	__u64 now = bpf_ktime_get_ns();
	struct paced_header *h;
	int room;

	if (!s || !s->left)
		return XDP_DROP;
	/* The one that leaves next has this program run again. */
	if (s->waiting >= s->ahead || (s->waiting && s->next > now + CAROUSEL_HORIZON_NS)) {
		carousel_mend(now);
		return XDP_DROP;
	}
	room = bpf_xdp_get_buff_len(ctx);
	if (bpf_xdp_adjust_tail(ctx, (int)s->size - room))
		return XDP_ABORTED;
	h = data_of(ctx);
	if ((void *)(h + 1) > data_end_of(ctx))
		return XDP_ABORTED;
	memset(h, 0, sizeof(*h));
	h->eth.h_dest[0] = h->eth.h_source[0] = 2;
	h->eth.h_proto = htons(ETH_P_EXPERIMENTAL);
	h->stream = ctx->rx_queue_index;
	h->number = s->made;
	s->made++;
	s->left--;
	s->waiting++;
	return XDP_TX;
}

/* The times of a stream's packets are exact: what an interval has of a fraction of a ns is carried on. */
static inline __u64 time_of(struct paced_stream *s, __u64 now, __u64 bytes)
{
	__u64 first = now - s->credit;
	__u64 at = s->next > first ? s->next : first;
	__u64 rate = s->rate ? s->rate : 1;
	__u64 whole = bytes * NS_PER_S + s->rest;

	s->next = at + whole / rate;
	s->rest = whole % rate;
	return at;
}

SEC("xdp_egress/paced")
int paced_egress(struct xdp_md *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	struct paced_stream *s = stream_of(ctx->rx_queue_index);
	struct paced_header *h = data_of(ctx);
	int verdict;

	if (!s || (void *)(h + 1) > data_end_of(ctx))
		return XDP_DROP;
	h->at = time_of(s, now, bpf_xdp_get_buff_len(ctx));
	verdict = carousel_put(ctx, h->at, now);
	if (verdict == XDP_REDIRECT)
		return verdict;
	s->waiting--;
	if (verdict < 0)
		return XDP_REDIRECT;
	s->last = now;
	s->sent++;
	return verdict;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, MAX_TRANSPORTS);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} gen_transports SEC(".maps") = { .values = { [0] = (void *)&paced_gen } };

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, MAX_TRANSPORTS);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} egress_transports SEC(".maps") = { .values = { [0] = (void *)&paced_egress } };

/* Entrances: a stream of a transport that nobody is loaded for makes nothing. */
SEC("xdp_gen")
int gen_entrance(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &gen_transports, ctx->ingress_ifindex);
	return XDP_ABORTED;
}

SEC("xdp_egress")
int egress_entrance(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &egress_transports, ctx->ingress_ifindex);
	return XDP_ABORTED;
}

/* What starts a stream: a frame of the same kind that names it. */
SEC("xdp")
int paced_start(struct xdp_md *ctx)
{
	struct paced_header *h = data_of(ctx);

	if ((void *)(h + 1) > data_end_of(ctx) || h->eth.h_proto != htons(ETH_P_EXPERIMENTAL))
		return XDP_PASS;
	el_ready(h->stream);
	return XDP_DROP;
}

license("GPL");
