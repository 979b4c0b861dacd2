/*
 * A slot is a stream that carries one RPC at a time: the request in one ring, the response in the other, each message behind
 * a record that says how long it is, whose, and of which call.
 *
 *   send ring, receive ring:  │ record 32 B │ message, filled up to a multiple of 32 │ record │ message …
 *
 * Slots of clients are opened by the control plane, slots of servers by the first packet of a client's (channel.h).
 *
 *   client  REST ─ record in the send ring ─▶ OUT ─ first DATA of the response ─▶ IN ─ last ─▶ REST
 *   server  REST ─ first DATA of a request ─▶ IN ─ last ─▶ SERVE ─ record in the send ring ─▶ OUT ─ acknowledged ─▶ REST
 *                     ▲ a newer call of the client's slot, in any phase
 */
#pragma once
#include "kfuncs.gen.h"
#include "layout.gen.h"
#include "count.h"
#include "endian.h"
#include "net.h"
#include "wire.h"

#define HOMA_TRANSPORT IPPROTO_HOMA
#define HOMA_ALIGN 32
#define NS_PER_MS 1000000ULL
#define NONNULL __attribute__((btf_decl_tag("arg:nonnull")))

#define be64_of(x) ((__u64)__builtin_bswap64((__u64)(x)))

/* Errors of Linux (include/uapi/asm-generic). */
enum {
	ENOMEM = 12, EPROTO = 71, EMSGSIZE = 90, ENETDOWN = 100, ENETUNREACH = 101, ECONNRESET = 104, ENOBUFS = 105, ETIMEDOUT = 110,
	ECONNREFUSED = 111, EHOSTUNREACH = 113,
};

struct homa_record {
	__u32 len;         /* of the message */
	__u8 family;       /* AF_INET, AF_INET6; in a response that is to be sent nobody looks */
	__u8 flags;        /* 0 */
	__be16 port;       /* whose it is: the server's, as the client sends to it; the client's, as the server hears it */
	__be32 address[4]; /* IPv4 in word 0, the others 0 */
	__u32 call;        /* the client's number of the call on this slot */
	__u32 pad;
};
_Static_assert(sizeof(struct homa_record) == HOMA_ALIGN, "a record is never cut in two");

/* Bytes that a message takes in a ring. */
static inline __u32 homa_room(__u32 len)
{
	return HOMA_ALIGN + ((len + HOMA_ALIGN - 1) & ~(HOMA_ALIGN - 1));
}

enum homa_state { SLOT_FREE, SLOT_CLIENT, SLOT_SERVER, SLOT_GONE /* a server's that failed: it tells its client, and ends */ };
enum homa_phase { PHASE_REST, PHASE_OUT, PHASE_IN, PHASE_SERVE };

/* Control packets that a slot is to make. */
enum homa_due { DUE_RESEND = 1, DUE_GRANT = 2, DUE_NEED_ACK = 8, DUE_UNKNOWN = 16, DUE_CUTOFFS = 32 };

enum homa_granting { GRANTING_NOT, GRANTING_ACTIVE, GRANTING_WAITS, GRANTING_DONE /* to its end; bytes are under way */ };
enum homa_pacing { PACING_NOT, PACING_WAITS, PACING_TURN /* it is the one that may send */ };

/*
 * What a client's server said of its room. NOW: that is its last word, and nothing was sent since, for it waits to be asked again:
 * the call was not executed. BEFORE: it said so once, and may have the call by now.
 */
enum homa_no_room { NO_ROOM_NEVER, NO_ROOM_NOW, NO_ROOM_BEFORE };

/* Whether the timer runs: in ticks, or for a channel that rests. */
enum homa_armed { ARMED_NOT, ARMED_TICK, ARMED_REST };

