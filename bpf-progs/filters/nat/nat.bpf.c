/*
 * NAT for IPv4: inside hosts share one external address (SNAT with port allocation), external ports lead to
 * inside services (DNAT). TCP, UDP, ICMP echo and the packets quoted in ICMP errors; every checksum is mended
 * incrementally (RFC 1624). A connection is two entries of one LRU table, one a direction.
 */
#include "csum.h"
#include "hash.h"
#include "parse.h"

#define PORT_TRIES 16

enum direction { OUTBOUND, INBOUND };

/* The packet as it arrives from that direction. ICMP echo: the identifier stands for the inside port. */
struct tuple {
	__be32 src;
	__be32 dst;
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 direction;
	__u16 pad;
};

/* What becomes of its source (OUTBOUND) or destination (INBOUND). */
struct mapping {
	__be32 addr;
	__be16 port;
	__u16 pad;
	__u64 packets;
	__u64 last_ns;
};

struct service {
	__be16 port;
	__u16 protocol;
};

struct endpoint {
	__be32 addr;
	__be16 port;
	__u16 pad;
};

struct settings {
	__be32 external;
	__be32 inside; /* network and mask */
	__be32 mask;
	__u16 first_port; /* range that SNAT allocates from, host order */
	__u16 last_port;
};

enum outcome { SNAT, DNAT, ICMP_ERROR, OPENED, PASSED, NO_MAPPING, NO_PORT, FRAGMENT, MALFORMED, OUTCOMES };

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct tuple);
	__type(value, struct mapping);
} mappings SEC(".maps");

/* External port → inside service. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct service);
	__type(value, struct endpoint);
} forwards SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

/* Where translated packets leave, by enum direction; without an entry they go up. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

static inline int verdict(__u32 outcome, int action)
{
	__u64 *count = bpf_map_lookup_elem(&outcomes, &outcome);

	if (count)
		*count += 1;
	return action;
}

/* The answer's tuple: remote and external endpoints for an outbound packet, and the other way round. */
static inline void turn(const struct tuple *t, const struct mapping *m, struct tuple *back)
{
	memset(back, 0, sizeof(*back));
	back->protocol = t->protocol;
	if (t->direction == OUTBOUND) {
		back->direction = INBOUND;
		back->src = t->dst;
		back->sport = t->dport;
		back->dst = m->addr;
		back->dport = m->port;
	} else {
		back->direction = OUTBOUND;
		back->src = m->addr;
		back->sport = m->port;
		back->dst = t->src;
		back->dport = t->sport;
	}
}

static inline void remember(const struct tuple *t, __be32 addr, __be16 port, __u64 now)
{
	struct mapping m = { .addr = addr, .port = port, .last_ns = now };

	bpf_map_update_elem(&mappings, t, &m, BPF_ANY);
}

/* Looks at the other direction's entry, so that both age together, and puts it back should it be gone. */
static inline void keep_partner(const struct tuple *t, const struct mapping *m, __u64 now)
{
	struct tuple back;

	turn(t, m, &back);
	if (bpf_map_lookup_elem(&mappings, &back))
		return;
	if (t->direction == OUTBOUND)
		remember(&back, t->src, t->sport, now);
	else
		remember(&back, t->dst, t->dport, now);
}

/* New connection from inside: the first free external port from a hash of the tuple on. */
static inline int open_outbound(const struct tuple *t, const struct settings *s, __u64 now, struct mapping *out)
{
	struct mapping in = { .addr = t->src, .port = t->sport, .last_ns = now };
	__u32 hash, range, i;
	struct tuple back;

	if (s->last_port < s->first_port)
		return -1;
	range = s->last_port - s->first_port + 1;
	hash = jhash_3words(t->src, t->dst, (__u32)t->sport << 16 | t->dport, t->protocol);
	out->addr = s->external;
	for (i = 0; i < PORT_TRIES; i++) {
		out->port = htons(s->first_port + (hash + i) % range);
		turn(t, out, &back);
		if (!bpf_map_update_elem(&mappings, &back, &in, BPF_NOEXIST)) {
			remember(t, out->addr, out->port, now);
			return 0;
		}
	}
	return -1;
}

