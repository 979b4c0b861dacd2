/** An in-lane application for the tests: an echo that can be told to go wrong, or to connect. */
export default function begin(app, data) {
  if (data.fails) throw new Error('it does not want to');
  if (data.never) return new Promise(() => {});
  app.listen({ port: data.port, options: { noDelay: true } });
  const into = new Uint8Array(4096);
  let ticks = 0;
  return {
    news(events, n) {
      for (let i = 0; i < n; i++) {
        const { connection, accepted, connected, closed } = events[i];
        if (accepted) app.tell({ accepted: connection.remote.port, slot: connection.listener.place.slot });
        if (connected) {
          app.tell({ connected: connection.data });
          connection.write(Buffer.from('hello'));
        }
        for (let k = connection.read(into); k > 0; k = connection.read(into)) {
          const text = Buffer.from(into.subarray(0, k)).toString();
          if (text === 'throw') throw new Error('it was asked to');
          if (text === 'hang') for (;;);
          if (connection.listener) connection.write(into.subarray(0, k));
          else app.tell({ back: text });
        }
        if (closed || connection.ended) connection.close();
      }
    },
    tick() {
      app.tell({ ticks: ++ticks });
    },
    heard({ connect, listen, fail }) {
      if (fail) throw new Error('it was told to');
      if (connect) app.connect(connect);
      if (listen) app.listen({ port: listen });
    },
    refused: error => app.tell({ refused: error.errno ?? error.code }),
    close() {
      if (data.hangs) for (;;);
      app.tell({ closing: true });
    },
  };
}
