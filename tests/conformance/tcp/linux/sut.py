"""The host under test of the oracle run: this kernel's TCP, behind a TUN interface in the namespace that this runs in.

    sut.py DEVICE ADDRESS4/LENGTH ADDRESS6/LENGTH

One JSON array a line on stdin: [id, verb, arguments...]; on stdout {"i": id, "t": ms, "v": value} or "e": errno's name.
Packets are told as they pass, in the kernel's order and with the kernel's time: {"d": 1 from the kernel | 0 to it, "t": ms,
"p": hex}. They are watched on a packet socket, since what is read from the TUN descriptor has no time.
"""
import errno
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
ETH_P_ALL, PACKET_OUTGOING = 0x0003, 4
SO_TIMESTAMPNS = 35
SIOCATMARK = 0x8905
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER = 10, 23
SYSCTLS = "/proc/sys/net/ipv4/"
STATES = (
    "", "ESTABLISHED", "SYN_SENT", "SYN_RECEIVED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT", "CLOSED",
    "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "SYN_RECEIVED",
)
READY = (
    ("in", select.POLLIN), ("out", select.POLLOUT), ("pri", select.POLLPRI), ("err", select.POLLERR),
    ("hup", select.POLLHUP), ("rdhup", 0x2000),
)
HOW = {"read": socket.SHUT_RD, "write": socket.SHUT_WR, "both": socket.SHUT_RDWR}

epoch = time.time()


def now():
    return (time.time() - epoch) * 1000


