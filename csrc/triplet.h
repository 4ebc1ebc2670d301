/* SPDX-License-Identifier: BSD-3-Clause */
/* triplet.h: losses on pairs and triplets of vectors: what is made of a row's distances, and the block. */
#ifndef FL_TRIPLET_H
#define FL_TRIPLET_H

#include "distance_direct.h"

/* ---- what is made of a block's measures: the loss of each row, and its derivative by each measure --------------- */

/* A hinge max(0, x) passes the gradient at 0, as a clamp does; nan stays. */
FL_INLINE double clamped(double x) { return x < 0 ? 0 : x; }
FL_INLINE double clamp_slope(double x) { return x < 0 ? 0 : x == x ? 1 : x; }

/* max(0, margin + d(a, p) - d(a, n)) */
static void rows_triplet(struct distance_scratch *restrict s, ptrdiff_t n, double margin) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double hinge = margin + s->pair[0].value[r] - s->pair[1].value[r], slope = clamp_slope(hinge);
        s->loss[r] = clamped(hinge);
        s->slope[0][r] = slope;
        s->slope[1][r] = -slope;
    }
}

/* The same with the nearer of d(a, n) and d(p, n), a tie being split. */
static void rows_triplet_swap(struct distance_scratch *restrict s, ptrdiff_t n, double margin) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double far = s->pair[1].value[r], swapped = s->pair[2].value[r];
        const double least = swapped < far ? swapped : swapped == swapped ? far : swapped;
        const double hinge = margin + s->pair[0].value[r] - least, slope = clamp_slope(hinge);
        const double share = swapped == far ? 0.5 : least == far ? 1.0 : 0.0;
        s->loss[r] = clamped(hinge);
        s->slope[0][r] = slope;
        s->slope[1][r] = -slope * share;
        s->slope[2][r] = -slope * (1 - share);
    }
}

static void rows_cosine_embedding(struct distance_scratch *restrict s, ptrdiff_t n, double margin) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double c = s->pair[0].value[r], beyond = c - margin, target = s->label[r];
        s->loss[r] = target > 0 ? 1 - c : clamped(beyond);
        s->slope[0][r] = target > 0 ? -1.0 : clamp_slope(beyond);
    }
}

/* (1 - y) d^2 / 2 + y max(0, margin - d)^2 / 2 */
static void rows_contrastive(struct distance_scratch *restrict s, ptrdiff_t n, double margin) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double d = s->pair[0].value[r], short_of = clamped(margin - d), target = s->label[r];
        s->loss[r] = 0.5 * ((1 - target) * d * d + target * short_of * short_of);
        s->slope[0][r] = (1 - target) * d - target * short_of;
    }
}

static void rows_measure(struct distance_scratch *restrict s, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        s->loss[r] = s->pair[0].value[r];
        s->slope[0][r] = 1;
    }
}

static void combine(const fl_distance_job *job, struct distance_scratch *s, ptrdiff_t n) {
    switch (job->loss) {
    case FL_TRIPLET:
        if (job->swap)
            rows_triplet_swap(s, n, job->margin);
        else
            rows_triplet(s, n, job->margin);
        break;
    case FL_COSINE_EMBEDDING: rows_cosine_embedding(s, n, job->margin); break;
    case FL_CONTRASTIVE: rows_contrastive(s, n, job->margin); break;
    default: rows_measure(s, n);
    }
}

/* Losses to reals, 0 of rows that do not count. */
static void rows_values(struct distance_scratch *restrict s, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) s->value[r] = (real)(s->counts[r] != 0 ? s->loss[r] : 0.0);
}

/* ---- targets and gradients -------------------------------------------------------------------------------------- */

/* 1 or 0: whether a target lies outside the loss's domain; NaN lies in [0, 1], and makes its row NaN. */
FL_INLINE double outside_of_two(double target) { return target == 1 ? 0.0 : target == -1 ? 0.0 : 1.0; }
FL_INLINE double outside_of_unit(double target) { return target < 0 ? 1.0 : target > 1 ? 1.0 : 0.0; }

