/*
 * The pacer: how much waits in the NIC is estimated from what was given to it and its rate. A packet that would find more
 * than 5 µs waits in a tree here instead (want.h), where one with fewer bytes left may pass it; of every twenty turns one is the oldest's.
 *
 *   homa_may_send ─ queue short ─▶ NIC        ─ else: tree, by bytes left ─ timer, when the queue is short again ─▶ el_ready
 */
#pragma once
#include "grant.h"

const volatile __u32 homa_ps_per_byte = 0; /* of the NIC, picoseconds; 0: no pacer */
const volatile __u32 homa_nic_queue_ns = 5000;
const volatile __u32 homa_nic_queue_hard_ns = 40000; /* nobody waits longer than so much for those before it */
const volatile __u32 homa_throttle_min = 1000;  /* packets of fewer bytes pass by */
const volatile __u32 homa_fifo_pace = 50; /* thousandths of the turns for the oldest */

/* Bytes on the wire beyond a frame: preamble, CRC, gap. */
#define WIRE_BYTES 24

/* One a port: when it will have sent all that lanes gave it, who add to it atomically. */
struct homa_nic {
	__u64 idle_ns;
};
HOMA_MAP(homa_nics, ARRAY, ETHERLOOM_MAX_PORTS, __u32, struct homa_nic);

struct homa_pacer {
	struct bpf_spin_lock lock;
	__u32 waits; /* somebody is in the trees, perhaps: who finds them empty says so */
	struct bpf_rb_root throttled __contains(homa_want, node);
	struct bpf_rb_root aged __contains(homa_want, aged);
	__s32 turns; /* thousandths, before the oldest has one */
	__u32 born;
	__u32 armed;
	__u32 pad;
	__u64 due_ns; /* that the timer is set to */
};
HOMA_MAP(homa_pacers, ARRAY, ETHERLOOM_MAX_LANES, __u32, struct homa_pacer);
HOMA_MAP(homa_pacer_clocks, ARRAY, ETHERLOOM_MAX_LANES, __u32, struct homa_clock);

static inline struct homa_pacer *pacer_here(void)
{
	__u32 lane = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&homa_pacers, &lane);
}

/* Takes a slot out of the trees, wherever it is, and forgets its object. */
noinline int unthrottle(__u32 id)
{
	struct homa_place *place = bpf_map_lookup_elem(&homa_places, &id);
	struct homa_pacer *v = pacer_here();
	struct homa_want *w;

	if (!place || !v)
		return 0;
	w = bpf_kptr_xchg(&place->pace, 0);
	if (w)
		step_out(&v->lock, &v->throttled, &v->aged, w);
	return 0;
}

/* Who has its turn: the one with the fewest bytes left, now and then the oldest. It leaves the trees; 0: nobody waits. */
noinline __u32 take_turn(void)
{
	struct homa_pacer *v = pacer_here();
	struct bpf_rb_node *n, *taken = 0, *aged = 0;
	__u32 id = 0;

	if (!v)
		return 0;
	v->turns -= homa_fifo_pace;
	bpf_spin_lock(&v->lock);
	if (v->turns < 0) {
		v->turns += 1000;
		n = bpf_rbtree_first(&v->aged);
		if (n)
			aged = bpf_rbtree_remove(&v->aged, n);
		if (aged)
			taken = bpf_rbtree_remove(&v->throttled, &aged_of(aged)->node);
	} else {
		n = bpf_rbtree_first(&v->throttled);
		if (n)
			taken = bpf_rbtree_remove(&v->throttled, n);
		if (taken)
			aged = bpf_rbtree_remove(&v->aged, &want_of(taken)->aged);
	}
	v->waits = bpf_rbtree_first(&v->throttled) || bpf_rbtree_first(&v->aged);
	bpf_spin_unlock(&v->lock);
	/* One that a lane put into one of them when it died is in that only. */
	if (taken) {
		id = want_of(taken)->id;
		bpf_obj_drop(want_of(taken));
	}
	if (aged) {
		id = aged_of(aged)->id;
		bpf_obj_drop(aged_of(aged));
	}
	return id;
}

static int on_turn(void *map, __u32 *lane, struct homa_clock *clock);

/* The timer, for the next turn at `at`. */
static inline void arm_turn(struct homa_pacer *v, __u64 at)
{
	__u32 lane = bpf_get_smp_processor_id();
	struct homa_clock *c;

	/* One that is long past died with its lane. */
	if (v->armed && at >= v->due_ns && at < v->due_ns + NS_PER_MS)
		return;
	c = bpf_map_lookup_elem(&homa_pacer_clocks, &lane);
	if (!c)
		return;
	bpf_timer_init(&c->timer, &homa_pacer_clocks, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&c->timer, on_turn);
	bpf_timer_start(&c->timer, at, BPF_F_TIMER_ABS | BPF_F_TIMER_PACER);
	v->armed = 1;
	v->due_ns = at;
}

