/*
 * A segment of new data and nothing else to say: a full one, as a bulk sender makes nearly always, or a message whole.
 * Chosen and written in one pass. Whatever else there is to send, or to think of, is choose.h's and output.h's.
 */
#pragma once
#include "gen.h"

#define EXPRESS_WORDS 3 /* of options: timestamps */

/* Flags of a flow by which each segment is thought about; timestamps must be agreed on. */
#define UNEXPRESSED (FLOW_CWR | FLOW_ECE | FLOW_CE_LAST | FLOW_URGENT_OUT | FLOW_FIN_QUEUED | FLOW_FRTO | FLOW_MTU_LOST)

/*
 * Nothing is missing, nothing is owed but an ACK, nothing holds the flow back but windows and its rate. Its timer runs if
 * anything is in flight; else the last data was sent so lately that its window still says something of the path.
 */
static inline int expressible(const struct tcp_flow *f, const struct tcp_board *b, __u64 now)
{
	if (f->state != TCP_ESTABLISHED || f->ca != TCP_CA_OPEN || f->todo & ~TODO_ACK || f->marks || b->lost || b->sacked)
		return 0;
	if ((f->flags & (UNEXPRESSED | FLOW_TIMESTAMPS)) != FLOW_TIMESTAMPS || f->ooo.count || f->dsack_from != f->dsack_to)
		return 0;
	if (now >= f->route_ns || f->mtu < mtu_ceiling(f))
		return 0;
	if (f->snd_nxt == f->snd_una)
		return f->xmit == XMIT_NONE && f->sent_ns && now - f->sent_ns <= rto_us(f) * NS_PER_US;
	return f->xmit == XMIT_TLP || f->xmit == XMIT_RTO;
}

/* What is less than a segment goes when it is all that there is, and Nagle does not hold it. */
static inline int small_goes(const struct tcp_flow *f)
{
	if (f->opt.flags & TCP_OPT_CORK)
		return 0;
	return f->opt.flags & TCP_OPT_NODELAY || !after(f->snd_sml, f->snd_una);
}

/* There is something to say, or to think of, that waits for no rate. */
static inline int unpaced(struct tcp_flow *f)
{
	return f->todo & TODO_ACK || f->snd_nxt == f->snd_una || window_news(f);
}

/* Makes the segment. Returns the verdict, XDP_PASS when it is the last, XDP_ABORTED when it is not its time; -1: not this way. */
noinline int tcp_express(struct xdp_md *ctx, struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, __u64 now)
{
	__u32 v6 = f->family != AF_INET, l4 = sizeof(struct ethhdr) + (v6 ? 40 : 20), mss = f->mss, seq = f->snd_nxt;
	__u32 pipe = seq - f->snd_una, off = l4 + sizeof(struct tcphdr) + EXPRESS_WORDS * 4, avail, len, bytes, flags;
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct tcphdr *tcp;
	__be32 option[2], *out;
	__u16 *mac = data;
	__u64 sum, rate, at = now;
	int got;

	if (!expressible(f, b, now))
		return -1;
	avail = write_seq(f) - seq;
	len = least(avail, mss);
	rate = pace_rate(f);
	/* Who has nothing to send is not held back by its rate. */
	if (rate && len) {
		if (!pace_allows(f, now))
			return unpaced(f) ? -1 : XDP_ABORTED;
		at = departure(f, now);
	}
	bytes = off + len;
	if (!len || (pipe && pipe + len > f->cc.cwnd) || window_open(f) < len || (len < mss && !small_goes(f)) ||
	    data + HEADERS > end || bytes > (__u32)(end - data))
		return -1;
	got = el_stream_fetch(ctx, off, f->id, seq - f->iss - 1, len);
	if (got < 0)
		return -1;
	board_sent(b, f, seq + len, US(at));
	if (!pipe)
		f->stuck_ns = now;
	f->snd_nxt = seq + len;
	if (len < mss)
		f->snd_sml = f->snd_nxt;
	pipe += len;
	if (pipe + mss > f->cc.cwnd || (f->cc.cwnd < f->cc.ssthresh && 2 * pipe >= f->cc.cwnd))
		f->flags |= FLOW_CWND_LIMITED;

	__u32 tos = (f->opt.tos & ~ECN_MASK) | (f->flags & FLOW_ECN ? ECN_ECT0 : 0), ttl = TCP_DEFAULT(f->opt.ttl, 64);

	mac[0] = f->dmac[0], mac[1] = f->dmac[1], mac[2] = f->dmac[2];
	mac[3] = f->smac[0], mac[4] = f->smac[1], mac[5] = f->smac[2];
	if (v6) {
		mac[6] = htons(ETH_P_IPV6);
		write_ip6(data + sizeof(struct ethhdr), f->local, f->remote, bytes - l4, flow_label(f), tos, ttl);
		tcp = data + sizeof(struct ethhdr) + sizeof(struct ipv6hdr);
	} else {
		mac[6] = htons(ETH_P_IP);
		write_ip4(data + sizeof(struct ethhdr), f->local[0], f->remote[0], bytes - sizeof(struct ethhdr), f->ip_id++, tos,
			  ttl, dont_fragment(f));
		tcp = data + sizeof(struct ethhdr) + sizeof(struct iphdr);
	}
	option[0] = htonl(ts_now(f, now));
	option[1] = htonl(f->ts_recent);
	out = (__be32 *)(tcp + 1);
	out[0] = option_ts();
	out[1] = option[0];
	out[2] = option[1];
	flags = avail == len ? TCP_ACK | TCP_PSH : TCP_ACK;
	sum = pseudo_sum(f->local, f->remote, bytes - l4) + option_ts() + option[0] + option[1] + got;
	write_tcp(tcp, f->lport, f->rport, seq, f->rcv_nxt, flags, window_offer(f), 0, EXPRESS_WORDS, sum);
	if (bpf_xdp_adjust_tail(ctx, (__s32)bytes - (__s32)(end - data)))
		return -1;
	count(OutSegs);
	f->segs_out++;
	acked_by_this(f, 1);
	/* The time of a probe depends on whether one segment is in flight, or more: after that, a burst has one time. */
	if (f->xmit == XMIT_NONE || (f->xmit == XMIT_TLP && (f->sent_ns != now || pipe <= 2 * mss)))
		tcp_rearm(f, b, now);
	f->sent_ns = now;
	f->packet_ns = 0;
	if (rate) {
		pace(f, bytes, at, now);
		return XDP_TX;
	}
	/* That nothing more is to be said GEN need not be run again to hear: the packet would wait for that. */
	if (avail == len) {
		run_dry(f, pipe);
		return XDP_PASS;
	}
	return XDP_TX;
}
