/*
 * xsk_peer reflect IF QUEUES SPIN_US   |   xsk_peer forward IF IF QUEUES SPIN_US
 *
 * The native peer of the engine: an AF_XDP reflector (hardware addresses swapped) or an L2 forwarder between two
 * interfaces, both ways. One thread per queue that takes bursts of 64 from its sockets to the transmit ring ahead, as a
 * lane does; without work it spins for SPIN_US, then sleeps in poll(2); negative: it never sleeps. Prints "ready".
 */
#define _GNU_SOURCE
#include "xsk.h"
#include <pthread.h>
#include <sys/prctl.h>

#define BURST 64
#define MAX_QUEUES 16
/* Per thread and socket: a full fill ring, and as many on the way out. */
#define FRAMES_PER_SOCKET (4 * SLOTS)
#define SLEEP_MS 20

struct worker {
  pthread_t thread;
  struct xsk ports[2];
  int portCount;
  uint64_t *free; /* addresses of frames nobody has */
  uint32_t freeCount;
};

static struct area area;
static int swaps;
static int64_t spinNs;

/* Frames that were sent come back, frames that are free go to the kernel. */
static void recycle(struct worker *w, struct xsk *x) {
  uint32_t n = ring_pending(&x->completion, SLOTS);
  for (uint32_t i = 0; i < n; i++) w->free[w->freeCount++] = *ring_addr(&x->completion, i);
  if (n) ring_release(&x->completion, n);
  n = ring_room(&x->fill, w->freeCount < SLOTS ? w->freeCount : SLOTS);
  if (n < BURST) return;
  for (uint32_t i = 0; i < n; i++) *ring_addr(&x->fill, i) = w->free[--w->freeCount];
  ring_submit(&x->fill, n);
}

static void swap_macs(uint8_t *p) {
  uint64_t to = 0, from = 0;
  memcpy(&to, p, 6);
  memcpy(&from, p + 6, 6);
  memcpy(p, &from, 6);
  memcpy(p + 6, &to, 6);
}

/* One burst; packets moved. */
static uint32_t burst(struct worker *w, struct xsk *in, struct xsk *out) {
  uint32_t n = ring_pending(&in->rx, BURST);
  if (!n) return 0;
  uint32_t room = ring_room(&out->tx, n);
  for (uint32_t i = 0; i < n; i++) {
    struct xdp_desc *d = ring_desc(&in->rx, i);
    if (i >= room) {
      w->free[w->freeCount++] = d->addr & ~(uint64_t)(CHUNK - 1); /* no room: dropped, as the engine does */
      continue;
    }
    if (swaps) swap_macs(area.at + d->addr);
    *ring_desc(&out->tx, i) = (struct xdp_desc){.addr = d->addr, .len = d->len};
  }
  ring_release(&in->rx, n);
  if (n > room) n = room;
  if (n) ring_submit(&out->tx, n);
  return n;
}

static void *run(void *argument) {
  struct worker *w = argument;
  uint64_t idleSince = 0;
  for (;;) {
    uint32_t moved = 0;
    for (int i = 0; i < w->portCount; i++) {
      struct xsk *in = &w->ports[i], *out = &w->ports[w->portCount - 1 - i];
      recycle(w, in);
      moved += burst(w, in, out);
      xsk_kick(out);
    }
    if (moved) {
      idleSince = 0;
      continue;
    }
    if (spinNs < 0) {
      relax();
      continue;
    }
    uint64_t now = now_ns();
    if (!idleSince) idleSince = now;
    if (now - idleSince < (uint64_t)spinNs) {
      relax();
      continue;
    }
    struct pollfd fds[2];
    for (int i = 0; i < w->portCount; i++) fds[i] = (struct pollfd){.fd = w->ports[i].fd, .events = POLLIN};
    poll(fds, (nfds_t)w->portCount, SLEEP_MS);
    idleSince = 0;
  }
  return NULL;
}

int main(int argc, char **argv) {
  swaps = argc == 5 && !strcmp(argv[1], "reflect");
  int portCount = swaps ? 1 : 2;
  if (!swaps && (argc != 6 || strcmp(argv[1], "forward"))) {
    fprintf(stderr, "usage: xsk_peer reflect IF QUEUES SPIN_US | xsk_peer forward IF IF QUEUES SPIN_US\n");
    return 2;
  }
  int queues = atoi(argv[2 + portCount]);
  spinNs = (int64_t)atoi(argv[3 + portCount]) * 1000;
  if (queues < 1 || queues > MAX_QUEUES) die("queues");
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* never outlives the bench, however that ends */
  struct worker *workers = calloc((size_t)queues, sizeof *workers);
  uint32_t share = (uint32_t)portCount * FRAMES_PER_SOCKET;
  area = area_make((size_t)queues * share);
  int maps[2];
  unsigned ifindex[2];
  for (int p = 0; p < portCount; p++) {
    ifindex[p] = index_of(argv[2 + p]);
    maps[p] = map_make(BPF_MAP_TYPE_XSKMAP, 4, MAX_QUEUES);
  }
  for (int q = 0; q < queues; q++) {
    struct worker *w = &workers[q];
    w->portCount = portCount;
    w->free = calloc(share, sizeof *w->free);
    for (uint32_t i = 0; i < share; i++) w->free[w->freeCount++] = ((uint64_t)q * share + i) * CHUNK;
    for (int p = 0; p < portCount; p++) {
      xsk_open(&w->ports[p], &area, ifindex[p], (uint32_t)q);
      map_set(maps[p], (uint32_t)q, &w->ports[p].fd);
      recycle(w, &w->ports[p]);
    }
  }
  for (int p = 0; p < portCount; p++) prog_attach(prog_redirect(maps[p]), ifindex[p]);
  for (int q = 0; q < queues; q++)
    if (pthread_create(&workers[q].thread, NULL, run, &workers[q])) die("thread");
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
