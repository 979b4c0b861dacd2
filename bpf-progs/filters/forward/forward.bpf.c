/*
 * One hop of a forwarder: what clients send to its listener goes on to a backend, from an address and a port of its
 * own, and the answers come back the same way (NAPT: RFC 3022, 4787, 5382). TCP and UDP, IPv4 and IPv6. The same object
 * runs in the engine and in the kernel; a chain is one instance per hop, each attached to both of its interfaces.
 *
 *   ports[0] towards clients ──▶ view ─▶ find, open ─▶ rewrite ──▶ ports[1] towards backends
 *            ◀── rewrite ◀─ find ◀─ view ◀────────────────────────
 */
#include "error.h"
#include "fragment.h"

/* TCP and UDP. Rare work is in global functions: they are verified once, and stay out of the way. */
static inline int on_ports(struct xdp_md *ctx, const struct view *v, const int v6)
{
	void *data = data_of(ctx), *end = data_end_of(ctx), *ip = data + (v->ip & MAX_OFFSET);
	struct udphdr *udp = data + (v->l4 & MAX_OFFSET);
	__u32 bytes = end - data, diff = 0;
	__u64 now = bpf_ktime_get_ns();
	struct tcphdr *tcp = (void *)udp;
	struct segment segment = {};
	enum found found;
	__sum16 *check;
	struct match m;
	struct ends e;
	__s64 sum;

	if (data + sizeof(struct ethhdr) > end || ip + IP_BYTES(v6) > end || (void *)(udp + 1) > end)
		return verdict(COUNT_MALFORMED, bytes, XDP_DROP);
	check = &udp->check;
	if (v->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return verdict(COUNT_MALFORMED, bytes, XDP_DROP);
		check = &tcp->check;
		segment.seq = tcp->seq;
		segment.ack = tcp->ack_seq;
		segment.flags = tcp->flags;
		segment.length = v->l4_len - tcp->doff * 4 + (tcp->flags & TCP_FIN) + (tcp->flags >> 1 & 1);
	}
	found = find_flow(IP_SRC(ip, v6), IP_DST(ip, v6), udp->source, udp->dest, v->protocol, v6, now, &m);
	if (found == NOT_OURS)
		return verdict(COUNT_NOT_OURS, bytes, XDP_PASS);
	if (unlikely(found != FOUND)) {
		struct request r = { .client_port = udp->source, .listen_port = udp->dest, .protocol = v->protocol,
				     .family = v6 ? AF_INET6 : AF_INET, .tcp_flags = segment.flags, .hops = IP_HOPS(ip, v6),
				     .now = now };
		int slot;

		if (found == NO_ANSWER)
			return verdict(COUNT_NO_FLOW, bytes, XDP_DROP);
		copy_addr(r.client, IP_SRC(ip, v6), v6);
		copy_mac(r.mac, (__u16 *)data + 3);
		slot = open_flow(&r);
		if (slot < 0)
			return verdict(-slot, bytes, slot == -COUNT_NO_LISTENER ? XDP_PASS : XDP_DROP);
		m.slot = slot;
		m.direction = FORTH;
		m.flow = bpf_map_lookup_elem(&flows, &m.slot);
		if (!m.flow)
			return XDP_ABORTED;
		m.word = *WORD(m.flow);
	} else {
		if (unlikely(IP_HOPS(ip, v6) <= 1))
			return verdict(COUNT_TTL, bytes, XDP_DROP);
		/* Where the client's packets come from now is where the answers go. */
		if (m.direction == FORTH && unlikely(!same_mac(m.flow->client_mac, (__u16 *)data + 3)))
			copy_mac(m.flow->client_mac, (__u16 *)data + 3);
	}
	if (unlikely(!touch(&m, v->protocol, &segment, now)))
		return verdict(COUNT_NO_FLOW, bytes, XDP_DROP);
	ends_of(m.flow, m.slot, m.direction, v6, &e);

	/* Checksums of fragments are complete: who fragments has summed before. */
	if (unlikely(v->fragmented)) {
		diff = note_fragment(ctx, v, m.slot, EPOCH_OF(m.word), m.direction);
	} else if (hop.flags & (m.direction == FORTH ? COMPLETE_FORTH : COMPLETE_BACK)) {
		sum = pseudo_sum(IP_SRC(ip, v6), IP_DST(ip, v6), v->protocol, v->l4_len, v6);
		if (*check == (__u16)sum) {
			udp->source = e.sport;
			udp->dest = e.dport;
			sum = pseudo_sum(e.src, e.dst, v->protocol, v->l4_len, v6);
			if (hop.flags & KEEP_PARTIAL) {
				*check = sum;
			} else {
				*check = 0;
				sum = sum_packet(ctx, v->l4, v->l4_len, sum);
				if (sum < 0)
					return verdict(COUNT_MALFORMED, bytes, XDP_DROP);
				*check = csum_fold(sum);
				if (v->protocol == IPPROTO_UDP && !*check)
					*check = 0xffff;
				count(COUNT_COMPLETED, bytes);
			}
			goto addresses;
		}
	}
	udp->source = e.sport;
	udp->dest = e.dport;
	if (v->protocol == IPPROTO_UDP)
		*check = csum_apply_udp(*check, way(m.direction, m.flow->diff));
	else
		*check = csum_apply(*check, way(m.direction, m.flow->diff));
addresses:
	rewrite_ip(ip, &e, v6, diff + way(m.direction, m.flow->addr_diff));
	return send(data, end, m.flow, m.slot, m.direction);
}

SEC("xdp")
int forward(struct xdp_md *ctx)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct view v;

	if (unlikely(!view_plain(&v, data, end))) {
		view_packet(ctx, &v);
		switch (v.kind) {
		case VIEW_PORTS:
			break;
		case VIEW_ICMP:
			return on_icmp(ctx, &v);
		case VIEW_LATER:
			return on_later_fragment(ctx, &v);
		case VIEW_OTHER:
			return verdict(COUNT_NOT_OURS, end - data, XDP_PASS);
		case VIEW_NOT_IP:
			return verdict(COUNT_NOT_IP, end - data, XDP_PASS);
		default:
			return verdict(COUNT_MALFORMED, end - data, XDP_DROP);
		}
	}
	return v.v6 ? on_ports(ctx, &v, 1) : on_ports(ctx, &v, 0);
}

license("Dual MIT/GPL");
