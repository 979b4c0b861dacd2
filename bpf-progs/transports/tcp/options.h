/*
 * Options of a connection, as the control plane writes them: in a listener for those it will accept, in `tcp_control`
 * for one alone, at any time (EL_REQ_OPTIONS makes the lane take them in). 0 is the default everywhere.
 */
#pragma once
#include "bpf.h"

enum tcp_option_flag {
	TCP_OPT_NODELAY = 1,         /* no Nagle */
	TCP_OPT_CORK = 2,            /* full segments only, or 200 ms */
	TCP_OPT_KEEPALIVE = 4,
	TCP_OPT_ECN = 8,             /* ask for ECN when connecting; who is asked always agrees, unless … */
	TCP_OPT_NO_ECN = 16,         /* … this is set */
	TCP_OPT_NO_TIMESTAMPS = 32,
	TCP_OPT_NO_SACK = 64,
	TCP_OPT_NO_WSCALE = 128,
	TCP_OPT_NO_DELACK = 256,     /* TCP_QUICKACK for ever */
	TCP_OPT_PACE = 512,          /* pace window-based congestion control, as Linux with fq */
	TCP_OPT_NO_PMTUD = 1024,     /* fragments may be made (DF off), ICMP is not believed */
	TCP_OPT_PROBE_MTU = 2048,    /* RFC 4821 from the start; else only in a black hole */
	TCP_OPT_NO_TLP = 4096,
	TCP_OPT_COOKIES = 8192,      /* listener: SYN cookies always, not only when the backlog is full */
	TCP_OPT_NO_COOKIES = 16384,  /* listener: never */
	TCP_OPT_NO_IDLE_RESTART = 32768,
	TCP_OPT_NO_DSACK = 65536,
	TCP_OPT_NO_FRTO = 131072,
	TCP_OPT_NO_ACK_LIMIT = 262144, /* ACKs of unacceptable segments as many as come (RFC 5961 §7) */
};

struct tcp_options {
	__u32 flags;              /* TCP_OPT_* */
	__u32 algorithm;          /* EL_CC_* */
	__u32 snd_bytes;          /* rings; 0 = 16 KiB that grow to 4 MiB */
	__u32 rcv_bytes;
	__u32 mss;                /* at most; 0 = what the MTU gives */
	__u32 rate;               /* pacing at most, bytes/s; 0 = no limit */
	__u32 user_timeout_ms;    /* RFC 5482; 0 = by number of retries */
	__u32 keep_idle_ms;       /* 0 = 7,200,000 */
	__u32 keep_interval_ms;   /* 0 = 75,000 */
	__u32 min_rto_us;         /* 0 = 200,000 */
	__u32 delack_us;          /* 0 = 40,000 */
	__u32 fin_timeout_ms;     /* FIN_WAIT2 without an application; 0 = 60,000 */
	__u8 keep_probes;         /* 0 = 9 */
	__u8 syn_retries;         /* 0 = 6 */
	__u8 synack_retries;      /* 0 = 5 */
	__u8 retries;             /* of data; 0 = 15 */
	__u8 tos;
	__u8 ttl;                 /* 0 = 64 */
	__u8 initial_cwnd;        /* segments; 0 = 10 (RFC 6928) */
	__u8 pad;
};

#define TCP_DEFAULT(value, otherwise) ((value) ? (value) : (otherwise))
