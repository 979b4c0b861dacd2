/** Both ends of a measurement inside of lanes: a server that answers with what it was asked, a caller with so many in flight. */
export default function begin(app, { carrier, serve, call, figures }) {
  const rpc = app.rpc({ carrier });
  if (serve) {
    rpc.listen({ port: serve });
    return {
      calls(events, n) {
        for (let i = 0; i < n; i++) events[i].reply(events[i].bytes);
      },
    };
  }
  const peer = rpc.peer(call.address, call.port);
  const bytes = new Uint8Array(call.bytes).fill(7);
  // Calls, and then the times of the last of them, µs.
  const seen = new Float64Array(figures);
  const samples = seen.length - 1;
  const began = new Float64Array(call.inFlight);
  const ask = tag => {
    began[tag] = performance.now();
    if (rpc.begin(peer, bytes, tag) === 0) throw new Error('no room');
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
