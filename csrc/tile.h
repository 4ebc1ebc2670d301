/* SPDX-License-Identifier: BSD-3-Clause */
/* tile.h: what happens to a tile (n reals, whole lanes, in L1) after its kernel: weights, masks, and the one sum, which
 * alone fixes an order of addition. */
#ifndef FL_TILE_H
#define FL_TILE_H

#include "wide.h"

/* Iterations are independent: kernels read and write through pointers that never overlap. Clang would interleave several
 * vectors and leave whole lanes over for a scalar loop. */
#if defined(__clang__)
#define FL_INDEPENDENT _Pragma("clang loop vectorize(assume_safety) interleave_count(1)")
#else
#define FL_INDEPENDENT _Pragma("GCC ivdep")
#endif

/* The same of a loop over FL_LANES within a loop, which both would unroll before it could be vectorised. GCC leaves it
 * alone where told to unroll at most 8 steps, which the vectors of every ISA are; Clang where told not to unroll. */
#if defined(__clang__)
#define FL_ONE_STEP _Pragma("clang loop vectorize(assume_safety) interleave_count(1) unroll(disable)")
#else
#define FL_ONE_STEP _Pragma("GCC ivdep") _Pragma("GCC unroll 8")
#endif

/* *sum += x; what that rounds away goes to *carry, for doubles: floats leave nothing that counts. */
FL_INLINE void add_carrying(double *sum, double *carry, double x) {
    const double old = *sum, new = old + x;
    if (sizeof(real) == sizeof(double)) {
        const double added = new - old;
        *carry += (double)r_if_finite((real)((old - (new - added)) + (x - added)));
    }
    *sum = new;
}

FL_INLINE ptrdiff_t whole_lanes(ptrdiff_t n) { return (n + FL_LANES - 1) & -(ptrdiff_t)FL_LANES; }

/* By halves, as vectors: the compilers take loops over 8, 4 and 2 apart into single additions. */
FL_INLINE double fold_lanes(const double *lane) {
    typedef double two __attribute__((vector_size(16)));
    typedef double four __attribute__((vector_size(32)));
    typedef double eight __attribute__((vector_size(64)));
    _Static_assert(FL_LANES == 16, "four halvings");
    eight a, b;
    memcpy(&a, lane, sizeof a);
    memcpy(&b, lane + 8, sizeof b);
    a += b;
    const four c = FL_PART(four, a, 0, 1, 2, 3) + FL_PART(four, a, 4, 5, 6, 7);
    const two d = FL_PART(two, c, 0, 1) + FL_PART(two, c, 2, 3);
    return d[0] + d[1];
}

/* The same of a maximum. */
FL_INLINE real fold_max(real *lane) {
    for (int l = 0; l < 8; l++) lane[l] = lane[l + 8] > lane[l] ? lane[l + 8] : lane[l];
    for (int l = 0; l < 4; l++) lane[l] = lane[l + 4] > lane[l] ? lane[l + 4] : lane[l];
    for (int l = 0; l < 2; l++) lane[l] = lane[l + 2] > lane[l] ? lane[l + 2] : lane[l];
    return lane[1] > lane[0] ? lane[1] : lane[0];
}

/* v[n] onto the float64 lanes. Nothing is added in float32: so are the values of samples summed, that no split of the
 * data changes their sum by more than float64 rounds. */
static void add_to_lanes(double *restrict lane, const real *restrict v, ptrdiff_t n) {
    wide sum[WIDES];
    memcpy(sum, lane, sizeof sum);
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int w = 0; w < WIDES; w++) sum[w] += w_load(v + i + w * WIDE);
    memcpy(lane, sum, sizeof sum);
}

enum { FL_GROUP = 4 * FL_LANES };

/* For sums within a row, which no split of the data divides: four reals are added pairwise before they meet the float64
 * lanes, so that a float32 sum is off by less than two roundings of its terms. */
static void add_groups(double *restrict lane, const real *restrict v, ptrdiff_t n) {
    const ptrdiff_t grouped = n - n % FL_GROUP;
    for (ptrdiff_t i = 0; i < grouped; i += FL_GROUP)
        for (int l = 0; l < FL_LANES; l++)
            lane[l] += (double)((v[i + l] + v[i + l + FL_LANES]) + (v[i + l + 2 * FL_LANES] + v[i + l + 3 * FL_LANES]));
    add_to_lanes(lane, v + grouped, n - grouped);
}

/* Whether a sum of groups is no number because four floats overflowed, or might be. */
FL_INLINE int overflowed(double sum) { return sizeof(real) < sizeof(double) && sum - sum != 0; }

/* Sum of v[n] in float64 throughout: for values of samples, and where four floats overflow. */
static double tile_sum_wide(const real *restrict v, ptrdiff_t n) {
    double lane[FL_LANES] = {0};
    add_to_lanes(lane, v, n);
    return fold_lanes(lane);
}

/* Sum of v[n] by groups; the fold over lanes is a fixed tree. */
static double tile_sum(const real *restrict v, ptrdiff_t n) {
    double lane[FL_LANES] = {0};
    add_groups(lane, v, n);
    const double sum = fold_lanes(lane);
    return overflowed(sum) ? tile_sum_wide(v, n) : sum;
}

static void tile_multiply(real *restrict v, const real *restrict factor, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) v[i] *= factor[i];
}

static void tile_scale(real *restrict v, real factor, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) v[i] *= factor;
}

/* Positions where mask is 0 become 0, whatever stood there (NaN too). */
static void tile_mask(real *restrict v, const real *restrict mask, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) v[i] = r_where(mask[i] != 0, v[i], 0);
}

/* Zero the lanes that only pad v[n] to whole lanes. */
FL_INLINE void tile_clear_padding(real *v, ptrdiff_t n) {
    for (ptrdiff_t i = n; i % FL_LANES; i++) v[i] = 0;
}

#endif
