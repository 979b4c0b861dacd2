/** etherloom: the public API. Re-exports only; what is not for embedders is in internals.ts. */
export {
  type CollectedProgram,
  Collection,
  type CollectionOptions,
  HostPrograms,
  type Placed,
  type ProgramHost,
} from './bpf/collection.js';
export { configureGlobals, configureMaps, type MapConfig, readMapConfig } from './bpf/config.js';
export { loadElf } from './bpf/elf/load.js';
export { helpers } from './bpf/helpers.js';
export type { CompiledProgram } from './bpf/jit/compiled.js';
export {
  attachKernel,
  KernelAttachment,
  type KernelAttachOptions,
} from './bpf/kernel/attach.js';
export { KernelDevMap, type KernelDevmapValue } from './bpf/kernel/devmap.js';
export type { XdpMode } from './bpf/kernel/link.js';
export { type Kfunc, kfuncs } from './bpf/kfuncs.js';
export {
  ArrayMap,
  ArrayOfMaps,
  BloomFilterMap,
  BpfMap,
  CpuMap,
  type CpumapValue,
  createMap,
  DevHashMap,
  DevMap,
  type DevmapValue,
  type GlobalVariable,
  HashMap,
  HashOfMaps,
  KeyedMap,
  type LpmKey,
  LpmTrieMap,
  type MapClasses,
  type MapData,
  MapError,
  MapFlag,
  type MapOf,
  type MapOptions,
  PerCpuArrayMap,
  PerCpuHashMap,
  PerfEventArrayMap,
  type PerfSample,
  ProgArrayMap,
  QueueMap,
  type ReadOptions,
  RingBufMap,
  type RingBufOptions,
  StructOpsMap,
  UpdateFlag,
  XskMap,
} from './bpf/maps/index.js';
export { chooseProgram, openObject } from './bpf/open.js';
export type { ProgramRef } from './bpf/residence.js';
export type { CollectionSpec, MapSpec, MapTypeName, ProgramSpec, ProgramType } from './bpf/spec.js';
export { parseSpecJson, printSpecJson } from './bpf/spec_json.js';
export { VerifierError } from './bpf/verify/errors.js';
export type { VerifiedProgram, VerifierStats } from './bpf/verify/verified.js';
export { verify } from './bpf/verify/verify.js';
export { type CaptureRun, type CaptureRunOptions, runCapture } from './engine/capture_run.js';
export { CongestionControl, type CongestionOptions, registerCongestion } from './engine/congestion.js';
export type { ControlPlace, ControlSocket } from './engine/control_socket.js';
export type { Counters, PortCounters } from './engine/counters.js';
export { type Attachment, Engine, type EngineOptions, type HookName } from './engine/engine.js';
export type { LoadedProgram } from './engine/program.js';
export type { EngineReport } from './engine/report.js';
export type { LaneSeat, Resident, ResidentOptions, SeatResident } from './engine/resident.js';
export { type CollectionRunOptions, testRun } from './engine/test_collection.js';
export type { TestRunResult } from './engine/test_run.js';
export type {
  LiveTransport,
  ObjectSource,
  ProbationReport,
  TransportState,
  Transports,
  UpgradeOptions,
  UpgradeReport,
} from './engine/transports.js';
export { EtherloomError } from './errors.js';
export {
  Forwarder,
  type ForwarderCounters,
  type ForwarderOptions,
  type ForwarderReport,
} from './forward/chain.js';
export {
  type Ages,
  type Backend,
  type ForwardConfig,
  type ForwardInput,
  forwardConfig,
  readForwardConfig,
  type Service,
} from './forward/config.js';
export type { Flow, HopCounters } from './forward/counters.js';
export { KernelForwarder, type KernelForwarderOptions } from './forward/kernel_chain.js';
export { StreamEvent, StreamRequest, XdpAction } from './layout/layout.gen.js';
export type { Arena, ArenaOptions } from './mem/arena.js';
export type { Core } from './mem/core.js';
export type { Packet } from './mem/ring.js';
export { type StreamMemory, type StreamOptions, streamMemory } from './mem/streams.js';
export type { Burst } from './net/burst/burst.js';
export type { ConnectOptions, ListenOptions } from './net/burst/calls.js';
export type { Connection } from './net/burst/connection.js';
export { Datagram, type Peer } from './net/burst/datagram.js';
export type { DatagramSocket, Outgoing } from './net/burst/datagram_socket.js';
export type { BindOptions, DatagramNews } from './net/burst/datagrams.js';
export type { Listener } from './net/burst/listener.js';
export type { StackEvent } from './net/burst/sockets.js';
export { StackApp, type StackTicket } from './net/burst/stack_app.js';
export type { StackDgram } from './net/datagrams/dgram.js';
export type { RemoteInfo } from './net/datagrams/inbox.js';
export type { SocketOptions as DgramSocketOptions } from './net/datagrams/options.js';
export type { Socket as DgramSocket } from './net/datagrams/socket.js';
export { InLane, type InLaneEnd, type InLaneOptions } from './net/in_lane/in_lane.js';
export type { LaneApp, LaneHandler, LaneModule } from './net/in_lane/lane_app.js';
export type { LaneRpc, LaneRpcOptions } from './net/in_lane/lane_rpc.js';
export type { SocketAddress } from './net/sockets/address.js';
export type { Connector, ConnectorOptions, StackAgent, StackSecureAgent } from './net/sockets/agents.js';
export type { ServerListenOptions, SocketConnectOptions } from './net/sockets/arguments.js';
export { StackNet } from './net/sockets/net.js';
export type { Served } from './net/sockets/serve.js';
export { type OnConnection, Server, type ServerOptions } from './net/sockets/server.js';
export { Socket } from './net/sockets/socket.js';
export type { SocketOptions } from './net/sockets/socket_options.js';
export {
  type PortNetwork,
  Stack,
  type StackMemory,
  type StackOptions,
  type StackRoute,
} from './net/stack.js';
export { StackTransport, type UnloadOptions } from './net/stack_transport.js';
export {
  type AfXdpNic,
  type AfXdpOptions,
  type AfXdpStatus,
  afXdp,
  type CapturedPacket,
  capture,
  faults,
  HostNic,
  type HostNicOptions,
  type JointEnd,
  type JointOptions,
  joint,
  type LinkSettings,
  type LinkStats,
  MAX_PACKET,
  type ModelEnd,
  type ModelOptions,
  modelLink,
  type Nic,
  type NicAvailability,
  type NicEnv,
  nicAvailable,
  PcapNic,
  type PcapNicOptions,
  PcapWriter,
  type Port,
  type PrioritySettings,
  type QueueStats,
  type RedirectRule,
  ReplayNic,
  type ReplayOptions,
  readCapture,
  TapNic,
  type TapOptions,
  type TapStats,
  tap,
  trace,
  tun,
} from './nic/index.js';
export type {
  AddressOptions,
  AddressStatus,
  Conflict,
  LearnedNeighbour,
  NeighbourOptions,
  Responder,
  ResponderCounters,
  ResponderOptions,
} from './responder/index.js';
export { type Pieces, RpcBody, type RpcBodyInput, Streamed, streamed } from './rpc/body.js';
export type { RpcBurst } from './rpc/burst.js';
export type { ServePlace as RpcServePlace } from './rpc/carrier.js';
export { RpcError } from './rpc/errors.js';
export type { KeptRequest, RpcEvent, RpcEventKind } from './rpc/event.js';
export type { RpcPeer } from './rpc/peer.js';
export { type CallOptions, Rpc, type RpcAddress, type RpcOptions } from './rpc/rpc.js';
export type { RpcContext, RpcHandler, RpcServer, ServeOptions } from './rpc/server.js';
export { Network, type NetworkHost, type NetworkOptions, type NetworkStats } from './sim/index.js';
export { StreamApp, type TakeEvent } from './streams/stream_app.js';
export {
  type OpenStream,
  StreamApps,
  type StreamCounters,
  type StreamHost,
  streamCounters,
} from './streams/stream_apps.js';
export { StreamEnd } from './streams/stream_end.js';
export type { AnyTransport, Endpoint, LoadedAny, Transport } from './transports/contract.js';
export { type DatagramTransportOptions, datagramTransport } from './transports/datagrams/index.js';
export type { DatagramTransport, DatagramView, LoadedDatagrams } from './transports/datagrams.js';
export { type SocketErrno, SocketError } from './transports/errno.js';
export { type HomaOptions, homa } from './transports/homa/index.js';
export type {
  ClientPlace,
  LoadedMessages,
  MessageTransport,
  MessageView,
  ServePlace,
  ServeWish,
  SlotsWish,
} from './transports/messages.js';
export { registerDatagrams, registerTransport } from './transports/registry.js';
export {
  type CongestionName,
  type ConnectionOptions,
  type KeepAlive,
  type TcpOptions,
  tcp,
} from './transports/tcp/index.js';
export { type UdpOptions, udp } from './transports/udp/index.js';
