/*
 * Header prediction (V. Jacobson, 1990): nearly every segment is the next one of an established flow and carries data, an
 * ACK and timestamps, nothing else. It is taken in without being taken apart, and its payload is read once: copied behind
 * what was received, summed on the way, and nobody's until the sum turned out right. Everything else about a segment is
 * receive.h's.
 */
#pragma once
#include "receive.h"

/* Header with timestamps, aligned as everybody does. */
#define PREDICTED_HEADER 32
enum { NOT_PREDICTED = -1 };

/* Flags of a flow by which every segment is looked at closely; timestamps must be agreed on. */
#define UNPREDICTED (FLOW_FIN_SEEN | FLOW_ORPHAN | FLOW_CE_LAST)

/*
 * `w`: the TCP header at offset `l4`, PREDICTED_HEADER bytes of it proven; `sum`: of the pseudo header. Returns the
 * verdict, or NOT_PREDICTED with nothing changed.
 */
static inline int tcp_expected(struct xdp_md *ctx, struct tcp_flow *f, struct tcp_segment *s, const word32 *w, __u32 l4,
			       __u32 len, __u64 sum)
{
	__u32 seq = ntohl(w[1]), ack = ntohl(w[2]), tsval = ntohl(w[6]), zero = 0, window;
	struct tcp_news *n = bpf_map_lookup_elem(&tcp_newses, &zero);
	struct tcp_board *b = board_of(f->id);
	struct tcp_hand *h = hand();

	/* What a former life of the lane had in hand is mended first. */
	if (!n || !b || !h || h->id || f->state != TCP_ESTABLISHED || f->ca != TCP_CA_OPEN || f->todo & TODO_RST || seq != f->rcv_nxt)
		return NOT_PREDICTED;
	if ((f->flags & (UNPREDICTED | FLOW_TIMESTAMPS)) != FLOW_TIMESTAMPS || f->ooo.count || len > f->rcv_adv - seq ||
	    ack - f->snd_una > f->snd_nxt - f->snd_una || before(tsval, f->ts_recent))
		return NOT_PREDICTED;
	sum += (__u64)w[0] + w[1] + w[2] + w[3] + w[4] + w[5] + w[6] + w[7];
	if (len) {
		int got = el_stream_place(ctx, l4 + PREDICTED_HEADER, f->id, seq - f->irs - 1, len);

		if (got < 0)
			return NOT_PREDICTED;
		sum += got;
	}
	if (csum_fold(sum)) {
		count(InCsumErrors);
		return XDP_DROP;
	}
	count(InSegs);
	h->id = f->id;
	s->now = bpf_ktime_get_ns();
	f->segs_in++;
	f->rcv_ns = s->now;
	if (!after(seq, f->rcv_wup)) {
		f->ts_recent = tsval;
		f->ts_recent_s = s->now / NS_PER_S;
	}
	window = ntohs(w[3] >> 16);
	if (len && ack == f->snd_una && window << (f->snd_wscale & 15) == f->snd_wnd) {
		/* Nothing new for what we send. */
		f->snd_wl1 = seq;
		f->probes = 0;
	} else {
		s->seq = seq;
		s->end = seq + len;
		s->ack = ack;
		s->len = len;
		s->window = window;
		s->flags = TCP_ACK;
		s->sacks = 0;
		s->timestamps = 1;
		s->tsval = tsval;
		s->tsecr = ntohl(w[7]);
		tcp_ack(f, b, s, n);
	}
	if (len) {
		if (len > f->rcv_mss || len >= 536)
			f->rcv_mss = len;
		f->rcv_nxt = seq + len;
		f->bytes_received += len;
		el_stream_received(f->id, f->rcv_nxt - f->irs - 1);
		right_size(f, ntohl(w[7]), s->now);
		ack_policy(f, len, s->now);
	}
	h->id = 0;
	return XDP_DROP;
}