/* `state` to `base` are the control plane's until a client's slot is known; all else is its lane's. Zeros at first. */
struct homa_rpc {
	__u8 state;  /* enum homa_state */
	__u8 phase;  /* enum homa_phase */
	__u8 family;
	__u8 due;    /* enum homa_due */
	__be16 port; /* own */
	__be16 rport;
	__u32 lane;
	__u32 error; /* errno: what ended it */
	__u64 base;  /* clients: number of call 0 */
	__u64 id;    /* of the RPC, as our packets have it */
	__be32 local[4];
	__be32 remote[4];
	__u64 moved;    /* how far the call was when the clock looked (homa_far), */
	__u64 moved_ns; /* and since when it is no further */
	__u64 sent_ns; /* a client's: when the request began to leave; 0: it has not */
	__u64 unresolved_ns; /* since when the neighbour does not answer; 0: it does */
	__u8 armed;  /* enum homa_armed */
	__u8 ticked; /* the timer fired, armed so: the slot is to look what is due */
	__u8 heard;  /* something came of the peer since the timer looked last */
	__u8 known;  /* clients: the server has heard of the call */
	__u8 tries;  /* times that the request was begun again, in vain */
	__u8 priority;   /* that what goes out was granted with */
	__u8 asked_priority; /* and what is sent again */
	__u8 grant_priority; /* that what comes in is granted with */
	__u8 begun;    /* some of what goes out was sent, if only that it is empty */
	__u8 granting; /* enum homa_granting */
	__u8 stalled;  /* less was granted than might be: there was no room for it */
	__u8 pacing;   /* enum homa_pacing */
	__u8 closing;  /* servers: it ends when the response has arrived, or, at rest, now */
	__u8 no_room;  /* clients: enum homa_no_room */
	__u8 quiet;    /* what was granted does not come: nobody counts on it (incoming.h) */
	__u8 told;     /* clients: errno of an ICMP error about the call; what it ends with when it times out */
	__u16 cut_to;  /* an MTU that was told of what goes out: what is larger was lost, and sent again; 0: none */
	__u8 foreign;  /* servers: the client is not of our kind, and has a channel for each call */
	__u8 counted;  /* servers: in the shares (ledger.h) */
	__u8 asks;     /* servers: times that the client was asked since something of it was heard */
	__u8 lacking;  /* bytes that came found no room, and were dropped: */
	__u8 pad[2];
	__u32 lacked;  /* there was so much then, from the record on */
	__u32 serving; /* servers: homa_serving when it was looked whether the port is served */
	__u32 silent;      /* ticks */
	__u32 out_at;      /* position of the record that goes out, or will next */
	__u32 out_end;     /* where it ends */
	__u32 out_len;
	__u32 out_next;    /* bytes sent; never more than */
	__u32 out_granted;
	__u32 out_freed;   /* bytes that the peer has for certain: not in the ring any more */
	__u32 acked;       /* position before which the send ring is free */
	__u32 in_at;       /* position of the record that comes in, or will next */
	__u32 in_end;      /* where it ends, once in_len is known */
	__u32 in_len;      /* LEN_UNKNOWN: the lane died while it was begun */
	__u32 in_next;     /* bytes received in order */
	__u32 in_granted;
	__u32 in_counted;  /* bytes of it in the lane's sum of what is under way (incoming.h) */
	__u32 in_most;     /* end of the last byte that came */
	__u32 received;    /* position that the application was told */
	__u32 in_seen;     /* bytes that had come when the clock looked last */
	__u32 in_born;     /* order of messages that want grants; 0: it does not yet */
	__u32 in_wanted;   /* bytes left by which it is in the tree of these (waiting.h) */
	__u32 out_born;    /* the same of messages that wait for the NIC */
	__u32 ask;         /* up to where a round of RESENDs has asked */
	/* PHASE_IN: ranges that came ahead of in_next. PHASE_OUT: ranges that are to be sent again. Bytes of the message. */
	struct el_intervals spans;
};

struct homa_clock {
	struct bpf_timer timer;
};

#define HOMA_MAP(name, kind, entries, key_type, value_type) \
	struct { \
		__uint(type, BPF_MAP_TYPE_##kind); \
		__uint(max_entries, entries); \
		__type(key, key_type); \
		__type(value, value_type); \
	} name SEC(".maps")

/* The loader sets max_entries to the number of streams. */
HOMA_MAP(homa_rpcs, ARRAY, 1024, __u32, struct homa_rpc);
HOMA_MAP(homa_clocks, ARRAY, 1024, __u32, struct homa_clock);

struct homa_address {
	__be32 address[4]; /* mapped */
};
HOMA_MAP(homa_addresses, HASH, 1024, struct homa_address, __u32); /* the host's own */

struct bpf_cpumap_val {
	__u32 qsize;
	__u32 prog;
};

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct bpf_cpumap_val);
} homa_lanes SEC(".maps");

static inline struct homa_rpc *rpc_of(__u32 id)
{
	return bpf_map_lookup_elem(&homa_rpcs, &id);
}

/* The mapped form of an address of IPv4 (RFC 4291 §2.5.5.2), by which maps know it: no address of IPv6 that is anybody's has it. */
static inline void mapped(__be32 *to, const __be32 *address, __u32 family)
{
	if (family == AF_INET) {
		to[0] = to[1] = 0;
		to[2] = htonl(0xffff);
		to[3] = address[0];
	} else
		memcpy(to, address, 4 * sizeof(*to));
}

static inline __u32 same_address(const __be32 *a, const __be32 *b)
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}

/* Bytes of a message that go without being asked for; of one that comes in, no more than that is believed to. */
const volatile __u32 homa_unscheduled = 40000;

#define LEN_UNKNOWN 0xffffffffU

/* Parts of an RPC's id: seq << 25 | slot << 1 | server. */
#define ID_SLOT(id) ((__u32)((id) >> 1) & 0xffffff)
#define ID_SEQ_SHIFT 25

/* Order of two numbers of calls, of 39 bits each. */
static inline __s64 homa_after(__u64 id, __u64 other)
{
	return (__s64)((id & ~0x1ffffffULL) - (other & ~0x1ffffffULL));
}

/* What it has done with of the send ring goes back, as far as it was written. */
static inline void homa_release(struct homa_rpc *r, __u32 id)
{
	__u32 end;

	if ((__s32)(r->out_at - r->acked) <= 0)
		return;
	end = el_stream_snd_end(id);
	/* First here, then to the stream: a lane that dies between the two says it again. */
	r->acked = (__s32)(r->out_at - end) > 0 ? end : r->out_at;
	el_stream_acked(id, r->acked);
}

/* The message that goes out is done with. Said again after a death, it changes nothing. */
static inline void homa_out_done(struct homa_rpc *r, __u32 id)
{
	r->out_at = r->out_end;
	r->out_len = 0;
	homa_release(r, id);
}

static inline void spans_clear(struct homa_rpc *r)
{
	if (r->spans.count)
		el_intervals_trim(&r->spans, HOMA_MAX_MESSAGE + 1);
}
