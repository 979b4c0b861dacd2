/*
 * The bodies that the HTTP server of the bench sends and its client compares byte by byte: a function of their length,
 * so that neither side reads a file and a body of another length, a hole or a swapped segment shows.
 */
#ifndef ETHERLOOM_BENCH_BODY_H
#define ETHERLOOM_BENCH_BODY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Longest body that is served, bytes. */
#define BODY_MAX (64u << 20)

/* Fills `length` bytes: xorshift64* seeded with the length. */
static inline void body_fill(uint8_t *at, size_t length) {
  uint64_t x = 0x9e3779b97f4a7c15ull ^ ((uint64_t)length * 0xbf58476d1ce4e5b9ull);
  for (size_t i = 0; i < length; i += 8) {
    x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
    uint64_t word = x * 0x2545f4914f6cdd1dull;
    memcpy(at + i, &word, length - i < 8 ? length - i : 8);
  }
}

/* A new body, or NULL. */
static inline uint8_t *body_make(size_t length) {
  uint8_t *at = malloc(length ? length : 1);
  if (at) body_fill(at, length);
  return at;
}

#endif
