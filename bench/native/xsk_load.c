/*
 * xsk_load rate OUT IN TO FROM SWAPPED QUEUES BYTES MS: sends frames at interface OUT as fast as the kernel makes them, and
 * counts those that arrive at IN, for MS milliseconds after a warm-up of WARM_MS.
 * xsk_load rtt OUT IN TO FROM SWAPPED BYTES COUNT: COUNT frames one after the other, each waited for, spinning.
 *
 * Frames go from address FROM to TO; SWAPPED is 1 when they are to come back with addresses swapped. Anything else that
 * arrives is not counted. Prints one line of JSON. Runs in the namespace of OUT and IN.
 *
 * rate has the kernel multiply frames (BPF_PROG_TEST_RUN on live frames, Linux 5.18): several times faster than any
 * sender in user space, so that the peer is the bottleneck. veth takes the queue from the CPU that sends, so there is a
 * sender per queue, each on a CPU of its own.
 */
#define _GNU_SOURCE
#include "xsk.h"
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#ifndef BPF_F_TEST_XDP_LIVE_FRAMES
#define BPF_F_TEST_XDP_LIVE_FRAMES (1U << 1)
#endif

#define ETHERTYPE 0x88b5 /* IEEE 802: for local experiments */
#define HEAD 14
#define WARM_MS 300
#define FRAMES_PER_CALL (1u << 30)
#define BATCH 64
#define MAX_QUEUES 16
#define LOST_NS 1000000000ull
/* A peer that loses more than these is not waited for any longer. */
#define MOST_LOST 16

static uint8_t frame[CHUNK];
static uint32_t bytes;
static int stop;
static uint32_t wanted; /* first four bytes of the destination that comes back */

static void mac_of(const char *text, uint8_t at[6]) {
  unsigned b[6];
  if (sscanf(text, "%x:%x:%x:%x:%x:%x", b, b + 1, b + 2, b + 3, b + 4, b + 5) != 6) die("address %s", text);
  for (int i = 0; i < 6; i++) at[i] = (uint8_t)b[i];
}

static void frame_make(const char *to, const char *from, int swapped) {
  mac_of(to, frame);
  mac_of(from, frame + 6);
  frame[12] = ETHERTYPE >> 8, frame[13] = ETHERTYPE & 0xff;
  for (uint32_t i = HEAD; i < bytes; i++) frame[i] = (uint8_t)(i * 7);
  memcpy(&wanted, swapped ? frame + 6 : frame, 4);
}

/* ── rate ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Counts and drops what it is to count, passes the rest. */
static int prog_count(int counter) {
  struct bpf_insn insns[] = {
      INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(struct xdp_md, data), 0),
      INSN(BPF_LDX | BPF_MEM | BPF_W, 3, 1, offsetof(struct xdp_md, data_end), 0),
      INSN(BPF_ALU64 | BPF_MOV | BPF_X, 4, 2, 0, 0),
      INSN(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, HEAD),
      INSN(BPF_JMP | BPF_JGT | BPF_X, 4, 3, 15, 0),
      INSN(BPF_LDX | BPF_MEM | BPF_H, 4, 2, 12, 0),
      INSN(BPF_JMP | BPF_JNE | BPF_K, 4, 0, 13, (ETHERTYPE >> 8) | (ETHERTYPE & 0xff) << 8),
      INSN(BPF_LDX | BPF_MEM | BPF_W, 4, 2, 0, 0),
      INSN(BPF_JMP32 | BPF_JNE | BPF_K, 4, 0, 11, (int32_t)wanted),
      INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0),
      INSN(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0),
      INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4),
      MAP_FD(1, counter),
      INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
      INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4, 0),
      INSN(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, 1),
      INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 1, 0, BPF_ADD),
      INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_DROP),
      INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
      INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS),
      INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  return prog_load(insns, sizeof insns / sizeof *insns);
}

static int prog_send(unsigned ifindex) {
  struct bpf_insn insns[] = {
      INSN(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, (int32_t)ifindex),
      INSN(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 0),
      INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect),
      INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  return prog_load(insns, sizeof insns / sizeof *insns);
}

