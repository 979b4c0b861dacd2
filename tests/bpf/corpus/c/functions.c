/* Static and global functions, callbacks, tail calls from functions: what needs the BTF of clang. */
#include "../../../../bpf-progs/include/bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64[8]);
	__uint(max_entries, 4);
} table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 4);
} jumps SEC(".maps");

static noinline __u64 *row(__u32 key)
{
	return bpf_map_lookup_elem(&table, &key);
}

SEC("xdp") int static_function_returns_a_row_checked(struct xdp_md *ctx)
{
	__u64 *at = row(ctx->rx_queue_index);
	return at ? at[7] & 1 : 0;
}

SEC("xdp") int static_function_returns_a_row_not_checked(struct xdp_md *ctx)
{
	return row(ctx->rx_queue_index)[7] & 1;
}

noinline int global_adds(int a, int b)
{
	return a * 31 + b;
}

SEC("xdp") int global_function_of_numbers(struct xdp_md *ctx)
{
	return global_adds(ctx->rx_queue_index, ctx->ingress_ifindex) & 3;
}

noinline int global_index(int i)
{
	barrier_var(i);
	return i & 7;
}

SEC("xdp") int global_result_is_unknown_to_its_caller(struct xdp_md *ctx)
{
	__u64 *at = row(0);
	return at ? at[global_index(ctx->rx_queue_index)] & 1 : 0;
}

SEC("xdp") int global_result_bounded_by_its_caller(struct xdp_md *ctx)
{
	__u64 *at = row(0);
	__u32 i = global_index(ctx->rx_queue_index);
	barrier_var(i);
	return at && i < 8 ? at[i] & 1 : 0;
}

noinline int global_reads(__u64 *value)
{
	return value ? *value & 1 : 0;
}

SEC("xdp") int global_pointer_checked_for_null(struct xdp_md *ctx)
{
	__u64 n = ctx->rx_queue_index;
	return global_reads(&n);
}

noinline int global_reads_unchecked(__u64 *value)
{
	return *value & 1;
}

SEC("xdp") int global_pointer_not_checked_for_null(struct xdp_md *ctx)
{
	__u64 n = ctx->rx_queue_index;
	return global_reads_unchecked(&n);
}

struct pair { __u32 a, b; };

noinline int global_reads_pair(struct pair *p)
{
	return p ? p->a + p->b : 0;
}

SEC("xdp") int global_pointer_to_too_little(struct xdp_md *ctx)
{
	__u32 one = ctx->rx_queue_index;
	return global_reads_pair((struct pair *)&one);
}

noinline int global_takes_ctx(struct xdp_md *ctx)
{
	return ctx->rx_queue_index & 1;
}

SEC("xdp") int global_function_of_the_context(struct xdp_md *ctx)
{
	return global_takes_ctx(ctx);
}

noinline int global_reads_packet(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	return *data;
}

SEC("xdp") int global_function_that_is_unsafe_by_itself(struct xdp_md *ctx)
{
	return global_reads_packet(ctx);
}

struct sums { __u64 total, rounds; };

static long add_round(__u32 i, struct sums *s)
{
	s->total += i;
	s->rounds++;
	return 0;
}

SEC("xdp") int callback_with_context(struct xdp_md *ctx)
{
	struct sums s = {};
	bpf_loop(ctx->rx_queue_index + 4, add_round, &s, 0);
	return s.rounds & 1;
}

static long index_round(__u32 i, __u64 **at)
{
	(*at)[i] = 1;
	return 0;
}

SEC("xdp") int callback_indexes_unchecked(struct xdp_md *ctx)
{
	__u64 *at = row(0);
	if (!at)
		return 0;
	bpf_loop(64, index_round, &at, 0);
	return 0;
}

static long index_round_checked(__u32 i, __u64 **at)
{
	if (i > 7)
		return 1;
	(*at)[i] = 1;
	return 0;
}

SEC("xdp") int callback_indexes_checked(struct xdp_md *ctx)
{
	__u64 *at = row(0);
	if (!at)
		return 0;
	bpf_loop(64, index_round_checked, &at, 0);
	return 0;
}

static long sum_row(void *map, __u32 *key, __u64 *value, struct sums *s)
{
	s->total += value[0] + *key;
	return 0;
}

SEC("xdp") int for_each_row(struct xdp_md *ctx)
{
	struct sums s = {};
	bpf_for_each_map_elem(&table, sum_row, &s, 0);
	return s.total & 1;
}

static long sum_past_row(void *map, __u32 *key, __u64 *value, struct sums *s)
{
	s->total += value[8];
	return 0;
}

SEC("xdp") int for_each_past_its_row(struct xdp_md *ctx)
{
	struct sums s = {};
	bpf_for_each_map_elem(&table, sum_past_row, &s, 0);
	return s.total & 1;
}

static noinline int jump(struct xdp_md *ctx, __u32 i)
{
	bpf_tail_call(ctx, &jumps, i);
	return 1;
}

SEC("xdp") int tail_call_from_a_typed_function(struct xdp_md *ctx)
{
	return jump(ctx, ctx->rx_queue_index & 3);
}

static noinline int deep(struct xdp_md *ctx, int n)
{
	char room[300];
	room[0] = n;
	barrier_var(room[0]);
	__builtin_memset(room, n, 40);
	asm volatile("" : : "r"(room) : "memory");
	return room[n & 31];
}

SEC("xdp") int big_frame_under_a_small_one(struct xdp_md *ctx)
{
	return deep(ctx, ctx->rx_queue_index) & 1;
}

SEC("xdp") int big_frame_under_a_big_one(struct xdp_md *ctx)
{
	char room[300];
	__builtin_memset(room, 0, sizeof(room));
	asm volatile("" : : "r"(room) : "memory");
	return (deep(ctx, room[7]) + room[9]) & 1;
}

license("GPL");