FL_INLINE ptrdiff_t find_bad(const struct distance_scratch *s, ptrdiff_t n, double (*outside)(double)) {
    const ptrdiff_t lanes = n & -(ptrdiff_t)FL_LANES;
    double lane[FL_LANES] = {0};
    for (ptrdiff_t r = 0; r < lanes; r += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) lane[l] += s->counts[r + l] != 0 ? outside(s->label[r + l]) : 0.0;
    for (ptrdiff_t r = fold_lanes(lane) > 0 ? 0 : lanes; r < n; r++)
        if (s->counts[r] != 0 && outside(s->label[r]) > 0) return r;
    return -1;
}

/* The first of n rows whose target is outside its domain, or -1. */
static ptrdiff_t first_bad_target(const fl_distance_job *job, const struct distance_scratch *s, ptrdiff_t n) {
    if (job->loss == FL_COSINE_EMBEDDING) return find_bad(s, n, outside_of_two);
    return job->loss == FL_CONTRASTIVE ? find_bad(s, n, outside_of_unit) : -1;
}

/* The gradients of a row: those of its pairs, times factor; zeros if it does not count. */
static void row_gradients(const fl_distance_job *job, ptrdiff_t row, double factor, struct distance_scratch *s) {
    struct slope slope[MAX_PAIRS];
    const ptrdiff_t r = s->row;
    const int counts = s->counts[r] != 0;
    for (int k = 0; counts && k < s->pairs; k++) slope[k] = slope_of(job, &s->pair[k], factor * s->slope[k][r], s);
    for (ptrdiff_t c = 0; c < job->features; c += FL_TILE) {
        load_piece(job, c, s);
        const struct gradient_piece g = begin_gradients(job, row, s);
        clear_gradients(job, s, &g);
        for (int k = 0; counts && k < s->pairs; k++)
            if (s->slope[k][r] != 0) pull(job, &s->pair[k], &slope[k], s, &g);
        end_gradients(job, row, s, &g);
    }
}

/* ---- the block -------------------------------------------------------------------------------------------------- */

static ptrdiff_t distance_block(const fl_distance_job *job) {
    const ptrdiff_t rows = FL_BLOCK / (job->features > 0 ? job->features : 1);
    return rows < 1 ? 1 : rows > DISTANCE_ROWS ? DISTANCE_ROWS : rows;
}

/* One number per row, or what stands for it where there is none; in the padding too. */
static const real *load_numbers(const fl_operand *op, ptrdiff_t start, ptrdiff_t n, real absent, real *scratch) {
    if (op->data) return fl_load(&kernels, op, start, n, scratch);
    for (ptrdiff_t r = 0; r < whole_lanes(n); r++) scratch[r] = absent;
    return scratch;
}

static void load_rows(const fl_distance_job *job, ptrdiff_t start, ptrdiff_t n, struct distance_scratch *s) {
    const real *target = load_numbers(&job->target, start, n, 1, s->target);
    const real *mask = load_numbers(&job->mask, start, n, 1, s->mask);
    for (ptrdiff_t r = 0; r < whole_lanes(n); r++) {
        s->label[r] = (double)target[r];
        s->counts[r] = (double)mask[r];
    }
    find_vectors(job, start, n, s);
}

static void distance_rows(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_distance_job *job = arg;
    struct distance_scratch *s = (struct distance_scratch *)scratch;
    const ptrdiff_t size = distance_block(job), start = block * size;
    const ptrdiff_t n = job->rows - start < size ? job->rows - start : size;
    load_rows(job, start, n, s);
    const ptrdiff_t bad = first_bad_target(job, s, n);
    if (bad >= 0) {
        out->bad = start + bad;
        return;
    }
    measure_rows(job, s, n);
    combine(job, s, whole_lanes(n));
    rows_values(s, whole_lanes(n));
    for (ptrdiff_t r = n; r < whole_lanes(n); r++) s->value[r] = 0;
    out->sum = tile_sum_wide(s->value, whole_lanes(n));
    if (job->value) memcpy((real *)job->value + start, s->value, (size_t)n * sizeof(real));
    if (!(job->want & FL_GRAD)) return;
    const real *grad_output = load_numbers(&job->grad_output, start, n, 1, s->grad_output);
    if (is_direct(job, s)) {
        direct_gradients(job, start, n, grad_output, s);
        return;
    }
    for (ptrdiff_t r = 0; r < n; r++) {
        begin_row(s, r);
        row_gradients(job, start + r, job->scale * (double)grad_output[r], s);
    }
}

#endif
