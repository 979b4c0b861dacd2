/*
 * etherloom.node: the system calls that Node has no word for. N-API 8 only, so one binary serves Node 20 to 26, in any
 * thread; no libbpf, no libxdp. Layouts of kernel structures are stated in TypeScript (host/bpf/kernel/attr.ts,
 * host/nic/af_xdp/): a function here patches addresses in, makes its call and returns the result, or -errno.
 */
#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <errno.h>
#include <fcntl.h>
#include <node_api.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef __NR_bpf
#error "this platform has no bpf(2)"
#endif

/* Longest structure that is copied to have addresses patched in. */
#define MAX_COPY 256
#define MAX_POINTERS 16
#define MAX_ARGS 5

struct bytes {
  uint8_t *at;
  size_t length;
};

static napi_value fail(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return NULL;
}

static napi_value result(napi_env env, long rc) {
  napi_value value;
  napi_create_int32(env, rc < 0 ? -errno : (int32_t)rc, &value);
  return value;
}

/* The array buffer is not asked for: before Node 24 N-API has no handle for a shared one. */
static int bytes_of(napi_env env, napi_value value, struct bytes *out) {
  napi_typedarray_type type;
  return napi_get_typedarray_info(env, value, &type, &out->length, (void **)&out->at, NULL, NULL) == napi_ok &&
         type == napi_uint8_array;
}

static size_t args_of(napi_env env, napi_callback_info info, napi_value argv[MAX_ARGS]) {
  size_t argc = MAX_ARGS;
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  return argc > MAX_ARGS ? MAX_ARGS : argc;
}

static int int_of(napi_env env, napi_value value, int32_t *out) {
  return napi_get_value_int32(env, value, out) == napi_ok;
}

/* Whether argument `i` was left out. */
static int absent(napi_env env, size_t argc, napi_value argv[MAX_ARGS], size_t i) {
  napi_valuetype type;
  return argc <= i || napi_typeof(env, argv[i], &type) != napi_ok || type == napi_undefined;
}

/* Copies `from` and writes addresses into the copy: `pointers` is [offset, Uint8Array, …]. NULL, or what is wrong. */
static const char *patch(napi_env env, struct bytes from, napi_value pointers, uint8_t copy[MAX_COPY]) {
  uint32_t count;
  if (napi_get_array_length(env, pointers, &count) != napi_ok) return "pointers: [offset, Uint8Array, …]";
  if (from.length > MAX_COPY || count > 2 * MAX_POINTERS || count % 2) return "a structure or its pointers too long";
  memcpy(copy, from.at, from.length);
  for (uint32_t i = 0; i < count; i += 2) {
    napi_value at, array;
    uint32_t offset;
    struct bytes target;
    uint64_t address;
    napi_get_element(env, pointers, i, &at);
    napi_get_element(env, pointers, i + 1, &array);
    if (napi_get_value_uint32(env, at, &offset) != napi_ok || !bytes_of(env, array, &target) || from.length < 8 ||
        offset > from.length - 8)
      return "a pointer is [offset inside the structure, Uint8Array]";
    address = (uint64_t)(uintptr_t)target.at;
    memcpy(copy + offset, &address, 8);
  }
  return NULL;
}

/* bpf(cmd, attr, pointers): bpf(2). `attr` is copied back afterwards, since some commands answer in it. */
static napi_value bpf(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  int32_t cmd;
  struct bytes attr;
  uint8_t copy[MAX_COPY] = {0};
  if (args_of(env, info, argv) < 3 || !int_of(env, argv[0], &cmd) || !bytes_of(env, argv[1], &attr))
    return fail(env, "bpf(cmd: number, attr: Uint8Array, pointers: (number | Uint8Array)[])");
  const char *wrong = patch(env, attr, argv[2], copy);
  if (wrong) return fail(env, wrong);
  napi_value value = result(env, syscall(__NR_bpf, cmd, copy, (unsigned int)attr.length));
  memcpy(attr.at, copy, attr.length);
  return value;
}

