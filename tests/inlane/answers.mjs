/** Answers each request with as many bytes as it says, and tells of each that it has. */
export default function begin(app, { carrier, port }) {
  const rpc = app.rpc({ carrier });
  rpc.listen({ port });
  app.listen({ port: port + 1 });
  return {
    news() {},
    calls(events, n) {
      for (const e of events.slice(0, n)) {
        if (e.kind !== 'request') continue;
        const length = Number(Buffer.from(e.bytes).toString());
        if (length >= 0) e.reply(Buffer.alloc(length, length & 255));
        else e.keep(length);
        app.tell({ length });
      }
    },
    close: () => app.tell({ closing: true }),
  };
}
