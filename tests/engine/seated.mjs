/** A resident that counts: word 3·lane polls, the next seats of this lane, the one after is thrown at when it is set. */
export default function seat({ arena, lane, data }) {
  const words = new Int32Array(data);
  if (arena.header.laneCount !== 2) throw new Error('another arena');
  Atomics.add(words, 3 * lane + 1, 1);
  return {
    poll() {
      if (Atomics.exchange(words, 3 * lane + 2, 0)) throw new Error('asked to fail');
      Atomics.add(words, 3 * lane, 1);
      return 0;
    },
  };
}
