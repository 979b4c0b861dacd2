/*
 * Functions that the engine calls: congestion control of one's own, as the kernel's struct_ops.
 *
 *   SEC("struct_ops/aimd_event")
 *   int OPS(aimd_event, struct el_cc *cc, const struct el_cc_event *event) { …; return 0; }
 *
 *   SEC(".struct_ops")
 *   struct el_cc_ops aimd = { .event = (void *)aimd_event, .name = "aimd" };
 *
 * The program gets one pointer, to its arguments of 8 bytes each; OPS takes them out. What an argument points to is read
 * member by member; of struct el_cc cwnd, ssthresh, rate, flags, undo_… and priv may be written.
 */
#pragma once
#include "bpf.h"
#include "layout.gen.h"

/* What a flow is told and asked: EL_CC_ACK … in event->kind. A window that is out of bounds is brought within them. */
struct el_cc_ops {
	/* Begins on a flow; cwnd and ssthresh are set, priv is zero. Less than 0: it will not have the flow. May be missing. */
	int (*init)(struct el_cc *cc);
	/* Something happened: new cwnd, ssthresh, rate. What it returns is not looked at. */
	int (*event)(struct el_cc *cc, const struct el_cc_event *event);
	char name[16];
};

#define OPS_ARG(i) (void *)ops_args[i]
#define OPS_CALL1(f) f(OPS_ARG(0))
#define OPS_CALL2(f) f(OPS_ARG(0), OPS_ARG(1))
#define OPS_PICK(one, two, pick, ...) pick
/* `int OPS(name, arguments) { … }`: a program whose body has its arguments by their names. One or two, all pointers. */
#define OPS(name, ...) \
	name(unsigned long long *ops_args); \
	static inline int name##_body(__VA_ARGS__); \
	int name(unsigned long long *ops_args) { return OPS_PICK(__VA_ARGS__, OPS_CALL2, OPS_CALL1, )(name##_body); } \
	static inline int name##_body(__VA_ARGS__)
