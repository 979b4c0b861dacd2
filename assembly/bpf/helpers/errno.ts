// Error numbers that helpers return negated (include/uapi/asm-generic/errno*.h; ENOTSUPP is the kernel's own).
export const ENOENT: i32 = 2;
export const E2BIG: i32 = 7;
export const ENOMEM: i32 = 12;
export const EACCES: i32 = 13;
export const EFAULT: i32 = 14;
export const EBUSY: i32 = 16;
export const ENODEV: i32 = 19;
export const EINVAL: i32 = 22;
export const ENOSPC: i32 = 28;
export const ERANGE: i32 = 34;
export const EPROTO: i32 = 71;
export const EMSGSIZE: i32 = 90;
export const EOPNOTSUPP: i32 = 95;
export const EAFNOSUPPORT: i32 = 97;
export const ENOBUFS: i32 = 105;
export const EALREADY: i32 = 114;
export const ENOTSUPP: i32 = 524;