/* The flow of an entry of a connection table, if it is this lane's. */
static inline struct tcp_flow *flow_here(const __u32 *entry)
{
	if (!entry || *entry >> ENTRY_LANE_SHIFT != bpf_get_smp_processor_id())
		return NULL;
	return flow_of(*entry & ENTRY_ID);
}

/* ACK, perhaps PSH, timestamps and nothing else. */
static inline int is_plain(const word32 *w)
{
	return (w[3] & 0xf7ff) == ((__u32)TCP_ACK << 8 | PREDICTED_HEADER << 2) && w[5] == option_ts();
}

noinline int tcp_predicted4(struct xdp_md *ctx, struct tcp_segment *s NONNULL)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct iphdr *ip = data + sizeof(struct ethhdr);
	const word32 *w = (void *)(ip + 1), *h = (void *)ip;
	struct tcp_flow *f;
	__u32 total;

	if ((void *)w + PREDICTED_HEADER > end)
		return NOT_PREDICTED;
	total = ntohs(ip->tot_len);
	/* No options, no fragment, no congestion experienced. */
	if (*(__u8 *)ip != 0x45 || ip->frag_off & ~htons(0x4000) || (ip->tos & ECN_MASK) == ECN_CE || !is_plain(w) ||
	    total < sizeof(*ip) + PREDICTED_HEADER || sizeof(struct ethhdr) + total > (__u32)(end - data) ||
	    csum_fold((__u64)h[0] + h[1] + h[2] + h[3] + h[4]))
		return NOT_PREDICTED;
	{
		struct tcp_key4 k = { ip->saddr, ip->daddr, (__be16)w[0], (__be16)(w[0] >> 16) };

		f = flow_here(bpf_map_lookup_elem(&tcp4, &k));
	}
	if (!f)
		return NOT_PREDICTED;
	total -= sizeof(*ip);
	return tcp_expected(ctx, f, s, w, sizeof(struct ethhdr) + sizeof(*ip), total - PREDICTED_HEADER,
			    (__u64)ip->saddr + ip->daddr + htons(IPPROTO_TCP) + htons(total));
}

noinline int tcp_predicted6(struct xdp_md *ctx, struct tcp_segment *s NONNULL)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct ipv6hdr *ip = data + sizeof(struct ethhdr);
	const word32 *w = (void *)(ip + 1);
	struct tcp_flow *f;
	__u32 total;

	if ((void *)w + PREDICTED_HEADER > end)
		return NOT_PREDICTED;
	total = ntohs(ip->payload_len);
	if ((ip->flow & htonl(0xf0000000)) != htonl(0x60000000) || ip->nexthdr != IPPROTO_TCP ||
	    (ntohl(ip->flow) >> 20 & ECN_MASK) == ECN_CE || !is_plain(w) || total < PREDICTED_HEADER ||
	    sizeof(struct ethhdr) + sizeof(*ip) + total > (__u32)(end - data))
		return NOT_PREDICTED;
	{
		struct tcp_key6 k;

		memcpy(k.remote, ip->saddr, sizeof(k.remote));
		memcpy(k.local, ip->daddr, sizeof(k.local));
		k.rport = w[0];
		k.lport = w[0] >> 16;
		f = flow_here(bpf_map_lookup_elem(&tcp6, &k));
	}
	if (!f)
		return NOT_PREDICTED;
	return tcp_expected(ctx, f, s, w, sizeof(struct ethhdr) + sizeof(*ip), total - PREDICTED_HEADER,
			    pseudo_sum(ip->saddr, ip->daddr, total));
}

/* Takes the segment in if it is what was expected. Returns the verdict, or NOT_PREDICTED. */
static inline int tcp_predicted(struct xdp_md *ctx, struct tcp_segment *s)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return NOT_PREDICTED;
	return eth->h_proto == htons(ETH_P_IP) ? tcp_predicted4(ctx, s) : tcp_predicted6(ctx, s);
}
