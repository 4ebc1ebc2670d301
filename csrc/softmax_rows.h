/* SPDX-License-Identifier: BSD-3-Clause */
/* softmax_rows.h: rows of many classes, one after the other, in tiles of classes: sums into the block's state, and the
 * gradient from it. */
#ifndef FL_SOFTMAX_ROWS_H
#define FL_SOFTMAX_ROWS_H

#include "softmax_state.h"

/* Largest of x[n], whole lanes; NaN is passed over (its exponential will tell). */
static real tile_max(const real *restrict x, ptrdiff_t n) {
    real lane[2 * FL_LANES];
    for (int l = 0; l < 2 * FL_LANES; l++) lane[l] = -R_MAX;
    ptrdiff_t i = 0;
    for (; i + 2 * FL_LANES <= n; i += 2 * FL_LANES)
        for (int l = 0; l < 2 * FL_LANES; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (int half = FL_LANES; half; half /= 2)
        for (int l = 0; l < half; l++) lane[l] = lane[l + half] > lane[l] ? lane[l + half] : lane[l];
    return lane[0];
}

/* y = exp(x - max) * factor */
static void tile_exp(real *restrict y, const real *restrict x, ptrdiff_t n, real max, real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) y[i] = r_exp(x[i] - max) * factor;
}

/* y = x * factor */
static void tile_times(real *restrict y, const real *restrict x, ptrdiff_t n, real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) y[i] = x[i] * factor;
}

/* g = inverse e - factor q */
static void tile_less_mass(real *restrict g, const real *restrict e, const real *restrict q, ptrdiff_t n, real inverse,
                           real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) g[i] = r_fma(e[i], inverse, -(factor * q[i]));
}

/* Index of `value`, which stands in x[n]. */
static ptrdiff_t find(const real *x, ptrdiff_t n, real value) {
    ptrdiff_t i = 0;
    for (; i + FL_LANES < n; i += FL_LANES) {
        int found = 0;
        for (int l = 0; l < FL_LANES; l++) found |= x[i + l] == value;
        if (found) break;
    }
    while (i < n - 1 && x[i] != value) i++;
    return i;
}

/* n classes of one row as whole lanes, padded with -inf. */
static const real *load_row(const fl_row_job *job, const char *row, ptrdiff_t n, real *scratch) {
    const real *x = fl_load_run(&kernels, &job->logits, row, job->class_stride, n, scratch);
    for (ptrdiff_t c = n; c % FL_LANES; c++) scratch[c] = -R_INFINITY;
    return x;
}

static ptrdiff_t left_for_tile(const fl_row_job *job, ptrdiff_t c) {
    return job->classes - c < FL_TILE ? job->classes - c : FL_TILE;
}

/* Where row r's exponentials are kept until the block's factors are known, or NULL: they are computed again. */
static real *kept_row(const fl_row_job *job, ptrdiff_t r, struct row_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(job->classes);
    return row_block(job) * lanes <= KEPT ? s->in.kept + r * lanes : NULL;
}

/* A larger logit than those before stands in x[n], classes c...: put the row's sums in its terms. The label of a row with
 * a distribution is where its largest logit stands; what stood there before joins the others. */
static void raise_max(const fl_row_job *job, ptrdiff_t r, ptrdiff_t c, ptrdiff_t n, const real *x, real higher,
                      struct row_state *st) {
    const real max = st->max[r];
    st->max[r] = higher;
    if (c > 0) {
        if (!job->target.data) st->others[r] += (double)r_exp(st->target_logit[r] - max);
        st->others[r] *= (double)r_exp(max - higher);
        if (st->mass[r] != 0) st->drop[r] += st->mass[r] * ((double)higher - (double)max);
    }
    if (!job->target.data) st->label[r] = (ireal)(c + find(x, n, higher));
}

/* The largest logit of a row of several tiles that are kept, in a pass of its own: kept exponentials share one. */
static void find_max(const fl_row_job *job, const char *row, ptrdiff_t r, struct row_scratch *s) {
    struct row_state *st = &s->state;
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = left_for_tile(job, c);
        const real *x = load_row(job, row + c * job->class_stride, n, s->in.row);
        const real higher = tile_max(x, whole_lanes(n));
        if (!(higher > st->max[r])) continue;
        st->max[r] = higher;
        if (!job->target.data) st->label[r] = (ireal)(c + find(x, n, higher));
    }
}