/* socket(domain, type, protocol): close-on-exec, as every descriptor made here. */
static napi_value make_socket(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  int32_t domain, type, protocol;
  if (args_of(env, info, argv) < 3 || !int_of(env, argv[0], &domain) || !int_of(env, argv[1], &type) ||
      !int_of(env, argv[2], &protocol))
    return fail(env, "socket(domain: number, type: number, protocol: number)");
  return result(env, socket(domain, type | SOCK_CLOEXEC, protocol));
}

/* bind(fd, address) */
static napi_value bind_socket(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  int32_t fd;
  struct bytes address;
  if (args_of(env, info, argv) < 2 || !int_of(env, argv[0], &fd) || !bytes_of(env, argv[1], &address))
    return fail(env, "bind(fd: number, address: Uint8Array)");
  return result(env, bind(fd, (const struct sockaddr *)address.at, (socklen_t)address.length));
}

/* setsockopt(fd, level, name, value, pointers?) */
static napi_value set_option(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  int32_t fd, level, name;
  struct bytes value;
  uint8_t copy[MAX_COPY] = {0};
  size_t argc = args_of(env, info, argv);
  if (argc < 4 || !int_of(env, argv[0], &fd) || !int_of(env, argv[1], &level) || !int_of(env, argv[2], &name) ||
      !bytes_of(env, argv[3], &value))
    return fail(env, "setsockopt(fd: number, level: number, name: number, value: Uint8Array, pointers?)");
  if (absent(env, argc, argv, 4)) return result(env, setsockopt(fd, level, name, value.at, (socklen_t)value.length));
  const char *wrong = patch(env, value, argv[4], copy);
  if (wrong) return fail(env, wrong);
  return result(env, setsockopt(fd, level, name, copy, (socklen_t)value.length));
}

/* getsockopt(fd, level, name, value): bytes that the kernel wrote into `value`. */
static napi_value get_option(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  int32_t fd, level, name;
  struct bytes value;
  if (args_of(env, info, argv) < 4 || !int_of(env, argv[0], &fd) || !int_of(env, argv[1], &level) ||
      !int_of(env, argv[2], &name) || !bytes_of(env, argv[3], &value))
    return fail(env, "getsockopt(fd: number, level: number, name: number, value: Uint8Array)");
  socklen_t length = (socklen_t)value.length;
  int rc = getsockopt(fd, level, name, value.at, &length);
  return result(env, rc < 0 ? rc : (long)length);
}

/* ioctl(fd, request, argument, pointers?): the argument is a number, or a structure that is copied back afterwards. */
static napi_value control(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  int32_t fd, number;
  uint32_t request;
  struct bytes value;
  uint8_t copy[MAX_COPY] = {0};
  size_t argc = args_of(env, info, argv);
  if (argc < 3 || !int_of(env, argv[0], &fd) || napi_get_value_uint32(env, argv[1], &request) != napi_ok)
    return fail(env, "ioctl(fd: number, request: number, argument: number | Uint8Array, pointers?)");
  if (int_of(env, argv[2], &number)) return result(env, ioctl(fd, request, (long)number));
  if (!bytes_of(env, argv[2], &value)) return fail(env, "ioctl: the argument is a number or a Uint8Array");
  if (absent(env, argc, argv, 3)) return result(env, ioctl(fd, request, value.at));
  const char *wrong = patch(env, value, argv[3], copy);
  if (wrong) return fail(env, wrong);
  napi_value rc = result(env, ioctl(fd, request, copy));
  memcpy(value.at, copy, value.length);
  return rc;
}

