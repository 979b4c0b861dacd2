/*
 * Programs that carry state from one layout to another: host/transports/upgrade/README.md. SEC("migrate/MAP") names the map;
 * each is called once for every value that the map had, while all lanes stand still.
 */
#pragma once
#include "bpf.h"
#include "net.h"

enum { MIGRATE_KEEP = 0, MIGRATE_DROP = 1 };

#define MIGRATE_ALIGN(bytes) (((bytes) + 7) & ~7u)

/*
 * Declares `was` and `now`, of these types: the value as it was, and as it will be, which has all members of one name and type
 * already. Returns from the program when they do not lie there.
 */
#define MIGRATE_VALUES(ctx, was_t, was, now_t, now) \
	was_t *was = data_of(ctx); \
	now_t *now = data_of(ctx) + MIGRATE_ALIGN(sizeof(was_t)); \
	if ((void *)(now + 1) > data_end_of(ctx)) \
		return -1
