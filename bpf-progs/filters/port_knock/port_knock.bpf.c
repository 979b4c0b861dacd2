/*
 * Port knocking: a source that sends TCP SYNs (or UDP packets) to 7001, 8001 and 9001, in this order and in
 * time, may talk to TCP port 22 for a while. A wrong knock starts over. IPv4 and IPv6.
 */
#include "parse.h"

#define STEPS 3
#define OPEN STEPS

struct source {
	__be32 addr[4];
};

struct knocker {
	__u64 since_ns; /* last right knock, or last packet of an open session */
	__u32 state;    /* right knocks so far; OPEN = all of them */
	__u32 tries;    /* knocks in all */
};

struct settings {
	__u64 step_ns; /* most time from one knock to the next */
	__u64 open_ns; /* how long an idle source stays open */
	__u16 knocks[STEPS]; /* host order */
	__u16 guarded;
};

enum event { KNOCK_RIGHT, KNOCK_WRONG, OPENED, GUARDED_PASS, GUARDED_DROP, EXPIRED, EVENTS };

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct source);
	__type(value, struct knocker);
} knockers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EVENTS);
	__type(key, __u32);
	__type(value, __u64);
} events SEC(".maps");

static inline void note(__u32 event)
{
	__u64 *count = bpf_map_lookup_elem(&events, &event);

	if (count)
		*count += 1;
}

static inline int guard(struct knocker *k, const struct settings *s, __u64 now)
{
	if (!k || k->state != OPEN) {
		note(GUARDED_DROP);
		return XDP_DROP;
	}
	if (now - k->since_ns > s->open_ns) {
		k->state = 0;
		note(EXPIRED);
		return XDP_DROP;
	}
	k->since_ns = now;
	note(GUARDED_PASS);
	return XDP_PASS;
}

static inline void knock(struct knocker *k, const struct source *src, const struct settings *s, __u32 step,
			 __u64 now)
{
	struct knocker fresh = { .since_ns = now };

	if (!k) {
		/* Only a first knock is worth a place in the table. */
		if (step != 0) {
			note(KNOCK_WRONG);
			return;
		}
		fresh.state = 1;
		fresh.tries = 1;
		bpf_map_update_elem(&knockers, src, &fresh, BPF_ANY);
		note(KNOCK_RIGHT);
		return;
	}
	k->tries += 1;
	if (k->state == OPEN)
		return;
	if (k->state == step && (step == 0 || now - k->since_ns <= s->step_ns)) {
		k->state = step + 1;
		k->since_ns = now;
		note(k->state == OPEN ? OPENED : KNOCK_RIGHT);
		return;
	}
	k->state = step == 0;
	k->since_ns = now;
	note(KNOCK_WRONG);
}

SEC("xdp")
int port_knock(struct xdp_md *ctx)
{
	void *end = data_end_of(ctx);
	struct settings *s;
	struct source src = {};
	struct packet p;
	struct knocker *k;
	__u32 zero = 0, i;
	__u16 port;

	if (parse_packet(&p, data_of(ctx), end) != PARSE_OK || !has_ports(p.protocol))
		return XDP_PASS;
	s = bpf_map_lookup_elem(&settings, &zero);
	if (!s)
		return XDP_ABORTED;
	if (p.ip4)
		src.addr[0] = p.ip4->saddr;
	else if (p.ip6)
		memcpy(src.addr, p.ip6->saddr, 16);
	port = ntohs(((struct udphdr *)p.l4)->dest);

	if (p.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = packet_tcp(&p, end);

		if (port == s->guarded)
			return guard(bpf_map_lookup_elem(&knockers, &src), s, bpf_ktime_get_ns());
		if (!tcp || (tcp->flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
			return XDP_PASS;
	}
#pragma unroll
	for (i = 0; i < STEPS; i++) {
		if (port != s->knocks[i])
			continue;
		k = bpf_map_lookup_elem(&knockers, &src);
		knock(k, &src, s, i, bpf_ktime_get_ns());
		return XDP_DROP; /* nothing answers a knock */
	}
	return XDP_PASS;
}

license("Dual MIT/GPL");
