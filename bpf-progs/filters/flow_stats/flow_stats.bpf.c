/*
 * Flow statistics: packets, bytes, times and TCP flags of every flow (LRU hash), and samples of packets in a
 * ring buffer: the first of each flow, then every `sample_every`-th.
 */
#include "parse.h"

#define SAMPLE_BYTES 64

struct stats {
	__u64 packets;
	__u64 bytes;
	__u64 first_ns;
	__u64 last_ns;
	__u32 tcp_flags; /* all flags seen, or-ed */
	__u32 pad;
};

struct sample {
	__u64 time_ns;
	struct flow flow;
	__u32 length;
	__u32 number; /* packet of the flow, 1 = first */
	__u32 captured;
	__u8 bytes[SAMPLE_BYTES];
};

struct settings {
	__u64 sample_every; /* 0 = only first packets */
};

struct totals {
	__u64 packets;
	__u64 bytes;
	__u64 not_ip;
	__u64 malformed;
	__u64 samples;
	__u64 samples_lost;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow);
	__type(value, struct stats);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct totals);
} totals SEC(".maps");

static inline void take_sample(void *data, void *end, const struct flow *flow, __u64 now, __u64 number,
			       struct totals *t)
{
	struct sample *s = bpf_ringbuf_reserve(&samples, sizeof(*s), 0);
	__u32 i, length = end - data;

	if (!s) {
		t->samples_lost += 1;
		return;
	}
	s->time_ns = now;
	s->flow = *flow;
	s->length = length;
	s->number = number;
	memset(s->bytes, 0, SAMPLE_BYTES);
	if (data + SAMPLE_BYTES <= end) {
		memcpy(s->bytes, data, SAMPLE_BYTES);
		s->captured = SAMPLE_BYTES;
	} else {
		for (i = 0; i < SAMPLE_BYTES; i++) {
			if (data + i + 1 > end)
				break;
			s->bytes[i] = *(__u8 *)(data + i);
		}
		s->captured = i;
	}
	bpf_ringbuf_submit(s, 0);
	t->samples += 1;
}

SEC("xdp")
int flow_stats(struct xdp_md *ctx)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	__u64 now = bpf_ktime_get_ns(), bytes = end - data, number, every;
	struct stats *st, fresh = {};
	enum parse_result parsed;
	struct settings *set;
	struct totals *t;
	struct packet p;
	struct flow key;
	__u32 zero = 0, flags = 0;

	t = bpf_map_lookup_elem(&totals, &zero);
	set = bpf_map_lookup_elem(&settings, &zero);
	if (!t || !set)
		return XDP_ABORTED;
	t->packets += 1;
	t->bytes += bytes;
	parsed = parse_packet(&p, data, end);
	if (parsed == PARSE_NOT_IP) {
		t->not_ip += 1;
		return XDP_PASS;
	}
	if (parsed == PARSE_MALFORMED) {
		t->malformed += 1;
		return XDP_PASS;
	}
	packet_flow(&p, parsed, &key);
	if (parsed == PARSE_OK && p.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = packet_tcp(&p, end);

		if (tcp)
			flags = tcp->flags;
	}

	st = bpf_map_lookup_elem(&flows, &key);
	if (st) {
		/* No atomics: a flow is one direction and RSS gives it one queue, so one lane. */
		number = ++st->packets;
		st->bytes += bytes;
		st->last_ns = now;
		st->tcp_flags |= flags;
	} else {
		number = fresh.packets = 1;
		fresh.bytes = bytes;
		fresh.first_ns = fresh.last_ns = now;
		fresh.tcp_flags = flags;
		bpf_map_update_elem(&flows, &key, &fresh, BPF_ANY);
	}
	every = set->sample_every;
	if (number == 1 || (every && number % every == 0))
		take_sample(data, end, &key, now, number, t);
	return XDP_PASS;
}

license("Dual MIT/GPL");
