/* SPDX-License-Identifier: BSD-3-Clause */
/* load.h: n strided elements of any dtype to reals. One decoder, stamped per dtype and byte order; exact for every
 * floating type that fits, rounded to nearest for integers beyond the mantissa. Unaligned memory is welcome. */
#ifndef FL_LOAD_H
#define FL_LOAD_H

#include "real.h"

FL_INLINE uint16_t read16(const char *p, int swapped) {
    uint16_t x;
    memcpy(&x, p, sizeof x);
    return swapped ? __builtin_bswap16(x) : x;
}

FL_INLINE uint32_t read32(const char *p, int swapped) {
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return swapped ? __builtin_bswap32(x) : x;
}

FL_INLINE uint64_t read64(const char *p, int swapped) {
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return swapped ? __builtin_bswap64(x) : x;
}

FL_INLINE float float_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

FL_INLINE double double_from_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Half's exponent and mantissa, put in float's places, mean a value 2^112 times too small, subnormals included: one
 * exact multiplication mends it. Infinities and NaNs then need float's full exponent. */
FL_INLINE float float_from_half(uint16_t half) {
    const uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13, sign = (uint32_t)(half & 0x8000) << 16;
    const float scaled = float_from_bits(magnitude) * 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &scaled, sizeof bits);
    bits |= magnitude >= 0x0f800000u ? 0x7f800000u : 0u;
    return float_from_bits(bits | sign);
}

/* 1 for any byte but 0, as arithmetic: a comparison of bytes does not vectorise into reals. */
FL_INLINE int32_t truth(uint8_t byte) { return ((int32_t)byte + 255) >> 8; }

FL_INLINE real decode(const char *p, int dtype, int swapped) {
    switch (dtype) {
    case FL_BOOL: return (real)truth((uint8_t)*p);
    case FL_INT8: return (real)(int8_t)*p;
    case FL_UINT8: return (real)(uint8_t)*p;
    case FL_INT16: return (real)(int16_t)read16(p, swapped);
    case FL_UINT16: return (real)read16(p, swapped);
    case FL_INT32: return (real)(int32_t)read32(p, swapped);
    case FL_UINT32: return (real)read32(p, swapped);
    case FL_INT64: return (real)(int64_t)read64(p, swapped);
    case FL_UINT64: return (real)read64(p, swapped);
    case FL_FLOAT16: return (real)float_from_half(read16(p, swapped));
    case FL_BFLOAT16: return (real)float_from_bits((uint32_t)read16(p, swapped) << 16);
    case FL_FLOAT32: return (real)float_from_bits(read32(p, swapped));
    default: return (real)double_from_bits(read64(p, swapped));
    }
}

FL_INLINE void load(void *dst, const char *src, ptrdiff_t stride, ptrdiff_t n, int dtype, ptrdiff_t size, int swapped) {
    real *restrict out = dst;
    const char *restrict in = src;
    if (stride == size)
        for (ptrdiff_t i = 0; i < n; i++) out[i] = decode(in + i * size, dtype, swapped);
    else if (stride == 0) {
        const real x = decode(in, dtype, swapped);
        for (ptrdiff_t i = 0; i < n; i++) out[i] = x;
    } else
        for (ptrdiff_t i = 0; i < n; i++) out[i] = decode(in + i * stride, dtype, swapped);
}

#define FL_EACH_DTYPE(DO)                                                                                            \
    DO(FL_BOOL, 1)                                                                                                    \
    DO(FL_INT8, 1)                                                                                                    \
    DO(FL_INT16, 2)                                                                                                   \
    DO(FL_INT32, 4)                                                                                                   \
    DO(FL_INT64, 8)                                                                                                   \
    DO(FL_UINT8, 1)                                                                                                   \
    DO(FL_UINT16, 2)                                                                                                  \
    DO(FL_UINT32, 4)                                                                                                  \
    DO(FL_UINT64, 8)                                                                                                  \
    DO(FL_FLOAT16, 2)                                                                                                 \
    DO(FL_BFLOAT16, 2)                                                                                                \
    DO(FL_FLOAT32, 4)                                                                                                 \
    DO(FL_FLOAT64, 8)

#define FL_STAMP_LOAD(dtype, size)                                                                                    \
    static void load_native_##dtype(void *dst, const char *src, ptrdiff_t stride, ptrdiff_t n) {                     \
        load(dst, src, stride, n, dtype, size, 0);                                                                    \
    }                                                                                                                 \
    static void load_swapped_##dtype(void *dst, const char *src, ptrdiff_t stride, ptrdiff_t n) {                    \
        load(dst, src, stride, n, dtype, size, 1);                                                                    \
    }
FL_EACH_DTYPE(FL_STAMP_LOAD)

#endif
