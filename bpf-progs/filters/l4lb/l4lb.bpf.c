/*
 * Layer-4 load balancer (in the manner of katran): a virtual address and port are spread over backends by
 * consistent hashing (a Maglev ring per VIP), and a connection stays with its backend (LRU table) when the
 * ring changes. A VIP sends on either by
 *   DNAT         address and port rewritten, checksums mended (RFC 1624); answers come back through here
 *   encapsulation  IP in IP, or IPv6 in IPv6, around the untouched packet (direct server return)
 */
#include "csum.h"
#include "hash.h"
#include "parse.h"

#define RING_SIZE 251 /* prime; entries of one VIP's ring */
#define MAX_VIPS 64
#define MAX_BACKENDS 1024

enum { VIP_ENCAP = 1, VIP_NO_TABLE = 2 };

struct service {
	__be32 addr[4];
	__be16 port;
	__u8 protocol;
	__u8 family;
};

struct vip {
	__u32 number; /* its ring and its counters */
	__u32 flags;
};

struct backend {
	__be32 addr[4];
	__be16 port; /* DNAT; 0 = keep */
	__u8 family;
	__u8 up;
	__u8 mac[ETH_ALEN]; /* its own or its gateway's */
	__u16 pad;
};

struct connection {
	__u32 backend;
	__u32 pad;
	__u64 last_ns;
};

struct counter {
	__u64 packets;
	__u64 bytes;
};

/* Own addresses: source of encapsulated packets, and of frames. */
struct local {
	__be32 addr4;
	__be32 addr6[4];
	__u8 mac[ETH_ALEN];
	__u16 pad;
};

enum outcome { TO_BACKEND, TO_CLIENT, NEW_CONNECTION, NO_BACKEND, PASSED, MALFORMED, NO_ROOM, OUTCOMES };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_VIPS);
	__type(key, struct service);
	__type(value, struct vip);
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_VIPS * RING_SIZE);
	__type(key, __u32);
	__type(value, __u32); /* number of the backend; 0 = none */
} rings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow);
	__type(value, struct connection);
} connections SEC(".maps");

/* DNAT's way back: backend address and port → the service that clients know. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_BACKENDS);
	__type(key, struct service);
	__type(value, struct service);
} returns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct local);
} local SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_VIPS);
	__type(key, __u32);
	__type(value, struct counter);
} vip_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct counter);
} backend_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

static inline void note(__u32 outcome)
{
	__u64 *count = bpf_map_lookup_elem(&outcomes, &outcome);

	if (count)
		*count += 1;
}

static inline void count(void *map, __u32 number, __u64 bytes)
{
	struct counter *c = bpf_map_lookup_elem(map, &number);

	if (c) {
		c->packets += 1;
		c->bytes += bytes;
	}
}

static inline __u32 flow_hash(const struct flow *f)
{
	__u32 ports = (__u32)f->sport << 16 | f->dport;

	if (f->family == AF_INET)
		return jhash_3words(f->src[0], f->dst[0], ports, f->protocol);
	return jhash_addr(f->src, jhash_addr(f->dst, ports));
}

static inline struct backend *live(__u32 number)
{
	struct backend *b = number ? bpf_map_lookup_elem(&backends, &number) : NULL;

	return b && b->up ? b : NULL;
}

/* The backend of a flow: the connection's, else the ring's. Its number goes to *number. */
static inline struct backend *choose(const struct vip *vip, const struct flow *flow, int opens, __u32 *number)
{
	struct connection *known = NULL, fresh = {};
	__u64 now = bpf_ktime_get_ns();
	struct backend *b;
	__u32 slot, *ring;

	if (!(vip->flags & VIP_NO_TABLE))
		known = bpf_map_lookup_elem(&connections, flow);
	if (known && !opens) {
		*number = known->backend;
		b = live(*number);
		if (b) {
			known->last_ns = now;
			return b;
		}
	}
	if (vip->number >= MAX_VIPS)
		return NULL;
	slot = vip->number * RING_SIZE + flow_hash(flow) % RING_SIZE;
	ring = bpf_map_lookup_elem(&rings, &slot);
	if (!ring)
		return NULL;
	*number = *ring;
	b = live(*number);
	if (!b)
		return NULL;
	if (!(vip->flags & VIP_NO_TABLE)) {
		fresh.backend = *number;
		fresh.last_ns = now;
		bpf_map_update_elem(&connections, flow, &fresh, BPF_ANY);
		note(NEW_CONNECTION);
	}
	return b;
}

/* Difference that a change of address makes in checksums, and the change itself. */
static inline __u64 rewrite_addr(__be32 *at, const __be32 *to, int words)
{
	__u64 diff = 0;
	int i;

#pragma unroll
	for (i = 0; i < 4; i++) {
		if (i == words)
			break;
		diff += csum_diff4(at[i], to[i]);
		at[i] = to[i];
	}
	return diff;
}

