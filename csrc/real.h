/* SPDX-License-Identifier: BSD-3-Clause */
/* real.h: `real` = float | double of this build (-DFL_REAL=32|64 -DFL_ISA=baseline|avx2|avx512|neon), the integer of the
 * same width, and branch-free helpers. The plain forms below vectorise on every ISA; fabsf, fmaxf, rintf do not. */
#ifndef FL_REAL_H
#define FL_REAL_H

#include <float.h>
#include <string.h>
#include "fastloss.h"

#if FL_REAL == 32
typedef float real;
typedef int32_t ireal;
typedef uint32_t ureal;
#define R(x) x##f
#define R_MAX FLT_MAX
#define R_MIN FLT_MIN
#define R_EPSILON FLT_EPSILON
#elif FL_REAL == 64
typedef double real;
typedef int64_t ireal;
typedef uint64_t ureal;
#define R(x) x
#define R_MAX DBL_MAX
#define R_MIN DBL_MIN
#define R_EPSILON DBL_EPSILON
#else
#error "compile with -DFL_REAL=32 or -DFL_REAL=64"
#endif

#define R_INFINITY ((real)__builtin_inf())
#define R_NAN ((real)__builtin_nan(""))
#define FL_INLINE static inline __attribute__((always_inline))

FL_INLINE ptrdiff_t at_most(ptrdiff_t n, ptrdiff_t most) { return n < most ? n : most; }

enum { FL_TILE = FL_TILE_BYTES / sizeof(real) };

FL_INLINE ireal r_bits(real x) { ireal i; memcpy(&i, &x, sizeof i); return i; }
FL_INLINE real r_from_bits(ireal i) { real x; memcpy(&x, &i, sizeof x); return x; }
FL_INLINE real r_abs(real x) {
#if FL_REAL == 32
    return __builtin_fabsf(x);
#else
    return __builtin_fabs(x);
#endif
}
FL_INLINE real r_copysign(real magnitude, real sign) {
    const ireal top = (ireal)((ureal)1 << (8 * sizeof(real) - 1));
    return r_from_bits((r_bits(magnitude) & ~top) | (r_bits(sign) & top));
}
/* -1, 0 or 1; NaN stays. */
FL_INLINE real r_sign(real x) { return ((x < 0) | (x > 0)) ? r_copysign(1, x) : x; }
/* a where the condition holds, else b, by bit masks: a plain ?: on an integer condition becomes branches or scalar code
 * in the vectoriser of GCC 12. */
FL_INLINE real r_where(int condition, real a, real b) {
    const ireal mask = -(ireal)condition;
    return r_from_bits((r_bits(a) & mask) | (r_bits(b) & ~mask));
}
/* By the sign of x, that of 0 and NaN too: one selection where registers are selected by signs. */
FL_INLINE real r_by_sign(real x, real negative, real other) {
#if FL_REAL == 64 && defined(__SSE2__) && !defined(__AVX2__) /* has no comparison of such integers */
    return r_copysign(1, x) < 0 ? negative : other;
#else
    return r_where(r_bits(x) < 0, negative, other);
#endif
}
/* The first argument wins only if it compares: a NaN in `b` stays, a NaN in `a` is dropped. */
FL_INLINE real r_max(real a, real b) { return a > b ? a : b; }
FL_INLINE real r_min(real a, real b) { return a < b ? a : b; }
/* Bounds that the compiler is not to know: of a constant that it knows GCC 12 makes a comparison and a selection, where
 * one of these gives a maximum. Nobody writes them. */
#define R_HIDDEN(name, value) static real name __attribute__((used)) = value
R_HIDDEN(r_zero, 0);
R_HIDDEN(r_tiny, R_MIN * R_EPSILON);
R_HIDDEN(r_normal, R_MIN);
R_HIDDEN(r_least, -R_MAX);
R_HIDDEN(r_most, R_MAX);

/* One rounding where the ISA fuses; two on the x86-64 baseline, whose bits may therefore differ. */
FL_INLINE real r_fma(real a, real b, real c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#if FL_REAL == 32
    return __builtin_fmaf(a, b, c);
#else
    return __builtin_fma(a, b, c);
#endif
#else
    return a * b + c;
#endif
}

/* The same of doubles, in either build; exact products, as those of floats, make it a * b + c everywhere. */
FL_INLINE double fma_double(double a, double b, double c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

/* What rounding took from product = a * b: exact unless it underflows; not finite where the product is not (or, without
 * fused multiply-add, where it is near overflow). */
FL_INLINE real r_product_error(real a, real b, real product) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return r_fma(a, b, -product);
#else /* Dekker: both factors in halves whose products are exact */
    const real split = sizeof(real) == 4 ? R(4097.0) : R(134217729.0);
    const real a_up = a * split, b_up = b * split;
    const real a_high = a_up - (a_up - a), b_high = b_up - (b_up - b);
    const real a_low = a - a_high, b_low = b - b_high;
    return a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low);
#endif
}

/* What rounding took from sum = a + b. */
FL_INLINE real r_sum_error(real a, real b, real sum) {
    const real b_seen = sum - a;
    return (a - (sum - b_seen)) + (b - b_seen);
}

/* 0 in place of NaN and infinity. */
FL_INLINE real r_if_finite(real x) { return x - x == 0 ? x : R(0.0); }

/* A kernel reads FL_LANES reals at p; those so many bytes further are needed soon. Processors with AVX-512 do not fetch fast
 * enough by themselves from L3 and beyond: 16 million elements of two streams, a fifth to a third (on an Intel Xeon; on
 * Zen 5 2 KB gained nothing at two threads, 3 KB 4 %). Zen 3 does, and is held up where the asking interferes: a tenth
 * with 3 KB (`make bench-compare BASE=da0f62c`). Asking for a tile in advance, before a map of more operations, made it slower. */
#if defined(__AVX512F__)
enum { AHEAD_BYTES = 3072 };
#else
enum { AHEAD_BYTES = 768 };
#endif
FL_INLINE void ask_ahead(const real *p) {
    for (size_t byte = 0; byte < FL_LANES * sizeof(real); byte += 64)
        __builtin_prefetch((const char *)p + AHEAD_BYTES + byte);
}

#endif