static long anonymous(struct bytes target) {
  void *at = mmap(target.at, target.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  return at == MAP_FAILED ? -1 : 0;
}

/* mapFixed(fd, offset, target): maps the file over the bytes of `target`, which begin and end at a page. */
static napi_value map_fixed(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  int32_t fd;
  int64_t offset;
  struct bytes target;
  if (args_of(env, info, argv) < 3 || !int_of(env, argv[0], &fd) ||
      napi_get_value_int64(env, argv[1], &offset) != napi_ok || !bytes_of(env, argv[2], &target))
    return fail(env, "mapFixed(fd: number, offset: number, target: Uint8Array)");
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  if (target.length == 0 || target.length % page || (uintptr_t)target.at % page)
    return fail(env, "mapFixed: the target does not begin and end at a page");
  void *at = mmap(target.at, target.length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE | MAP_FIXED, fd, offset);
  if (at != MAP_FAILED) return result(env, 0);
  int error = errno;
  /* What was there is unmapped already when the file refuses. */
  anonymous(target);
  errno = error;
  return result(env, -1);
}

/* unmapFixed(target): puts zeroed anonymous memory back. A hole would end the process at its next access from JS. */
static napi_value unmap_fixed(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  struct bytes target;
  if (args_of(env, info, argv) < 1 || !bytes_of(env, argv[0], &target))
    return fail(env, "unmapFixed(target: Uint8Array)");
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  if (target.length == 0 || target.length % page || (uintptr_t)target.at % page)
    return fail(env, "unmapFixed: the target does not begin and end at a page");
  return result(env, anonymous(target));
}

/* kick(fd): sendto(2) of nothing, never waiting: an AF_XDP socket transmits what its ring holds. */
static napi_value kick(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  int32_t fd;
  if (args_of(env, info, argv) < 1 || !int_of(env, argv[0], &fd)) return fail(env, "kick(fd: number)");
  return result(env, sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0));
}

/* poll(fds, timeoutMs): `fds` is struct pollfd[], parts of a millisecond count. Blocks the thread. */
static napi_value poll_fds(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  struct bytes fds;
  double ms;
  if (args_of(env, info, argv) < 2 || !bytes_of(env, argv[0], &fds) || fds.length % sizeof(struct pollfd) ||
      (uintptr_t)fds.at % _Alignof(struct pollfd) || napi_get_value_double(env, argv[1], &ms) != napi_ok)
    return fail(env, "poll(fds: Uint8Array of struct pollfd[], timeoutMs: number)");
  if (!(ms >= 0)) ms = 0;
  if (ms > 1e9) ms = 1e9;
  struct timespec timeout = {.tv_sec = (time_t)(ms / 1e3)};
  timeout.tv_nsec = (long)((ms - (double)timeout.tv_sec * 1e3) * 1e6);
  return result(env, ppoll((struct pollfd *)fds.at, fds.length / sizeof(struct pollfd), &timeout, NULL));
}

