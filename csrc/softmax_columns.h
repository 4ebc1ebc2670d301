/* SPDX-License-Identifier: BSD-3-Clause */
/* softmax_columns.h: rows of few classes, or with an inner axis: lanes run over positions. Sums into the block's state in
 * tiles of COLUMN_CLASSES classes, and the gradient from it. */
#ifndef FL_SOFTMAX_COLUMNS_H
#define FL_SOFTMAX_COLUMNS_H

#include "softmax_state.h"

static void column_max(real *restrict max, const real *restrict x, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) max[r] = x[r] > max[r] ? x[r] : max[r];
}

/* The same, and the label of rows with a distribution: where their largest logit stands. */
static void column_label(real *restrict max, ireal *restrict label, const real *restrict x, ptrdiff_t c, ptrdiff_t n) {
    const ireal class = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const ireal moves = -(ireal)(x[r] > max[r]) & -(ireal)(label[r] >= 0);
        label[r] = (class & moves) | (label[r] & ~moves);
        max[r] = x[r] > max[r] ? x[r] : max[r];
    }
}

/* What stood at the labels of rows with a distribution joins the others where a larger logit takes its place. */
static void column_join(struct row_state *st, const real *restrict higher, ptrdiff_t n) {
    double *restrict others = st->others;
    const real *restrict max = st->max, *restrict target_logit = st->target_logit;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++)
        others[r] += (double)r_exp(r_where(higher[r] > max[r], target_logit[r] - max[r], -R_INFINITY));
}

/* Put the sums in terms of a larger logit than those of the tiles before. */
static void column_rescale(struct row_state *st, const real *restrict higher, ptrdiff_t n) {
    double *restrict others = st->others, *restrict carry = st->carry;
    const real *restrict max = st->max;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double factor = (double)r_exp(max[r] - higher[r]);
        others[r] *= factor;
        if (sizeof(real) == sizeof(double)) carry[r] *= factor;
    }
}

static void column_drop_further(struct row_state *st, const real *restrict higher, ptrdiff_t n) {
    const double *restrict mass = st->mass;
    double *restrict drop = st->drop;
    const real *restrict max = st->max;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) 
        drop[r] += double_times(mass[r], (double)higher[r] - (double)max[r]);
}

/* Two classes at a time: c and c + 1. */
static void column_sum(struct row_state *st, const real *restrict x0, const real *restrict x1, ptrdiff_t c,
                       ptrdiff_t n) {
    const real *restrict max = st->max;
    real *restrict target_logit = st->target_logit;
    double *restrict others = st->others, *restrict carry = st->carry;
    const ireal *restrict label = st->label;
    const ireal class0 = (ireal)c, class1 = (ireal)c + 1;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real e0 = r_exp(x0[r] - max[r]), e1 = r_exp(x1[r] - max[r]);
        const real e = r_where(label[r] != class0, e0, 0) + r_where(label[r] != class1, e1, 0);
        add_carrying(&others[r], &carry[r], (double)e);
        target_logit[r] = r_where(label[r] == class0, x0[r], r_where(label[r] == class1, x1[r], target_logit[r]));
    }
}

/* Mass of class c, of weight w, where t is the targets' probability of it. */
static void column_mass(struct row_state *st, const real *restrict x, const real *restrict t, struct shares share,
                        real w, ptrdiff_t c, ptrdiff_t n) {
    const real *restrict max = st->max;
    real *restrict peak = st->peak;
    double *restrict mass = st->mass, *restrict mass_carry = st->mass_carry;
    double *restrict drop = st->drop, *restrict drop_carry = st->drop_carry;
    const ireal *restrict label = st->label;
    const real keep = share.keep, spread = share.spread;
    const ireal class = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real q = r_fma(t[r], keep, spread) * w;
        peak[r] = r_where(label[r] == class, q, peak[r]);
        add_carrying(&mass[r], &mass_carry[CARRY_ROWS > 1 ? r : 0], (double)q);
        add_carrying(&drop[r], &drop_carry[CARRY_ROWS > 1 ? r : 0], (double)r_times(q, max[r] - x[r]));
    }
}

static void column_gradient(const struct row_state *st, real *restrict g, const real *restrict x, ptrdiff_t c,
                            ptrdiff_t n) {
    const real *restrict max = st->max, *restrict inverse = st->inverse, *restrict at_target = st->at_target;
    const ireal *restrict label = st->label;
    const ireal class = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real other = r_exp(x[r] - max[r]) * inverse[r];
        g[r] = r_where(label[r] >= 0, r_where(label[r] == class, at_target[r], other), 0);
    }
}

