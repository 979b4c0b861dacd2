/*
 * AF_XDP and XDP for the bench's own programs, on plain system calls: a packet area, sockets with four rings, programs from
 * raw instructions, links that end with the process. Linux 5.10 or newer. Included once per program.
 */
#ifndef ETHERLOOM_BENCH_XSK_H
#define ETHERLOOM_BENCH_XSK_H

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

/* As the engine's: frames of 2 KiB, rings of 1024, 256 descriptors a kick. */
#define CHUNK 2048
#define SLOTS 1024
#define TX_BUDGET 256

struct ring {
  uint32_t *producer, *consumer, *flags;
  void *entries;
  uint32_t head; /* of the side that we are on: next to produce or to consume */
  uint32_t seen; /* the other side, as last read */
};

struct xsk {
  int fd;
  struct ring fill, completion, rx, tx;
};

/* The packet area that all sockets of the process share. */
struct area {
  uint8_t *at;
  size_t frames;
  int fd; /* the socket that has registered it, or -1 */
};

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...) {
  int error = errno;
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, ": %s\n", strerror(error));
  exit(1);
}

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

/* ── rings ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Entries that can be taken, at most `most`. */
static inline uint32_t ring_pending(struct ring *r, uint32_t most) {
  uint32_t n = r->seen - r->head;
  if (n == 0) {
    r->seen = __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
    n = r->seen - r->head;
  }
  return n < most ? n : most;
}

static inline void ring_release(struct ring *r, uint32_t n) {
  r->head += n;
  __atomic_store_n(r->consumer, r->head, __ATOMIC_RELEASE);
}

/* Entries that can be written, at most `most`. */
static inline uint32_t ring_room(struct ring *r, uint32_t most) {
  uint32_t n = SLOTS - (r->head - r->seen);
  if (n < most) {
    r->seen = __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE);
    n = SLOTS - (r->head - r->seen);
  }
  return n < most ? n : most;
}

static inline void ring_submit(struct ring *r, uint32_t n) {
  r->head += n;
  __atomic_store_n(r->producer, r->head, __ATOMIC_RELEASE);
}

static inline uint64_t *ring_addr(struct ring *r, uint32_t i) {
  return (uint64_t *)r->entries + ((r->head + i) & (SLOTS - 1));
}

static inline struct xdp_desc *ring_desc(struct ring *r, uint32_t i) {
  return (struct xdp_desc *)r->entries + ((r->head + i) & (SLOTS - 1));
}

/* ── sockets ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static inline struct area area_make(size_t frames) {
  struct area area = {.frames = frames, .fd = -1};
  area.at = mmap(NULL, frames * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (area.at == MAP_FAILED) die("packet area");
  return area;
}

static inline void ring_map(int fd, struct ring *r, const struct xdp_ring_offset *o, uint64_t page, size_t entry) {
  uint8_t *at = mmap(NULL, o->desc + SLOTS * entry, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)page);
  if (at == MAP_FAILED) die("mmap of a ring");
  r->producer = (uint32_t *)(at + o->producer);
  r->consumer = (uint32_t *)(at + o->consumer);
  r->flags = (uint32_t *)(at + o->flags);
  r->entries = at + o->desc;
  r->head = r->seen = 0;
}

static inline void xsk_set(int fd, int option, const void *value, socklen_t length, const char *what) {
  if (setsockopt(fd, SOL_XDP, option, value, length)) die("%s", what);
}

/* A socket on a queue, in copy mode with wake-ups; the first one registers the area. Waits 2 s for a queue to be free. */
static inline void xsk_open(struct xsk *x, struct area *area, unsigned ifindex, uint32_t queue) {
  uint32_t slots = SLOTS, budget = TX_BUDGET;
  struct xdp_mmap_offsets off;
  socklen_t length = sizeof off;
  x->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (x->fd < 0) die("AF_XDP socket");
  if (area->fd < 0) {
    struct xdp_umem_reg reg = {
        .addr = (uint64_t)(uintptr_t)area->at, .len = area->frames * CHUNK, .chunk_size = CHUNK};
    xsk_set(x->fd, XDP_UMEM_REG, &reg, sizeof reg, "XDP_UMEM_REG");
  }
  xsk_set(x->fd, XDP_UMEM_FILL_RING, &slots, sizeof slots, "fill ring");
  xsk_set(x->fd, XDP_UMEM_COMPLETION_RING, &slots, sizeof slots, "completion ring");
  xsk_set(x->fd, XDP_RX_RING, &slots, sizeof slots, "rx ring");
  xsk_set(x->fd, XDP_TX_RING, &slots, sizeof slots, "tx ring");
  setsockopt(x->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof budget); /* an older kernel sends 32 */
  if (getsockopt(x->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &length)) die("XDP_MMAP_OFFSETS");
  ring_map(x->fd, &x->fill, &off.fr, XDP_UMEM_PGOFF_FILL_RING, sizeof(uint64_t));
  ring_map(x->fd, &x->completion, &off.cr, XDP_UMEM_PGOFF_COMPLETION_RING, sizeof(uint64_t));
  ring_map(x->fd, &x->rx, &off.rx, XDP_PGOFF_RX_RING, sizeof(struct xdp_desc));
  ring_map(x->fd, &x->tx, &off.tx, XDP_PGOFF_TX_RING, sizeof(struct xdp_desc));
  struct sockaddr_xdp to = {.sxdp_family = AF_XDP, .sxdp_ifindex = ifindex, .sxdp_queue_id = queue};
  if (area->fd < 0) to.sxdp_flags = XDP_COPY | XDP_USE_NEED_WAKEUP;
  else to.sxdp_flags = XDP_SHARED_UMEM, to.sxdp_shared_umem_fd = (uint32_t)area->fd;
  for (uint64_t until = now_ns() + 2000000000ull; bind(x->fd, (struct sockaddr *)&to, sizeof to);) {
    if (errno != EBUSY || now_ns() > until) die("bind to queue %u", queue);
    usleep(50000);
  }
  if (area->fd < 0) area->fd = x->fd;
}

