/** Short copies by words: quicker than the views that `set` wants, or its call. */

/** Up to so many bytes they are. */
export const SHORT = 128;

/**
 * A DataView of the bytes that an application reads into, or writes, over and over: what is met a second time in a row gets
 * one. It is kept until another is: making one costs more than a short copy by words saves.
 */
export class KnownBytes {
  private seen: Uint8Array | undefined;
  private known: Uint8Array | undefined;
  private view: DataView | undefined;

  /** Undefined for bytes that are new. They have some: a buffer that was given away has none, and no view. */
  of(bytes: Uint8Array): DataView | undefined {
    if (bytes === this.known) return this.view;
    if (bytes !== this.seen) {
      this.seen = bytes;
      return undefined;
    }
    this.known = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return this.view;
  }
}

export function copyWords(to: DataView, at: number, from: DataView, start: number, n: number): void {
  const whole = n & ~3;
  for (let i = 0; i < whole; i += 4) to.setUint32(at + i, from.getUint32(start + i, true), true);
  for (let i = whole; i < n; i++) to.setUint8(at + i, from.getUint8(start + i));
}
