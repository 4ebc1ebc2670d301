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

/* The same of four classes. */
static void column_max_four(real *restrict max, const real (*restrict x)[MAX_ROWS], ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real a = r_max(x[0][r], x[1][r]), b = r_max(x[2][r], x[3][r]), four = r_max(a, b);
        max[r] = four > max[r] ? four : max[r];
    }
}

/* The same of one class, and the label of rows with a distribution: where their largest logit stands. */
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
        others[r] += (double)r_exp_raised(r_where(higher[r] > max[r], target_logit[r] - max[r], -R_INFINITY));
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

/* FL_LANES reals from x on are needed soon. */
FL_INLINE void ask_for(const real *x) {
    for (int l = 0; l < FL_LANES; l += LINE) __builtin_prefetch(x + l, 0, 2);
}

/* What the sums take of FL_LANES rows, from first to last class in registers. */
struct column_lanes {
    real max[FL_LANES], target_logit[FL_LANES];
    double others[FL_LANES], carry[FL_LANES];
    ireal label[FL_LANES];
};

/* exp(x - max), raised, of class c; 0 at the label, whose logit is kept instead. It takes x's place if it is kept. */
FL_INLINE real column_term(struct column_lanes *t, int l, real *x, ptrdiff_t c, int keep) {
    const int is_label = t->label[l] == (ireal)c;
    const real logit = *x, e = r_exp_raised(r_where(is_label, -R_INFINITY, logit - t->max[l]));
    t->target_logit[l] = r_where(is_label, logit, t->target_logit[l]);
    if (keep) *x = e;
    return e;
}

/* Sums over classes first... of x[classes][n], four, two or one at a time; `others` is raised like r_exp_raised until the
 * block is complete. Meanwhile what follows the columns in memory comes into the cache: a processor foresees no runs that
 * short. */
FL_INLINE void column_sum_lanes(struct row_state *st, real (*restrict x)[MAX_ROWS], const real *const *ahead,
                                ptrdiff_t first, ptrdiff_t classes, ptrdiff_t n, int keep) {
    for (ptrdiff_t r = 0; r < n; r += FL_LANES) {
        struct column_lanes t;
        ptrdiff_t c = 0;
        for (int l = 0; l < FL_LANES; l++) {
            t.max[l] = st->max[r + l], t.target_logit[l] = st->target_logit[r + l], t.label[l] = st->label[r + l];
            t.others[l] = st->others[r + l], t.carry[l] = st->carry[r + l];
        }
        for (ptrdiff_t k = 0; k < classes; k++) ask_for(ahead[k] + r);
        for (; c + 4 <= classes; c += 4) {
            real *x0 = x[c] + r, *x1 = x[c + 1] + r, *x2 = x[c + 2] + r, *x3 = x[c + 3] + r;
            const ptrdiff_t class = first + c;
            FL_INDEPENDENT
            for (int l = 0; l < FL_LANES; l++) {
                const real e = column_term(&t, l, x0 + l, class, keep) + column_term(&t, l, x1 + l, class + 1, keep);
                const real f = column_term(&t, l, x2 + l, class + 2, keep) + column_term(&t, l, x3 + l, class + 3, keep);
                add_carrying(&t.others[l], &t.carry[l], (double)(e + f));
            }
        }
        for (; c + 2 <= classes; c += 2) {
            real *x0 = x[c] + r, *x1 = x[c + 1] + r;
            const ptrdiff_t class = first + c;
            FL_INDEPENDENT
            for (int l = 0; l < FL_LANES; l++) {
                const real e = column_term(&t, l, x0 + l, class, keep) + column_term(&t, l, x1 + l, class + 1, keep);
                add_carrying(&t.others[l], &t.carry[l], (double)e);
            }
        }
        for (; c < classes; c++) {
            real *x0 = x[c] + r;
            FL_INDEPENDENT
            for (int l = 0; l < FL_LANES; l++)
                add_carrying(&t.others[l], &t.carry[l], (double)column_term(&t, l, x0 + l, first + c, keep));
        }
        for (int l = 0; l < FL_LANES; l++) {
            st->target_logit[r + l] = t.target_logit[l];
            st->others[r + l] = t.others[l], st->carry[r + l] = t.carry[l];
        }
    }
}

static void column_sum(struct row_scratch *s, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t n) {
    column_sum_lanes(&s->state, s->in.columns, s->ahead, first, classes, n, 0);
}

static void column_sum_keep(struct row_scratch *s, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t n) {
    column_sum_lanes(&s->state, s->in.columns, s->ahead, first, classes, n, 1);
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
        add_carrying(&mass[r], &mass_carry[CARRY_ROWS == MAX_ROWS ? r : 0], (double)q);
        add_carrying(&drop[r], &drop_carry[CARRY_ROWS == MAX_ROWS ? r : 0], (double)r_times(q, max[r] - x[r]));
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
        const real other = r_exp_raised(x[r] - max[r]) * V_LOWER * inverse[r];
        g[r] = r_where(label[r] >= 0, r_where(label[r] == class, at_target[r], other), 0);
    }
}

