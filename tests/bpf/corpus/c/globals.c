/*
 * Global functions as a contract: verified once by their types, so all that a caller knows of an argument beyond its
 * type must hold on every path merged at the call.
 */
#include "../../../../bpf-progs/include/bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64[8]);
	__uint(max_entries, 4);
} table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

/* Jumps that decide nothing: both verifiers take a checkpoint behind enough of them. */
#define CHECKPOINT(n)                                                                                                  \
	asm volatile("if %0 == 11 goto +0; if %0 == 12 goto +0; if %0 == 13 goto +0; if %0 == 14 goto +0;"             \
		     "if %0 == 15 goto +0; if %0 == 16 goto +0; if %0 == 17 goto +0; if %0 == 18 goto +0"              \
		     : : "r"(n))

noinline int reads_if_there(__u64 *value)
{
	return value ? *value & 1 : 0;
}

SEC("xdp") int global_takes_null(struct xdp_md *ctx)
{
	return reads_if_there(0);
}

SEC("xdp") int global_takes_a_value_that_may_be_null(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	return reads_if_there(bpf_map_lookup_elem(&table, &key));
}

SEC("xdp") int global_takes_a_number_for_a_pointer(struct xdp_md *ctx)
{
	return reads_if_there((void *)(long)ctx->rx_queue_index);
}

/* NULL is walked first; the path with 4096 comes to the same call and must not be taken for it. */
SEC("xdp") int null_on_one_path_a_number_on_the_other(struct xdp_md *ctx)
{
	__u64 *p;
	asm volatile("%0 = 0; if %1 == 3 goto +1; goto +1; %0 = 4096; r1 = %0" : "=&r"(p) : "r"(ctx->rx_queue_index) : "r1");
	CHECKPOINT(ctx->ingress_ifindex);
	return reads_if_there(p);
}

SEC("xdp") int null_on_both_paths(struct xdp_md *ctx)
{
	__u64 *p;
	asm volatile("%0 = 0; if %1 == 3 goto +1; goto +1; %0 = 0; r1 = %0" : "=&r"(p) : "r"(ctx->rx_queue_index) : "r1");
	CHECKPOINT(ctx->ingress_ifindex);
	return reads_if_there(p);
}

noinline int adds_atomically(__u64 *value)
{
	return value ? __sync_fetch_and_add(value, 1) & 1 : 0;
}

SEC("xdp") int global_adds_to_memory_of_unknown_alignment(struct xdp_md *ctx)
{
	__u32 key = 0;
	char *row = bpf_map_lookup_elem(&table, &key);
	return row ? adds_atomically((void *)(row + 3)) : 0;
}

noinline int swaps_atomically(__u32 *value)
{
	return value ? __sync_val_compare_and_swap(value, 1, 2) & 1 : 0;
}

SEC("xdp") int global_swaps_in_memory_of_unknown_alignment(struct xdp_md *ctx)
{
	__u32 n = ctx->rx_queue_index;
	return swaps_atomically(&n);
}

SEC("xdp") int record_is_added_to_atomically(struct xdp_md *ctx)
{
	__u64 *record = bpf_ringbuf_reserve(&events, 16, 0);
	if (!record)
		return XDP_PASS;
	record[0] = record[1] = 0;
	__sync_fetch_and_add(&record[1], 1);
	bpf_ringbuf_submit(record, 0);
	return XDP_PASS;
}

SEC("xdp") int record_is_added_to_at_an_odd_place(struct xdp_md *ctx)
{
	char *record = bpf_ringbuf_reserve(&events, 16, 0);
	if (!record)
		return XDP_PASS;
	__sync_fetch_and_add((__u64 *)(record + 4), 1);
	bpf_ringbuf_submit(record, 0);
	return XDP_PASS;
}

noinline int shortens(struct xdp_md *ctx, __u64 *header)
{
	if (!header || bpf_xdp_adjust_tail(ctx, -8))
		return 0;
	return *header & 1;
}

SEC("xdp") int global_given_packet_bytes_shortens_the_packet(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	if (data + 22 > (void *)(long)ctx->data_end)
		return XDP_DROP;
	return shortens(ctx, data + 14);
}

noinline int pulls(struct __sk_buff *skb, __u64 *header)
{
	if (!header || bpf_skb_pull_data(skb, 64))
		return 0;
	return *header & 1;
}

SEC("tc") int global_given_packet_bytes_pulls_data(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	if (data + 14 > (void *)(long)skb->data_end)
		return 0;
	return pulls(skb, data);
}

SEC("xdp") int global_given_stack_bytes_shortens_the_packet(struct xdp_md *ctx)
{
	__u64 n = ctx->rx_queue_index;
	return shortens(ctx, &n);
}

/* The slot holds an index before the call; what comes back may be anything. */
noinline int sets(__u64 *value)
{
	if (value)
		*value = 4096;
	return 0;
}

SEC("xdp") int global_changes_a_bounded_index(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 i = ctx->rx_queue_index & 7;
	__u64 *row = bpf_map_lookup_elem(&table, &key);
	if (!row)
		return 0;
	sets(&i);
	return row[i] & 1;
}

SEC("xdp") int global_changes_an_index_bounded_again(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 i = ctx->rx_queue_index & 7;
	__u64 *row = bpf_map_lookup_elem(&table, &key);
	if (!row)
		return 0;
	sets(&i);
	return i < 8 ? row[i] & 1 : 0;
}

SEC("xdp") int global_given_a_record_that_the_caller_keeps(struct xdp_md *ctx)
{
	__u64 *record = bpf_ringbuf_reserve(&events, 8, 0);
	if (!record)
		return XDP_PASS;
	sets(record);
	bpf_ringbuf_submit(record, 0);
	return XDP_PASS;
}

SEC("xdp") int global_given_a_record_that_was_submitted(struct xdp_md *ctx)
{
	__u64 *record = bpf_ringbuf_reserve(&events, 8, 0);
	if (!record)
		return XDP_PASS;
	bpf_ringbuf_submit(record, 0);
	return sets(record);
}

SEC("xdp") int global_given_the_ring_pointer_as_a_number(struct xdp_md *ctx)
{
	__u64 *record = bpf_ringbuf_reserve(&events, 8, 0);
	int r = sets(record);
	if (record)
		bpf_ringbuf_discard(record, 0);
	return r;
}

license("GPL");