static int on_turn(void *map, __u32 *lane, struct homa_clock *clock)
{
	struct homa_pacer *v = bpf_map_lookup_elem(&homa_pacers, lane);
	struct homa_rpc *r;
	__u32 id;

	if (!v)
		return 0;
	v->armed = 0;
	id = take_turn();
	r = id ? rpc_of(id) : 0;
	if (r && r->pacing == PACING_WAITS) {
		r->pacing = PACING_TURN;
		el_ready(id);
	}
	/* Should that one make nothing of it, the next is not to wait long. */
	if (v->waits)
		arm_turn(v, bpf_ktime_get_ns() + homa_nic_queue_hard_ns);
	return 0;
}

/* Puts a slot into the tree. Without memory for it, it goes as if there were no pacer. 0: it waits. */
noinline int throttle(struct homa_rpc *r NONNULL, __u32 id, __u64 at)
{
	struct homa_place *place = bpf_map_lookup_elem(&homa_places, &id);
	struct homa_pacer *v = pacer_here();
	struct homa_want *w, *kept;

	if (!place || !v)
		return -1;
	if (r->pacing != PACING_WAITS) {
		/* That of its last turn. */
		w = bpf_kptr_xchg(&place->pace, 0);
		if (!w)
			w = bpf_obj_new(struct homa_want);
		if (!w)
			return -1;
		w->left = r->out_len - r->out_next;
		w->id = id;
		if (!r->out_born)
			r->out_born = ++v->born ? v->born : ++v->born;
		w->born = r->out_born;
		kept = bpf_kptr_xchg(&place->pace, bpf_refcount_acquire(w));
		if (kept)
			bpf_obj_drop(kept);
		v->waits = 1;
		line_up(&v->lock, &v->throttled, &v->aged, w);
		r->pacing = PACING_WAITS;
		count(Throttled);
	}
	arm_turn(v, at);
	return 0;
}

/* When the NIC will have sent all; one that rests, now. */
static inline __u64 nic_idle(struct homa_nic *nic, __u64 now)
{
	__u64 idle = nic->idle_ns;

	if (idle >= now)
		return idle;
	/* Another lane may have said so, and given it something: that stays. */
	__sync_val_compare_and_swap(&nic->idle_ns, idle, now);
	return now;
}

/* The NIC is given a packet of so many bytes. */
static inline void nic_takes(struct homa_nic *nic, __u32 bytes)
{
	__sync_fetch_and_add(&nic->idle_ns, (__u64)(bytes + WIRE_BYTES) * homa_ps_per_byte / 1000);
}

/*
 * A control packet goes to the NIC: it waits for nobody, but what comes after it does. A host that grants to many sends so many
 * GRANTs that the queue would grow without end behind an estimate that knew of DATA only.
 */
static inline void homa_goes(__u32 port, __u32 bytes)
{
	struct homa_nic *nic = homa_ps_per_byte ? bpf_map_lookup_elem(&homa_nics, &port) : 0;

	if (!nic)
		return;
	nic_idle(nic, bpf_ktime_get_ns());
	nic_takes(nic, bytes);
}

/* Whether a packet of the slot may go now, or waits in the tree. */
static inline int homa_may_send(struct xdp_md *ctx, struct homa_rpc *r, __u32 id, __u32 bytes)
{
	__u32 port = ctx->egress_ifindex;
	struct homa_pacer *v;
	struct homa_nic *nic;
	__u64 now, idle, at;

	if (!homa_ps_per_byte)
		return 1;
	nic = bpf_map_lookup_elem(&homa_nics, &port);
	v = pacer_here();
	if (!nic || !v)
		return 1;
	now = bpf_ktime_get_ns();
	idle = nic_idle(nic, now);
	if (bytes >= homa_throttle_min) {
		at = idle - homa_nic_queue_ns;
		if (idle > now + homa_nic_queue_ns) {
			/* The estimate may be wrong, and is not to stop anybody for long. */
			if (at > now + homa_nic_queue_hard_ns)
				at = now + homa_nic_queue_hard_ns;
			if (!throttle(r, id, at))
				return 0;
		} else if (r->pacing != PACING_TURN && v->waits) {
			/* Others wait already. */
			if (!throttle(r, id, now))
				return 0;
		}
	}
	nic_takes(nic, bytes);
	return 1;
}

/* The slot has nothing more to send for now: the next one's turn, if others wait. */
static inline void homa_turn_over(struct homa_rpc *r, __u32 id)
{
	struct homa_place *place;
	struct homa_want *w;
	struct homa_pacer *v;

	if (r->pacing != PACING_TURN)
		return;
	r->pacing = PACING_NOT;
	/* Who rests keeps nothing. */
	place = bpf_map_lookup_elem(&homa_places, &id);
	w = place ? bpf_kptr_xchg(&place->pace, 0) : 0;
	if (w)
		bpf_obj_drop(w);
	v = pacer_here();
	if (v && v->waits)
		arm_turn(v, bpf_ktime_get_ns());
}