/* Mends the transport checksum for a change of address (`diff`) and port. */
static inline int rewrite_l4(const struct packet *p, void *end, __u64 diff, int source, __be16 port)
{
	struct udphdr *udp = p->l4;
	struct tcphdr *tcp;
	__be16 *at;

	if (!udp || (void *)(udp + 1) > end)
		return -1;
	at = source ? &udp->source : &udp->dest;
	if (port) {
		diff += csum_diff2(*at, port);
		*at = port;
	}
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

/* Puts another address and port in the packet: `source` says on which side. */
static inline int translate(const struct packet *p, void *end, int source, const __be32 *addr, __be16 port)
{
	__u64 diff;

	if (p->ip4) {
		diff = rewrite_addr(source ? &p->ip4->saddr : &p->ip4->daddr, addr, 1);
		p->ip4->check = csum_apply(p->ip4->check, diff);
	} else if (p->ip6) {
		diff = rewrite_addr(source ? p->ip6->saddr : p->ip6->daddr, addr, 4);
	} else {
		return -1;
	}
	return rewrite_l4(p, end, diff, source, port);
}

static inline void set_macs(struct ethhdr *eth, const struct local *l, const __u8 *to)
{
	memcpy(eth->h_dest, to, ETH_ALEN);
	memcpy(eth->h_source, l->mac, ETH_ALEN);
}

/* IPv4 in IPv4 (RFC 2003) or IPv6 in IPv6 (RFC 2473); the link header is written anew, untagged. */
static inline int encapsulate(struct xdp_md *ctx, const struct flow *flow, const struct backend *b,
			      const struct local *l, __u32 inner)
{
	struct ethhdr *eth;
	void *end;

	if (flow->family == AF_INET) {
		struct iphdr *ip;

		if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
			return -1;
		eth = data_of(ctx);
		end = data_end_of(ctx);
		ip = (void *)(eth + 1);
		if ((void *)(ip + 1) > end)
			return -1;
		memset(ip, 0, sizeof(*ip));
		ip->version = 4;
		ip->ihl = 5;
		ip->tot_len = htons(inner + sizeof(*ip));
		ip->ttl = 64;
		ip->protocol = IPPROTO_IPIP;
		ip->saddr = l->addr4;
		ip->daddr = b->addr[0];
		ip->check = csum_fold((__u64)((__u32 *)ip)[0] + ((__u32 *)ip)[2] + ip->saddr + ip->daddr);
		eth->h_proto = htons(ETH_P_IP);
	} else {
		struct ipv6hdr *ip;

		if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
			return -1;
		eth = data_of(ctx);
		end = data_end_of(ctx);
		ip = (void *)(eth + 1);
		if ((void *)(ip + 1) > end)
			return -1;
		ip->flow = htonl(0x60000000);
		ip->payload_len = htons(inner);
		ip->nexthdr = IPPROTO_IPV6;
		ip->hop_limit = 64;
		memcpy(ip->saddr, l->addr6, 16);
		memcpy(ip->daddr, b->addr, 16);
		eth->h_proto = htons(ETH_P_IPV6);
	}
	set_macs(eth, l, b->mac);
	return 0;
}

/* One side of a flow as a key of `vips` or `returns`, in whole words as the flow's own (parse.h). */
static inline void service_of(struct service *key, const __be32 *addr, __be16 port, const struct flow *flow)
{
	memcpy(key->addr, addr, 16);
	*(word32 *)&key->port = port | (__u32)flow->protocol << 16 | (__u32)flow->family << 24;
}

/* A packet from a backend: gets back the address that its client knows. */
static inline int answer(const struct packet *p, void *end, const struct flow *flow, const struct local *l)
{
	struct service *vip, key;

	service_of(&key, flow->src, flow->sport, flow);
	vip = bpf_map_lookup_elem(&returns, &key);
	if (!vip) {
		note(PASSED);
		return XDP_PASS;
	}
	if (translate(p, end, 1, vip->addr, vip->port))
		return XDP_ABORTED;
	memcpy(p->eth->h_source, l->mac, ETH_ALEN);
	note(TO_CLIENT);
	/* Routing to the client is the stack's work. */
	return XDP_PASS;
}

SEC("xdp")
int l4lb(struct xdp_md *ctx)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	__u64 bytes = end - data;
	enum parse_result parsed;
	struct service key;
	__u32 zero = 0, number = 0;
	struct backend *b;
	struct packet p;
	struct flow flow;
	struct local *l;
	struct vip *vip;
	int opens = 0;

	parsed = parse_packet(&p, data, end);
	if (parsed == PARSE_MALFORMED) {
		note(MALFORMED);
		return XDP_DROP;
	}
	/* Fragments have no ports to balance by: they go up, where they are put together. */
	if (parsed != PARSE_OK || !has_ports(p.protocol) || p.fragment) {
		note(PASSED);
		return XDP_PASS;
	}
	l = bpf_map_lookup_elem(&local, &zero);
	if (!l)
		return XDP_ABORTED;
	packet_flow(&p, parsed, &flow);
	service_of(&key, flow.dst, flow.dport, &flow);
	vip = bpf_map_lookup_elem(&vips, &key);
	if (!vip)
		return answer(&p, end, &flow, l);

	if (p.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = packet_tcp(&p, end);

		opens = tcp && (tcp->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	}
	count(&vip_stats, vip->number, bytes);
	b = choose(vip, &flow, opens, &number);
	if (!b || b->family != flow.family) {
		note(NO_BACKEND);
		return XDP_DROP;
	}
	count(&backend_stats, number, bytes);
	if (vip->flags & VIP_ENCAP) {
		/* A tag would be overwritten by the outer header; ports of an encapsulating balancer are untagged. */
		if (p.vlan) {
			note(PASSED);
			return XDP_PASS;
		}
		if (encapsulate(ctx, &flow, b, l, ip_length(&p))) {
			note(NO_ROOM);
			return XDP_DROP;
		}
	} else {
		if (translate(&p, end, 0, b->addr, b->port))
			return XDP_ABORTED;
		set_macs(p.eth, l, b->mac);
	}
	note(TO_BACKEND);
	return XDP_TX;
}

license("Dual MIT/GPL");
