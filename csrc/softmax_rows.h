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
    if (n < 2 * FL_LANES)
        for (int l = 0; l < FL_LANES; l++) lane[l] = x[l] > lane[l] ? x[l] : lane[l];
    for (ptrdiff_t i = 0; i + 2 * FL_LANES <= n; i += 2 * FL_LANES)
        for (int l = 0; l < 2 * FL_LANES; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    if (n > 2 * FL_LANES) { /* the last ones, some of them once more */
        const real *last = x + n - 2 * FL_LANES;
        for (int l = 0; l < 2 * FL_LANES; l++) lane[l] = last[l] > lane[l] ? last[l] : lane[l];
    }
    for (int l = 0; l < FL_LANES; l++) lane[l] = lane[l + FL_LANES] > lane[l] ? lane[l + FL_LANES] : lane[l];
    return fold_max(lane);
}

/* e = exp(x - max), raised as r_exp_raised does; max is no less than any x. */
static void tile_exp_raised(real *restrict e, const real *restrict x, ptrdiff_t n, real max) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) e[i] = r_exp_raised(x[i] - max);
}

/* y = exp(x - max) * factor */
static void tile_exp(real *restrict y, const real *restrict x, ptrdiff_t n, real max, real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) y[i] = r_exp_raised(x[i] - max) * V_LOWER * factor;
}

/* y = e * factor, e raised */
static void tile_lower(real *restrict y, const real *restrict e, ptrdiff_t n, real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) y[i] = e[i] * V_LOWER * factor;
}

/* What one pass finds in a tile: the raised sum of exp(x - max), lanes added as in tile_sum, and whether an x may exceed
 * max: then the sum says nothing. */
struct pass {
    double sum;
    int exceeded;
};

/* exp(x - max), raised, of one class of a tile, or 0 where that is the label: `at` classes away. */
FL_INLINE real other_term(real distance, int l, ireal at, int labelled) {
    return r_exp_raised(labelled ? r_where((ireal)l == at, -R_INFINITY, -distance) : -distance);
}

/* Groups of x[n] onto lanes and signs; `label` is relative to x, and among its first group if it is left out. */
FL_INLINE void add_exp_groups(double *restrict lane, ireal *restrict sign, const real *restrict x, ptrdiff_t n, real max,
                              ireal label, int labelled) {
    for (ptrdiff_t i = 0; i < n; i += FL_GROUP)
        for (int l = 0; l < FL_LANES; l++) {
            const real a = max - x[i + l], b = max - x[i + l + FL_LANES];
            const real c = max - x[i + l + 2 * FL_LANES], d = max - x[i + l + 3 * FL_LANES];
            const real e = other_term(a, l, label, labelled) + other_term(b, l, label - FL_LANES, labelled);
            const real f = other_term(c, l, label - 2 * FL_LANES, labelled) +
                           other_term(d, l, label - 3 * FL_LANES, labelled);
            lane[l] += (double)(e + f);
            sign[l] |= r_bits(a) | r_bits(b) | r_bits(c) | r_bits(d);
        }
}

/* The sum leaves out x[label], unless that is -1. Some of max - x has a sign where an x exceeds max, and perhaps at NaN:
 * cheaper to find than the largest x. */
static struct pass tile_exp_sum(const real *restrict x, ptrdiff_t n, real max, ptrdiff_t label) {
    const ptrdiff_t grouped = n - n % FL_GROUP, own = label >= 0 && label < grouped ? label - label % FL_GROUP : grouped;
    ireal sign[FL_LANES] = {0};
    double lane[FL_LANES] = {0};
    add_exp_groups(lane, sign, x, own, max, -1, 0);
    if (own < grouped) {
        add_exp_groups(lane, sign, x + own, FL_GROUP, max, (ireal)(label - own), 1);
        add_exp_groups(lane, sign, x + own + FL_GROUP, grouped - own - FL_GROUP, max, -1, 0);
    }
    for (ptrdiff_t i = grouped; i < n; i += FL_LANES) {
        const ireal at = (ireal)(label - i);
        for (int l = 0; l < FL_LANES; l++) {
            const real a = max - x[i + l];
            lane[l] += (double)other_term(a, l, at, 1);
            sign[l] |= r_bits(a);
        }
    }
    for (int l = 1; l < FL_LANES; l++) sign[0] |= sign[l];
    return (struct pass){fold_lanes(lane), sign[0] < 0};
}