/* New connection from outside: only to a service that is forwarded. */
static inline int open_inbound(const struct tuple *t, __u64 now, struct mapping *out)
{
	struct service key = { .port = t->dport, .protocol = t->protocol };
	struct endpoint *to = bpf_map_lookup_elem(&forwards, &key);
	struct tuple back;

	if (!to)
		return -1;
	out->addr = to->addr;
	out->port = to->port;
	turn(t, out, &back);
	remember(&back, t->dst, t->dport, now);
	remember(t, to->addr, to->port, now);
	return 0;
}

/* Changes an address of an IP header and its checksum; returns the difference for the transport checksum. */
static inline __u64 set_addr(struct iphdr *ip, int source, __be32 to)
{
	__u64 diff = csum_diff4(source ? ip->saddr : ip->daddr, to);

	if (source)
		ip->saddr = to;
	else
		ip->daddr = to;
	ip->check = csum_apply(ip->check, diff);
	return diff;
}

static inline int translate(const struct packet *p, void *end, const struct tuple *t, __be32 addr, __be16 port)
{
	int source = t->direction == OUTBOUND;
	struct udphdr *udp = p->l4;
	struct tcphdr *tcp;
	__u64 diff;

	if (!p->ip4 || !udp || (void *)(udp + 1) > end)
		return -1;
	diff = set_addr(p->ip4, source, addr);
	if (p->protocol == IPPROTO_ICMP) {
		/* No pseudo header: the sum covers the identifier only. */
		struct icmphdr *icmp = p->l4;

		icmp->checksum = csum_apply(icmp->checksum, csum_diff2(icmp->id, port));
		icmp->id = port;
		return 0;
	}
	diff += csum_diff2(source ? udp->source : udp->dest, port);
	if (source)
		udp->source = port;
	else
		udp->dest = port;
	if (p->protocol == IPPROTO_UDP) {
		udp->check = csum_apply_udp(udp->check, diff);
		return 0;
	}
	tcp = packet_tcp(p, end);
	if (!tcp)
		return -1;
	tcp->check = csum_apply(tcp->check, diff);
	return 0;
}

/*
 * An ICMP error quotes the packet it is about, as it was on the reporter's side: that one went the other way.
 * Both the outer packet and the quotation are translated by the quoted connection's entry.
 */
static inline int translate_error(const struct packet *p, void *end, __u32 direction)
{
	int source = direction == OUTBOUND; /* side of the outer packet that is ours */
	struct icmphdr *icmp = p->l4;
	struct tuple t = {};
	struct iphdr *quoted;
	struct mapping *m;
	__u16 check, sum;
	__be16 *ours;
	__u64 diff;
	void *l4;

	if (!p->ip4 || !icmp || (void *)(icmp + 1) > end)
		return -1;
	quoted = (void *)(icmp + 1);
	if ((void *)(quoted + 1) > end || quoted->version != 4 || quoted->ihl != 5)
		return -1;
	l4 = quoted + 1;
	if (l4 + sizeof(struct udphdr) > end)
		return -1;
	/* The connection's entry in the direction of this error is that of the quoted packet's answer. */
	t.direction = direction;
	t.protocol = quoted->protocol;
	t.src = quoted->daddr;
	t.dst = quoted->saddr;
	if (quoted->protocol == IPPROTO_ICMP) {
		struct icmphdr *echo = l4;

		ours = &echo->id;
		if (source)
			t.sport = echo->id;
		else
			t.dport = echo->id;
	} else if (has_ports(quoted->protocol)) {
		struct udphdr *udp = l4;

		t.sport = udp->dest;
		t.dport = udp->source;
		ours = source ? &udp->dest : &udp->source;
	} else {
		return -1;
	}
	m = bpf_map_lookup_elem(&mappings, &t);
	if (!m)
		return -1;

	/* Quotation first: all that changes in it changes the ICMP checksum. */
	check = quoted->check;
	diff = set_addr(quoted, !source, m->addr);
	sum = csum_apply(icmp->checksum, diff + csum_diff2(check, quoted->check));
	sum = csum_apply(sum, csum_diff2(*ours, m->port));
	if (quoted->protocol == IPPROTO_ICMP) {
		struct icmphdr *echo = l4;

		check = echo->checksum;
		echo->checksum = csum_apply(check, csum_diff2(*ours, m->port));
		sum = csum_apply(sum, csum_diff2(check, echo->checksum));
	} else if (quoted->protocol == IPPROTO_UDP) {
		struct udphdr *udp = l4;

		check = udp->check;
		udp->check = csum_apply_udp(check, diff + csum_diff2(*ours, m->port));
		sum = csum_apply(sum, csum_diff2(check, udp->check));
	}
	*ours = m->port;
	icmp->checksum = sum;
	set_addr(p->ip4, source, m->addr);
	return 0;
}

