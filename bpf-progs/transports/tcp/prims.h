/* STUB until kfuncs.gen.h is landed. */
#pragma once
#include "bpf.h"
#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif
#define EL_INTERVALS 32
struct el_range { __u32 from, to; };
struct el_intervals { __u32 count, bytes, ranges[2 * EL_INTERVALS]; __u8 order[EL_INTERVALS]; };
struct el_rtt { __u32 srtt, rttvar, rto, rto_min, rto_max, backoff, latest, samples, srtt8, rttvar4, min_window, min_rtt, min_at, min2_rtt, min2_at, min3_rtt, min3_at; };
struct el_cc { __u32 algorithm, mss, cwnd, ssthresh; __u64 rate; __u32 flags, pad; __u32 priv[32]; };
enum { EL_CC_ECT = 1, EL_CC_DCTCP_ECHO = 2, EL_CC_OWN_RECOVERY = 4, EL_CC_PACED = 16 };
enum { EL_CC_ACK, EL_CC_ENTER, EL_CC_LEAVE, EL_CC_RTO, EL_CC_UNDO, EL_CC_IDLE, EL_CC_MSS };
enum { EL_CC_F_CWND_LIMITED = 1, EL_CC_F_APP_LIMITED = 2, EL_CC_F_RECOVERY = 4, EL_CC_F_ECE = 8, EL_CC_F_AGAIN = 16 };
struct el_cc_event {
	__u32 kind, acked, marked, lost, in_flight, flags, una, nxt, rtt_us, srtt_us, min_rtt_us, delivered, interval_us,
		prior_delivered;
	__u64 now_ns;
};
enum { EL_REQ_CONNECT = 1, EL_REQ_SHUTDOWN = 2, EL_REQ_CLOSE = 4, EL_REQ_ABORT = 8, EL_REQ_OPTIONS = 16 };
enum { EL_EV_IN = 1, EL_EV_OUT = 2, EL_EV_HUP = 4, EL_EV_ERR = 8, EL_EV_ACCEPT = 16, EL_EV_CONNECTED = 32, EL_EV_URG = 64 };
extern int el_stream_open(__u32 app, __u32 snd_bytes, __u32 rcv_bytes) __ksym;
extern int el_stream_free(__u32 id) __ksym;
extern int el_stream_route(__u32 id, __u32 ifindex, __u32 transport) __ksym;
extern __u32 el_stream_snd_end(__u32 id) __ksym;
extern __u32 el_stream_rcv_limit(__u32 id) __ksym;
extern int el_stream_fetch(struct xdp_md *ctx, __u32 off, __u32 id, __u32 pos, __u32 len) __ksym;
extern int el_stream_place(struct xdp_md *ctx, __u32 off, __u32 id, __u32 pos, __u32 len) __ksym;
extern int el_stream_acked(__u32 id, __u32 pos) __ksym;
extern int el_stream_received(__u32 id, __u32 pos) __ksym;
extern __u32 el_stream_requests(__u32 id) __ksym;
extern int el_stream_event(__u32 id, __u32 events) __ksym;
extern int el_ready(__u32 id) __ksym;
extern __u32 el_packet_sum(struct xdp_md *ctx, __u32 off, __u32 len) __ksym;
extern int el_intervals_add(struct el_intervals *s, __u32 from, __u32 to) __ksym;
extern __u32 el_intervals_trim(struct el_intervals *s, __u32 upto) __ksym;
extern int el_intervals_overlap(struct el_intervals *s, __u32 from, __u32 to, struct el_range *part) __ksym;
extern int el_intervals_recent(struct el_intervals *s, __u32 n, struct el_range *range) __ksym;
extern int el_rtt_sample(struct el_rtt *rtt, __u32 us) __ksym;
extern int el_cc_init(struct el_cc *cc, __u32 algorithm, __u32 mss) __ksym;
extern int el_cc_event(struct el_cc *cc, struct el_cc_event *event) __ksym;
extern int el_siphash(void *data, __u32 data__sz) __ksym;
struct bpf_timer { __u64 opaque[2]; } __attribute__((aligned(8)));
enum { CLOCK_MONOTONIC = 1 };
static long (*const bpf_timer_init)(struct bpf_timer *, void *, __u64) = (void *)169;
static long (*const bpf_timer_set_callback)(struct bpf_timer *, void *) = (void *)170;
static long (*const bpf_timer_start)(struct bpf_timer *, __u64, __u64) = (void *)171;
