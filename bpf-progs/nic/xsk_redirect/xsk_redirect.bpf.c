/*
 * What the AF_XDP NIC puts at an interface: takes to the engine's sockets what the rules ask for, the ICMP errors about
 * it and its later fragments, and leaves the rest (ARP, pings, other people's ports) to the kernel. With `own`
 * everything is taken.
 */
#include "parse.h"

#define MAX_RULES 64
#define MAX_QUEUES 64
/* Where a transport header may begin, bytes: beyond stands for no ports. */
#define MAX_HEADERS 4096
/* Datagrams in fragments that are remembered. */
#define MAX_FRAGMENTED 4096
/* With `own` packets are parsed for partial checksums only: so many of the first of each CPU, then one in so many. */
#define LOOK_FIRST 4096
#define LOOK_EVERY 64

/* One class of packets by destination. Addresses are in network order, IPv4 in word 0. */
struct rule {
	__be32 addr[4];  /* already masked */
	__be32 mask[4];  /* all zero: any address */
	__u16 port_low;  /* host order, inclusive; 0 … 65535: any, and packets that say none */
	__u16 port_high;
	__u8 protocol;   /* 0: any */
	__u8 family;     /* AF_INET, AF_INET6; 0: either */
	__u16 pad;
};

struct settings {
	__u32 rules; /* how many of them count */
	__u32 own;   /* 1: take everything */
};

