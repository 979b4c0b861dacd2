/**
 * Typed values: bytes ↔ JavaScript, by BTF type. What map access by field names is made of.
 *
 *   int ≤ 32 bits   number            int > 32 bits, ptr   bigint
 *   _Bool           boolean           float                number
 *   char[N]         string up to the NUL when it is printable UTF-8 and only NULs follow, else bytes as number[]
 *   other arrays    array             struct               object by field name, anonymous members opened
 *   enum            name of the value, else its number     union   object with every member (same bytes, each view)
 *   datasec         object by variable name
 *
 * Encoding takes the same forms, and more: number, bigint or boolean for any integer; string or bytes for char[N];
 * fewer fields or elements (the rest is 0); of a union, one member. Unknown fields and values out of range are errors,
 * so that nothing is cut silently.
 */
export { decodeValue } from './decode.js';
export { encodeValue } from './encode.js';