class Host:
    def __init__(self, device, address4, address6):
        self.device = device
        self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
        self.ip(
            "link set lo up",
            "address add %s dev %s" % (address4, device),
            "address add %s dev %s nodad" % (address6, device),
            "link set %s txqueuelen 10000 up" % device,
        )
        self.watch = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.watch.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.watch.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.watch.bind((device, 0))
        self.watch.setblocking(False)
        self.address = {4: address4.split("/")[0], 6: address6.split("/")[0]}
        self.sockets = {}
        self.normal = {}
        self.routes = []
        self.waiting = []
        self.out = []
        self.peer = ""

    def ip(self, *commands):
        subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)

    def say(self, **what):
        self.out.append(json.dumps(what, separators=(",", ":")))

    def flush(self):
        if self.out:
            sys.stdout.write("\n".join(self.out) + "\n")
            sys.stdout.flush()
            self.out = []

    def packets(self):
        """Tells what has passed, and empties the TUN queue."""
        while True:
            try:
                while os.read(self.tun, 65536):
                    pass
            except BlockingIOError:
                pass
            try:
                data, ancillary, _, where = self.watch.recvmsg(65536, 128)
            except BlockingIOError:
                return
            at = now()
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack("qq", value[:16])
                    at = (seconds - epoch) * 1000 + nanoseconds / 1e6
            self.say(d=1 if where[2] == PACKET_OUTGOING else 0, t=round(at, 3), p=data.hex())

    # What can be asked.

    def setup(self, family, peer, sysctls, route, congestion):
        """Sets the host up for a script, with what the scripts before it had changed as it was."""
        self.family = socket.AF_INET6 if family == 6 else socket.AF_INET
        self.peer = peer
        self.congestion = congestion.encode()
        for name in set(self.normal) | set(sysctls):
            path = SYSCTLS + name
            if name not in self.normal:
                with open(path) as f:
                    self.normal[name] = f.read().strip()
            with open(path, "w") as f:
                f.write(str(sysctls.get(name, self.normal[name])))
        if route:
            self.ip("route replace %s dev %s %s" % (peer, self.device, route))

    def end(self):
        for number in list(self.sockets):
            self.abort(number)

    def inject(self, data):
        os.write(self.tun, bytes.fromhex(data))

    def make(self, number, port, options):
        s = socket.socket(self.family, socket.SOCK_STREAM)
        s.setblocking(False)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sockets[number] = s
        # Not by sysctl: only the first namespace may make any of them the default.
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, self.congestion)
        for name, value in options:
            self.set(number, name, value)
        s.bind((self.address[6 if self.family == socket.AF_INET6 else 4], port))
        return s

    def listen(self, number, port, backlog, options):
        self.make(number, port, options).listen(backlog)

    def accept(self, number, as_number):
        s, _ = self.sockets[number].accept()
        s.setblocking(False)
        self.sockets[as_number] = s

    def connect(self, number, port, peer_port, options):
        self.make(number, port, options).connect((self.peer, peer_port))

    def write(self, number, data, urgent):
        return self.sockets[number].send(bytes.fromhex(data), socket.MSG_NOSIGNAL | (socket.MSG_OOB if urgent else 0))

    def read(self, number, most, urgent):
        return self.sockets[number].recv(most, socket.MSG_OOB if urgent else 0).hex()

    def shutdown(self, number, how):
        self.sockets[number].shutdown(HOW[how])

    def close(self, number):
        self.sockets.pop(number).close()

    def abort(self, number):
        s = self.sockets.pop(number)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()

    def set(self, number, name, value):
        s = self.sockets[number]
        six = s.family == socket.AF_INET6
        level, option = {
            "nodelay": (socket.IPPROTO_TCP, socket.TCP_NODELAY),
            "cork": (socket.IPPROTO_TCP, socket.TCP_CORK),
            "keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            "keepIdleS": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            "keepIntervalS": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
            "keepCount": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
            "userTimeoutMs": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
            "lingerS": (socket.SOL_SOCKET, socket.SO_LINGER),
            "oobInline": (socket.SOL_SOCKET, socket.SO_OOBINLINE),
            "receiveBuffer": (socket.SOL_SOCKET, socket.SO_RCVBUF),
            "sendBuffer": (socket.SOL_SOCKET, socket.SO_SNDBUF),
            "maxSegment": (socket.IPPROTO_TCP, socket.TCP_MAXSEG),
            "dontFragment": (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER) if six else (socket.IPPROTO_IP, IP_MTU_DISCOVER),
        }[name]
        if name == "lingerS":
            value = struct.pack("ii", 1 if value >= 0 else 0, max(value, 0))
        if name == "dontFragment":
            value = 2 if value else 0
        s.setsockopt(level, option, value)

    def poll(self, number):
        p = select.poll()
        p.register(self.sockets[number], sum(bit for _, bit in READY))
        bits = p.poll(0)
        return " ".join(word for word, bit in READY if bits and bits[0][1] & bit)

    def error(self, number):
        n = self.sockets[number].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return errno.errorcode[n] if n else "none"

    def state(self, port, peer_port):
        """From the kernel's table, which also has what no socket holds any more."""
        with open("/proc/self/net/" + ("tcp6" if self.family == socket.AF_INET6 else "tcp")) as f:
            rows = [line.split() for line in f][1:]
        binary = socket.inet_pton(self.family, self.peer)
        words = struct.unpack("=%dI" % (len(binary) // 4), binary)
        peer = "".join("%08X" % w for w in words) + ":%04X" % peer_port
        for row in rows:
            if row[1].endswith(":%04X" % port) and row[2] == peer:
                return STATES[int(row[3], 16)]
        return "CLOSED"

    def wait(self, number, until):
        self.waiting.append((until, number))

    def serve(self):
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(self.tun, select.POLLIN)
        poll.register(self.watch, select.POLLIN)
        unread = b""
        while True:
            rest = min([until for until, _ in self.waiting], default=now() + 60000) - now()
            poll.poll(max(0, rest) + 0.5)
            self.packets()
            try:
                got = os.read(0, 1 << 20)
                if not got:
                    return
                *lines, unread = (unread + got).split(b"\n")
            except BlockingIOError:
                lines = []
            for line in lines:
                self.do(*json.loads(line))
            time_is = now()
            self.packets()
            for until, number in [w for w in self.waiting if w[0] <= time_is]:
                self.say(i=number, t=round(time_is, 3))
            self.waiting = [w for w in self.waiting if w[0] > time_is]
            self.flush()

    def do(self, number, verb, *arguments):
        if verb == "wait":
            return self.wait(number, *arguments)
        if verb == "inject":
            return self.inject(*arguments)
        answer = {}
        at = now()
        try:
            value = getattr(self, verb)(*arguments)
            if value is not None:
                answer["v"] = value
        except OSError as e:
            answer["e"] = errno.errorcode.get(e.errno, str(e))
        self.packets()
        self.say(i=number, t=round(at, 3), **answer)


host = Host(*sys.argv[1:])
os.set_blocking(0, False)
host.say(i=0, t=now())
host.flush()
host.serve()