/* Add the mass of a tile to row r, t being its distribution; `label` is relative to the tile. */
static void reduce_mass(const fl_row_job *job, const char *t, ptrdiff_t r, ptrdiff_t c, ptrdiff_t n, const real *x,
                        ptrdiff_t label, struct row_scratch *s) {
    struct row_state *st = &s->state;
    const ptrdiff_t lanes = whole_lanes(n);
    const real *q = load_mass(job, t, c, n, s);
    if (label >= 0 && label < n) st->peak[r] = q[label];
    tile_drop(s->out, q, x, lanes, st->max[r]);
    st->mass[r] += tile_sum(q, lanes);
    st->drop[r] += tile_sum(s->out, lanes);
}

/* Fill the state of row r in one pass over its classes with a running maximum, or in two if it is kept in several tiles. */
static void reduce_row(const fl_row_job *job, ptrdiff_t p, ptrdiff_t r, struct row_scratch *s) {
    struct row_state *st = &s->state;
    const char *row = position(&job->logits, p), *t = distribution_at(job, p);
    real *kept = kept_row(job, r, s);
    const int known = kept && job->classes > FL_TILE;
    if (known) find_max(job, row, r, s);
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = left_for_tile(job, c), lanes = whole_lanes(n);
        const real *x = load_row(job, row + c * job->class_stride, n, s->in.row);
        const real higher = known ? st->max[r] : tile_max(x, lanes);
        if (higher > st->max[r]) raise_max(job, r, c, n, x, higher, st);
        const ptrdiff_t label = st->label[r] - c;
        real *e = kept ? kept + c : s->out;
        tile_exp(e, x, lanes, st->max[r], 1);
        if (label >= 0 && label < n) {
            st->target_logit[r] = x[label];
            e[label] = 0;
        }
        st->others[r] += tile_sum(e, lanes);
        if (has_mass(job)) reduce_mass(job, t, r, c, n, x, label, s);
    }
}

static void reduce_rows(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    struct row_state *st = &s->state;
    for (ptrdiff_t r = 0; r < whole_lanes(n); r++) {
        st->max[r] = st->label[r] < 0 ? 0 : -R_MAX;
        st->target_logit[r] = st->peak[r] = 0;
        st->others[r] = st->mass[r] = st->drop[r] = 0;
        if (st->label[r] >= 0) reduce_row(job, start + r, r, s);
    }
}

/* Gradient of the n classes from c on of row r, to g: whole lanes. t is the row's distribution. */
static void gradient_tile(const fl_row_job *job, const char *row, const char *t, ptrdiff_t r, ptrdiff_t c, ptrdiff_t n,
                          real *g, struct row_scratch *s) {
    const struct row_state *st = &s->state;
    const ptrdiff_t lanes = whole_lanes(n);
    const real *kept = kept_row(job, r, s);
    if (kept && !has_mass(job)) {
        tile_times(g, kept + c, lanes, st->inverse[r]);
        return;
    }
    const real *x = kept ? NULL : load_row(job, row + c * job->class_stride, n, s->in.row);
    if (!has_mass(job)) {
        tile_exp(g, x, lanes, st->max[r], st->inverse[r]);
        return;
    }
    if (!kept) tile_exp(s->in.kept, x, lanes, st->max[r], 1);
    const real *q = load_mass(job, t, c, n, s);
    tile_less_mass(g, kept ? kept + c : s->in.kept, q, lanes, st->inverse[r], st->factor[r]);
}

static void row_gradient(const fl_row_job *job, ptrdiff_t p, ptrdiff_t r, struct row_scratch *s) {
    const struct row_state *st = &s->state;
    const char *row = position(&job->logits, p), *t = distribution_at(job, p);
    real *to = (real *)position(&job->grad, p);
    if (st->label[r] < 0) {
        memset(to, 0, (size_t)job->classes * sizeof(real));
        return;
    }
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = left_for_tile(job, c);
        real *g = n % FL_LANES == 0 ? to + c : s->out;
        gradient_tile(job, row, t, r, c, n, g, s);
        if (g == s->out) memcpy(to + c, g, (size_t)n * sizeof(real));
    }
    to[st->label[r]] = st->at_target[r];
}

#endif
