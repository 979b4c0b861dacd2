/*
 * http_server ADDRESS PORT CONGESTION: the server behind every chain of bench:hops. `GET /BYTES` answers with a body of so many bytes
 * (body.h) and closes first, as the server of the report did. One thread, epoll, bodies made once: the server's own time
 * is the same small part of every peer's. Prints "ready" when it listens; ends when it is killed.
 */
#define _GNU_SOURCE
#include "body.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_REQUEST 4096
#define MAX_BODIES 64
#define MAX_EVENTS 64

struct body {
  size_t length;
  uint8_t *at;
  char head[160];
  size_t headLength;
};

struct connection {
  int fd;
  size_t have; /* bytes of the request so far */
  size_t sent; /* of head and body together */
  const struct body *answer;
  char request[MAX_REQUEST];
};

static struct body bodies[MAX_BODIES];
static size_t bodyCount;
static int poller;

static const struct body *bodyOf(size_t length) {
  for (size_t i = 0; i < bodyCount; i++)
    if (bodies[i].length == length) return &bodies[i];
  if (bodyCount == MAX_BODIES || length > BODY_MAX) return NULL;
  struct body *b = &bodies[bodyCount];
  b->length = length;
  b->at = body_make(length);
  if (!b->at) return NULL;
  b->headLength = (size_t)snprintf(b->head, sizeof b->head,
                                   "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                                   "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                                   length);
  bodyCount++;
  return b;
}

static void end(struct connection *c) {
  close(c->fd);
  free(c);
}

/* Writes what the socket takes; 1 when the connection has ended. */
static int answer(struct connection *c) {
  const struct body *b = c->answer;
  for (;;) {
    struct iovec parts[2];
    int count = 0;
    if (c->sent < b->headLength)
      parts[count++] = (struct iovec){(void *)(b->head + c->sent), b->headLength - c->sent};
    size_t bodySent = c->sent > b->headLength ? c->sent - b->headLength : 0;
    if (bodySent < b->length) parts[count++] = (struct iovec){b->at + bodySent, b->length - bodySent};
    if (!count) break;
    ssize_t n = writev(c->fd, parts, count);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
      epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
      return 0;
    }
    if (n < 0) break;
    c->sent += (size_t)n;
  }
  end(c);
  return 1;
}

static void serve(struct connection *c) {
  if (c->answer) {
    answer(c);
    return;
  }
  ssize_t n = read(c->fd, c->request + c->have, sizeof c->request - 1 - c->have);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    end(c);
    return;
  }
  c->have += (size_t)n;
  c->request[c->have] = 0;
  if (!strstr(c->request, "\r\n\r\n")) {
    if (c->have == sizeof c->request - 1) end(c);
    return;
  }
  size_t length;
  if (sscanf(c->request, "GET /%zu ", &length) != 1 || !(c->answer = bodyOf(length))) {
    static const char no[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    if (write(c->fd, no, sizeof no - 1) < 0) perror("write");
    end(c);
    return;
  }
  answer(c);
}

static void welcome(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct connection *c = calloc(1, sizeof *c);
    if (!c) {
      close(fd);
      return;
    }
    c->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
  }
}

int main(int argc, char **argv) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  if (argc != 4 || inet_pton(AF_INET, argv[1], &at.sin_addr) != 1) {
    fprintf(stderr, "usage: http_server ADDRESS PORT CONGESTION\n");
    return 2;
  }
  at.sin_port = htons((uint16_t)atoi(argv[2]));
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* never outlives the bench, however that ends */
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  /* Named, since a machine's default is its own; on the socket, since a namespace may not choose freely. */
  if (setsockopt(listener, IPPROTO_TCP, TCP_CONGESTION, argv[3], (socklen_t)strlen(argv[3]))) {
    perror("http_server: TCP_CONGESTION");
    return 1;
  }
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1024)) {
    perror("http_server");
    return 1;
  }
  poller = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(poller, events, MAX_EVENTS, -1);
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr) serve(events[i].data.ptr);
      else welcome(listener);
    }
  }
}
