/** The command tree: names, arguments and options. What a command does stands in commands/. */
import { readFileSync } from 'node:fs';
import { Argument, Command, type CommanderError, InvalidArgumentError, Option } from 'commander';
import { EtherloomError } from '../errors.js';
import type { AttachOptions } from './commands/attach.js';
import type { CpOptions, CpRole } from './commands/cp.js';
import type { DemoOptions } from './commands/demo.js';
import type { DisasmOptions } from './commands/disasm.js';
import type { EchoClientOptions, EchoServerOptions } from './commands/echo.js';
import type { ForwardOptions } from './commands/forward.js';
import type { JitOptions } from './commands/jit.js';
import type { KvBenchOptions, KvServerOptions } from './commands/kv.js';
import type { RunOptions } from './commands/run.js';
import type { ServeFolderOptions } from './commands/serve.js';
import type { SlowdownOptions } from './commands/slowdown.js';
import type { SwapOptions } from './commands/swap.js';
import type { TestRunCliOptions } from './commands/test_run.js';
import type { VerifyOptions } from './commands/verify.js';
import { clientOptions } from './cp_options.js';
import { givenOptions } from './given.js';
import { EXIT } from './output.js';
import { usageError } from './usage.js';
import { append, list, wholeNumber } from './values.js';

const version = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** NAME=SECONDS,…; which names there are is said by the reader of configurations. */
function ages(text: string): Record<string, number> {
  return Object.fromEntries(
    text.split(',').map(pair => {
      const [, name, seconds] = /^(\w+)=(\d+(?:\.\d+)?)$/.exec(pair.trim()) ?? [];
      if (!name) throw new InvalidArgumentError('expected NAME=SECONDS, as in tcpOpen=7440,udpOpen=180');
      return [name, Number(seconds)];
    }),
  );
}

const LEAST_SECONDS = 0.05;
/** Longest time that a timer takes: some 24 days. */
const MOST_SECONDS = Math.floor((2 ** 31 - 1) / 1000);

function seconds(text: string): number {
  const n = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || n < LEAST_SECONDS || n > MOST_SECONDS)
    throw new InvalidArgumentError(`expected seconds, from ${LEAST_SECONDS} to ${MOST_SECONDS}`);
  return n;
}

/** 5s, 500ms, or seconds; ms. */
function time(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|)$/.exec(text) ?? [];
  const ms = Number(digits) * (unit === 'ms' ? 1 : 1000);
  if (!digits || ms < 1 || ms > 3_600_000)
    throw new InvalidArgumentError('expected a time from 1ms to 3600s, as in 5s or 500ms');
  return ms;
}

function share(text: string): number {
  const n = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || n > 1) throw new InvalidArgumentError('expected a number from 0 to 1');
  return n;
}

function exponent(text: string): number {
  const n = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || n > 10) throw new InvalidArgumentError('expected a number from 0 to 10');
  return n;
}

/** What an application may stand on: `Level` of host/apps/levels.ts, which is loaded when it is needed. */
const LEVELS = ['duplex', 'burst', 'lane'];

const SWAP = `
Connections stay, nothing is dropped; what cannot be done is refused, and all is as before. A socket that
is not there is waited for, 5 s. Exit code 1 when it was refused,
or the old programs were put back. To see it at work:
  npx etherloom echo client --nic model --control /tmp/echo.sock --duration 60 &
  npx etherloom swap --control /tmp/echo.sock --list
  npx etherloom swap --control /tmp/echo.sock near/tcp bpf-progs/obj/tcp.bpf.o --probation 5s`;

/** Thrown where commander would end the process after printing help or version. */
class Answered extends Error {}

/**
 * Runs one command line (without node and script). @returns the exit code.
 * @throws EtherloomError ERR_USAGE_* for what is wrong with the line itself; what the command throws
 */
