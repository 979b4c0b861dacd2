/* Maps, global data, locks, records: state as people keep it; with and without the mistake. */
#include "../../../../bpf-progs/include/bpf.h"

struct bpf_spin_lock { __u32 val; };
struct flow { __u32 src, dst; __u16 sport, dport; __u8 proto; };
struct stat { __u64 packets, bytes; };
struct account { struct bpf_spin_lock lock; __u32 tokens; __u64 last; };

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow);
	__type(value, struct stat);
	__uint(max_entries, 64);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct account);
	__uint(max_entries, 16);
} accounts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

const volatile __u32 limit = 16;
__u64 counters[16];
__u64 seen;

SEC("xdp") int counts_in_global_data(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&seen, 1);
	counters[ctx->rx_queue_index & 15]++;
	return XDP_PASS;
}

SEC("xdp") int counts_past_global_data(struct xdp_md *ctx)
{
	__u32 i = ctx->rx_queue_index & 31;
	barrier_var(i);
	counters[i]++;
	return XDP_PASS;
}

SEC("xdp") int constant_limit_bounds_the_index(struct xdp_md *ctx)
{
	__u32 i = ctx->rx_queue_index;
	if (i >= limit)
		return XDP_DROP;
	counters[i]++;
	return XDP_PASS;
}

SEC("xdp") int writes_a_constant(struct xdp_md *ctx)
{
	*(volatile __u32 *)&limit = 5;
	return XDP_PASS;
}

SEC("xdp") int flow_counted_or_created(struct xdp_md *ctx)
{
	struct flow key = {};
	struct stat one = { 1, 60 }, *st;
	key.src = ctx->rx_queue_index;
	st = bpf_map_lookup_elem(&flows, &key);
	if (st) {
		__sync_fetch_and_add(&st->packets, 1);
		st->bytes += 60;
	} else
		bpf_map_update_elem(&flows, &key, &one, BPF_ANY);
	return XDP_PASS;
}

SEC("xdp") int flow_counted_without_its_check(struct xdp_md *ctx)
{
	struct flow key = {};
	struct stat *st;
	key.src = ctx->rx_queue_index;
	st = bpf_map_lookup_elem(&flows, &key);
	st->packets++;
	return XDP_PASS;
}

SEC("xdp") int token_bucket_locks_and_unlocks(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	struct account *a = bpf_map_lookup_elem(&accounts, &key);
	int verdict = XDP_DROP;
	if (!a)
		return XDP_PASS;
	__u64 now = bpf_ktime_get_ns();
	bpf_spin_lock(&a->lock);
	if (now - a->last > 1000) {
		a->last = now;
		a->tokens = 8;
	}
	if (a->tokens) {
		a->tokens--;
		verdict = XDP_PASS;
	}
	bpf_spin_unlock(&a->lock);
	return verdict;
}

SEC("xdp") int token_bucket_asks_the_time_inside(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	struct account *a = bpf_map_lookup_elem(&accounts, &key);
	if (!a)
		return XDP_PASS;
	bpf_spin_lock(&a->lock);
	a->last = bpf_ktime_get_ns();
	bpf_spin_unlock(&a->lock);
	return XDP_PASS;
}

SEC("xdp") int token_bucket_returns_with_the_lock(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	struct account *a = bpf_map_lookup_elem(&accounts, &key);
	if (!a)
		return XDP_PASS;
	bpf_spin_lock(&a->lock);
	if (!a->tokens)
		return XDP_DROP;
	a->tokens--;
	bpf_spin_unlock(&a->lock);
	return XDP_PASS;
}

struct event { __u32 queue, len; };

SEC("xdp") int event_reserved_and_submitted(struct xdp_md *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return XDP_PASS;
	e->queue = ctx->rx_queue_index;
	e->len = ctx->data_end - ctx->data;
	bpf_ringbuf_submit(e, 0);
	return XDP_PASS;
}

SEC("xdp") int event_lost_on_an_early_return(struct xdp_md *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return XDP_PASS;
	if (ctx->rx_queue_index > 3)
		return XDP_DROP;
	e->queue = ctx->rx_queue_index;
	bpf_ringbuf_submit(e, 0);
	return XDP_PASS;
}

SEC("xdp") int event_written_after_submit(struct xdp_md *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return XDP_PASS;
	bpf_ringbuf_submit(e, 0);
	e->queue = 1;
	return XDP_PASS;
}

license("GPL");
