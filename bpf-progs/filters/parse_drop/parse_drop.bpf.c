/*
 * Parses every packet to its ports, VLAN tags and IPv6 extension headers included; drops what goes to the
 * listed ports and what is malformed, counts each outcome per CPU.
 */
#include "parse.h"

enum outcome { OUT_OTHER, OUT_NOT_IP, OUT_NO_PORTS, OUT_MALFORMED, OUT_DROPPED, OUTCOMES };

struct settings {
	__u16 tcp_port; /* host order; 0 = none */
	__u16 udp_port;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

static inline enum outcome judge(struct xdp_md *ctx)
{
	struct settings *s;
	struct udphdr *ports;
	struct packet p;
	__u32 zero = 0;
	__u16 port;

	switch (parse_packet(&p, data_of(ctx), data_end_of(ctx))) {
	case PARSE_NOT_IP:
		return OUT_NOT_IP;
	case PARSE_NO_PORTS:
		return OUT_NO_PORTS;
	case PARSE_MALFORMED:
		return OUT_MALFORMED;
	case PARSE_OK:
		break;
	}
	if (!has_ports(p.protocol))
		return OUT_OTHER;
	s = bpf_map_lookup_elem(&settings, &zero);
	if (!s)
		return OUT_OTHER;
	ports = p.l4;
	port = ntohs(ports->dest);
	if (port == (p.protocol == IPPROTO_TCP ? s->tcp_port : s->udp_port) && port)
		return OUT_DROPPED;
	return OUT_OTHER;
}

SEC("xdp")
int parse_drop(struct xdp_md *ctx)
{
	__u32 outcome = judge(ctx);
	__u64 *count = bpf_map_lookup_elem(&outcomes, &outcome);

	if (count)
		*count += 1;
	return outcome >= OUT_MALFORMED ? XDP_DROP : XDP_PASS;
}

license("Dual MIT/GPL");
