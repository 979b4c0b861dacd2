/*
 * http_client ADDRESS PORT BYTES REQUESTS CLIENTS: CLIENTS threads, each with REQUESTS requests of `GET /BYTES` one after the
 * other, a connection each. Prints one line of JSON: what went wrong by kind, the time of everything, and percentiles
 * of a request (from socket() to the end of the stream), µs. The body is compared byte by byte, outside the time.
 */
#define _GNU_SOURCE
#include "body.h"
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 1024
#define TIMEOUT_S 10

enum outcome { OK, REFUSED, RESET, TIMEOUT, SHORT, STATUS, BODY, OTHER, OUTCOMES };
static const char *const names[OUTCOMES] = {"ok", "refused", "reset", "timeout", "short", "status", "body", "other"};

static struct sockaddr_in server;
static size_t length;
static int requests;
static uint8_t *expected;
static pthread_barrier_t start;

struct client {
  pthread_t thread;
  uint64_t *ns; /* per request, in order */
  unsigned outcomes[OUTCOMES];
  uint64_t endNs;
};

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static enum outcome ofErrno(void) {
  if (errno == ECONNREFUSED) return REFUSED;
  if (errno == ECONNRESET || errno == EPIPE) return RESET;
  if (errno == EAGAIN || errno == ETIMEDOUT || errno == EINPROGRESS) return TIMEOUT;
  return OTHER;
}

/* Sends the request and reads to the end of the stream; bytes read in *have. */
static enum outcome transfer(int fd, const char *ask, uint8_t *buffer, size_t size, size_t *have) {
  if (connect(fd, (struct sockaddr *)&server, sizeof server)) return ofErrno();
  if (send(fd, ask, strlen(ask), MSG_NOSIGNAL) < 0) return ofErrno();
  for (*have = 0;;) {
    if (*have == size) return BODY; /* more than was asked for */
    ssize_t n = recv(fd, buffer + *have, size - *have, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ofErrno();
    if (n == 0) return OK;
    *have += (size_t)n;
  }
}

static enum outcome check(const uint8_t *buffer, size_t have) {
  const uint8_t *body = memmem(buffer, have, "\r\n\r\n", 4);
  if (!body) return SHORT;
  if (have < 12 || memcmp(buffer, "HTTP/1.", 7) || memcmp(buffer + 9, "200", 3)) return STATUS;
  body += 4;
  size_t got = have - (size_t)(body - buffer);
  if (got < length) return SHORT;
  return got == length && memcmp(body, expected, length) == 0 ? OK : BODY;
}

static void *run(void *argument) {
  struct client *c = argument;
  size_t size = length + HEAD_MAX, have = 0;
  uint8_t *buffer = malloc(size);
  char ask[160];
  snprintf(ask, sizeof ask, "GET /%zu HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n", length);
  memset(buffer, 1, size); /* its pages are there before the clock runs */
  pthread_barrier_wait(&start);
  for (int i = 0; i < requests; i++) {
    uint64_t from = now();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = TIMEOUT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    enum outcome outcome = transfer(fd, ask, buffer, size, &have);
    c->ns[i] = now() - from;
    close(fd);
    if (outcome == OK) outcome = check(buffer, have);
    c->outcomes[outcome]++;
  }
  c->endNs = now();
  free(buffer);
  return NULL;
}

static int byValue(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
  server.sin_family = AF_INET;
  int clients;
  if (argc != 6 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1 || (requests = atoi(argv[4])) < 1 ||
      (clients = atoi(argv[5])) < 1 || (length = strtoull(argv[3], NULL, 10)) > BODY_MAX) {
    fprintf(stderr, "usage: http_client ADDRESS PORT BYTES REQUESTS CLIENTS\n");
    return 2;
  }
  server.sin_port = htons((uint16_t)atoi(argv[2]));
  size_t total = (size_t)requests * (size_t)clients;
  uint64_t *ns = calloc(total, sizeof *ns);
  struct client *all = calloc((size_t)clients, sizeof *all);
  expected = body_make(length);
  if (!ns || !all || !expected) return 1;
  pthread_barrier_init(&start, NULL, (unsigned)clients + 1);
  for (int i = 0; i < clients; i++) {
    all[i].ns = ns + (size_t)i * (size_t)requests;
    if (pthread_create(&all[i].thread, NULL, run, &all[i])) {
      perror("http_client");
      return 1;
    }
  }
  pthread_barrier_wait(&start);
  uint64_t from = now(), last = from, sum = 0;
  unsigned outcomes[OUTCOMES] = {0};
  for (int i = 0; i < clients; i++) {
    pthread_join(all[i].thread, NULL);
    if (all[i].endNs > last) last = all[i].endNs;
    for (int o = 0; o < OUTCOMES; o++) outcomes[o] += all[i].outcomes[o];
  }
  for (size_t i = 0; i < total; i++) sum += ns[i];
  qsort(ns, total, sizeof *ns, byValue);
  printf("{\"requests\":%zu", total);
  for (int o = 0; o < OUTCOMES; o++) printf(",\"%s\":%u", names[o], outcomes[o]);
#define AT(p) ((double)ns[(size_t)((double)(total - 1) * (p) + 0.5)] / 1e3)
  printf(",\"elapsedUs\":%.1f,\"minUs\":%.1f,\"meanUs\":%.1f,\"p50Us\":%.1f,\"p90Us\":%.1f,\"p99Us\":%.1f,\"maxUs\":%.1f}\n",
         (double)(last - from) / 1e3, AT(0), (double)sum / (double)total / 1e3, AT(0.5), AT(0.9), AT(0.99), AT(1));
  return 0;
}
