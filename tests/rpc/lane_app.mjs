/** In lanes, for the tests: a server that answers with what it was asked, and a caller with some calls in flight. */
export default function begin(app, { carrier, limits, serve, call }) {
  const rpc = app.rpc({ carrier, limits });
  if (serve) rpc.listen({ port: serve, data: 'service' });
  let peer;
  let begun = 0;
  const answered = call ? new Array(call.calls).fill(0) : [];
  const codes = {};
  let over = 0;
  const bytes = new Uint8Array(call?.length ?? 0);
  const into = new Uint8Array(bytes.length);
  const ask = () => {
    while (begun < call.calls && rpc.inFlight < call.inFlight) {
      bytes.fill(begun & 255);
      if (rpc.begin(peer, bytes, begun, call.deadline) === 0) return;
      begun++;
    }
  };
  const done = () => {
    if (++over === call.calls) app.tell({ once: answered.every(n => n === 1), codes, left: rpc.inFlight });
  };
  if (call) {
    peer = rpc.peer(call.address, call.port);
    if (call.before) rpc.begin(rpc.peer(call.before, call.port), bytes, 'before');
    ask();
  }
  return {
    calls(events, n) {
      for (let i = 0; i < n; i++) {
        const e = events[i];
        if (e.kind === 'request') {
          if (e.service !== 'service') throw new Error('of another service');
          e.reply(e.bytes);
        } else if (e.kind === 'response') {
          e.copy(into);
          if (e.length !== bytes.length || into.some(b => b !== (e.tag & 255))) codes.wrong = e.tag;
          answered[e.tag]++;
          done();
        } else {
          codes[e.code] = (codes[e.code] ?? 0) + 1;
          if (e.tag !== 'before') done();
        }
      }
      if (call) ask();
    },
  };
}
