/* A small object for tests of upgrades; VERSION says which: a hook, tail calls, a timer, variables, settings. */
#include "bpf.h"

#define MS 1000000ULL

const volatile __u32 setting = 5; /* whoever loads it writes another */
const volatile __u32 version = VERSION;
__u32 packets; /* of all versions */

#if VERSION == 4
enum small_count { Other, SMALL_COUNTS };
#else
enum small_count { Seen, SMALL_COUNTS };
#endif
#if VERSION == 5
#define small_counters other_counters
#endif

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SMALL_COUNTS);
	__type(key, enum small_count);
	__type(value, __u64);
} small_counters SEC(".maps");

struct small_clock {
	struct bpf_timer timer;
	__u32 fired;
	__u32 by; /* the version whose callback fired last */
	__u32 setting;
	__u32 begun;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct small_clock);
} small_clocks SEC(".maps");

#if VERSION == 2
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} small_extra SEC(".maps");

/* A callback before the other: in this version it has another number. */
static int earlier(void *map, __u32 *key, struct small_clock *c)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&small_extra, &zero);

	if (n)
		*n += 1;
	return 0;
}
#endif

#if VERSION == 3
#define on_time another_name
#endif
static int on_time(void *map, __u32 *key, struct small_clock *c)
{
	c->fired++;
	c->by = version;
	c->setting = setting;
	bpf_timer_start(&c->timer, MS, 0);
	return 0;
}

int small_first(struct xdp_md *ctx);
int small_second(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, int (struct xdp_md *));
} small_tails SEC(".maps") = {
	.values = {
		[0] = &small_first,
#if VERSION == 2
		[2] = &small_second,
#else
		[1] = &small_second,
#endif
	},
};

SEC("xdp")
int small_first(struct xdp_md *ctx)
{
	return version == 2 ? XDP_TX : XDP_DROP;
}

SEC("xdp")
int small_second(struct xdp_md *ctx)
{
	return XDP_DROP;
}

/* The first byte of a packet says which tail call, the second that the timer is to begin. */
SEC("xdp")
int small(struct xdp_md *ctx)
{
	__u8 *data = data_of(ctx);
	__u32 zero = 0;
	struct small_clock *c = bpf_map_lookup_elem(&small_clocks, &zero);
	__u64 *seen = bpf_map_lookup_elem(&small_counters, &zero);

	if (!c || !seen || (void *)(data + 2) > data_end_of(ctx))
		return XDP_ABORTED;
	packets++;
	*seen += 1;
	if (data[1] && !c->begun) {
		c->begun = 1;
		bpf_timer_init(&c->timer, &small_clocks, CLOCK_MONOTONIC);
#if VERSION == 2
		bpf_timer_set_callback(&c->timer, earlier);
#endif
		bpf_timer_set_callback(&c->timer, on_time);
		bpf_timer_start(&c->timer, MS, 0);
	}
	bpf_tail_call(ctx, &small_tails, data[0]);
	return XDP_PASS;
}

license("GPL");
