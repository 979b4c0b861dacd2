/**
 * Both ends of a measurement inside of lanes: a server that answers with what it was asked, a caller with so many in flight,
 * to as many ports of the server as there are connections to be.
 */
export default function begin(app, { carrier, serve, call, figures }) {
  const rpc = app.rpc({ carrier });
  const nothing = new Uint8Array(0);
  if (serve) {
    for (let k = 0; k < serve.ports; k++) rpc.listen({ port: serve.port + k });
    return {
      calls(events, n) {
        for (let i = 0; i < n; i++) events[i].reply(serve.oneWay ? nothing : events[i].bytes);
      },
    };
  }
  const peers = Array.from({ length: call.ports }, (_, k) => rpc.peer(call.address, call.port + k));
  const bytes = new Uint8Array(call.bytes).fill(7);
  // Calls, and then the times of the last of them, µs.
  const seen = new Float64Array(figures);
  const samples = seen.length - 1;
  const began = new Float64Array(call.inFlight);
  const ask = tag => {
    began[tag] = performance.now();
    if (rpc.begin(peers[tag % peers.length], bytes, tag) === 0) throw new Error('no room');
  };
  for (let tag = 0; tag < call.inFlight; tag++) ask(tag);
  return {
    calls(events, n) {
      for (let i = 0; i < n; i++) {
        const e = events[i];
        if (e.kind !== 'response') throw e.error ?? new Error(e.kind);
        seen[1 + (seen[0]++ % samples)] = (performance.now() - began[e.tag]) * 1000;
        ask(e.tag);
      }
    },
  };
}
