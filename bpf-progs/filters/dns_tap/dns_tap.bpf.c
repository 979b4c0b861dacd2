/*
 * Socket filter: keeps DNS over UDP (the first 512 bytes), drops the rest, and counts questions and answers.
 * Socket filters have no direct packet access. Some begin at the link header, some at the network header, by
 * the socket that they are bound to: reading relative to the link header suits both.
 */
#include "bpf.h"
#include "net.h"

#define KEEP_BYTES 512
#define DNS_PORT 53

enum kind { QUESTION, ANSWER, KINDS };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KINDS);
	__type(key, __u32);
	__type(value, __u64);
} messages SEC(".maps");

static inline long load(struct __sk_buff *skb, __u32 offset, void *to, __u32 len)
{
	return bpf_skb_load_bytes_relative(skb, offset, to, len, BPF_HDR_START_MAC);
}

/* Offset of the UDP header from the link header on, or 0. */
static inline __u32 udp_at(struct __sk_buff *skb)
{
	__u32 at = sizeof(struct ethhdr);
	__be16 proto, frag;
	__u8 byte;

	if (load(skb, offsetof(struct ethhdr, h_proto), &proto, sizeof(proto)))
		return 0;
	if (proto == htons(ETH_P_8021Q)) {
		if (load(skb, at + offsetof(struct vlanhdr, proto), &proto, sizeof(proto)))
			return 0;
		at += sizeof(struct vlanhdr);
	}
	if (proto == htons(ETH_P_IP)) {
		if (load(skb, at + offsetof(struct iphdr, protocol), &byte, 1) || byte != IPPROTO_UDP)
			return 0;
		if (load(skb, at + offsetof(struct iphdr, frag_off), &frag, sizeof(frag)) ||
		    frag & IP_OFFSET_MASK)
			return 0;
		if (load(skb, at, &byte, 1))
			return 0;
		return at + (byte & 15) * 4;
	}
	if (proto == htons(ETH_P_IPV6)) {
		if (load(skb, at + offsetof(struct ipv6hdr, nexthdr), &byte, 1) || byte != IPPROTO_UDP)
			return 0;
		return at + sizeof(struct ipv6hdr);
	}
	return 0;
}

SEC("socket")
int dns_tap(struct __sk_buff *skb)
{
	struct udphdr udp;
	__u32 at, kind;
	__u64 *count;

	at = udp_at(skb);
	if (!at || load(skb, at, &udp, sizeof(udp)))
		return 0;
	if (udp.dest == htons(DNS_PORT))
		kind = QUESTION;
	else if (udp.source == htons(DNS_PORT))
		kind = ANSWER;
	else
		return 0;
	count = bpf_map_lookup_elem(&messages, &kind);
	if (count)
		__sync_fetch_and_add(count, 1);
	return KEEP_BYTES;
}

license("Dual MIT/GPL");
