/* SPDX-License-Identifier: BSD-3-Clause */
/* linear.h: cross entropy of a matrix product that is never whole. The caller multiplies tile by tile into one buffer;
 * here a tile is folded into the state of its rows or, multiplied once more, turned into gradients in place. A unit is
 * one row of a tile; the fold is that of fold.h. From the states of some rows, a unit too, come values and factors. */
#ifndef FL_LINEAR_H
#define FL_LINEAR_H

#include "fold.h"

struct linear_scratch {
    real e[FL_TILE];
};
_Static_assert(sizeof(struct linear_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a piece of a row");

static void tile_add(real *restrict x, const real *restrict bias, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) x[i] += bias[i];
}

/* q (max - x), 0 where q is: a masked class may be without weight. */
static void tile_distance(real *restrict out, const real *restrict q, const real *restrict x, ptrdiff_t n, real max) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) out[i] = r_where(q[i] == 0, 0, q[i] * (max - x[i]));
}

static void tile_subtract(real *restrict x, const real *restrict q, ptrdiff_t n, real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) x[i] -= factor * q[i];
}

/* n classes of a row from c on, bias added, padded to whole lanes with -inf: the buffer has room behind its last. */
static real *piece_of_row(const fl_tile_job *job, ptrdiff_t r, ptrdiff_t c, ptrdiff_t n) {
    real *x = (real *)job->logits + r * job->stride + c;
    for (ptrdiff_t i = n; i % FL_LANES; i++) x[i] = -R_INFINITY;
    if (job->bias) tile_add(x, (const real *)job->bias + c, whole_lanes(n));
    return x;
}

static void fold_linear_row(const fl_tile_job *job, ptrdiff_t r, struct linear_scratch *s) {
    struct fold f = {(real)job->max[r], job->rest[r], job->ones[r], 0};
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = job->classes - c < FL_TILE ? job->classes - c : FL_TILE, lanes = whole_lanes(n);
        const ptrdiff_t target = job->label[r] - job->first - c;
        const real before = f.max, *x = piece_of_row(job, r, c, n);
        fold_tile(&f, x, lanes, s->e, NULL);
        if (target >= 0 && target < n) job->target_logit[r] = (double)x[target];
        if (!job->dense) continue;
        const real *q = (const real *)job->dense + r * job->dense_stride + c;
        if (job->mass[r] != 0) job->distance[r] += job->mass[r] * ((double)f.max - (double)before);
        tile_distance(s->e, q, x, lanes, f.max);
        job->distance[r] += tile_sum(s->e, lanes);
        job->mass[r] += tile_sum(q, lanes);
    }
    job->max[r] = (double)f.max;
    job->rest[r] = f.rest;
    job->ones[r] = f.ones;
}

static void linear_row_gradient(const fl_tile_job *job, ptrdiff_t r, struct linear_scratch *s) {
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = job->classes - c < FL_TILE ? job->classes - c : FL_TILE, lanes = whole_lanes(n);
        const ptrdiff_t target = job->label[r] - job->first - c;
        real *x = piece_of_row(job, r, c, n), *g = s->e;
        tile_exp(g, x, lanes, (real)job->max[r], (real)job->inverse[r]);
        if (target >= 0 && target < n) g[target] = (real)job->at_target[r];
        if (job->dense)
            tile_subtract(g, (const real *)job->dense + r * job->dense_stride + c, lanes, (real)job->dense_factor[r]);
        memcpy(x, g, (size_t)n * sizeof(real));
    }
}

static void linear_row(const void *arg, ptrdiff_t r, char *scratch, fl_partial *out) {
    const fl_tile_job *job = arg;
    struct linear_scratch *s = (struct linear_scratch *)scratch;
    (void)out;
    if (job->want == FL_VALUE) {
        if (job->label[r] != FL_LEFT_OUT) fold_linear_row(job, r, s);
    } else if (job->label[r] == FL_LEFT_OUT)
        memset((real *)job->logits + r * job->stride, 0, (size_t)job->classes * sizeof(real));
    else
        linear_row_gradient(job, r, s);
}

#if FL_REAL == 64
/* Sum of exp(x - max) without the maximum's own 1; NaN where the row has no softmax. */
FL_INLINE real others_of(const fl_linear_rows_job *job, ptrdiff_t r) {
    const real others = (job->ones[r] - 1) + job->rest[r];
    return others == R_INFINITY ? R_NAN : others;
}

/* picked -log p[label] + share (sum of q times -log p), -log p = max - x + log1p(others). A factor of 0 leaves nothing. */
static void linear_values(const fl_linear_rows_job *job, ptrdiff_t first, ptrdiff_t last) {
    for (ptrdiff_t r = first; r < last; r++) {
        const real log_sum = r_log1p(others_of(job, r)), share = job->share[r];
        const real label = r_times(job->picked[r], (job->max[r] - job->target_logit[r]) + log_sum);
        const real spread = share * (job->distance[r] + job->mass[r] * log_sum);
        job->value[r] = job->label[r] == FL_LEFT_OUT ? 0 : label + (share == 0 ? 0 : spread);
    }
}

/* The label's own part, p - 1, is minus the sum of the other probabilities. */
static void linear_factors(const fl_linear_rows_job *job, ptrdiff_t first, ptrdiff_t last) {
    for (ptrdiff_t r = first; r < last; r++) {
        const real others = others_of(job, r), spread = job->share[r] * job->mass[r], picked = job->picked[r];
        const real at_label = r_expm1(job->target_logit[r] - job->max[r]);
        const real whole = spread * (1 + at_label) - picked * (others - at_label);
        job->inverse[r] = job->factor[r] * (picked + spread) / (1 + others);
        job->at_target[r] = job->factor[r] * whole / (1 + others);
        job->dense_factor[r] = job->factor[r] * job->share[r];
    }
}

static void linear_rows(const void *arg, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const fl_linear_rows_job *job = arg;
    const ptrdiff_t first = unit * FL_LINEAR_ROWS, last = first + at_most(job->rows - first, FL_LINEAR_ROWS);
    (void)scratch, (void)out;
    if (job->want == FL_VALUE)
        linear_values(job, first, last);
    else
        linear_factors(job, first, last);
}
#endif

#endif