static inline int is_error(__u8 type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

/* Addresses and ports of the packet; 0 when NAT has nothing to do with it. */
static inline int tuple_of(const struct packet *p, __u32 direction, struct tuple *t)
{
	memset(t, 0, sizeof(*t));
	t->src = p->ip4->saddr;
	t->dst = p->ip4->daddr;
	t->protocol = p->protocol;
	t->direction = direction;
	if (p->protocol == IPPROTO_ICMP) {
		struct icmphdr *icmp = p->l4;

		if (icmp->type != ICMP_ECHO && icmp->type != ICMP_ECHOREPLY)
			return 0;
		if (direction == OUTBOUND)
			t->sport = icmp->id;
		else
			t->dport = icmp->id;
		return 1;
	}
	if (has_ports(p->protocol)) {
		struct udphdr *udp = p->l4;

		t->sport = udp->source;
		t->dport = udp->dest;
		return 1;
	}
	return 0;
}

SEC("xdp")
int nat(struct xdp_md *ctx)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	__u64 now = bpf_ktime_get_ns();
	struct mapping *known, to = {};
	enum parse_result parsed;
	__u32 zero = 0, direction;
	struct settings *s;
	struct packet p;
	struct tuple t;

	s = bpf_map_lookup_elem(&settings, &zero);
	if (!s)
		return XDP_ABORTED;
	parsed = parse_packet(&p, data, end);
	if (parsed == PARSE_MALFORMED)
		return verdict(MALFORMED, XDP_DROP);
	if (!p.ip4)
		return verdict(PASSED, XDP_PASS);
	if ((p.ip4->saddr & s->mask) == s->inside && (p.ip4->daddr & s->mask) != s->inside)
		direction = OUTBOUND;
	else if (p.ip4->daddr == s->external)
		direction = INBOUND;
	else
		return verdict(PASSED, XDP_PASS);
	/* Without ports nobody can tell whose a fragment is: it goes up to be put together. */
	if (p.fragment)
		return verdict(FRAGMENT, XDP_PASS);
	if (parsed != PARSE_OK)
		return verdict(PASSED, XDP_PASS);

	if (p.protocol == IPPROTO_ICMP && is_error(((struct icmphdr *)p.l4)->type)) {
		if (translate_error(&p, end, direction))
			return verdict(NO_MAPPING, XDP_DROP);
		verdict(ICMP_ERROR, 0);
		return bpf_redirect_map(&ports, direction, XDP_PASS);
	}
	if (!tuple_of(&p, direction, &t))
		return verdict(PASSED, XDP_PASS);

	known = bpf_map_lookup_elem(&mappings, &t);
	if (known) {
		known->packets += 1;
		known->last_ns = now;
		to.addr = known->addr;
		to.port = known->port;
		keep_partner(&t, &to, now);
	} else if (direction == OUTBOUND) {
		if (open_outbound(&t, s, now, &to))
			return verdict(NO_PORT, XDP_DROP);
		verdict(OPENED, 0);
	} else {
		/* The external address is also this machine's own: what nobody asked for goes up. */
		if (open_inbound(&t, now, &to))
			return verdict(NO_MAPPING, XDP_PASS);
		verdict(OPENED, 0);
	}
	if (translate(&p, end, &t, to.addr, to.port))
		return XDP_ABORTED;
	verdict(direction == OUTBOUND ? SNAT : DNAT, 0);
	return bpf_redirect_map(&ports, direction, XDP_PASS);
}

license("Dual MIT/GPL");
