/*
 * Homa's packets, as HomaModule has them on the wire (homa_wire.h, 9edb958); IP protocol 146. Everything big-endian, no
 * padding but what is named. host/wire/homa.ts says the same to people; tests/homa/wire.test.ts compares the two.
 */
#pragma once
#include "types.h"

#define IPPROTO_HOMA 146

enum homa_type {
	HOMA_DATA = 0x10,
	HOMA_GRANT = 0x11,
	HOMA_RESEND = 0x12,
	HOMA_RPC_UNKNOWN = 0x13,
	HOMA_BUSY = 0x14,
	HOMA_CUTOFFS = 0x15,
	HOMA_FREEZE = 0x16,
	HOMA_NEED_ACK = 0x17,
	HOMA_ACK = 0x18,
};

enum homa_limits {
	HOMA_MAX_MESSAGE = 1000000, /* bytes */
	HOMA_PRIORITIES = 8,
	HOMA_ACKS = 5, /* RPCs that one ACK names */
	HOMA_CLIENT_PORTS = 0x8000, /* ports from here on are clients' */
};

#define HOMA_RESEND_ALL 0xffffffff

/*
 * In three bytes that HomaModule does not use. Versions of it leave these, `sequence`, `flags` and `checksum` of control packets as
 * their memory was: only with the mark they mean something.
 */
#define HOMA_MARK_0 'e'
#define HOMA_MARK_1 'l'
#define HOMA_MARK_2 'm'

/*
 * Of DATA, with the mark: all that the sender has of the message was sent, its ring takes no more before it knows what has arrived, and
 * it may send more. It is told by a GRANT at once.
 */
#define HOMA_DATA_TELL 0x10

/* doff: words before the segment header of DATA; five for all others */
#define HOMA_DOFF_DATA (13 << 4)
#define HOMA_DOFF (5 << 4)

/* What every packet begins with: TCP's header in shape, so that cards cut large packets alike. */
struct homa_common {
	__be16 sport;
	__be16 dport;
	__be32 sequence; /* DATA: offset of the first byte, where a card would count it on */
	__u8 mark[3]; /* HOMA_MARK: what HomaModule leaves unset is set here, and means something */
	__u8 type;
	__u8 doff;
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
	__be64 sender_id; /* the RPC, as the sender counts it: even at the client, ^ 1 at the server */
} __attribute__((packed));

/* An RPC whose response the client has. client_id 0: none. */
struct homa_ack {
	__be64 client_id;
	__be16 server_port;
} __attribute__((packed));

struct homa_data {
	struct homa_common common;
	__be32 message_length;
	__be32 incoming; /* bytes that come without being asked for */
	struct homa_ack ack;
	__be16 cutoff_version;
	__u8 retransmit;
	__u8 pad[3];
	__be32 offset; /* the segment: its bytes follow */
} __attribute__((packed));

struct homa_grant {
	struct homa_common common;
	__be32 offset; /* bytes before it may be sent */
	__u8 priority;
} __attribute__((packed));

struct homa_resend {
	struct homa_common common;
	__be32 offset;
	__be32 length; /* HOMA_RESEND_ALL */
	__u8 priority;
} __attribute__((packed));

struct homa_cutoffs {
	struct homa_common common;
	__be32 unsched_cutoffs[HOMA_PRIORITIES]; /* longest message of each priority, lowest first */
	__be16 cutoff_version;
} __attribute__((packed));

struct homa_acks {
	struct homa_common common;
	__be16 num_acks;
	struct homa_ack acks[HOMA_ACKS];
} __attribute__((packed));
