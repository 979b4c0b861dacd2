/*
 * What a lane knows about one connection, and the maps. A flow is the value of `tcp_flows` under the number of its
 * stream; the lane that opened the stream is the only one to write it. Sequence numbers and times in host order.
 *
 *   send:     snd_una ──in flight── snd_nxt ──may go── snd_una + snd_wnd          stream position = seq − iss − 1
 *   receive:  rcv_wup ──not acked── rcv_nxt ──may come── rcv_adv                  stream position = seq − irs − 1
 */
#pragma once
#include "count.h"
#include "kfuncs.gen.h"
#include "layout.gen.h"
#include "net.h"
#include "options.h"
#include "seq.h"

/* As Linux numbers them (include/net/tcp_states.h), so that tools mean the same. */
enum tcp_state {
	TCP_FREE = 0, /* no connection */
	TCP_ESTABLISHED,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT, /* never in a flow: `tcp_timewait` */
	TCP_CLOSE,     /* over, but the application has not let go */
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,    /* never in a flow: `tcp_listeners` */
	TCP_CLOSING,
};

#define IN_STATE(f, states) (1u << (f)->state & (states))
#define S(name) (1u << TCP_##name)
/* The peer may still send data; we may still send data. */
#define RECEIVING (S(ESTABLISHED) | S(FIN_WAIT1) | S(FIN_WAIT2))
#define SENDING (S(ESTABLISHED) | S(CLOSE_WAIT) | S(FIN_WAIT1) | S(CLOSING) | S(LAST_ACK))

/* Congestion state: how losses are being dealt with (names of Linux's icsk_ca_state). */
enum tcp_ca { TCP_CA_OPEN, TCP_CA_DISORDER, TCP_CA_CWR, TCP_CA_RECOVERY, TCP_CA_LOSS };

enum tcp_flow_flag {
	FLOW_TIMESTAMPS = 1 << 0,
	FLOW_SACK = 1 << 1,
	FLOW_WSCALE = 1 << 2,
	FLOW_ECN = 1 << 3,        /* negotiated */
	FLOW_ECE = 1 << 4,        /* CE was seen: our ACKs say ECE */
	FLOW_CWR = 1 << 5,        /* the next data segment says CWR */
	FLOW_CE_LAST = 1 << 6,    /* RFC 8257 §3.2: DCTCP.CE */
	FLOW_PASSIVE = 1 << 7,
	FLOW_FIN_QUEUED = 1 << 8, /* nothing follows the end of the send ring: FIN does */
	FLOW_FIN_SENT = 1 << 9,
	FLOW_FIN_SEEN = 1 << 10,  /* the peer's FIN, at fin_seq; it may stand behind a hole */
	FLOW_ORPHAN = 1 << 11,    /* the application is done with it */
	FLOW_RETRANSMITTED = 1 << 12, /* the SYN was: its time is no RTT (Karn), and cwnd starts at 1 (RFC 6298) */
	FLOW_FRTO = 1 << 13,
	FLOW_TLP = 1 << 14,       /* a tail loss probe is under way: tlp_seq */
	FLOW_TLP_RETRANS = 1 << 15,
	FLOW_REORDERING = 1 << 16, /* RACK.reordering_seen */
	FLOW_PINGPONG = 1 << 17,  /* data goes both ways: ACKs ride on it */
	FLOW_CWND_LIMITED = 1 << 18,
	FLOW_URGENT_OUT = 1 << 19, /* snd_up is ahead */
	FLOW_URGENT_IN = 1 << 20, /* rcv_up is valid */
	FLOW_ACCEPTED = 1 << 21,  /* the application was told */
	FLOW_OPENING = 1 << 22,   /* counted among the handshakes under way of its listener */
	FLOW_ROUTED = 1 << 23,
	FLOW_MTU_PROBE = 1 << 24, /* a probe of the path MTU is under way: probe_from … probe_seq */
	FLOW_MTU_LOST = 1 << 25,  /* it was lost, and goes again in pieces */
	FLOW_ENDING = 1 << 26,    /* tcp_end has begun */
	FLOW_BACKLOG = 1 << 27,   /* nothing but its pacing holds the flow back */
	FLOW_FRAGMENTS = 1 << 28, /* the path takes less than we send: routers may cut it (no DF) */
	FLOW_HELD = 1 << 29,      /* a window holds it back, not its pacing */
};

