/*
 * Two tc programs for the edge of a network, on __sk_buff and its helpers:
 *   tc_mark   marks DSCP by destination port and mends the header checksum with bpf_l3_csum_replace
 *   tc_vlan   puts untagged IP packets into a VLAN by source prefix
 */
#include "parse.h"

struct lpm4 {
	__u32 prefixlen;
	__be32 addr;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u16);  /* destination port, host order */
	__type(value, __u8); /* DSCP, 0 … 63 */
} classes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lpm4);
	__type(value, __u16); /* VLAN id */
} vlans SEC(".maps");

#define TOS_WORD (sizeof(struct ethhdr) + offsetof(struct iphdr, tos) - 1)
#define CHECK_AT (sizeof(struct ethhdr) + offsetof(struct iphdr, check))

SEC("tc")
int tc_mark(struct __sk_buff *skb)
{
	struct packet p;
	__be16 from, to;
	__u16 port;
	__u8 *dscp;

	if (parse_packet(&p, data_of(skb), data_end_of(skb)) != PARSE_OK || !p.ip4 || !has_ports(p.protocol))
		return TC_ACT_OK;
	if ((void *)p.ip4 != (void *)(p.eth + 1))
		return TC_ACT_OK; /* a tag in between: offsets below are for plain frames */
	port = ntohs(((struct udphdr *)p.l4)->dest);
	dscp = bpf_map_lookup_elem(&classes, &port);
	if (!dscp)
		return TC_ACT_OK;
	/* A word of version, IHL and TOS; ECN stays. */
	from = *(__be16 *)p.ip4;
	to = htons((ntohs(from) & ~0xfc) | (*dscp & 63) << 2);
	if (from == to)
		return TC_ACT_OK;
	if (bpf_l3_csum_replace(skb, CHECK_AT, from, to, sizeof(to)) ||
	    bpf_skb_store_bytes(skb, TOS_WORD, &to, sizeof(to), 0))
		return TC_ACT_SHOT;
	skb->priority = *dscp;
	return TC_ACT_OK;
}

SEC("tc")
int tc_vlan(struct __sk_buff *skb)
{
	struct packet p;
	struct lpm4 key;
	__u16 *id;

	if (skb->vlan_present)
		return TC_ACT_OK;
	if (parse_packet(&p, data_of(skb), data_end_of(skb)) > PARSE_NO_PORTS || !p.ip4 || p.vlan)
		return TC_ACT_OK;
	key.prefixlen = 32;
	key.addr = p.ip4->saddr;
	id = bpf_map_lookup_elem(&vlans, &key);
	if (!id)
		return TC_ACT_OK;
	return bpf_skb_vlan_push(skb, htons(ETH_P_8021Q), *id & 0xfff) ? TC_ACT_SHOT : TC_ACT_OK;
}

license("Dual MIT/GPL");
