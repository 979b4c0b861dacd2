/*
 * What a program of this engine (and of the kernel) is made of: contexts, verdicts, maps, sections.
 * Numbers and layouts are those of include/uapi/linux/bpf.h; map macros those of libbpf.
 */
#pragma once
#include "types.h"
#include "helpers.gen.h"

#define SEC(name) __attribute__((section(name), used))
#define inline __inline__ __attribute__((always_inline))
#define noinline __attribute__((noinline))
#define license(name) char LICENSE[] SEC("license") = name

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define offsetof(type, member) __builtin_offsetof(type, member)
#define memcpy(d, s, n) __builtin_memcpy(d, s, n)
#define memset(d, c, n) __builtin_memset(d, c, n)
/* Keeps clang from merging or re-deriving what the verifier has just been shown. */
#define barrier_var(v) asm volatile("" : "+r"(v))

/* BTF-defined maps: struct { __uint(type, …); __type(key, …); … } name SEC(".maps"); */
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LRU_PERCPU_HASH = 10,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_HASH_OF_MAPS = 13,
	BPF_MAP_TYPE_DEVMAP = 14,
	BPF_MAP_TYPE_CPUMAP = 16,
	BPF_MAP_TYPE_XSKMAP = 17,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_STACK = 23,
	BPF_MAP_TYPE_DEVMAP_HASH = 25,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_BLOOM_FILTER = 30,
	/* eTran's, not Linux's: max_entries buckets of map_extra packets each, every lane its own; kfuncs only. */
	BPF_MAP_TYPE_PKT_QUEUE = 0x1000,
};

enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2, BPF_F_LOCK = 4 };
enum { BPF_F_NO_PREALLOC = 1 };

/* A timer in a map value: of an array, hash or lru_hash, one a value. Only the bpf_timer helpers may touch it. */
struct bpf_timer {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

enum { CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1, CLOCK_BOOTTIME = 7 };
/* bpf_timer_start. The last four are of this engine: at the end of the round, and with a pacer's precision. */
#define BPF_F_TIMER_ABS (1ULL << 0)
#define BPF_F_TIMER_CPU_PIN (1ULL << 1)
#define BPF_F_TIMER_NET_TX (1ULL << 32)
#define BPF_F_TIMER_IMMEDIATE (1ULL << 33)
#define BPF_F_TIMER_PACER (1ULL << 34)
#define BPF_F_TIMER_PACER_WAKEUP (1ULL << 35)

enum { BPF_F_PSEUDO_HDR = 1 << 4, BPF_F_MARK_MANGLED_0 = 1 << 5 };
enum { BPF_F_RECOMPUTE_CSUM = 1, BPF_F_INVALIDATE_HASH = 2 };
enum { BPF_HDR_START_MAC, BPF_HDR_START_NET };
#define BPF_F_CURRENT_CPU 0xffffffffULL

enum { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };
enum { TC_ACT_UNSPEC = -1, TC_ACT_OK = 0, TC_ACT_SHOT = 2, TC_ACT_PIPE = 3, TC_ACT_REDIRECT = 7 };

/*
 * Context of XDP programs, and of the two hooks that eTran adds, SEC("xdp_gen") and SEC("xdp_egress"):
 *
 *                    xdp             xdp_gen, xdp_egress
 *   ingress_ifindex  port it came in transport of the stream: index of an entrance program's PROG_ARRAY
 *   rx_queue_index   queue           stream that the packet is made for
 *   egress_ifindex   (devmap only)   port that it leaves by
 *
 * xdp_gen runs for a stream that was made ready (el_ready), once a packet. data … data_end is an empty packet as long
 * as the port takes; its bytes are what the frame held last. Shorten it with bpf_xdp_adjust_tail.
 *   XDP_TX     the packet goes out, by way of xdp_egress; run me again (64 times a visit, then the others' turn)
 *   XDP_PASS   it goes out, and the stream is done
 *   any other  nothing more: the stream is done, the frame is used again
 * xdp_egress runs for each packet that xdp_gen made.
 *   XDP_TX, XDP_PASS  out of the port
 *   XDP_REDIRECT      where bpf_redirect_map or bpf_pkt_queue_enqueue said
 *   any other         dropped
 */
struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex;
};

/* A packet that bpf_pkt_queue_dequeue took out: read-only, and yours until bpf_packet_send or bpf_packet_drop. */
struct xdp_frame {
	__u32 len;
	/* rx_queue_index, port and ingress_ifindex of the context that it was enqueued from. */
	__u32 stream;
	__u32 ifindex;
	__u32 transport;
};

/* Context of tc and socket filter programs. */
struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
	__u32 tc_index;
	__u32 cb[5];
	__u32 hash;
	__u32 tc_classid;
	__u32 data;
	__u32 data_end;
	__u32 napi_id;
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 data_meta;
	__u64 flow_keys;
	__u64 tstamp;
	__u32 wire_len;
	__u32 gso_segs;
	__u64 sk;
	__u32 gso_size;
	__u8 tstamp_type;
	__u8 pad[3];
	__u64 hwtstamp;
};

/* bpf_fib_lookup */
enum { BPF_FIB_LOOKUP_DIRECT = 1, BPF_FIB_LOOKUP_OUTPUT = 2, BPF_FIB_LOOKUP_SKIP_NEIGH = 4, BPF_FIB_LOOKUP_TBID = 8,
       BPF_FIB_LOOKUP_SRC = 16 };
enum { BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LKUP_RET_BLACKHOLE, BPF_FIB_LKUP_RET_UNREACHABLE,
       BPF_FIB_LKUP_RET_PROHIBIT, BPF_FIB_LKUP_RET_NOT_FWDED, BPF_FIB_LKUP_RET_FWD_DISABLED,
       BPF_FIB_LKUP_RET_UNSUPP_LWT, BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_FRAG_NEEDED };

struct bpf_fib_lookup {
	__u8 family;
	__u8 l4_protocol;
	__be16 sport;
	__be16 dport;
	__u16 tot_len; /* in; out: mtu_result */
	__u32 ifindex;
	union {
		__u8 tos;
		__be32 flowinfo;
		__u32 rt_metric;
	};
	union {
		__be32 ipv4_src;
		__u32 ipv6_src[4];
	};
	union {
		__be32 ipv4_dst;
		__u32 ipv6_dst[4];
	};
	union {
		struct {
			__be16 h_vlan_proto;
			__be16 h_vlan_TCI;
		};
		__u32 tbid;
	};
	__u8 smac[6];
	__u8 dmac[6];
};

#define data_of(ctx) ((void *)(long)(ctx)->data)
#define data_end_of(ctx) ((void *)(long)(ctx)->data_end)