/* What GEN owes. */
enum tcp_todo {
	TODO_SYN = 1,       /* SYN or SYN-ACK, by the state */
	TODO_ACK = 2,
	TODO_RST = 4,
	TODO_PROBE = 8,     /* window probe or keepalive: an old sequence number that asks for an ACK */
	TODO_TLP = 16,
	TODO_FORCE = 32,    /* one retransmission whatever the window says */
	TODO_NUDGE = 64,    /* send into a silly window: it has lasted long enough */
};

/* Deadlines of a flow; one bpf_timer serves them all. */
enum tcp_timer { TIMER_XMIT, TIMER_DELACK, TIMER_LIFE, TIMER_PACE, TCP_TIMERS };
/* What TIMER_XMIT is for: never two of them at a time. */
enum tcp_xmit { XMIT_NONE, XMIT_RTO, XMIT_TLP, XMIT_REO, XMIT_PERSIST };

#define TCP_ACK_MARKS 4

/*
 * By cache lines: a message of a connection that was not heard of for long waits for memory once for each. What
 * every message needs stands in eight of them, what losses, urgent data and probes need between and behind them.
 */
#define CACHE_LINE __attribute__((aligned(64)))

struct tcp_flow {
	/* what the headers of each packet say */
	__u32 id;
	__u8 state;   /* enum tcp_state */
	__u8 family;  /* AF_INET, AF_INET6 */
	__u8 lane;
	__u8 ca;      /* enum tcp_ca */
	__u32 flags;    /* FLOW_* */
	__u32 todo;     /* TODO_* */
	__be32 local[4];
	__be32 remote[4];
	__be16 lport;
	__be16 rport;
	__u16 dmac[3];  /* next hop */
	__u16 smac[3];

	/* how far both sides have got */
	__u32 iss;
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 snd_wnd;
	__u32 snd_wl1;
	__u32 max_wnd;   /* the largest that the peer ever offered */
	__u32 snd_sml;   /* end of the last small segment: Minshall's Nagle */
	__u32 mss;       /* payload of a segment with all options but SACK */
	__u32 irs;
	__u32 rcv_nxt;
	__u32 rcv_wup;   /* Last.ACK.sent */
	__u32 rcv_adv;   /* right edge of the window that was offered */
	__u32 rcv_mss;   /* size of the peer's segments, for delayed ACKs */
	__u32 unacked;   /* bytes received and not acked */
	__u32 ts_recent;
	__u32 ts_recent_s; /* when, in s: outdated after 24 days (RFC 7323 §5.5) */

	/* when */
	__u64 due_ns[TCP_TIMERS]; /* 0: off */
	__u64 armed_ns;           /* when the bpf_timer goes off; 0: it does not */
	__u64 sent_ns;   /* last segment with data */
	__u64 rcv_ns;    /* last segment: keepalive */
	__u64 packet_ns; /* when the packet that GEN made is to leave; 0: at once */

	/* what counts up, and what seldom changes */
	__u64 stuck_ns;  /* since when nothing was acked: user timeout */
	__u64 route_ns;  /* the route is asked for again after this */
	__u64 bytes_acked;
	__u64 bytes_received;
	__u32 segs_in;
	__u32 segs_out;
	__u32 ip_id;
	__u32 ts_offset; /* our timestamps: ms + this */
	__u8 snd_wscale;
	__u8 rcv_wscale;
	__u8 retries;    /* of TIMER_XMIT since something was acked */
	__u8 backoff;
	__u8 quick;      /* ACKs to be sent at once */
	__u8 marks;      /* entries of `mark` */
	__u8 probes;     /* sent since the peer said anything */
	__u8 repeats;    /* without SACK: ACKs owed beyond the first, one for each segment that came out of order */
	__u32 rcv_size;  /* of the receive ring */
	__u32 rcv_best;  /* the largest window that was offered */

	/* what ACKs tell of the path; the pieces in flight are in `tcp_boards` */
	__u32 mtu;       /* of the path: link, or ICMP, or probing */
	__u32 link_mtu;  /* of the port and the route */
	__u32 peer_mss;  /* what the peer's SYN said */
	__u32 dsack_from; /* duplicate to be reported; equal: none */
	__u32 dsack_to;
	__u32 dupacks;   /* without SACK */
	__u8 reo_mult;
	__u8 reo_persist;
	__u8 snd_room;   /* log2 of the send ring that was asked for: tcp_room */
	__u8 xmit;       /* enum tcp_xmit */
	__u32 fack;
	__u32 rack_us;   /* of the latest delivered transmission: when it was sent, */
	__u32 rack_end;  /* its end, */
	__u32 rack_rtt;  /* and 1 + its round trip, µs; 0: nothing was delivered yet */
	__u32 delivered; /* bytes, modulo 2^32: delivery rate */
	__u32 delivered_us;
	__u32 first_us;
	__u32 app_limited; /* `delivered` up to which samples are limited by the application; 0: not */
	__u32 rcv_look;  /* received up to here, half of the receive ring has come: tcp_widen */