/* The same from exponentials that were kept. */
static void column_kept_gradient(const struct row_state *st, real *restrict g, const real *restrict e, ptrdiff_t c,
                                 ptrdiff_t n) {
    const real *restrict inverse = st->inverse, *restrict at_target = st->at_target;
    const ireal *restrict label = st->label;
    const ireal class = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real other = e[r] * V_LOWER * inverse[r];
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
        const real other = r_fma(r_exp_raised(x[r] - max[r]) * V_LOWER, inverse[r], -(factor[r] * q));
        g[r] = r_where(label[r] >= 0, r_where(label[r] == class, at_target[r], other), 0);
    }
}

/* Where the n positions from start on stand if one stride leads through them all, else NULL. */
static const char *one_run(const fl_operand *op, ptrdiff_t start, ptrdiff_t n) {
    ptrdiff_t index[FL_MAX_DIMS];
    const char *run;
    fl_unravel(op, start, index);
    return fl_next_run(op, index, n, &run) == n ? run : NULL;
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

/* Whether the exponentials of a block take the place of its logits, for the gradient. */
static int keeps_columns(const fl_row_job *job) {
    return job->want & FL_GRAD && job->classes <= COLUMN_CLASSES && !has_mass(job);
}

/* Load the classes from `first` on, and raise the largest logits by theirs. Columns are copied where they are read in
 * place: several pages apart, they would drive each other out of the caches. */
static void raise_columns(const fl_row_job *job, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t start, ptrdiff_t n,
                         struct row_scratch *s) {
    struct row_state *st = &s->state;
    const ptrdiff_t lanes = whole_lanes(n);
    const char *run = one_run(&job->logits, start, n);
    const ptrdiff_t stride = job->logits.strides[job->logits.ndim - 1];
    real *higher = s->out;
    memcpy(higher, st->max, (size_t)lanes * sizeof(real));
    for (ptrdiff_t c = 0; c < classes; c++) {
        real *own = s->in.columns[c];
        const real *x = run ? fl_load_run(&kernels, &job->logits, run + (first + c) * job->class_stride, stride, n, own)
                            : load_column(job, first + c, start, n, own);
        s->column[c] = own;
        s->ahead[c] = x == own ? own : x + lanes;
        if (x != own) memcpy(own, x, (size_t)lanes * sizeof(real));
        if (!job->target.data) column_label(higher, st->label, own, first + c, lanes);
    }
    ptrdiff_t c = job->target.data ? 0 : classes;
    for (; c + 4 <= classes; c += 4) column_max_four(higher, (const real(*)[MAX_ROWS])s->in.columns + c, lanes);
    for (; c < classes; c++) column_max(higher, s->in.columns[c], lanes);
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
    const int keep = keeps_columns(job);
    clear_columns(st, lanes);
    for (ptrdiff_t first = 0; first < job->classes; first += COLUMN_CLASSES) {
        const ptrdiff_t left = job->classes - first, classes = left < COLUMN_CLASSES ? left : COLUMN_CLASSES;
        raise_columns(job, first, classes, start, n, s);
        if (keep)
            column_sum_keep(s, first, classes, lanes);
        else
            column_sum(s, first, classes, lanes);
        for (ptrdiff_t c = 0; has_mass(job) && c < classes; c++)
            column_mass(st, x[c], load_shares(job, first + c, start, n, s->out), shares_of(job),
                        class_weight_of(job, first + c), first + c, lanes);
    }
    for (ptrdiff_t r = 0; r < lanes; r++) st->others[r] = (st->others[r] + st->carry[r]) * (double)V_LOWER;
    for (ptrdiff_t r = 0; sizeof(real) == sizeof(double) && r < lanes; r++) {
        st->mass[r] += st->mass_carry[r];
        st->drop[r] += st->drop_carry[r];
    }
}

static void columns_gradient(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(n);
    const int loaded = job->classes <= COLUMN_CLASSES;
    char *place = (char *)grad_column(job, 0, start, n);
    real *t = s->out + MAX_ROWS;
    for (ptrdiff_t c = 0; c < job->classes; c++) {
        const real *x = loaded ? s->column[c] : load_column(job, c, start, n, s->in.columns[0]);
        real *to = place ? (real *)(place + c * job->grad_class_stride) : NULL, *g = to ? to : s->out;
        if (has_mass(job))
            column_mass_gradient(&s->state, g, x, load_shares(job, c, start, n, t), shares_of(job),
                                 class_weight_of(job, c), c, lanes);
        else if (keeps_columns(job))
            column_kept_gradient(&s->state, g, x, c, lanes);
        else
            column_gradient(&s->state, g, x, c, lanes);
        if (!to) store_column(job, c, start, n, g);
    }
}

#endif
