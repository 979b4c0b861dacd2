/*
 * Firewall: source prefixes that are denied (LPM, IPv4 and IPv6), then rules by 5-tuple (exact, then any
 * source), then the default. Every decision counts packets and bytes under its rule's number, per CPU.
 */
#include "parse.h"

#define MAX_RULES 1024

enum { ACTION_PASS, ACTION_DROP };

/* Numbers below FIRST_RULE count what no rule decided. */
enum { BY_DEFAULT, BY_MALFORMED, BY_NOT_IP, BY_FRAGMENT, FIRST_RULE };

struct counter {
	__u64 packets;
	__u64 bytes;
};

struct lpm4 {
	__u32 prefixlen;
	__be32 addr;
};

struct lpm6 {
	__u32 prefixlen;
	__be32 addr[4];
};

struct rule {
	__u32 id; /* FIRST_RULE … MAX_RULES - 1: its counter */
	__u32 action;
};

struct settings {
	__u32 default_action;
	__u32 fragments; /* action for fragments without ports */
	__u32 not_ip;    /* action for ARP and the like */
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lpm4);
	__type(value, __u32); /* rule number */
} deny4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lpm6);
	__type(value, __u32);
} deny6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct flow);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_RULES);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

static inline int decide(__u32 rule, __u32 action, __u64 bytes)
{
	struct counter *c = bpf_map_lookup_elem(&counters, &rule);

	if (c) {
		c->packets += 1;
		c->bytes += bytes;
	}
	return action == ACTION_DROP ? XDP_DROP : XDP_PASS;
}

static inline __u32 *denied(const struct packet *p)
{
	if (p->ip4) {
		struct lpm4 key = { .prefixlen = 32, .addr = p->ip4->saddr };

		return bpf_map_lookup_elem(&deny4, &key);
	}
	if (p->ip6) {
		struct lpm6 key = { .prefixlen = 128 };

		memcpy(key.addr, p->ip6->saddr, 16);
		return bpf_map_lookup_elem(&deny6, &key);
	}
	return NULL;
}

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	__u64 bytes = end - data;
	struct settings *s;
	struct packet p;
	struct flow key;
	struct rule *r;
	__u32 zero = 0, *number;
	enum parse_result parsed;

	s = bpf_map_lookup_elem(&settings, &zero);
	if (!s)
		return XDP_ABORTED;
	parsed = parse_packet(&p, data, end);
	if (parsed == PARSE_MALFORMED)
		return decide(BY_MALFORMED, ACTION_DROP, bytes);
	if (parsed == PARSE_NOT_IP)
		return decide(BY_NOT_IP, s->not_ip, bytes);
	number = denied(&p);
	if (number)
		return decide(*number, ACTION_DROP, bytes);
	if (parsed == PARSE_NO_PORTS && p.fragment)
		return decide(BY_FRAGMENT, s->fragments, bytes);

	packet_flow(&p, parsed, &key);
	r = bpf_map_lookup_elem(&rules, &key);
	if (!r) {
		/* The same service, any source. */
		memset(key.src, 0, sizeof(key.src));
		key.sport = 0;
		r = bpf_map_lookup_elem(&rules, &key);
	}
	if (r)
		return decide(r->id, r->action, bytes);
	return decide(BY_DEFAULT, s->default_action, bytes);
}

license("Dual MIT/GPL");
