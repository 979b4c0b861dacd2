/*
 * awake: one thread per CPU in class SCHED_IDLE, running until killed. A virtual CPU that halts takes some 20–50 µs to
 * come back, which is more than a hop costs; every other task goes before these threads. Prints "ready".
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

static void *spin(void *argument) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET((size_t)(unsigned long)argument, &one);
  pthread_setaffinity_np(pthread_self(), sizeof one, &one);
  for (;;) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
  }
  return NULL;
}

int main(void) {
  struct sched_param none = {0};
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* never outlives the bench, however that ends */
  if (sched_setscheduler(0, SCHED_IDLE, &none)) {
    perror("awake");
    return 1;
  }
  long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  pthread_t thread;
  for (long i = 0; i < cpus; i++)
    if (pthread_create(&thread, NULL, spin, (void *)i)) return 1;
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