	struct el_rtt rtt;
	__u32 high_seq;  /* recovery is over when this is acked */
	struct el_cc cc; /* its first 56 bytes in the line of the round trip's last */
	__u32 undo_marker;
	__u32 undo_retrans;
	__u32 retrans_ts; /* our timestamp of the first retransmission: Eifel */
	__u32 prr_delivered;
	__u32 prr_out;
	__u32 recover_fs;

	struct tcp_options opt;
	__u32 prr_cwnd;
	struct el_intervals ooo; /* received beyond rcv_nxt; how many pieces, in the line of the options */

	/* seldom */
	__u32 app;
	__u32 ifindex;
	__u32 listener; /* 1 + its slot in `tcp_backlogs`; 0: connected actively */
	__s32 error;    /* errno that ended it */
	__u32 snd_up;
	__u32 snd_fin;   /* where our FIN stands, once it is queued */
	__u32 rcv_up;
	__u32 fin_seq;   /* of the peer's FIN */
	__u32 oow_ms;    /* last ACK for a segment out of window */
	__u32 reo_round; /* snd_nxt when a DSACK widened the reordering window */
	__u32 tlp_seq;
	__u32 retransmits;
	__u32 lost;
	struct {
		__u32 ack;
		__u32 ece;
	} mark[TCP_ACK_MARKS]; /* DCTCP: ACKs that tell where CE began or ended, before those of now */

	/* path MTU probing (RFC 4821) */
	__u32 probe_from;
	__u32 probe_seq;
	__u32 search_s;  /* when all is tried again, s; 0: nothing is known of the path */
	__u16 probe_mtu;
	__u16 search_high; /* the largest that may do; 0: no search */
	__u16 urgents;   /* tcp_control.urgents as last seen */
	__u16 pace_part;   /* of pace_ns: in 2^-16 ns */

	__u32 mark_us;   /* since when it is measured how much comes: tcp_widen */
	__u32 pad3;

	/* pacing */
	__u64 pace_ns;            /* when the next packet is due by the rate, perhaps long ago: pace.h, */
	__u64 gate_ns;            /* and before when it does not leave: half of that after the last one, */
	__u64 behind_ns;          /* and by how much it was behind when a window held it back */
	__u64 spent_ns;           /* until when what a window holds up is owed no more, */
	__u64 left_ns;            /* when a paced packet left last, */
	__u64 left_bytes;         /* and how much has, bytes of frames */
} CACHE_LINE;
#define LINE_OF(field) (__builtin_offsetof(struct tcp_flow, field) / 64)
_Static_assert(LINE_OF(smac[2]) == 0 && LINE_OF(iss) == 1 && LINE_OF(due_ns) == 2 && LINE_OF(stuck_ns) == 3 &&
		       LINE_OF(mtu) == 4 && LINE_OF(rtt) == 5 && LINE_OF(cc) == 6 && LINE_OF(opt) == LINE_OF(ooo.count),
	       "what a message needs of a flow is eight lines");
_Static_assert(sizeof(struct tcp_flow) <= 1024 + 128, "a flow and its stream are less than 4 KiB");

/* Pieces of what is in flight, in order of sequence, each sent at one time: the scoreboard. See spans.h. */
#define TCP_SPANS 64

struct tcp_span {
	__u32 end;     /* it starts where the one before ends, the first at tcp_board.una */
	__u32 sent_us; /* last transmission */
	__u32 delivered; /* tcp_flow.delivered, …_us and first_us at that time */
	__u32 delivered_us;
	__u32 first_us;
	__u32 flags;   /* SPAN_* */
};

struct tcp_board {
	__u32 una;
	__u32 head;   /* index of the first span; 0 with none: what is alone stands in the first line */
	__u32 count;
	__u32 sacked; /* bytes */
	__u32 lost;   /* bytes, not counting what was sent again */
	__u32 resent; /* bytes under way a second time */
	__u32 i;      /* indices of loops: see `hidden` in spans.h */
	__u32 at;
	__u32 twin;
	struct tcp_span span[TCP_SPANS];
} CACHE_LINE;

/*
 * What the connection tables hold: number of the flow, and above it its lane. So whoever gets a segment knows where it
 * belongs without a look at the flow, which may be another's by the time of that look.
 */
#define ENTRY_LANE_SHIFT 24
#define ENTRY_ID 0xffffff