/* Makes the kernel send what the tx ring holds; what it does not take now is taken the next time. */
static inline void xsk_kick(struct xsk *x) {
  for (;;) {
    uint32_t before = __atomic_load_n(x->tx.consumer, __ATOMIC_ACQUIRE);
    if (before == x->tx.head || !(__atomic_load_n(x->tx.flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP)) return;
    if (sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN && errno != EBUSY) return;
    if (__atomic_load_n(x->tx.consumer, __ATOMIC_ACQUIRE) == before) return;
  }
}

/* ── programs ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static inline int sys_bpf(int command, union bpf_attr *attr) {
  return (int)syscall(__NR_bpf, command, attr, sizeof *attr);
}

#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define MAP_FD(reg, fd) INSN(BPF_LD | BPF_DW | BPF_IMM, reg, BPF_PSEUDO_MAP_FD, 0, fd), INSN(0, 0, 0, 0, 0)

static inline int map_make(enum bpf_map_type type, uint32_t value, uint32_t entries) {
  union bpf_attr attr = {.map_type = type, .key_size = 4, .value_size = value, .max_entries = entries};
  int fd = sys_bpf(BPF_MAP_CREATE, &attr);
  if (fd < 0) die("map");
  return fd;
}

static inline void map_set(int fd, uint32_t key, const void *value) {
  union bpf_attr attr = {.map_fd = (uint32_t)fd,
                         .key = (uint64_t)(uintptr_t)&key,
                         .value = (uint64_t)(uintptr_t)value};
  if (sys_bpf(BPF_MAP_UPDATE_ELEM, &attr)) die("map entry %u", key);
}

static inline int prog_load(const struct bpf_insn *insns, uint32_t count) {
  static char log[65536];
  union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_XDP,
                         .insns = (uint64_t)(uintptr_t)insns,
                         .insn_cnt = count,
                         .license = (uint64_t)(uintptr_t) "GPL",
                         .log_buf = (uint64_t)(uintptr_t)log,
                         .log_size = sizeof log,
                         .log_level = 1};
  int fd = sys_bpf(BPF_PROG_LOAD, &attr);
  if (fd < 0) die("program refused: %s", log);
  return fd;
}

/* In the driver; the link, and with it the program, goes when the process does. */
static inline void prog_attach(int prog, unsigned ifindex) {
  union bpf_attr attr = {.link_create = {.prog_fd = (uint32_t)prog,
                                         .target_ifindex = ifindex,
                                         .attach_type = BPF_XDP,
                                         .flags = XDP_FLAGS_DRV_MODE}};
  if (sys_bpf(BPF_LINK_CREATE, &attr) < 0) die("program on interface %u", ifindex);
}

/* Every packet of queue i to socket i of the map. */
static inline int prog_redirect(int xskmap) {
  struct bpf_insn insns[] = {
      INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(struct xdp_md, rx_queue_index), 0),
      MAP_FD(1, xskmap),
      INSN(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, XDP_PASS),
      INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map),
      INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  return prog_load(insns, sizeof insns / sizeof *insns);
}

static inline unsigned index_of(const char *interface) {
  unsigned i = if_nametoindex(interface);
  if (!i) die("%s", interface);
  return i;
}

#endif