static uint64_t counted(int counter) {
  uint32_t key = 0;
  uint64_t value = 0;
  union bpf_attr attr = {.map_fd = (uint32_t)counter,
                         .key = (uint64_t)(uintptr_t)&key,
                         .value = (uint64_t)(uintptr_t)&value};
  if (sys_bpf(BPF_MAP_LOOKUP_ELEM, &attr)) die("counter");
  return value;
}

/* A sender: one call that goes on until a signal ends it, since beginning one takes the kernel tens of milliseconds. */
struct sender {
  pthread_t thread;
  int prog;
  int cpu;
};

/* From the last CPU on: the peer's threads have the first ones. */
static int cpu_of(int q) {
  int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
  return cpus - 1 - q % cpus;
}

static void pin(pthread_t thread, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)cpu, &set);
  pthread_setaffinity_np(thread, sizeof set, &set);
}

static void *send_on(void *argument) {
  struct sender *s = argument;
  struct xdp_md context = {.data_end = bytes};
  pin(pthread_self(), s->cpu);
  while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
    union bpf_attr attr = {.test = {.prog_fd = (uint32_t)s->prog,
                                    .data_in = (uint64_t)(uintptr_t)frame,
                                    .data_size_in = bytes,
                                    .ctx_in = (uint64_t)(uintptr_t)&context,
                                    .ctx_size_in = sizeof context,
                                    .repeat = FRAMES_PER_CALL,
                                    .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
                                    .batch_size = BATCH}};
    if (sys_bpf(BPF_PROG_TEST_RUN, &attr) && errno != EINTR) die("BPF_PROG_TEST_RUN of live frames");
  }
  return NULL;
}

static void wake(int signal) { (void)signal; }

static void pause_ms(uint64_t ms) {
  struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
  nanosleep(&t, NULL);
}

static void rate(unsigned out, unsigned in, int queues, uint64_t ms) {
  struct sender senders[MAX_QUEUES];
  struct sigaction action = {.sa_handler = wake}; /* without SA_RESTART */
  sigaction(SIGUSR1, &action, NULL);
  if (queues < 1 || queues > MAX_QUEUES) die("%d queues", queues);
  int counter = map_make(BPF_MAP_TYPE_ARRAY, 8, 1), prog = prog_send(out);
  prog_attach(prog_count(counter), in);
  for (int q = 0; q < queues; q++) {
    senders[q] = (struct sender){.prog = prog, .cpu = cpu_of(q)};
    if (pthread_create(&senders[q].thread, NULL, send_on, &senders[q])) die("thread");
  }
  pause_ms(WARM_MS);
  uint64_t from = now_ns(), before = counted(counter);
  pause_ms(ms);
  uint64_t received = counted(counter) - before, ns = now_ns() - from;
  __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
  for (int q = 0; q < queues; q++)
    while (pthread_tryjoin_np(senders[q].thread, NULL) == EBUSY) {
      pthread_kill(senders[q].thread, SIGUSR1); /* again, if it came between the look at `stop` and the call */
      pause_ms(1);
    }
  printf("{\"received\":%llu,\"ns\":%llu,\"mpps\":%.4f}\n", (unsigned long long)received, (unsigned long long)ns,
         (double)received * 1e3 / (double)ns);
}

/* ── rtt ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int byValue(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

/* Frames that came back go to the kernel again. */
static void refill(struct xsk *x, uint64_t addr) {
  *ring_addr(&x->fill, 0) = addr & ~(uint64_t)(CHUNK - 1);
  ring_submit(&x->fill, 1);
}