static inline __u32 entry_of(__u32 id)
{
	return bpf_get_smp_processor_id() << ENTRY_LANE_SHIFT | id;
}

/* Keys of the connection tables: as the addresses and ports of an arriving segment lie. */
struct tcp_key4 {
	__be32 remote;
	__be32 local;
	__be16 rport;
	__be16 lport;
};

struct tcp_key6 {
	__be32 remote[4];
	__be32 local[4];
	__be16 rport;
	__be16 lport;
};

struct tcp_listener_key {
	__be32 address[4]; /* 0: any; IPv4 in word 0 */
	__be16 port;
	__u16 family;
};

struct tcp_listener {
	__u32 app;
	__u32 slot;    /* of `tcp_backlogs` */
	__u32 backlog; /* connections that may wait for accept, and handshakes under way */
	__u32 pad;
	struct tcp_options opt;
	__u8 lane_app[ETHERLOOM_MAX_LANES]; /* application of each lane, 0: `app` */
};

struct tcp_address {
	__be32 address[4]; /* IPv4 in word 0 */
};

/* Lanes add to the first three (atomically), the control plane writes the last. */
struct tcp_backlog {
	__u32 opening;     /* handshakes under way */
	__u32 established; /* connections handed over, ever */
	__u32 cookie_s;    /* when a cookie was sent last, s */
	__u32 accepted;    /* connections taken by the application, ever */
};

/* One connection as the control plane wants it. Written by the control plane only, read at EL_REQ_CONNECT and _OPTIONS. */
struct tcp_control {
	__be32 local[4];
	__be32 remote[4];
	__be16 lport;
	__be16 rport;
	__u16 family;
	__u16 urgents; /* counts: the byte before `urgent` is urgent */
	__u32 ifindex;
	__u32 app;
	__u32 urgent; /* position in the stream, written before `urgents` */
	__u32 life;  /* of the stream: the control plane's own note */
	struct tcp_options opt;
};

/* A connection in TIME_WAIT: no stream and no flow, only what answers its late segments. */
struct tcp_timewait {
	__u64 until_ns;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 rcv_wnd; /* as it goes on the wire */
	__u32 ts_recent;
	__u32 ts_offset;
	__u32 flags;   /* FLOW_TIMESTAMPS */
	__u32 oow_ms;
	__u32 pad;
};

/* The loader sets max_entries of these four to the number of streams. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct tcp_flow);
} tcp_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct tcp_board);
} tcp_boards SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct tcp_control);
} tcp_control SEC(".maps");

struct tcp_clock {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct tcp_clock);
} tcp_clocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct tcp_key4);
	__type(value, __u32);
} tcp4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct tcp_key6);
	__type(value, __u32);
} tcp6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct tcp_listener_key);
	__type(value, struct tcp_listener);
} tcp_listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct tcp_backlog);
} tcp_backlogs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct tcp_key6); /* IPv4: address in word 0 */
	__type(value, struct tcp_timewait);
} tcp_timewaits SEC(".maps");

/*
 * The flow that a program of this lane changes. A lane may die at any place, and its next life finds here what it left
 * half done: the first program to run mends it (mend.h).
 */
struct tcp_hand {
	__u32 id;      /* 0: none */
	__u32 opening; /* its stream was opened by tcp_open, and no table has it yet */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcp_hand);
} tcp_hands SEC(".maps");

static inline struct tcp_hand *hand(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&tcp_hands, &zero);
}

int tcp_mend(__u32 id); /* mend.h */

/* Empties the hand of a former life. */
static inline void hand_clean(struct tcp_hand *h)
{
	if (unlikely(h->id))
		tcp_mend(h->id);
}

#define NONNULL __attribute__((btf_decl_tag("arg:nonnull")))

static inline struct tcp_flow *flow_of(__u32 id)
{
	return bpf_map_lookup_elem(&tcp_flows, &id);
}

static inline struct tcp_board *board_of(__u32 id)
{
	return bpf_map_lookup_elem(&tcp_boards, &id);
}

#define US(ns) ((__u32)((ns) / 1000))
#define MS(ns) ((__u32)((ns) / 1000000))
#define NS_PER_US 1000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL

/* End of what the application has given us to send. What it writes after it has shut down is nothing of ours. */
static inline __u32 write_seq(const struct tcp_flow *f)
{
	return f->flags & FLOW_FIN_QUEUED ? f->snd_fin : f->iss + 1 + el_stream_snd_end(f->id);
}

static inline void owe(struct tcp_flow *f, __u32 todo)
{
	f->todo |= todo;
	el_ready(f->id);
}
