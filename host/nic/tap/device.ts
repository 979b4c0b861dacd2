/**
 * A descriptor of a TUN/TAP interface: one packet per call, never waiting. Through the addon where it is there (an empty
 * interface then costs one system call), else through node:fs, which needs no addon but throws an error for EAGAIN.
 */
import { closeSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Native } from '../../native/load.js';

const { EAGAIN, EIO } = constants.errno;

export interface Device {
  readonly fd: number;
  /** Reads one packet to `at`; a longer one is cut at `length`. Bytes, 0 when none waits, or -errno. */
  read(into: Uint8Array, at: number, length: number): number;
  /** Writes one packet. Bytes, 0 when the kernel has no room now, or -errno. */
  write(from: Uint8Array, at: number, length: number): number;
  close(): void;
}

/** The calls of the addon that a device needs. */
export type DeviceCalls = Pick<Native, 'read' | 'write' | 'close'>;

class NativeDevice implements Device {
  constructor(
    readonly fd: number,
    readonly native: DeviceCalls,
  ) {}

  read(into: Uint8Array, at: number, length: number): number {
    const n = this.native.read(this.fd, into, at, length);
    return n === -EAGAIN ? 0 : n;
  }

  write(from: Uint8Array, at: number, length: number): number {
    const n = this.native.write(this.fd, from, at, length);
    return n === -EAGAIN ? 0 : n;
  }

  close(): void {
    this.native.close(this.fd);
  }
}

/** What a call of node:fs threw, as its -errno. */
function errnoOf(error: unknown): number {
  const { errno } = error as NodeJS.ErrnoException;
  if (errno === undefined) throw error;
  return errno === -EAGAIN ? 0 : errno || -EIO;
}

class FileDevice implements Device {
  constructor(readonly fd: number) {}

  read(into: Uint8Array, at: number, length: number): number {
    try {
      return readSync(this.fd, into, at, length, null);
    } catch (error) {
      return errnoOf(error);
    }
  }

  write(from: Uint8Array, at: number, length: number): number {
    try {
      return writeSync(this.fd, from, at, length, null);
    } catch (error) {
      return errnoOf(error);
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** The device of an open descriptor that does not block. */
export function deviceOf(fd: number, native: DeviceCalls | undefined): Device {
  return native ? new NativeDevice(fd, native) : new FileDevice(fd);
}
