/* Byte order. Programs are compiled for little-endian machines (-target bpf on x86 and arm64; Wasm). */
#pragma once
#include "types.h"

#define htons(x) ((__be16)__builtin_bswap16((__u16)(x)))
#define ntohs(x) ((__u16)__builtin_bswap16((__be16)(x)))
#define htonl(x) ((__be32)__builtin_bswap32((__u32)(x)))
#define ntohl(x) ((__u32)__builtin_bswap32((__be32)(x)))
