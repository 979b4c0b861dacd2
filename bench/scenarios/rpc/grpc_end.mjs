/** One end of the gRPC peer, in a process of its own: bytes as they are, no protobuf. */
import grpc from '@grpc/grpc-js';

const order = JSON.parse(process.argv[2]);
const same = bytes => bytes;
const LIMITS = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 };
const Echo = {
  echo: {
    ...{ path: '/bench.Echo/echo', requestStream: false, responseStream: false },
    ...{
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    },
  },
};

if (order.serve) {
  const server = new grpc.Server(LIMITS);
  server.addService(Echo, { echo: (call, done) => done(null, call.request) });
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    process.send(port);
  });
} else {
  const { port, inFlight, bytes, rounds, ms } = order;
  const Client = grpc.makeGenericClientConstructor(Echo, 'Echo');
  const client = new Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), LIMITS);
  const body = Buffer.alloc(bytes, 7);
  const taken = [];
  let times = [];
  const ask = () => {
    const began = performance.now();
    client.echo(body, error => {
      if (error) throw error;
      times.push((performance.now() - began) * 1000);
      ask();
    });
  };
  for (let i = 0; i < inFlight; i++) ask();
  for (let round = 0; round <= rounds; round++) {
    times = [];
    const from = performance.now();
    await new Promise(next => setTimeout(next, ms));
    const sorted = times.sort((a, b) => a - b);
    const at = q => sorted[Math.floor(q * (sorted.length - 1))];
    const callsPerS = (sorted.length * 1000) / (performance.now() - from);
    // The first warms up.
    if (round > 0) taken.push({ callsPerS, p50Us: at(0.5), p99Us: at(0.99) });
  }
  process.send(taken);
}
