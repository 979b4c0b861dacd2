/*
 * Loops that end by what they read, not by a constant: `for (i = 0; can_loop; i++) if (i >= n) break; …`. The verifier
 * walks them until nothing new comes, a few times, where a constant bound would be walked to its end on every path;
 * at run time a counter of 8 million stands behind. (may_goto, Linux 6.9; written in bytes as assemblers lack it.)
 */
#pragma once
#include "bpf.h"

#define can_loop ({ \
	__label__ l_break, l_continue; \
	int ok = 1; \
	asm volatile goto("1:.byte 0xe5; .byte 0; .long ((%l[l_break] - 1b - 8) / 8) & 0xffff; .short 0" :::: l_break); \
	goto l_continue; \
l_break: \
	ok = 0; \
l_continue:; \
	ok; \
})
