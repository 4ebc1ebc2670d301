/* SPDX-License-Identifier: BSD-3-Clause */
/* wide.h: sums, and sums of products, in float64 of whatever reals, by registers. A wide is as many doubles as one holds.
 * Reals are widened on their way from memory: compilers load a register of floats and take it apart. */
#ifndef FL_WIDE_H
#define FL_WIDE_H

#include "real.h"
#include "shuffle.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { WIDE = 8 };
typedef double wide __attribute__((vector_size(64)));
FL_INLINE wide w_from_float(const float *x) { return (wide)_mm512_cvtps_pd(_mm256_loadu_ps(x)); }
FL_INLINE wide w_fma(wide a, wide b, wide c) { return (wide)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
#elif defined(__AVX2__)
enum { WIDE = 4 };
typedef double wide __attribute__((vector_size(32)));
FL_INLINE wide w_from_float(const float *x) { return (wide)_mm256_cvtps_pd(_mm_loadu_ps(x)); }
FL_INLINE wide w_fma(wide a, wide b, wide c) { return (wide)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
#else
enum { WIDE = 2 };
typedef double wide __attribute__((vector_size(16)));
FL_INLINE wide w_from_float(const float *x) { return (wide){(double)x[0], (double)x[1]}; }
FL_INLINE wide w_fma(wide a, wide b, wide c) {
    return (wide){fma_double(a[0], b[0], c[0]), fma_double(a[1], b[1], c[1])};
}
#endif

FL_INLINE wide w_load(const real *from) {
#if FL_REAL == 32
    return w_from_float(from);
#else
    wide x;
    memcpy(&x, from, sizeof x);
    return x;
#endif
}

/* One register at a time: a memcpy of several goes through memory in other pieces, which is slow to read back. */
FL_INLINE wide w_read(const double *from) { wide x; memcpy(&x, from, sizeof x); return x; }
FL_INLINE void w_store(double *to, wide x) { memcpy(to, &x, sizeof x); }

enum { WIDES = FL_LANES / WIDE };

/* The first halvings of fold_lanes, down to one register. */
FL_INLINE wide w_fold(const double *lane) {
    wide w[WIDES];
    memcpy(w, lane, sizeof w);
    for (int half = WIDES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) w[l] += w[l + half];
    return w[0];
}

/* The other halvings, of WIDE rows at a time: what fold_lanes makes of each, in their order. */
#if defined(__AVX512F__)
FL_INLINE wide w_fold_rows(const wide *w) {
    wide four[4], two[2];
    for (int r = 0; r < 4; r++) /* of rows r and r + 4 */
        four[r] = FL_SHUFFLE(w[r], w[r + 4], 0, 1, 2, 3, 8, 9, 10, 11) +
                  FL_SHUFFLE(w[r], w[r + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    for (int r = 0; r < 2; r++) /* of rows r, r + 2, r + 4, r + 6 */
        two[r] = FL_SHUFFLE(four[r], four[r + 2], 0, 1, 8, 9, 4, 5, 12, 13) +
                 FL_SHUFFLE(four[r], four[r + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    return FL_SHUFFLE(two[0], two[1], 0, 8, 2, 10, 4, 12, 6, 14) +
           FL_SHUFFLE(two[0], two[1], 1, 9, 3, 11, 5, 13, 7, 15);
}
#elif defined(__AVX2__)
FL_INLINE wide w_fold_rows(const wide *w) {
    wide two[2];
    for (int r = 0; r < 2; r++) /* of rows r and r + 2 */
        two[r] = FL_SHUFFLE(w[r], w[r + 2], 0, 1, 4, 5) +
                 FL_SHUFFLE(w[r], w[r + 2], 2, 3, 6, 7);
    return FL_SHUFFLE(two[0], two[1], 0, 4, 2, 6) + FL_SHUFFLE(two[0], two[1], 1, 5, 3, 7);
}
#else
FL_INLINE wide w_fold_rows(const wide *w) {
    return FL_SHUFFLE(w[0], w[1], 0, 2) + FL_SHUFFLE(w[0], w[1], 1, 3);
}
#endif

#endif