/* The same with mass, as in column_mass. */
static void column_mass_gradient(const struct row_state *st, real *restrict g, const real *restrict x,
                                 const real *restrict t, struct shares share, real w, ptrdiff_t c, ptrdiff_t n) {
    const real *restrict max = st->max, *restrict inverse = st->inverse, *restrict at_target = st->at_target;
    const real *restrict factor = st->factor;
    const ireal *restrict label = st->label;
    const real keep = share.keep, spread = share.spread;
    const ireal class = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real q = r_fma(t[r], keep, spread) * w;
        const real other = r_fma(r_exp(x[r] - max[r]), inverse[r], -(factor[r] * q));
        g[r] = r_where(label[r] >= 0, r_where(label[r] == class, at_target[r], other), 0);
    }
}

static const real *load_column(const fl_row_job *job, ptrdiff_t c, ptrdiff_t start, ptrdiff_t n, real *scratch) {
    return fl_load_at(&kernels, &job->logits, c * job->class_stride, start, n, scratch);
}

/* Targets' probabilities of class c; zeros where they are labels. */
static const real *load_shares(const fl_row_job *job, ptrdiff_t c, ptrdiff_t start, ptrdiff_t n, real *scratch) {
    if (!job->target.data)
        return fl_load_at(&kernels, &job->distribution, c * job->distribution_stride, start, n, scratch);
    tile_fill(scratch, 0, whole_lanes(n));
    return scratch;
}

static real class_weight_of(const fl_row_job *job, ptrdiff_t c) {
    return job->class_weight ? ((const real *)job->class_weight)[c] : 1;
}

static void clear_columns(struct row_state *st, ptrdiff_t lanes) {
    for (ptrdiff_t r = 0; r < lanes; r++) {
        st->max[r] = -R_MAX;
        st->target_logit[r] = st->peak[r] = 0;
        st->others[r] = st->carry[r] = st->mass[r] = st->drop[r] = 0;
    }
    for (ptrdiff_t r = 0; r < CARRY_ROWS; r++) st->mass_carry[r] = st->drop_carry[r] = 0;
}

/* Load the classes from `first` on, and raise the largest logits by theirs. */
static void raise_columns(const fl_row_job *job, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t start, ptrdiff_t n,
                         struct row_scratch *s) {
    struct row_state *st = &s->state;
    const ptrdiff_t lanes = whole_lanes(n);
    real *higher = s->out;
    memcpy(higher, st->max, (size_t)lanes * sizeof(real));
    for (ptrdiff_t c = 0; c < classes; c++) {
        const real *x = s->column[c] = load_column(job, first + c, start, n, s->in.columns[c]);
        if (job->target.data)
            column_max(higher, x, lanes);
        else
            column_label(higher, st->label, x, first + c, lanes);
    }
    if (first) {
        if (!job->target.data) column_join(st, higher, lanes);
        column_rescale(st, higher, lanes);
        if (has_mass(job)) column_drop_further(st, higher, lanes);
    }
    memcpy(st->max, higher, (size_t)lanes * sizeof(real));
}

static void reduce_columns(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    struct row_state *st = &s->state;
    const real **x = s->column;
    const ptrdiff_t lanes = whole_lanes(n);
    clear_columns(st, lanes);
    for (ptrdiff_t first = 0; first < job->classes; first += COLUMN_CLASSES) {
        const ptrdiff_t left = job->classes - first, classes = left < COLUMN_CLASSES ? left : COLUMN_CLASSES;
        raise_columns(job, first, classes, start, n, s);
        tile_fill(s->out, -R_INFINITY, lanes); /* partner of an odd last class */
        x[classes] = s->out;
        for (ptrdiff_t c = 0; c < classes; c += 2) column_sum(st, x[c], x[c + 1], first + c, lanes);
        for (ptrdiff_t c = 0; has_mass(job) && c < classes; c++)
            column_mass(st, x[c], load_shares(job, first + c, start, n, s->out), shares_of(job),
                        class_weight_of(job, first + c), first + c, lanes);
    }
    for (ptrdiff_t r = 0; sizeof(real) == sizeof(double) && r < lanes; r++) {
        st->others[r] += st->carry[r];
        st->mass[r] += st->mass_carry[r];
        st->drop[r] += st->drop_carry[r];
    }
}

static void columns_gradient(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(n);
    real *t = s->out + MAX_ROWS;
    for (ptrdiff_t c = 0; c < job->classes; c++) {
        const int loaded = job->classes <= COLUMN_CLASSES;
        const real *x = loaded ? s->column[c] : load_column(job, c, start, n, s->in.columns[0]);
        real *to = grad_column(job, c, start, n), *g = to ? to : s->out;
        if (has_mass(job))
            column_mass_gradient(&s->state, g, x, load_shares(job, c, start, n, t), shares_of(job),
                                 class_weight_of(job, c), c, lanes);
        else
            column_gradient(&s->state, g, x, c, lanes);
        if (!to) store_column(job, c, start, n, g);
    }
}

#endif