enum { SEEN_TAKEN, SEEN_LEFT, SEEN_NO_SOCKET, SEEN_PARTIAL, SEEN_COUNT };

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MAX_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_RULES);
	__type(key, __u32);
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
	__uint(max_entries, SEEN_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

/* What makes fragments one datagram: RFC 791 §3.2, RFC 8200 §4.5. */
struct fragment_key {
	__be32 src[4]; /* IPv4 in word 0 */
	__be32 dst[4];
	__be32 id;
	__u32 protocol; /* IPv6: 0 */
};

/* Datagrams whose first fragment was taken: the later ones, which say no port, go the same way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FRAGMENTED);
	__type(key, struct fragment_key);
	__type(value, __u32);
} fragments SEC(".maps");

static inline void count(__u32 what)
{
	__u64 *n = bpf_map_lookup_elem(&seen, &what);

	if (n)
		*n += 1;
}

/* Where a packet goes to. */
struct target {
	__be32 addr[4];  /* IPv4 in word 0 */
	__u32 sum;       /* of the pseudo header, words as they lie in memory */
	__u32 l4;        /* offset of the transport header, 0: not to be read */
	__be32 src[4];
	__be32 id;       /* of fragments */
	__u16 port;
	__u8 has_port;
	__u8 protocol;
	__u8 family;     /* 0: not IP */
	__u8 fragment;
	__u16 pad;
};

static inline int fits(const struct rule *r, const struct target *t)
{
	__u32 off = 0;
	int i;

	if (r->family && r->family != t->family)
		return 0;
	if (r->protocol && r->protocol != t->protocol)
		return 0;
#pragma unroll
	for (i = 0; i < 4; i++)
		off |= (t->addr[i] & r->mask[i]) ^ r->addr[i];
	if (off)
		return 0;
	if (!t->has_port)
		return !r->port_low && r->port_high == 0xffff;
	return t->port >= r->port_low && t->port <= r->port_high;
}

noinline int wanted(const struct target *t, __u32 n)
{
	__u32 i;

	if (!t)
		return 0;
	for (i = 0; i < MAX_RULES; i++) {
		__u32 key = i;
		struct rule *r;

		if (i >= n)
			break;
		r = bpf_map_lookup_elem(&rules, &key);
		if (r && fits(r, t))
			return 1;
	}
	return 0;
}

static inline __u32 words(const __be32 *addr, int n)
{
	__u32 sum = 0;
	int i;

#pragma unroll
	for (i = 0; i < n; i++)
		sum += (addr[i] & 0xffff) + (addr[i] >> 16);
	return sum;
}

static inline int is_extension(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT || next == IPPROTO_AH || next == IPPROTO_MH;
}

/*
 * Walks IPv6 extension headers from t->l4 on; rare, so by copies, which need no proof for each way. A global function,
 * as the others here: verified once by itself, not once for each way that leads to it. 0: cut short, or too many.
 */
noinline int skip_extensions(struct xdp_md *ctx, struct target *t)
{
	struct exthdr ext;
	int i;

	if (!t)
		return 0;
	for (i = 0; i < MAX_EXTENSIONS; i++) {
		if (!is_extension(t->protocol))
			return 1;
		if (bpf_xdp_load_bytes(ctx, t->l4, &ext, sizeof(ext)))
			return 0;
		if (t->protocol == IPPROTO_FRAGMENT) {
			t->fragment = 1;
			t->id = ext.id;
			t->l4 += sizeof(ext);
		} else {
			t->l4 += t->protocol == IPPROTO_AH ? (ext.len + 2) * 4 : (ext.len + 1) * 8;
		}
		if (t->protocol == IPPROTO_FRAGMENT && (ext.frag_off & htons(0xfff8))) {
			t->protocol = ext.nexthdr;
			t->l4 = 0;
			return 1;
		}
		t->protocol = ext.nexthdr;
	}
	return !is_extension(t->protocol);
}

static inline int locate4(struct iphdr *ip, __u32 at, void *end, struct target *t)
{
	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return 0;
	t->family = AF_INET;
	t->addr[0] = ip->daddr;
	t->src[0] = ip->saddr;
	t->id = ip->id;
	t->protocol = ip->protocol;
	t->fragment = (ip->frag_off & (IP_OFFSET_MASK | IP_MORE)) != 0;
	t->l4 = ip->frag_off & IP_OFFSET_MASK ? 0 : at + ip->ihl * 4;
	t->sum = words(&ip->saddr, 1) + words(&ip->daddr, 1) + htons(ntohs(ip->tot_len) - ip->ihl * 4);
	return 1;
}

static inline int locate6(struct xdp_md *ctx, struct ipv6hdr *ip, __u32 at, void *end, struct target *t)
{
	if ((void *)(ip + 1) > end || (ip->flow & htonl(0xf0000000)) != htonl(0x60000000))
		return 0;
	t->family = AF_INET6;
	memcpy(t->addr, ip->daddr, 16);
	memcpy(t->src, ip->saddr, 16);
	t->protocol = ip->nexthdr;
	t->l4 = at + sizeof(*ip);
	t->sum = words(ip->saddr, 4) + words(ip->daddr, 4) + ip->payload_len;
	if (!is_extension(ip->nexthdr))
		return 1;
	/* Whose length is another than the pseudo header's: not looked at. */
	t->sum = 0;
	return skip_extensions(ctx, t);
}

/* Finds the IP destination behind at most two VLAN tags. 0: there is none. */
noinline int locate(struct xdp_md *ctx, struct target *t)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct ethhdr *eth = data;
	__u32 at = sizeof(*eth);
	__be16 proto;
	int i;

	if (!t || (void *)(eth + 1) > end)
		return 0;
	proto = eth->h_proto;
#pragma unroll
	for (i = 0; i < MAX_VLANS; i++) {
		struct vlanhdr *tag = data + at;

		if (proto != htons(ETH_P_8021Q) && proto != htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > end)
			return 0;
		proto = tag->proto;
		at += sizeof(*tag);
	}
	if (proto == htons(ETH_P_IP))
		return locate4(data + at, at, end, t);
	if (proto == htons(ETH_P_IPV6))
		return locate6(ctx, data + at, at, end, t);
	return 0;
}

/*
 * Reads the port, and whether the checksum is only that of the pseudo header: the sender left the rest to hardware that
 * a virtual interface does not have (CHECKSUM_PARTIAL). One in 65,536 ordinary packets looks the same.
 */
noinline int read_transport(struct xdp_md *ctx, struct target *t)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct udphdr *udp;
	struct tcphdr *tcp;
	__u32 sum, l4;
	__u16 check;

	if (!t)
		return 0;
	/* Loaded once: the verifier knows the bounds of this copy only. */
	l4 = *(volatile __u32 *)&t->l4;
	if (!l4 || l4 > MAX_HEADERS || !has_ports(t->protocol))
		return 0;
	udp = data + l4;
	if ((void *)(udp + 1) > end)
		return 0;
	t->has_port = 1;
	t->port = ntohs(udp->dest);
	check = udp->check;
	if (t->protocol == IPPROTO_TCP) {
		tcp = (void *)udp;
		if ((void *)(tcp + 1) > end)
			return 0;
		check = tcp->check;
	}
	if (t->fragment || !t->sum)
		return 0;
	sum = t->sum + htons(t->protocol);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return check == (__u16)sum;
}

