/*
 * Fragments (RFC 791, RFC 8200 §4.5): only the first one has ports. It leaves a note under its number, by which the
 * later ones find their flow. Numbers are given anew, since two clients that had chosen the same would be one sender
 * now (RFC 6864 §5.3). A later fragment that comes before the first finds no note and is dropped.
 */
#pragma once
#include "rewrite.h"

/* How long later fragments may be late: what Linux allows (ipfrag_time). */
#define FRAGMENT_NS 30000000000ULL

/* The next number: shared by all lanes. */
__u32 fragment_id = 0;

struct fragment_key {
	__be32 src[4];
	__be32 dst[4];
	__be32 id;
	__u32 protocol; /* IPv6: 0, as later fragments may name another (RFC 8200 §4.5) */
};

struct fragment {
	__u64 expires_ns;
	__u32 slot;
	__u32 epoch;
	__u32 direction;
	__be32 id; /* that all fragments get */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

static inline int fragment_key(void *ip, const struct exthdr *ext, __u8 protocol, const int v6, struct fragment_key *key)
{
	memset(key, 0, sizeof(*key));
	key->protocol = v6 ? 0 : protocol;
	copy_addr(key->src, IP_SRC(ip, v6), v6);
	copy_addr(key->dst, IP_DST(ip, v6), v6);
	key->id = v6 ? ext->id : IP4(ip)->id;
	return 0;
}

/* Puts the number in; returns the difference for the IPv4 header. */
static inline __u64 set_number(void *ip, struct exthdr *ext, const int v6, __be32 id)
{
	__u64 diff = 0;

	if (v6) {
		ext->id = id;
	} else {
		diff = csum_diff2(IP4(ip)->id, (__be16)id);
		IP4(ip)->id = (__be16)id;
	}
	return diff;
}

/* Headers of a fragment, both proven; IPv4 has no extension, so `ext` is only to be compared then. 0 when not there. */
static inline int fragment_headers(void *data, void *end, const struct view *v, const int v6, void **ip, struct exthdr **ext)
{
	*ip = data + (v->ip & MAX_OFFSET);
	if (*ip + IP_BYTES(v6) > end)
		return 0;
	*ext = NULL;
	if (v6) {
		*ext = data + (v->fragment & MAX_OFFSET);
		if (!v->fragment || (void *)(*ext + 1) > end)
			return 0;
	}
	return 1;
}

static inline __u32 note(void *data, void *end, const struct view *v, const int v6, struct fragment *f)
{
	struct fragment_key key;
	struct exthdr *ext;
	void *ip;

	if (!fragment_headers(data, end, v, v6, &ip, &ext))
		return 0;
	/* The low half of a number, as it lies in a __be16. */
	if (!v6)
		f->id >>= 16;
	fragment_key(ip, ext, v->protocol, v6, &key);
	bpf_map_update_elem(&fragments, &key, f, BPF_ANY);
	return set_number(ip, ext, v6, f->id);
}

/* A first fragment whose flow is known, before its addresses are changed. Returns the difference for the IPv4 header. */
noinline __u32 note_fragment(struct xdp_md *ctx, const struct view *v, __u32 slot, __u32 epoch, __u32 direction)
{
	struct fragment f = { .slot = slot, .epoch = epoch, .direction = direction };

	if (!v)
		return 0;
	f.expires_ns = bpf_ktime_get_ns() + FRAGMENT_NS;
	f.id = htonl(__sync_fetch_and_add(&fragment_id, 1));
	return v->v6 ? note(data_of(ctx), data_end_of(ctx), v, 1, &f) : note(data_of(ctx), data_end_of(ctx), v, 0, &f);
}

static inline int later_fragment(void *data, void *end, const struct view *v, const int v6)
{
	__u64 now = bpf_ktime_get_ns();
	struct fragment_key key;
	struct fragment *known;
	struct exthdr *ext;
	struct mapping *f;
	struct ends e;
	__u32 diff;
	void *ip;

	if (!fragment_headers(data, end, v, v6, &ip, &ext))
		return verdict(COUNT_MALFORMED, end - data, XDP_DROP);
	fragment_key(ip, ext, v->protocol, v6, &key);
	known = bpf_map_lookup_elem(&fragments, &key);
	f = known ? bpf_map_lookup_elem(&flows, &known->slot) : NULL;
	if (!known || !f || known->expires_ns < now || !alive(f, *WORD(f), now) || f->epoch != known->epoch) {
		if (to_us(ip, v6))
			return verdict(COUNT_NO_FRAGMENT, end - data, XDP_DROP);
		return verdict(COUNT_NOT_OURS, end - data, XDP_PASS);
	}
	if (IP_HOPS(ip, v6) <= 1)
		return verdict(COUNT_TTL, end - data, XDP_DROP);
	ends_of(f, known->slot, known->direction, v6, &e);
	diff = way(known->direction, f->addr_diff);
	rewrite_ip(ip, &e, v6, diff + set_number(ip, ext, v6, known->id));
	count(COUNT_FRAGMENT, end - data);
	return send(data, end, f, known->slot, known->direction);
}

/* A fragment after the first: the verdict. */
noinline int on_later_fragment(struct xdp_md *ctx, const struct view *v)
{
	if (!v)
		return XDP_ABORTED;
	return v->v6 ? later_fragment(data_of(ctx), data_end_of(ctx), v, 1) :
		       later_fragment(data_of(ctx), data_end_of(ctx), v, 0);
}
