/* SPDX-License-Identifier: BSD-3-Clause */
/* triplet.h: losses on pairs and triplets of vectors: what is made of a row's distances, and the block. */
#ifndef FL_TRIPLET_H
#define FL_TRIPLET_H

#include "distance_gradient.h"

enum { MAX_PAIRS = 3 };

/* A row's pairs, its loss, and the loss's derivative by each pair's measure. */
struct row_terms {
    struct pair pair[MAX_PAIRS];
    int pairs;
    double loss, slope[MAX_PAIRS];
};

/* A hinge max(0, x) passes the gradient at 0, as a clamp does; nan stays. */
FL_INLINE double clamped(double x) { return x < 0 ? 0 : x; }
FL_INLINE double clamp_slope(double x) { return x < 0 ? 0 : x == x ? 1 : x; }

static void measure_pairs(const fl_distance_job *job, struct row_terms *t, struct distance_scratch *s) {
    static const int x[MAX_PAIRS] = {0, 0, 1}, y[MAX_PAIRS] = {1, 2, 2};
    t->pairs = job->vectors == 2 ? 1 : job->swap ? 3 : 2;
    for (int k = 0; k < t->pairs; k++) {
        t->pair[k].x = x[k];
        t->pair[k].y = y[k];
    }
    int done = 0;
    if (job->vectors == 3 && job->metric == FL_EUCLIDEAN && two_euclidean(job, &t->pair[0], &t->pair[1], s)) done = 2;
    for (int k = done; k < t->pairs; k++) t->pair[k].value = measure(job, &t->pair[k], s);
}

/* max(0, margin + d(a, p) - d(a, n)); with swap the nearer of d(a, n) and d(p, n), a tie being split. */
static void triplet(const fl_distance_job *job, struct row_terms *t) {
    const double near = t->pair[0].value, far = t->pair[1].value, swapped = t->pairs == 3 ? t->pair[2].value : far;
    const double least = swapped < far || swapped != swapped ? swapped : far;
    const double hinge = job->margin + near - least, slope = clamp_slope(hinge);
    const double share = t->pairs == 2 ? 1 : swapped == far ? 0.5 : least == far ? 1 : 0;
    t->loss = clamped(hinge);
    t->slope[0] = slope;
    t->slope[1] = -slope * share;
    t->slope[2] = -slope * (1 - share);
}

static void cosine_embedding(const fl_distance_job *job, struct row_terms *t, double target) {
    const double beyond = t->pair[0].value - job->margin;
    t->loss = target > 0 ? 1 - t->pair[0].value : clamped(beyond);
    t->slope[0] = target > 0 ? -1 : clamp_slope(beyond);
}

/* (1 - y) d^2 / 2 + y max(0, margin - d)^2 / 2 */
static void contrastive(const fl_distance_job *job, struct row_terms *t, double target) {
    const double d = t->pair[0].value, short_of = clamped(job->margin - d);
    t->loss = 0.5 * ((1 - target) * d * d + target * short_of * short_of);
    t->slope[0] = (1 - target) * d - target * short_of;
}

static int outside(int loss, double target) {
    if (loss == FL_COSINE_EMBEDDING) return target != 1 && target != -1;
    return loss == FL_CONTRASTIVE && (target < 0 || target > 1);
}

static void combine(const fl_distance_job *job, struct row_terms *t, double target) {
    switch (job->loss) {
    case FL_TRIPLET: triplet(job, t); break;
    case FL_COSINE_EMBEDDING: cosine_embedding(job, t, target); break;
    case FL_CONTRASTIVE: contrastive(job, t, target); break;
    default: t->loss = t->pair[0].value; t->slope[0] = 1;
    }
}

/* The gradients of a row: those of its pairs, times factor. NULL: zeros. */
static void row_gradients(const fl_distance_job *job, ptrdiff_t row, const struct row_terms *t, double factor,
                          struct distance_scratch *s) {
    struct slope slope[MAX_PAIRS];
    for (int k = 0; t && k < t->pairs; k++) slope[k] = slope_of(job, &t->pair[k], factor * t->slope[k], s);
    for (ptrdiff_t c = 0; c < job->features; c += FL_TILE) {
        load_piece(job, c, s);
        const struct gradient_piece g = begin_gradients(job, row, s);
        if (!t || t->slope[0] == 0 || !set_gradients(job, t->pairs, slope, s, &g)) {
            clear_gradients(job, s, &g);
            for (int k = 0; t && k < t->pairs; k++)
                if (t->slope[k] != 0) pull(job, &t->pair[k], &slope[k], s, &g);
        }
        end_gradients(job, row, s, &g);
    }
}

static ptrdiff_t distance_block(const fl_distance_job *job) {
    const ptrdiff_t rows = FL_BLOCK / (job->features > 0 ? job->features : 1);
    return rows < 1 ? 1 : rows > DISTANCE_ROWS ? DISTANCE_ROWS : rows;
}

/* One number per row, or what stands for it where there is none. */
static const real *load_numbers(const fl_operand *op, ptrdiff_t start, ptrdiff_t n, real absent, real *scratch) {
    if (op->data) return fl_load(&kernels, op, start, n, scratch);
    for (ptrdiff_t r = 0; r < whole_lanes(n); r++) scratch[r] = absent;
    return scratch;
}

static void distance_rows(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_distance_job *job = arg;
    struct distance_scratch *s = (struct distance_scratch *)scratch;
    const ptrdiff_t size = distance_block(job), start = block * size;
    const ptrdiff_t n = job->rows - start < size ? job->rows - start : size;
    const real *target = load_numbers(&job->target, start, n, 1, s->target);
    const real *mask = load_numbers(&job->mask, start, n, 1, s->mask);
    const real *grad_output = load_numbers(&job->grad_output, start, n, 1, s->grad_output);
    for (ptrdiff_t r = 0; r < n; r++) {
        struct row_terms t;
        t.loss = 0;
        const int counts = mask[r] != 0;
        for (int k = 0; k < job->vectors; k++) s->run[k] = row_of(&job->in[k], start + r);
        s->first = -1;
        if (counts) {
            if (outside(job->loss, (double)target[r])) {
                out->bad = start + r;
                return;
            }
            measure_pairs(job, &t, s);
            combine(job, &t, (double)target[r]);
        }
        s->value[r] = (real)t.loss;
        out->sum += (double)s->value[r];
        if (job->want & FL_GRAD)
            row_gradients(job, start + r, counts ? &t : NULL, job->scale * (double)grad_output[r], s);
    }
    if (job->value) memcpy((real *)job->value + start, s->value, (size_t)n * sizeof(real));
}

#endif