/* eventfd(): a counter that makes poll() return; write 8 bytes to raise it, read 8 bytes to clear it. */
static napi_value make_eventfd(napi_env env, napi_callback_info info) {
  (void)info;
  return result(env, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

/* setns(fd): moves the calling thread to a network namespace. */
static napi_value set_namespace(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  int32_t fd;
  if (args_of(env, info, argv) < 1 || !int_of(env, argv[0], &fd)) return fail(env, "setns(fd: number)");
  return result(env, setns(fd, CLONE_NEWNET));
}

/* open(path, flags): `path` ends with a zero byte. */
static napi_value open_path(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  int32_t flags;
  struct bytes path;
  if (args_of(env, info, argv) < 2 || !bytes_of(env, argv[0], &path) || !path.length || path.at[path.length - 1] ||
      !int_of(env, argv[1], &flags))
    return fail(env, "open(path: Uint8Array that ends with 0, flags: number)");
  return result(env, open((const char *)path.at, flags | O_CLOEXEC));
}

/* The bytes of read and write: (fd, bytes, at?, length?), so that a part of the arena needs no view of its own. */
static int span_of(napi_env env, napi_callback_info info, int32_t *fd, struct bytes *out) {
  napi_value argv[MAX_ARGS];
  size_t argc = args_of(env, info, argv);
  uint32_t at = 0, length;
  if (argc < 2 || !int_of(env, argv[0], fd) || !bytes_of(env, argv[1], out)) return 0;
  if (!absent(env, argc, argv, 2) && napi_get_value_uint32(env, argv[2], &at) != napi_ok) return 0;
  if (at > out->length) return 0;
  out->at += at;
  out->length -= at;
  if (absent(env, argc, argv, 3)) return 1;
  if (napi_get_value_uint32(env, argv[3], &length) != napi_ok || length > out->length) return 0;
  out->length = length;
  return 1;
}

/* read(fd, bytes, at?, length?): bytes read. */
static napi_value read_fd(napi_env env, napi_callback_info info) {
  int32_t fd;
  struct bytes to;
  if (!span_of(env, info, &fd, &to))
    return fail(env, "read(fd: number, bytes: Uint8Array, at?: number, length?: number) inside the bytes");
  return result(env, read(fd, to.at, to.length));
}

/* write(fd, bytes, at?, length?): bytes written. */
static napi_value write_fd(napi_env env, napi_callback_info info) {
  int32_t fd;
  struct bytes from;
  if (!span_of(env, info, &fd, &from))
    return fail(env, "write(fd: number, bytes: Uint8Array, at?: number, length?: number) inside the bytes");
  return result(env, write(fd, from.at, from.length));
}

/* pin(cpu): the calling thread runs on this CPU and no other. */
static napi_value pin(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  int32_t cpu;
  cpu_set_t one;
  if (args_of(env, info, argv) < 1 || !int_of(env, argv[0], &cpu) || cpu < 0 || cpu >= CPU_SETSIZE)
    return fail(env, "pin(cpu: number)");
  CPU_ZERO(&one);
  CPU_SET((size_t)cpu, &one);
  return result(env, sched_setaffinity(0, sizeof one, &one));
}

/* runDelay(fd): second field of a schedstat file, read from its beginning. */
static napi_value run_delay(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS], value;
  int32_t fd;
  char text[96];
  unsigned long long delay;
  if (args_of(env, info, argv) < 1 || !int_of(env, argv[0], &fd)) return fail(env, "runDelay(fd: number)");
  ssize_t n = pread(fd, text, sizeof text - 1, 0);
  if (n < 0) return result(env, n);
  text[n] = 0;
  if (sscanf(text, "%*u %llu", &delay) != 1) return result(env, 0);
  napi_create_double(env, (double)delay, &value);
  return value;
}

/* hugePages(target): asks for large pages in whatever of the bytes of `target` they fit. */
static napi_value huge_pages(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  struct bytes target;
  if (args_of(env, info, argv) < 1 || !bytes_of(env, argv[0], &target)) return fail(env, "hugePages(target: Uint8Array)");
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)target.at + page - 1) / page * page;
  uintptr_t to = ((uintptr_t)target.at + target.length) / page * page;
  return result(env, from < to ? madvise((void *)from, to - from, MADV_HUGEPAGE) : 0);
}

/* close(fd) */
static napi_value close_fd(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS];
  int32_t fd;
  if (args_of(env, info, argv) < 1 || !int_of(env, argv[0], &fd)) return fail(env, "close(fd: number)");
  return result(env, close(fd));
}

static const struct {
  const char *name;
  napi_callback call;
} functions[] = {
    {"bpf", bpf},
    {"socket", make_socket},
    {"bind", bind_socket},
    {"setsockopt", set_option},
    {"getsockopt", get_option},
    {"ioctl", control},
    {"mapFixed", map_fixed},
    {"unmapFixed", unmap_fixed},
    {"kick", kick},
    {"poll", poll_fds},
    {"eventfd", make_eventfd},
    {"setns", set_namespace},
    {"open", open_path},
    {"read", read_fd},
    {"write", write_fd},
    {"hugePages", huge_pages},
    {"pin", pin},
    {"runDelay", run_delay},
    {"close", close_fd},
};

NAPI_MODULE_INIT() {
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value fn;
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &fn) != napi_ok ||
        napi_set_named_property(env, exports, functions[i].name, fn) != napi_ok)
      return NULL;
  }
  return exports;
}
