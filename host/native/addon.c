/*
 * etherloom.node: the system calls that Node has no word for. N-API 8 only, so one binary serves Node 20 to 26;
 * no libbpf, no system library. Layouts of kernel structures are stated in TypeScript (host/bpf/kernel/attr.ts):
 * a function here patches addresses in, makes its call and returns the result, or -errno.
 */
#define NAPI_VERSION 8
#include <errno.h>
#include <node_api.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef __NR_bpf
#error "this platform has no bpf(2)"
#endif

#define MAX_ATTR 256
#define MAX_POINTERS 16

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

/*
 * bpf(cmd, attr, pointers): bpf(2) on a copy of `attr`. `pointers` is [offset, Uint8Array, …]: the address of each
 * array is written at its offset of the attribute. Copied back afterwards, since some commands answer in it.
 */
static napi_value bpf(napi_env env, napi_callback_info info) {
  size_t argc = 3;
  napi_value argv[3];
  int32_t cmd;
  struct bytes attr;
  uint32_t count;
  uint8_t copy[MAX_ATTR] = {0};

  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  if (argc < 3 || napi_get_value_int32(env, argv[0], &cmd) != napi_ok || !bytes_of(env, argv[1], &attr) ||
      napi_get_array_length(env, argv[2], &count) != napi_ok)
    return fail(env, "bpf(cmd: number, attr: Uint8Array, pointers: (number | Uint8Array)[])");
  if (attr.length > MAX_ATTR || count > 2 * MAX_POINTERS || count % 2) return fail(env, "bpf: attribute too long");

  memcpy(copy, attr.at, attr.length);
  for (uint32_t i = 0; i < count; i += 2) {
    napi_value at, array;
    uint32_t offset;
    struct bytes target;
    uint64_t address;
    napi_get_element(env, argv[2], i, &at);
    napi_get_element(env, argv[2], i + 1, &array);
    if (napi_get_value_uint32(env, at, &offset) != napi_ok || !bytes_of(env, array, &target) ||
        attr.length < 8 || offset > attr.length - 8)
      return fail(env, "bpf: a pointer is [offset inside attr, Uint8Array]");
    address = (uint64_t)(uintptr_t)target.at;
    memcpy(copy + offset, &address, 8);
  }
  long rc = syscall(__NR_bpf, cmd, copy, (unsigned int)attr.length);
  napi_value value = result(env, rc);
  memcpy(attr.at, copy, attr.length);
  return value;
}

/* close(fd) */
static napi_value close_fd(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  int32_t fd;
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  if (argc < 1 || napi_get_value_int32(env, argv[0], &fd) != napi_ok) return fail(env, "close(fd: number)");
  return result(env, close(fd));
}

static const struct {
  const char *name;
  napi_callback call;
} functions[] = {
    {"bpf", bpf},
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
