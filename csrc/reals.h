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

/* a[0], b[0], a[1], b[1], ... of the first halves of a and b; and of the second. */
#if defined(__AVX512F__) && FL_REAL == 32
#define FL_FIRST_HALVES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define FL_SECOND_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(__AVX512F__) || (defined(__AVX2__) && FL_REAL == 32)
#define FL_FIRST_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define FL_SECOND_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#elif defined(__AVX2__) || FL_REAL == 32
#define FL_FIRST_HALVES 0, 4, 1, 5
#define FL_SECOND_HALVES 2, 6, 3, 7
#else
#define FL_FIRST_HALVES 0, 2
#define FL_SECOND_HALVES 1, 3
#endif

/* Transpose a square: each step interleaves what stands half the square apart. */
FL_INLINE void v_transpose(reals *x) {
#pragma GCC unroll 4
    for (int step = 1; step < REALS; step *= 2) {
        reals y[REALS];
#pragma GCC unroll 8
        for (int i = 0; i < REALS / 2; i++) {
            y[2 * i] = FL_SHUFFLE(x[i], x[i + REALS / 2], FL_FIRST_HALVES);
            y[2 * i + 1] = FL_SHUFFLE(x[i], x[i + REALS / 2], FL_SECOND_HALVES);
        }
        memcpy(x, y, sizeof y);
    }
}

#endif
