/*
 * UDP (RFC 768) as eBPF programs over streams: a socket is a stream whose rings hold datagrams (socket.h).
 *
 *   XDP  entrance (transports/entrance) ─▶ udp_ingress, udp_icmp          another lane's socket ─ udp_lanes ─▶ udp_handover
 *   GEN  entrance_gen ─▶ udp_gen: the next datagram of a send ring
 */
#include "error.h"
#include "send.h"

SEC("xdp")
int udp_ingress(struct xdp_md *ctx)
{
	struct datagram d = {};

	switch (udp_parse(ctx, &d)) {
	case DATAGRAM_OK:
		return udp_take(ctx, &d);
	case DATAGRAM_NOT_OURS:
		return XDP_PASS;
	case DATAGRAM_BAD_SUM:
		count(InCsumErrors);
		/* fall through */
	default:
		count(InErrors);
		return XDP_DROP;
	}
}

SEC("xdp")
int udp_icmp(struct xdp_md *ctx)
{
	struct datagram d = {};

	return udp_error(ctx, &d);
}

/* What another lane took in for a socket of this one. */
SEC("xdp/cpumap")
int udp_handover(struct xdp_md *ctx)
{
	struct datagram d = {};

	switch (udp_parse(ctx, &d)) {
	case DATAGRAM_OK:
		return udp_take(ctx, &d);
	case DATAGRAM_NOT_OURS:
		memset(&d, 0, sizeof(d));
		return udp_error(ctx, &d);
	default:
		return XDP_DROP;
	}
}

SEC("xdp_gen")
int udp_gen(struct xdp_md *ctx)
{
	__u32 id = ctx->rx_queue_index, asked, waiting;
	struct udp_socket *s = socket_of(id);
	__u64 now = bpf_ktime_get_ns();
	int verdict;

	if (!s)
		return XDP_ABORTED;
	asked = el_stream_requests(id);
	/* A stream that never became a socket: nobody but its application knows of it. */
	if (asked & EL_REQ_ABORT || (asked & EL_REQ_CLOSE && s->state == SOCKET_FREE))
		return udp_free(s, id);
	if (s->state == SOCKET_FREE)
		return XDP_ABORTED;
	if (asked & EL_REQ_CLOSE)
		s->state = SOCKET_CLOSING;
	if (asked & EL_REQ_REVIVED) {
		el_stream_received(id, s->received);
		el_stream_acked(id, s->sent);
		/* The clock may be lost. */
		s->look_ns = 0;
	}
	if (s->parked && now >= s->look_ns) {
		verdict = udp_unpark(ctx, s, id, now);
		if (verdict >= 0)
			return verdict;
	}
	waiting = el_stream_snd_end(id) - s->sent;
	if (waiting)
		return udp_send(ctx, s, id, waiting, now);
	return s->state == SOCKET_CLOSING && !s->parked ? udp_free(s, id) : XDP_ABORTED;
}

license("Dual MIT/GPL");
