/* SPDX-License-Identifier: BSD-3-Clause */
/* directions.h: vectors over their lengths, and what that makes of a gradient. A unit is one row, of whole lanes padded
 * with zeros; lengths and all that is made of them are float64. */
#ifndef FL_DIRECTIONS_H
#define FL_DIRECTIONS_H

#include "distance.h"

/* Exact products of floats; `up` is a power of two. */
static void tile_lengths(double *restrict lane, const real *restrict x, ptrdiff_t n, real up) {
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const double d = (double)(x[i + l] * up);
            lane[l] = fma_double(d, d, lane[l]);
        }
}

/* Squares of float64 may overflow or vanish; then the largest is brought near 1 first. */
static double length_of(const real *x, ptrdiff_t n) {
    double lane[FL_LANES] = {0}, scaled[FL_LANES] = {0};
    ireal largest[FL_LANES] = {0};
    tile_lengths(lane, x, n, 1);
    const double sum = fold_lanes(lane);
    if (holds_products(sum, sum)) return __builtin_sqrt(sum);
    for (ptrdiff_t i = 0; i < n; i += FL_LANES) tile_largest(largest, x + i, no_features, FL_LANES, 0);
    for (int l = 1; l < FL_LANES; l++) largest[0] = largest[l] > largest[0] ? largest[l] : largest[0];
    const double most = (double)r_from_bits(largest[0]);
    if (!(most > 0 && most < (double)R_INFINITY)) return most;
    const real up = scale_down(most);
    tile_lengths(scaled, x, n, up);
    return __builtin_sqrt(fold_lanes(scaled)) / (double)up;
}

/* A length of floats has a reciprocal that is exact enough in float64; one of doubles has not. */
FL_INLINE double over_length(double x, double length, double inverse) {
    return sizeof(real) < sizeof(double) ? x * inverse : x / length;
}

static void tile_direction(real *restrict out, const real *restrict x, ptrdiff_t n, double length, double factor) {
    const double inverse = 1 / length;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) out[i] = (real)(over_length((double)x[i], length, inverse) * factor);
}

/* Sum of factor * g times the direction. */
static void tile_along(double *restrict lane, const real *restrict g, const real *restrict x,
                       ptrdiff_t n, double length, double factor) {
    const double inverse = 1 / length;
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const double unit = over_length((double)x[i + l], length, inverse);
            lane[l] = fma_double((double)g[i + l] * factor, unit, lane[l]);
        }
}

/* (factor * g - along * direction) / length */
static void tile_across(real *restrict out, const real *restrict g, const real *restrict x, ptrdiff_t n,
                        double length, double factor, double along) {
    const double inverse = 1 / length;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const double unit = over_length((double)x[i], length, inverse);
        out[i] = (real)over_length((double)g[i] * factor - along * unit, length, inverse);
    }
}

/* Below the least length a vector is divided by that, whatever its own, so that nothing is taken from its gradient. */
static void direction_row(const void *arg, ptrdiff_t r, char *scratch, fl_partial *out) {
    const fl_direction_job *job = arg;
    const ptrdiff_t n = job->features, start = r * n;
    const real *x = (const real *)job->vectors + start;
    const double own = length_of(x, n), length = at_least(own, job->least), factor = job->factor;
    real *to = (real *)job->out + start;
    (void)scratch;
    (void)out;
    if (job->want == FL_VALUE) {
        tile_direction(to, x, n, length, factor);
        return;
    }
    const real *g = (const real *)job->gradient + start;
    double lane[FL_LANES] = {0};
    if (!(own < job->least)) tile_along(lane, g, x, n, length, factor);
    tile_across(to, g, x, n, length, factor, fold_lanes(lane));
}

#endif
