/*
 * The tables by which a packet finds its socket. The control plane alone writes them; lanes only read: which lane has a
 * socket is known without a look at the socket, which is its lane's.
 */
#pragma once
#include "datagrams/packet.h"

/* Keys are addresses and ports as an arriving datagram has them. 0 for the remote: from anybody; for the local: to any. */
struct datagram_key4 {
	__be32 remote;
	__be32 local;
	__be16 rport;
	__be16 lport;
};

struct datagram_key6 {
	__be32 remote[4];
	__be32 local[4];
	__be16 rport;
	__be16 lport;
};

/* Of the tables' values: who a datagram is for is known without a look at the socket, which is its lane's. */
#define ENTRY_LANE_SHIFT 24
#define ENTRY_ID 0xffffff

struct datagram_address {
	__be32 address[4]; /* IPv4 in word 0 */
};

#define DATAGRAM_MAP(name, kind, entries, key_type, value_type) \
	struct { \
		__uint(type, BPF_MAP_TYPE_##kind); \
		__uint(max_entries, entries); \
		__type(key, key_type); \
		__type(value, value_type); \
	} name SEC(".maps")

/* The loader sets max_entries. */
DATAGRAM_MAP(OWN(4), HASH, 1024, struct datagram_key4, __u32);
DATAGRAM_MAP(OWN(6), HASH, 1024, struct datagram_key6, __u32);
DATAGRAM_MAP(OWN(_addresses), HASH, 1024, struct datagram_address, __u32); /* the host's own */

struct bpf_cpumap_val {
	__u32 qsize;
	__u32 prog;
};

DATAGRAM_MAP(OWN(_lanes), CPUMAP, 64, __u32, struct bpf_cpumap_val);

/* Entry of the socket that is connected with the peer, if there is one; 0. */
static inline __u32 datagram_connected(const struct datagram *d)
{
	__u32 *entry;

	if (d->family == AF_INET) {
		struct datagram_key4 key = { .remote = d->src[0], .local = d->dst[0], .rport = d->sport, .lport = d->dport };

		entry = bpf_map_lookup_elem(&OWN(4), &key);
	} else {
		struct datagram_key6 key = { .rport = d->sport, .lport = d->dport };

		memcpy(key.remote, d->src, sizeof(key.remote));
		memcpy(key.local, d->dst, sizeof(key.local));
		entry = bpf_map_lookup_elem(&OWN(6), &key);
	}
	return entry ? *entry : 0;
}

/* Entry of the socket that takes datagrams to the address, or to any, from everybody. Only our own addresses count. */
static inline __u32 datagram_bound(const struct datagram *d)
{
	struct datagram_address own;
	__u32 *entry, *any;

	if (d->family == AF_INET) {
		struct datagram_key4 key = { .local = d->dst[0], .lport = d->dport };

		entry = bpf_map_lookup_elem(&OWN(4), &key);
		key.local = 0;
		any = entry ? 0 : bpf_map_lookup_elem(&OWN(4), &key);
	} else {
		struct datagram_key6 key = { .lport = d->dport };

		memcpy(key.local, d->dst, sizeof(key.local));
		entry = bpf_map_lookup_elem(&OWN(6), &key);
		memset(key.local, 0, sizeof(key.local));
		any = entry ? 0 : bpf_map_lookup_elem(&OWN(6), &key);
	}
	if (entry)
		return *entry;
	memcpy(own.address, d->dst, sizeof(own.address));
	return any && bpf_map_lookup_elem(&OWN(_addresses), &own) ? *any : 0;
}
