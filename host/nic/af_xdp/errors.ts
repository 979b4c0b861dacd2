/** What AF_XDP's errors mean, and what is to be done about them. Used by the files of this folder. */
import { errnoName, RIGHTS } from '../../bpf/kernel/attr.js';
import { EtherloomError } from '../../errors.js';

/** A step of the setting up, as the messages name it. */
export type Step = 'socket' | 'UMEM' | 'ring' | 'mapping' | 'bind';

interface Words {
  why: string;
  expected: string;
}

const WORDS: Record<string, Words | undefined> = {
  EPERM: {
    why: 'this is not permitted',
    expected: `root, or CAP_NET_RAW, ${RIGHTS}`,
  },
  EMFILE: {
    why: 'this process may open no more files',
    expected: 'a larger limit (ulimit -n), or fewer queues',
  },
  ENFILE: { why: 'this system may open no more files', expected: 'a larger limit (sysctl fs.file-max)' },
  EAFNOSUPPORT: { why: 'this kernel has no AF_XDP', expected: 'a kernel with CONFIG_XDP_SOCKETS' },
  ENOBUFS: {
    why: 'the packet area is larger than this user may lock in memory',
    expected: 'a larger limit (ulimit -l), CAP_IPC_LOCK, or fewer frames',
  },
  ENOMEM: { why: 'the kernel has no memory for it', expected: 'fewer frames, or smaller rings' },
  EBUSY: {
    why: 'another socket has this queue',
    expected: 'a queue that no other process uses; one that was closed is free after some 100 ms',
  },
  EOPNOTSUPP: {
    why: 'the driver cannot do this',
    expected: 'copy mode, which every driver can',
  },
  ENODEV: { why: 'the interface is gone', expected: 'an interface of this namespace (ip link)' },
  ENETDOWN: { why: 'the interface is gone or down', expected: 'ip link set NAME up' },
  EINVAL: {
    why: 'the kernel refuses these settings',
    expected: 'a queue that the interface has (ethtool -l)',
  },
};

/** The error of a step that the kernel refused. `rc` is -errno. */
export function refused(name: string, step: Step, rc: number): EtherloomError {
  const errno = errnoName(-rc);
  const words = WORDS[errno];
  return new EtherloomError(
    `ERR_NIC_${errno}`,
    `${name}: AF_XDP ${step} refused: ${words ? `${words.why} (${errno})` : errno}`,
    { expected: words?.expected },
  );
}

/** Why there are no AF_XDP sockets for this process, in a line. */
export function socketRefusal(errno: string): string {
  const words = WORDS[errno];
  return words ? `${words.why} (${errno}): needs ${words.expected}` : `AF_XDP sockets are refused: ${errno}`;
}

/** Whether an error says that a queue or the interface is not free yet: closing is finished by the kernel some time later. */
export const isBusy = (error: unknown): error is EtherloomError =>
  error instanceof EtherloomError && (error.code === 'ERR_NIC_EBUSY' || error.code === 'ERR_KERNEL_HELD');