/* g = inverse e - factor q, e raised */
static void tile_less_mass(real *restrict g, const real *restrict e, const real *restrict q, ptrdiff_t n, real inverse,
                           real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) g[i] = r_fma(e[i] * V_LOWER, inverse, -(factor * q[i]));
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

/* Whether an operand holds reals as they are. */
static int is_native(const fl_operand *op) {
    return op->dtype == (sizeof(real) == 4 ? FL_FLOAT32 : FL_FLOAT64) && !op->swapped;
}

/* n classes of one row as whole lanes, padded with -inf. */
static const real *load_row(const fl_row_job *job, const char *row, ptrdiff_t n, real *scratch) {
    const ptrdiff_t last = whole_lanes(n) - FL_LANES;
    if (n == last + FL_LANES || job->class_stride != sizeof(real) || !is_native(&job->logits)) {
        const real *x = fl_load_run(&kernels, &job->logits, row, job->class_stride, n, scratch);
        for (ptrdiff_t c = n; c % FL_LANES; c++) scratch[c] = -R_INFINITY;
        return x;
    }
    for (int l = 0; l < FL_LANES; l++) scratch[last + l] = -R_INFINITY;
    memcpy(scratch, row, (size_t)n * sizeof(real));
    return scratch;
}

static ptrdiff_t left_for_tile(const fl_row_job *job, ptrdiff_t c) {
    return job->classes - c < FL_TILE ? job->classes - c : FL_TILE;
}

/* Where row r's exponentials are kept, raised, until the block's factors are known; NULL: they are computed again. */
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

/* The same if there is one: whether there was. */
static int raise_to_tile(const fl_row_job *job, ptrdiff_t r, ptrdiff_t c, ptrdiff_t n, const real *x,
                         struct row_state *st) {
    const real higher = tile_max(x, whole_lanes(n));
    if (!(higher > st->max[r])) return 0;
    raise_max(job, r, c, n, x, higher, st);
    return 1;
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

/* One pass over x[n], classes c... of row r, whose label, if it is among them, is left out of the sum. */
static struct pass pass_others(const struct row_state *st, ptrdiff_t r, ptrdiff_t c, ptrdiff_t n, const real *x) {
    const ptrdiff_t label = st->label[r] - c;
    return tile_exp_sum(x, whole_lanes(n), st->max[r], label >= 0 && label < n ? label : -1);
}

/* Fill the state of row r. The first tile of classes is read for its largest logit first; the others are summed with the
 * largest so far, and again if they held a larger one. A row that is kept for its gradient in several tiles has its
 * largest logit looked for in a pass of its own. */
static void reduce_row(const fl_row_job *job, ptrdiff_t p, ptrdiff_t r, struct row_scratch *s) {
    struct row_state *st = &s->state;
    const char *row = position(&job->logits, p), *t = distribution_at(job, p);
    real *kept = kept_row(job, r, s);
    const int known = kept && job->classes > FL_TILE;
    if (known) find_max(job, row, r, s);
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = left_for_tile(job, c), lanes = whole_lanes(n);
        const real *x = load_row(job, row + c * job->class_stride, n, s->in.row);
        if (c == 0 && !known) raise_to_tile(job, r, c, n, x, st);
        if (kept && job->want & FL_GRAD) {
            const ptrdiff_t label = st->label[r] - c;
            tile_exp_raised(kept + c, x, lanes, st->max[r]);
            if (label >= 0 && label < n) kept[c + label] = 0;
            st->others[r] += tile_sum(kept + c, lanes) * (double)V_LOWER;
        } else {
            struct pass found = pass_others(st, r, c, n, x);
            if (found.exceeded && raise_to_tile(job, r, c, n, x, st)) found = pass_others(st, r, c, n, x);
            st->others[r] += found.sum * (double)V_LOWER;
        }
        const ptrdiff_t label = st->label[r] - c;
        if (label >= 0 && label < n) st->target_logit[r] = x[label];
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
        tile_lower(g, kept + c, lanes, st->inverse[r]);
        return;
    }
    const real *x = kept ? NULL : load_row(job, row + c * job->class_stride, n, s->in.row);
    if (!has_mass(job)) {
        tile_exp(g, x, lanes, st->max[r], st->inverse[r]);
        return;
    }
    if (!kept) tile_exp_raised(s->in.kept, x, lanes, st->max[r]);
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