/* Takes what arrives until frame `sequence` does; 1 when it is as it was sent, 0 when it is not, -1 when it is lost. */
static int await(struct xsk *x, struct area *area, uint64_t sequence, uint64_t until) {
  for (;;) {
    if (!ring_pending(&x->rx, 1)) {
      relax();
      if (now_ns() > until) return -1;
      continue;
    }
    struct xdp_desc d = *ring_desc(&x->rx, 0);
    const uint8_t *p = area->at + d.addr;
    ring_release(&x->rx, 1);
    uint64_t number = 0;
    int ours = d.len >= HEAD + 8 && p[12] == ETHERTYPE >> 8 && p[13] == (ETHERTYPE & 0xff);
    if (ours) memcpy(&number, p + HEAD, 8);
    ours = ours && number == sequence;
    int right = ours && d.len == bytes && !memcmp(p, &wanted, 4) &&
                !memcmp(p + HEAD + 8, frame + HEAD + 8, bytes - HEAD - 8);
    refill(x, d.addr);
    if (ours) return right;
  }
}

static void rtt(unsigned out, unsigned in, uint64_t count) {
  struct area area = area_make(4 * SLOTS);
  struct xsk tx, rx;
  struct xsk *back = out == in ? &tx : &rx;
  xsk_open(&tx, &area, out, 0);
  if (back == &rx) xsk_open(&rx, &area, in, 0);
  for (uint32_t i = 0; i < SLOTS; i++) *ring_addr(&back->fill, i) = (uint64_t)(SLOTS + i) * CHUNK;
  ring_submit(&back->fill, SLOTS);
  int map = map_make(BPF_MAP_TYPE_XSKMAP, 4, 1);
  map_set(map, 0, &back->fd);
  prog_attach(prog_redirect(map), in);
  pin(pthread_self(), cpu_of(0));
  uint64_t *times = calloc(count, sizeof *times), got = 0, lost = 0, wrong = 0;
  uint64_t warm = count / 10;
  for (uint64_t i = 0; i < warm + count && lost < MOST_LOST; i++) {
    uint64_t sequence = i + 1, addr = (i % SLOTS) * CHUNK;
    memcpy(area.at + addr, frame, bytes);
    memcpy(area.at + addr + HEAD, &sequence, 8);
    uint32_t sent = ring_pending(&tx.completion, SLOTS);
    if (sent) ring_release(&tx.completion, sent);
    uint64_t from = now_ns();
    *ring_desc(&tx.tx, 0) = (struct xdp_desc){.addr = addr, .len = bytes};
    ring_submit(&tx.tx, 1);
    xsk_kick(&tx);
    int came = await(back, &area, sequence, from + LOST_NS);
    uint64_t ns = now_ns() - from;
    if (came < 0) lost++;
    else if (!came) wrong++;
    else if (i >= warm) times[got++] = ns;
  }
  qsort(times, got, sizeof *times, byValue);
#define AT(p) (got ? (double)times[(size_t)((double)(got - 1) * (p) + 0.5)] / 1e3 : 0.0)
  printf("{\"sent\":%llu,\"lost\":%llu,\"wrong\":%llu,\"minUs\":%.2f,\"p50Us\":%.2f,\"p90Us\":%.2f,\"p99Us\":%.2f,\"maxUs\":%.2f}\n",
         (unsigned long long)count, (unsigned long long)lost, (unsigned long long)wrong, AT(0), AT(0.5), AT(0.9), AT(0.99),
         AT(1));
}

int main(int argc, char **argv) {
  int rates = argc == 10 && !strcmp(argv[1], "rate");
  if (!rates && (argc != 9 || strcmp(argv[1], "rtt"))) {
    fprintf(stderr, "usage: xsk_load rate OUT IN TO FROM SWAPPED QUEUES BYTES MS | rtt OUT IN TO FROM SWAPPED BYTES COUNT\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  bytes = (uint32_t)atoi(argv[rates ? 8 : 7]);
  if (bytes < HEAD + 16 || bytes > 1514) die("frames of %u bytes", bytes);
  frame_make(argv[4], argv[5], atoi(argv[6]));
  unsigned out = index_of(argv[2]), in = index_of(argv[3]);
  if (rates) rate(out, in, atoi(argv[7]), strtoull(argv[9], NULL, 10));
  else rtt(out, in, strtoull(argv[8], NULL, 10));
  return 0;
}
