/* SPDX-License-Identifier: BSD-3-Clause */
/* reals.h: as many reals as a register holds, for what compilers do not make of plain C: a matrix product, whose sums
 * stand in registers, and transposing. */
#ifndef FL_REALS_H
#define FL_REALS_H

#include "real.h"
#include "shuffle.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { REALS = 64 / sizeof(real) };
#elif defined(__AVX2__)
enum { REALS = 32 / sizeof(real) };
#else
enum { REALS = 16 / sizeof(real) };
#endif
typedef real reals __attribute__((vector_size(REALS * sizeof(real))));

#if defined(__AVX512F__) && FL_REAL == 32
FL_INLINE reals v_fma(reals a, reals b, reals c) { return (reals)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
#elif defined(__AVX512F__)
FL_INLINE reals v_fma(reals a, reals b, reals c) { return (reals)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
#elif defined(__AVX2__) && defined(__FMA__) && FL_REAL == 32
FL_INLINE reals v_fma(reals a, reals b, reals c) { return (reals)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
#elif defined(__AVX2__) && defined(__FMA__)
FL_INLINE reals v_fma(reals a, reals b, reals c) { return (reals)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
#elif defined(__ARM_FEATURE_FMA)
FL_INLINE reals v_fma(reals a, reals b, reals c) {
    for (int l = 0; l < REALS; l++) c[l] = r_fma(a[l], b[l], c[l]);
    return c;
}
#else
FL_INLINE reals v_fma(reals a, reals b, reals c) { return a * b + c; } /* as r_fma */
#endif

FL_INLINE reals v_load(const real *from) { reals x; memcpy(&x, from, sizeof x); return x; }
FL_INLINE void v_store(real *to, reals x) { memcpy(to, &x, sizeof x); }

/* Parts of 16 bytes: what shuffles do not cross, and what of a user's row seldom crosses a cache line. */
enum { PART_REALS = 16 / sizeof(real) };

#if defined(__AVX2__)
#define FL_16_BYTES(p) _mm_loadu_ps((const float *)(p))
#endif
#if defined(__AVX512F__)
FL_INLINE reals v_load_parts(const real *from, ptrdiff_t apart) {
    __m512 x = _mm512_castps128_ps512(FL_16_BYTES(from));
    x = _mm512_insertf32x4(x, FL_16_BYTES(from + apart), 1);
    x = _mm512_insertf32x4(x, FL_16_BYTES(from + 2 * apart), 2);
    return (reals)_mm512_insertf32x4(x, FL_16_BYTES(from + 3 * apart), 3);
}
#elif defined(__AVX2__)
FL_INLINE reals v_load_parts(const real *from, ptrdiff_t apart) {
    return (reals)_mm256_insertf128_ps(_mm256_castps128_ps256(FL_16_BYTES(from)), FL_16_BYTES(from + apart), 1);
}
#else
FL_INLINE reals v_load_parts(const real *from, ptrdiff_t apart) { (void)apart; return v_load(from); }
#endif

/* a[0], b[0], a[1], b[1], ... of the first halves of each part of a and b, and of the second; and pairs of them so. */
#if FL_REAL == 32 && defined(__AVX512F__)
#define FL_LOWS 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define FL_HIGHS 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define FL_LOW_PAIRS 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define FL_HIGH_PAIRS 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#elif FL_REAL == 32 && defined(__AVX2__)
#define FL_LOWS 0, 8, 1, 9, 4, 12, 5, 13
#define FL_HIGHS 2, 10, 3, 11, 6, 14, 7, 15
#define FL_LOW_PAIRS 0, 1, 8, 9, 4, 5, 12, 13
#define FL_HIGH_PAIRS 2, 3, 10, 11, 6, 7, 14, 15
#elif FL_REAL == 32
#define FL_LOWS 0, 4, 1, 5
#define FL_HIGHS 2, 6, 3, 7
#define FL_LOW_PAIRS 0, 1, 4, 5
#define FL_HIGH_PAIRS 2, 3, 6, 7
#elif defined(__AVX512F__)
#define FL_LOWS 0, 8, 2, 10, 4, 12, 6, 14
#define FL_HIGHS 1, 9, 3, 11, 5, 13, 7, 15
#elif defined(__AVX2__)
#define FL_LOWS 0, 4, 2, 6
#define FL_HIGHS 1, 5, 3, 7
#else
#define FL_LOWS 0, 2
#define FL_HIGHS 1, 3
#endif

/* REALS steps of as many vectors, `apart` reals from one to the next: the i-th step of each in x[i]. */
FL_INLINE void v_load_square(reals *x, const real *from, ptrdiff_t apart) {
    reals y[REALS];
#pragma GCC unroll 4
    for (int v = 0; v < PART_REALS; v++) /* vectors v, v + PART_REALS, ... */
#pragma GCC unroll 4
        for (int i = 0; i < REALS; i += PART_REALS) y[i + v] = v_load_parts(from + v * apart + i, PART_REALS * apart);
#pragma GCC unroll 4
    for (int i = 0; i < REALS; i += PART_REALS) {
#if FL_REAL == 64
        x[i] = FL_SHUFFLE(y[i], y[i + 1], FL_LOWS);
        x[i + 1] = FL_SHUFFLE(y[i], y[i + 1], FL_HIGHS);
#else
        const reals low[2] = {FL_SHUFFLE(y[i], y[i + 1], FL_LOWS), FL_SHUFFLE(y[i + 2], y[i + 3], FL_LOWS)};
        const reals high[2] = {FL_SHUFFLE(y[i], y[i + 1], FL_HIGHS), FL_SHUFFLE(y[i + 2], y[i + 3], FL_HIGHS)};
        x[i] = FL_SHUFFLE(low[0], low[1], FL_LOW_PAIRS);
        x[i + 1] = FL_SHUFFLE(low[0], low[1], FL_HIGH_PAIRS);
        x[i + 2] = FL_SHUFFLE(high[0], high[1], FL_LOW_PAIRS);
        x[i + 3] = FL_SHUFFLE(high[0], high[1], FL_HIGH_PAIRS);
#endif
    }
}

#endif