/*
 * An ICMP error quotes a packet that was sent from here. Makes of its target that of the packet's answer: what rules take
 * by its destination. 0: it is none, or quotes somebody else's packet.
 */
noinline int quoted(struct xdp_md *ctx, struct target *t)
{
	struct icmphdr icmp;
	struct ipv6hdr ip6;
	struct iphdr ip;
	__be16 port;
	__u32 at;

	if (!t || t->fragment || !t->l4 || t->protocol != (t->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return 0;
	at = t->l4 + sizeof(icmp);
	if (bpf_xdp_load_bytes(ctx, t->l4, &icmp, sizeof(icmp)) || !is_icmp_error(icmp.type, t->family == AF_INET6))
		return 0;
	if (t->family == AF_INET) {
		if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 || ip.saddr != t->addr[0])
			return 0;
		t->protocol = ip.protocol;
		t->l4 = ip.frag_off & IP_OFFSET_MASK ? 0 : at + ip.ihl * 4;
	} else {
		if (bpf_xdp_load_bytes(ctx, at, &ip6, sizeof(ip6)) || ip6.saddr[0] != t->addr[0] ||
		    ip6.saddr[1] != t->addr[1] || ip6.saddr[2] != t->addr[2] || ip6.saddr[3] != t->addr[3])
			return 0;
		t->protocol = ip6.nexthdr;
		t->l4 = at + sizeof(ip6);
		if (!skip_extensions(ctx, t))
			return 0;
	}
	if (!t->l4 || !has_ports(t->protocol))
		return 1;
	if (bpf_xdp_load_bytes(ctx, t->l4 + offsetof(struct udphdr, source), &port, sizeof(port)))
		return 0;
	t->port = ntohs(port);
	t->has_port = 1;
	return 1;
}

/* Whether the rules take a fragment. The first one decides for all; a later one that comes before it is left. */
noinline int wanted_fragment(const struct target *t, __u32 n)
{
	struct fragment_key key = {};
	__u32 one = 1;
	int take;

	if (!t)
		return 0;
	memcpy(key.src, t->src, 16);
	memcpy(key.dst, t->addr, 16);
	key.id = t->id;
	key.protocol = t->family == AF_INET ? t->protocol : 0;
	take = wanted(t, n);
	if (!t->l4)
		return take || bpf_map_lookup_elem(&fragments, &key) != NULL;
	if (take)
		bpf_map_update_elem(&fragments, &key, &one, BPF_ANY);
	else
		bpf_map_delete_elem(&fragments, &key);
	return take;
}

SEC("xdp")
int xsk_redirect(struct xdp_md *ctx)
{
	__u32 zero = 0, which = SEEN_TAKEN;
	struct target t = {};
	struct settings *s;
	__u64 *taken;
	int verdict;

	s = bpf_map_lookup_elem(&settings, &zero);
	taken = bpf_map_lookup_elem(&seen, &which);
	if (!s || !taken)
		return XDP_PASS;
	if (s->own) {
		if ((*taken < LOOK_FIRST || !(*taken % LOOK_EVERY)) && locate(ctx, &t) && read_transport(ctx, &t))
			count(SEEN_PARTIAL);
	} else {
		int partial;

		if (!locate(ctx, &t))
			goto left;
		partial = read_transport(ctx, &t);
		if (t.fragment ? !wanted_fragment(&t, s->rules) :
				 !wanted(&t, s->rules) && (!quoted(ctx, &t) || !wanted(&t, s->rules)))
			goto left;
		if (partial)
			count(SEEN_PARTIAL);
	}
	verdict = bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
	if (verdict == XDP_REDIRECT)
		*taken += 1;
	else
		count(SEEN_NO_SOCKET);
	return verdict;
left:
	count(SEEN_LEFT);
	return XDP_PASS;
}

license("GPL");