export async function parse(argv: readonly string[]): Promise<number> {
  let code: number = EXIT.DONE;
  const json = argv.includes('--json');
  const strict = (command: Command): Command =>
    command.exitOverride((error: CommanderError) => {
      if (error.exitCode === 0) throw new Answered();
      throw usageError(error, command);
    });
  const program = new Command('etherloom')
    .description(
      'eBPF packet programs, verified, compiled to WebAssembly and run over real packets, without kernel or root',
    )
    .version(version)
    // Of the program, so that it may stand before the command as well as after it.
    .option('--json', 'print JSON, errors included')
    .configureHelp({ showGlobalOptions: true })
    // Errors are printed by main.ts, whoever finds them; the help of a line without command goes with one.
    .configureOutput({
      outputError() {},
      writeErr: text => {
        if (!json) process.stderr.write(text);
      },
    });
  strict(program);
  const command = (line: string, description: string): Command =>
    strict(program.command(line).description(description));
  const programOption = [
    '--program <name>',
    'program of the object (default: the only one, or the first)',
  ] as const;

  command('run', 'replay a capture through a program and say what became of the packets')
    .argument('<object>', 'compiled object (.o) or SPEC.json')
    .option(...programOption)
    .requiredOption('--in <file>', 'capture to read (pcap or pcapng)')
    .option('--out <file>', 'pcap to write: the packets that the program passed, sent or redirected')
    .option('--lanes <n>', 'worker threads', wholeNumber(1, 64), 1)
    .option('--config <file>', 'JSON: map contents by map name')
    .option(
      '--repeat <n>',
      'times to replay the capture (verdicts count every round)',
      wholeNumber(1, 1e9),
      1,
    )
    .option('--quiet', 'no progress bar')
    .action(async (object: string, _own, self: Command) => {
      const options = self.optsWithGlobals<RunOptions>();
      code = await (await import('./commands/run.js')).run(object, options);
    });

  command('verify', 'verify every program of an object')
    .argument('<object>', 'compiled object (.o) or SPEC.json')
    .option('--program <name>', 'only this program')
    .option('--log', 'print the whole verifier log')
    .action(async (object: string, _own, self: Command) => {
      const options = self.optsWithGlobals<VerifyOptions>();
      code = await (await import('./commands/verify.js')).verifyObject(object, options);
    });

  command('test-run', 'run a program over one packet, as BPF_PROG_TEST_RUN does')
    .argument('<object>', 'compiled object (.o) or SPEC.json')
    .option(...programOption)
    .requiredOption('--data <hex>', 'the packet, in hex')
    .option('--repeat <n>', 'runs to time', wholeNumber(1, 1e9), 1)
    .option('--config <file>', 'JSON: map contents by map name')
    .addOption(
      new Option('--engine <engine>', 'what runs it').choices(['jit', 'interp', 'kernel']).default('jit'),
    )
    .action(async (object: string, _own, self: Command) => {
      const options = self.optsWithGlobals<TestRunCliOptions>();
      code = await (await import('./commands/test_run.js')).testRunObject(object, options);
    });

  command('disasm', 'disassemble the programs of an object')
    .argument('<object>', 'compiled object (.o) or SPEC.json')
    .option('--program <name>', 'only this program')
    .addOption(
      new Option('--notation <notation>', 'whose spelling').choices(['kernel', 'clang']).default('kernel'),
    )
    .option('--no-source', 'leave the source lines out')
    .action(async (object: string, _own, self: Command) => {
      const options = self.optsWithGlobals<DisasmOptions>();
      code = await (await import('./commands/disasm.js')).disasm(object, options);
    });

  command('jit', 'compile a program to WebAssembly and show or write the module')
    .argument('<object>', 'compiled object (.o) or SPEC.json')
    .option(...programOption)
    .option('--wat', 'print the WebAssembly text')
    .option('--wasm <file>', 'write the WebAssembly binary')
    .action(async (object: string, _own, self: Command) => {
      const options = self.optsWithGlobals<JitOptions>();
      code = await (await import('./commands/jit.js')).jit(object, options);
    });

  command('maps', 'list the maps of an object with their types')
    .argument('<object>', 'compiled object (.o) or SPEC.json')
    .action(async (object: string, _own, self: Command) => {
      const options = self.optsWithGlobals();
      code = await (await import('./commands/maps.js')).maps(object, options);
    });

  const portList = (text: string): number[] => list(text).map(wholeNumber(1, 65535));
  command('forward', 'forward connections through a chain of hops, each port of the list a hop')
    .requiredOption('--in <nic>', 'NIC towards clients: af_xdp:IFACE, tap:NAME, pcap:FILE')
    .option('--out <nic>', 'NIC towards backends (default: --in, for one hop)')
    .option('--ports <list>', 'port of each hop, in the order of a client: 7996,7997', portList)
    .option(
      '--backend <address:port>',
      'backend, [V6]:PORT for IPv6, @MAC where needed; again for more',
      append,
    )
    .option('--protocol <list>', 'tcp, udp (default: both)', append)
    .option('--address <list>', 'addresses that clients call (default: those of the --in interface)', append)
    .option('--source <list>', 'addresses that backends see (default: those of the --out interface)', append)
    .option('--flows <n>', 'flows per hop, each with a source port', wholeNumber(1, 64512))
    .option('--first-port <n>', 'first of the source ports', wholeNumber(1024, 65535))
    .option('--age <list>', 'seconds of silence: tcpOpen=7440,udpOpen=180 …', ages)
    .option('--config <file>', 'JSON with all of that instead; on SIGHUP its backends are taken over')
    .addOption(
      new Option('--engine <engine>', 'who runs the hops')
        .choices(['etherloom', 'kernel'])
        .default('etherloom'),
    )
    .option('--lanes <n>', 'worker threads', wholeNumber(1, 64), 1)
    .option('--frames <n>', 'frames of 2 KiB', wholeNumber(128, 1 << 20), 16384)
    .option('--spin <us>', 'how long an idle lane spins before it sleeps', wholeNumber(0, 1e9), 50)
    .option('--interval <s>', 'between two lines of live counters', wholeNumber(1, 86400), 1)
    .option('--duration <s>', 'end after so long', wholeNumber(1, 1e6))
    .option('--quiet', 'no live counters')
    .action(async (_own, self: Command) => {
      const options = { ...self.optsWithGlobals<ForwardOptions>(), given: givenOptions(self) };
      code = await (await import('./commands/forward.js')).forward(options);
    });

  command('attach', 'run a program at a live interface, until Ctrl-C or for a time')
    .argument('<object>', 'compiled object (.o) or SPEC.json')
    .option(...programOption)
    .requiredOption(
      '--nic <nic>',
      'af_xdp:IFACE, tap:NAME, tun:NAME, model or pcap:FILE, with options: ,KEY=VALUE',
    )
    .addOption(
      new Option('--engine <engine>', 'who runs it').choices(['etherloom', 'kernel']).default('etherloom'),
    )
    .option('--lanes <n>', 'worker threads', wholeNumber(1, 64), 1)
    .option('--config <file>', 'JSON: map contents by map name')
    .option('--address <list>', 'answer ARP, ND and echo for these: 10.0.0.1/24,fd00::1/64', append)
    .option(
      '--take <list>',
      'what af_xdp takes from the kernel: tcp/80, udp/53@10.0.0.1, any@fd00::/64',
      append,
    )
    .option('--dump <map>', 'print the contents of a map at the end; again for more', append)
    .option('--duration <s>', 'seconds, instead of until Ctrl-C', seconds)
    .option('--interval <s>', 'seconds between two lines of counters', seconds, 1)
    .option('--quiet', 'no line of counters')
    .action(async (object: string, _own, self: Command) => {
      const options = { ...self.optsWithGlobals<AttachOptions>(), given: givenOptions(self) };
      code = await (await import('./commands/attach.js')).attach(object, options);
    });

  // ── applications: who has connections ─────────────────────────────────────────────────────────────────────────

  const port = wholeNumber(1, 65535);
  /** Options of all that have a host of their own at a NIC. */
  const hosted = (command: Command): Command =>
    command
      .option('--address <list>', 'addresses of the host: 10.0.0.1/24,fd00::1/64', append)
      .option('--gateway <list>', 'router, one for each family', append)
      .option('-t, --threads <n>', 'lanes of the host', wholeNumber(1, 32), 1)
      .option('--spin <us>', 'how long an idle lane spins before it sleeps', wholeNumber(0, 1e9), 50)
      .option(
        '-l, --buffer <n>',
        'bytes of each ring of a connection (default: they grow)',
        wholeNumber(2048, 1 << 24),
      )
      .option('--control <path>', 'open a Unix socket there, for etherloom swap')
      .option('--interval <s>', 'seconds between two lines', seconds, 1);
  /** What stands behind a NIC's name, and who is at the other end. */
  const OUTSIDE = `
  af_xdp:IFACE          beside the kernel, which keeps its address: only the served port is taken, --address not needed
  af_xdp:IFACE,own=yes  all of the interface, with an address of its own: --address 10.0.0.1/24
  ,queues=N             of the interface, one for each of --threads
  ,attach=native|generic
  tap:NAME, tun:NAME    made if there is none; the kernel is at the other end: ip addr add 10.0.0.2/24 dev NAME`;
  const SERVING_NICS = `
NICs:${OUTSIDE}`;
  const CALLING_NICS = `
NICs:
  model                 a link in shared memory, with the server at its far end; ,rate=10G ,delay=5us ,loss=0.01 ,seed=1${OUTSIDE}
                        (who connects needs own=yes)

Two hosts, as root, with a cable of the kernel's between them:
  ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up
  etherloom echo server --nic af_xdp:v0,own=yes --address 10.0.0.1/24 &
  etherloom echo client --nic af_xdp:v1,own=yes --address 10.0.0.2/24 --ip 10.0.0.1 --duration 5`;
  const serving = (command: Command, at: number): Command =>
    hosted(command)
      .requiredOption('--nic <nic>', 'af_xdp:IFACE, tap:NAME or tun:NAME')
      .addHelpText('after', SERVING_NICS)
      .option('-i, --ip <address>', 'address to listen at (default: any of the host)')
      .option('-p, --port <n>', 'port to listen at', port, at)
      .option('--duration <s>', 'end after so long', seconds);
  const calling = (command: Command): Command =>
    hosted(command)
      .option('--nic <nic>', 'NIC; on model the server is in this process', 'model')
      .addHelpText('after', CALLING_NICS)
      .option('-w, --warmup <s>', 'seconds that are not counted', wholeNumber(0, 3600), 1);
  const levelled = (command: Command): Command =>
    command.addOption(
      new Option('--level <level>', 'what the application stands on').choices(LEVELS).default('burst'),
    );
  const family = (name: string, description: string) => {
    const parent = command(name, description);
    return (line: string, text: string): Command => strict(parent.command(line).description(text));
  };

  /** What is called otherwise than in eTran, or has no meaning here. */
  const EPOLL = (name: string): string => `
eTran's ${name}'s -q (queues) is queues=N of --nic; its -s (answers as long as messages) is the case without --short;
its -m (a port for each thread) has no meaning: lanes share a port, whichever a connection comes to.`;
  const FLEXKVS = `
eTran's flexkvs_bench's -d (delay between requests) is not there: each connection asks when it is answered, -C and -p say
how much is under way; nor is its -r (a trace of the requests): the same seeds ask for the same; nor its -K (steering by
key): lanes share the store, connections are spread over them by RSS.`;

  const echo = family('echo', 'an echo and its load: epoll_server, epoll_client and lat_client of eTran');
  levelled(serving(echo('server', 'send back what comes'), 50000))
    .option('--short', 'answer each message by 100 bytes; who calls says so, too')
    .option('-b, --bytes <n>', 'bytes of a message, for --short', wholeNumber(1, 1 << 24), 100)
    .addHelpText('after', EPOLL('epoll_server'))
    .action(async (_own, self: Command) => {
      const options = self.optsWithGlobals<EchoServerOptions>();
      code = await (await import('./commands/echo.js')).echoServer(options);
    });
  levelled(calling(echo('client', 'send messages, and wait for them to come back')))
    .option('-i, --ip <address>', 'address of the server')
    .option('-p, --port <n>', 'port of the server', port, 50000)
    .option('-b, --bytes <n>', 'bytes of a message', wholeNumber(1, 1 << 24), 100)
    .option('-f, --flows <n>', 'connections', wholeNumber(1, 65535), 1)
    .option('-o, --outstanding <n>', 'messages under way on each', wholeNumber(1, 65536), 1)
    .option('--short', 'answers of 100 bytes')
    .addHelpText('after', EPOLL('epoll_client'))
    .option('-d, --dump <file>', 'write how many answers took how long: a line for each time, us and answers')
    .option('--duration <s>', 'seconds, instead of until Ctrl-C', seconds)
    .action(async (_own, self: Command) => {
      const options = self.optsWithGlobals<EchoClientOptions>();
      code = await (await import('./commands/echo.js')).echoClient(options);
    });

  const kv = family('kv', 'a key-value store and its load: flexkvs_server and flexkvs_bench of eTran');
  levelled(serving(kv('server', "serve memcached's binary protocol"), 11211))
    .option('--items <n>', 'items to have room for', wholeNumber(1, 2 ** 26), 65536)
    .option('--memory <mib>', 'MiB of keys and values: the oldest go first', wholeNumber(1, 1024), 64)
    .action(async (_own, self: Command) => {
      const options = self.optsWithGlobals<KvServerOptions>();
      code = await (await import('./commands/kv.js')).kvServer(options);
    });
  levelled(calling(kv('bench', 'set every key, then get and set by a workload')))
    .argument('[server]', 'ADDRESS[:PORT], [V6]:PORT')
    .option('-C, --conns <n>', 'connections', wholeNumber(1, 65535), 1)
    .option('-p, --pending <n>', 'requests under way on each', wholeNumber(1, 65536), 1)
    .option('-k, --key-size <n>', 'bytes of a key', wholeNumber(8, 250), 32)
    .option('-n, --key-num <n>', 'keys', wholeNumber(1, 2 ** 24), 1000)
    .option('-u, --uniform', 'every key as often')
    .option('-z, --zipf <s>', "exponent of Zipf's law", exponent, 0.9)
    .option('-v, --val-size <n>', 'bytes of a value', wholeNumber(0, 1 << 20), 64)
    .option('-g, --get-prob <p>', 'share of gets', share, 0.9)
    .option('-T, --time <s>', 'seconds, instead of until Ctrl-C', seconds)
    .option('-c, --cooldown <s>', 'seconds after those, not counted', wholeNumber(0, 3600), 0)
    .option('-s, --key-seed <n>', 'of the choices of keys', wholeNumber(1, 2 ** 32 - 1), 1)
    .option('-o, --op-seed <n>', 'of those between get and set', wholeNumber(1, 2 ** 32 - 1), 2)
    .addHelpText('after', FLEXKVS)
    .action(async (server: string | undefined, _own, self: Command) => {
      const options = self.optsWithGlobals<KvBenchOptions>();
      code = await (await import('./commands/kv.js')).kvBench(server, options);
    });

  const CP = `
client calls, server answers; without one of them both are here: on model the server is the far host, always. With --commands
lines of standard input are obeyed, and without client or server nothing begins before they say so:
  server                     answers from then on
  client [OPTIONS]           calls: --workload, --gbps, --client-max, --unloaded, --seed, --server-nodes; else as the line began
  stop                       no more requests; those under way are answered, and another client may begin
  dump_times FILE            lengths and times of the client, or the last one
  log TEXT, debug, tt, exit
What else cp_node has:
  --both, --id, --pin, --queues    lanes have what threads and queues are there; several nodes are several processes
  --client-first-port, --server-ports    one port is served, --first-port; clients have free ones
  --first-server                   the servers that are named are called

What it says, and with --json: docs/cp.md.

NICs:
  model                 a link in shared memory: the client is here, the server at its far end; ,rate=10G ,delay=5us ,loss=0.01 ,seed=1
  af_xdp:IFACE,own=yes  all of the interface, with an address of its own: --address 10.0.0.1/24; ,queues=N ,attach=native|generic
  af_xdp:IFACE          beside the kernel, which keeps its address: for server --protocol tcp only
  tap:NAME              made if there is none; bridged to that of another cp, as the kernel at its other end has none

Two hosts, as root, with a cable of the kernel's between them:
  ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up
  etherloom cp server --nic af_xdp:v0,own=yes --address 10.0.0.1/24 &
  etherloom cp client --nic af_xdp:v1,own=yes --address 10.0.0.2/24 --server-nodes 10.0.0.1 --duration 5`;

  clientOptions(
    hosted(command('cp', "messages of a workload and their answers: HomaModule's cp_node, on any NIC")),
  )
    .addArgument(new Argument('[command]', 'what is here').choices(['client', 'server']))
    .option('--nic <nic>', 'what it stands on, as below', 'model')
    .addOption(new Option('--protocol <name>', 'what carries them').choices(['homa', 'tcp']).default('homa'))
    .option('--first-port <n>', 'where messages are taken', wholeNumber(1, 32767), 4000)
    .option('--ports <n>', 'over tcp: connections to each server', wholeNumber(1, 512), 4)
    .option('--one-way', 'answers of 100 bytes')
    .option('--dump-times <file>', 'write length and time of each message at the end')
    .option('--commands', 'obey lines of standard input')
    .option('--duration <s>', 'seconds, instead of until Ctrl-C', seconds)
    .addHelpText('after', CP)
    .action(async (role: CpRole | undefined, _own, self: Command) => {
      const o = self.optsWithGlobals<CpOptions & { dumpTimes?: string }>();
      const options = { ...o, ...(o.dumpTimes === undefined ? {} : { dump: o.dumpTimes }) };
      code = await (await import('./commands/cp.js')).cp(role, options);
    });

  command('slowdown', 'how much longer messages took than alone, by length, from files of cp --dump-times')
    .argument('<files...>', 'what --dump-times and dump_times wrote; -: standard input')
    .option('--mbps <n>', 'of the line', wholeNumber(1, 1e7), 10_000)
    .option(
      '--base <file>',
      'times of cp --unloaded: the least of its shortest messages is the best possible',
    )
    .option('--svg <file>', 'draw p50, p99 and p99.9 by length there')
    .action(async (files: string[], _own, self: Command) => {
      const options = self.optsWithGlobals<SlowdownOptions>();
      code = (await import('./commands/slowdown.js')).slowdown(files, options);
    });

  serving(command('serve', 'serve a folder over HTTP'), 8080)
    .argument('<folder>', 'what is served, and nothing outside of it')
    .option('--quiet', 'no line for each answer')
    .action(async (folder: string, _own, self: Command) => {
      const options = self.optsWithGlobals<ServeFolderOptions>();
      code = await (await import('./commands/serve.js')).serveFolder(folder, options);
    });

  command('swap', 'replace the programs of a transport in an engine that runs')
    .argument('[transport]', 'tcp, udp …; of several stacks STACK/NAME')
    .argument('[object]', 'its new programs: a compiled object (.bpf.o)')
    .requiredOption(
      '--control <path>',
      'control socket of the engine, as its --control or openControl has it',
    )
    .option('--list', 'say which transports there are, instead')
    .option(
      '--probation <time>',
      'put the old programs back if errors rise faster in this time: 5s, 500ms',
      time,
    )
    .option('--fresh <list>', 'maps whose contents may go if their layout differs', append)
    .addHelpText('after', SWAP)
    .action(async (transport: string | undefined, object: string | undefined, _own, self: Command) => {
      const options = self.optsWithGlobals<SwapOptions>();
      code = await (await import('./commands/swap.js')).swap(transport, object, options);
    });

  command('nics', 'list the NICs that can be used here, and why the others cannot').action(
    async (_own, self: Command) => {
      code = (await import('./commands/nics.js')).nics(self.optsWithGlobals());
    },
  );

  command(
    'demo',
    'the main job: the committed capture through the programs of bpf-progs/, then what came of it by HTTP through some of them',
  )
    .option('--in <file>', 'another capture to replay')
    .option('--out <folder>', 'where the pcaps go', 'out')
    .option('--lanes <n>', 'worker threads', wholeNumber(1, 64), 2)
    .option(
      '--packets <n>',
      'packets to replay through each program for the speed',
      wholeNumber(1, 1e10),
      2_000_000,
    )
    .option(
      '--nic <nic>',
      'serve what --out holds to clients there instead: af_xdp:IFACE,own=yes or tap:NAME',
    )
    .option('--duration <s>', 'with --nic: end after so long', seconds)
    .option('--quiet', 'no progress bar')
    .action(async (_own, self: Command) => {
      const options = self.optsWithGlobals<DemoOptions>();
      code = await (await import('./commands/demo.js')).demo(options);
    });

  // Listed for --help: main.ts answers it before this parser is loaded, if the word stands first.
  command('conformance', 'run one program for an external conformance runner: [MEM] [--interp] < PROGRAM-HEX')
    .argument('[mem]', 'memory, in hex')
    .option('--interp', 'the interpreter instead of the guarded JIT')
    .option('--elf', 'the program is an ELF object, in hex')
    .action(() => {
      throw new EtherloomError('ERR_USAGE_COMMAND', 'conformance does not come first on the line', {
        expected: 'etherloom conformance [MEM] [--interp], whose output is fixed and no JSON',
      });
    });

  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof Answered)) throw error;
    return EXIT.DONE;
  }
  return code;
}
