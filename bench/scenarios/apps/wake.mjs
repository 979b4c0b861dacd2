/** What hears in the lane that is woken: when it was told of bytes, ns of the monotonic clock, in shared memory; and an echo. */
export default (app, data) => {
  const seen = new BigInt64Array(data.memory);
  const into = new Uint8Array(4096);
  app.listen({ port: data.port, options: { noDelay: true } });
  return {
    news(events, n) {
      const now = process.hrtime.bigint();
      for (let i = 0; i < n; i++) {
        const { connection, closed } = events[i];
        for (let k = connection.read(into); k > 0; k = connection.read(into)) {
          Atomics.store(seen, 0, now);
          connection.write(into.subarray(0, k));
        }
        if (closed || connection.ended) connection.close();
      }
    },
  };
};
