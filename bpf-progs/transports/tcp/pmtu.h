/*
 * The path's MTU. What ICMP tells is icmp.h's; here it is searched for (RFC 4821, RFC 8899): one segment larger than the
 * others is sent when enough follows it. It arrives, or it is lost alone: then it was too big, and that is no congestion.
 *
 *   mtu ── carried ──── probe_mtu ──── search_high ──── mtu_ceiling: what the link and the peer take
 *
 * Searched are paths that told of a smaller MTU ten minutes ago, those that turned out to be black holes, and all of a
 * connection with TCP_OPT_PROBE_MTU.
 */
#pragma once
#include "rack.h"

/* What is known of paths: their MTU, for ten minutes (RFC 1191 §6.3). */
#define PATH_S 600
#define PATH_NS (PATH_S * NS_PER_S)
/* A search is over when it is known to so many bytes (Linux's tcp_probe_threshold). */
#define MTU_CLOSE_ENOUGH 8
/* Where a search begins (RFC 4821 §7.2: 1024 bytes of payload; IPv6's least). */
#define MTU_BASE4 1064
#define MTU_BASE6 1280
/* Below this nobody's word is taken, and black holes are not looked for (Linux's ip_rt_min_pmtu). */
#define MTU_FLOOR4 552

struct tcp_path {
	__u64 until_ns;
	__u32 mtu;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct tcp_address);
	__type(value, struct tcp_path);
} tcp_paths SEC(".maps");

static inline __u32 mtu_floor(const struct tcp_flow *f)
{
	return f->family == AF_INET ? MTU_FLOOR4 : MTU_BASE6;
}

static inline __u32 ip_tcp_headers(const struct tcp_flow *f)
{
	return f->family == AF_INET ? 40 : 60;
}

/* The payload of a segment, by the path's MTU and what the peer takes. */
static inline void mss_sync(struct tcp_flow *f)
{
	__u32 headers = ip_tcp_headers(f), mss = f->peer_mss;

	if (f->mtu > headers + 64)
		mss = least(mss, f->mtu - headers);
	if (f->opt.mss)
		mss = least(mss, most(f->opt.mss, 64));
	if (f->flags & FLOW_TIMESTAMPS)
		mss -= 12;
	f->mss = most(mss, 48);
}

/* Takes the MTU that another connection found out. */
static inline void path_known(struct tcp_flow *f, __u64 now)
{
	struct tcp_address to;
	struct tcp_path *p;

	memcpy(to.address, f->remote, sizeof(to.address));
	p = bpf_map_lookup_elem(&tcp_paths, &to);
	if (!p || p->until_ns <= now || f->opt.flags & TCP_OPT_NO_PMTUD || (f->mtu && p->mtu >= f->mtu))
		return;
	f->mtu = p->mtu;
	mss_sync(f);
}

noinline int path_learned(const struct tcp_flow *f NONNULL, __u64 now)
{
	struct tcp_path p = { .until_ns = now + PATH_NS, .mtu = f->mtu };
	struct tcp_address to;

	memcpy(to.address, f->remote, sizeof(to.address));
	return bpf_map_update_elem(&tcp_paths, &to, &p, BPF_ANY);
}

static inline __u32 mtu_ceiling(const struct tcp_flow *f)
{
	__u32 headers = ip_tcp_headers(f), top = least(f->link_mtu, f->peer_mss + headers);

	return f->opt.mss ? least(top, f->opt.mss + headers) : top;
}

/* Begins a search at the present MTU. `wait_s`: what is larger was refused just now, so not before then. */
static inline void mtu_search(struct tcp_flow *f, __u32 wait_s, __u64 now)
{
	f->search_high = wait_s ? 0 : mtu_ceiling(f);
	f->search_s = now / NS_PER_S + (wait_s ? wait_s : PATH_S);
	f->flags &= ~(FLOW_MTU_PROBE | FLOW_MTU_LOST);
}

/* The MTU to try next; 0: none, or not now. */
static inline __u32 mtu_candidate(struct tcp_flow *f, __u64 now)
{
	__u32 top = mtu_ceiling(f), s = now / NS_PER_S;

	if (f->mtu >= top || f->opt.flags & TCP_OPT_NO_PMTUD)
		return 0;
	/* Told by somebody else's connection. */
	if (!f->search_s) {
		mtu_search(f, PATH_S, now);
		return 0;
	}
	if (!before(s, f->search_s)) {
		f->search_s = s + PATH_S;
		f->search_high = top;
	}
	if (f->search_high < f->mtu + MTU_CLOSE_ENOUGH)
		return 0;
	/* The whole first: most paths carry what their links do. */
	return f->search_high >= top ? top : (f->mtu + f->search_high + 1) / 2;
}

/* What a probe that is lost alone tells: it is tried smaller, and its bytes go again as if nothing had been. */
static inline void mtu_probe_failed(struct tcp_flow *f)
{
	f->flags &= ~FLOW_MTU_PROBE;
	f->search_high = f->probe_mtu - 1;
	count(TCPMTUPFail);
}

/* The path carried the probe (RFC 4821 §7.6.1); or what of it was lost arrived in pieces. */
static inline void mtu_probe_answered(struct tcp_flow *f, __u64 now)
{
	if (!(f->flags & (FLOW_MTU_PROBE | FLOW_MTU_LOST)) || before(f->snd_una, f->probe_seq))
		return;
	if (f->flags & FLOW_MTU_PROBE) {
		f->mtu = f->probe_mtu;
		mss_sync(f);
		f->cc.mss = f->mss;
		path_learned(f, now);
		count(TCPMTUPSuccess);
	}
	f->flags &= ~(FLOW_MTU_PROBE | FLOW_MTU_LOST);
}

/*
 * 1: what the board has lost is a probe of the MTU and nothing else, so it is sent again and the window stays (RFC 4821
 * §7.6.2). Once for each probe: what is lost after that is lost like anything.
 */
noinline int mtu_excuses(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, struct tcp_news *n NONNULL)
{
	if (f->flags & FLOW_MTU_LOST) {
		if (!n->lost)
			return 1;
		f->flags &= ~FLOW_MTU_LOST;
		return 0;
	}
	if (!(f->flags & FLOW_MTU_PROBE) || !b->lost || !before(f->snd_una, f->probe_seq))
		return 0;
	/* The first piece, from edge to edge; or something else is lost, too, and nobody knows why. */
	if (f->snd_una != f->probe_from || b->lost != f->probe_seq - f->probe_from || !(span_at(b, 0)->flags & SPAN_LOST)) {
		f->flags &= ~FLOW_MTU_PROBE;
		return 0;
	}
	mtu_probe_failed(f);
	f->flags |= FLOW_MTU_LOST;
	f->todo |= TODO_FORCE;
	n->lost = 0;
	return 1;
}
