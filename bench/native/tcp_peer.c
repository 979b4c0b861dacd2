/*
 * tcp_peer echo PORT spin|sleep                                  epoll echo server, until killed
 * tcp_peer ask ADDRESS PORT CONNECTIONS BYTES MS spin|sleep      closed loop: a message in flight on each connection
 * tcp_peer sink PORT MS                                          takes one connection, counts for MS after the first 300 ms
 * tcp_peer source ADDRESS PORT MS CONGESTION                     sends for MS, by a congestion control of this kernel
 *
 * The kernel's TCP as the bench uses it: one thread, epoll, TCP_NODELAY, sockets that do not block. `spin` asks epoll
 * again and again (timeout 0), `sleep` waits in it. Servers print "ready"; the others print one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WARM_MS 300
#define BLOCK (128 << 10)
#define EVENTS 256
#define MOST_SAMPLES (8u << 20)

static char block[BLOCK];

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void check(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static struct sockaddr_in place(const char *address, const char *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  check(inet_pton(AF_INET, address, &a.sin_addr) == 1, address);
  return a;
}

static int listener(const char *port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct sockaddr_in a = place("0.0.0.0", port);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  check(!bind(fd, (struct sockaddr *)&a, sizeof a) && !listen(fd, 1024), "listen");
  puts("ready");
  fflush(stdout);
  return fd;
}

static void unblock(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  check(!fcntl(fd, F_SETFL, O_NONBLOCK), "fcntl");
}

/* A socket that sends by `congestion`; null: by the system's own. */
static int stream(const char *congestion) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  check(!congestion || !setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion)), "congestion");
  return fd;
}

static int reach(const char *address, const char *port, const char *congestion) {
  int fd = stream(congestion);
  struct sockaddr_in a = place(address, port);
  /* An engine at the other end may need a moment. */
  for (int tries = 0; connect(fd, (struct sockaddr *)&a, sizeof a); tries++) {
    check(tries < 50 && (errno == ECONNREFUSED || errno == ETIMEDOUT || errno == EHOSTUNREACH), "connect");
    close(fd);
    usleep(100000);
    fd = stream(congestion);
  }
  return fd;
}

static void watch(int poll, int fd, uint32_t number) {
  struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)number << 32 | (uint32_t)fd};
  check(!epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e), "epoll_ctl");
}

/* Messages are so small, and so few in flight, that the socket always takes them whole. */
static void say(int fd, const char *bytes, size_t n) {
  ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
  check(sent == (ssize_t)n || (sent < 0 && (errno == ECONNRESET || errno == EPIPE)), "send");
}

_Noreturn static void echo(const char *port, int timeout) {
  int server = listener(port), poll = epoll_create1(0);
  struct epoll_event events[EVENTS];
  fcntl(server, F_SETFL, O_NONBLOCK);
  watch(poll, server, 0);
  for (;;) {
    int n = epoll_wait(poll, events, EVENTS, timeout);
    for (int i = 0; i < n; i++) {
      int fd = (int)(uint32_t)events[i].data.u64;
      if (fd == server) {
        int new;
        while ((new = accept(server, NULL, NULL)) >= 0) {
          unblock(new);
          watch(poll, new, 0);
        }
        continue;
      }
      ssize_t got = recv(fd, block, sizeof block, 0);
      if (got > 0) say(fd, block, (size_t)got);
      else if (got == 0 || errno != EAGAIN) close(fd);
    }
  }
}

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static int ask(char **argv, int timeout) {
  unsigned count = (unsigned)atoi(argv[4]);
  size_t bytes = (size_t)atoi(argv[5]), *have = calloc(count, sizeof *have);
  uint64_t ms = (uint64_t)atoll(argv[6]), *since = calloc(count, sizeof *since);
  uint32_t *ns = malloc(MOST_SAMPLES * sizeof *ns);
  size_t samples = 0, messages = 0;
  int poll = epoll_create1(0), *fds = calloc(count, sizeof *fds);
  struct epoll_event events[EVENTS];
  for (unsigned i = 0; i < count; i++) {
    fds[i] = reach(argv[2], argv[3], NULL);
    unblock(fds[i]);
    watch(poll, fds[i], i);
  }
  memset(ns, 0, MOST_SAMPLES * sizeof *ns); /* its pages are there before the clock runs */
  for (unsigned i = 0; i < count; i++) {
    since[i] = now();
    say(fds[i], block, bytes);
  }
  uint64_t from = now() + WARM_MS * 1000000ull, to = from + ms * 1000000ull, at = 0;
  while (at < to) {
    int n = epoll_wait(poll, events, EVENTS, timeout);
    for (int k = 0; k < n; k++) {
      unsigned i = (unsigned)(events[k].data.u64 >> 32);
      ssize_t got = recv(fds[i], block, bytes - have[i], 0);
      check(got > 0 || (got < 0 && errno == EAGAIN), "recv");
      if (got < 0 || (have[i] += (size_t)got) < bytes) continue;
      have[i] = 0;
      at = now();
      if (at >= from && at < to) {
        messages++;
        if (samples < MOST_SAMPLES) ns[samples++] = (uint32_t)(at - since[i]);
      }
      since[i] = at;
      say(fds[i], block, bytes);
    }
    if (n == 0) at = now();
  }
  qsort(ns, samples, sizeof *ns, compare);
  printf("{\"rate\":%.1f,\"p50Us\":%.3f,\"p99Us\":%.3f}\n", (double)messages * 1e3 / (double)ms,
         samples ? ns[samples / 2] / 1e3 : 0, samples ? ns[samples - 1 - samples / 100] / 1e3 : 0);
  return 0;
}

static int sink(const char *port, uint64_t ms) {
  int fd = accept(listener(port), NULL, NULL);
  uint64_t bytes = 0, from = 0, to = 0;
  check(fd >= 0, "accept");
  for (ssize_t n; (n = recv(fd, block, sizeof block, 0)) > 0;) {
    uint64_t at = now();
    if (!from) to = (from = at + WARM_MS * 1000000ull) + ms * 1000000ull;
    if (at >= from && at < to) bytes += (uint64_t)n;
    if (at >= to) break;
  }
  printf("{\"rate\":%.1f}\n", (double)bytes * 1e3 / (double)ms);
  return 0;
}

static int source(char **argv) {
  int fd = reach(argv[2], argv[3], argv[5]);
  uint64_t until = now() + (uint64_t)atoll(argv[4]) * 1000000ull;
  while (now() < until && send(fd, block, sizeof block, MSG_NOSIGNAL) > 0) {
  }
  puts("{}");
  return 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  int spin = argc > 2 && !strcmp(argv[argc - 1], "spin");
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* never outlives the bench, however that ends */
  if (!strcmp(what, "echo") && argc == 4) echo(argv[2], spin ? 0 : -1);
  if (!strcmp(what, "ask") && argc == 8) return ask(argv, spin ? 0 : -1);
  if (!strcmp(what, "sink") && argc == 4) return sink(argv[2], (uint64_t)atoll(argv[3]));
  if (!strcmp(what, "source") && argc == 6) return source(argv);
  fprintf(stderr, "tcp_peer echo|ask|sink|source …: see the head of tcp_peer.c\n");
  return 2;
}
