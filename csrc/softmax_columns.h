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

/* Put the sums of FL_LANES rows in terms of a larger logit than those of the tiles before. */
FL_INLINE void rescale_lanes(struct row_state *st, const real *higher, ptrdiff_t r) {
    FL_ONE_STEP
    for (int l = 0; l < FL_LANES; l++) {
        const double factor = (double)r_exp(st->max[r + l] - higher[l]);
        st->others[r + l] *= factor;
        if (sizeof(real) == sizeof(double)) st->carry[r + l] *= factor;
    }
}

static void column_rescale(struct row_state *st, const real *higher, ptrdiff_t n) {
    for (ptrdiff_t r = 0; r < n; r += FL_LANES) rescale_lanes(st, higher + r, r);
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

/* Where each row's label stands in a tile of columns, in reals from the scratch's beginning; where its target_logit does, if
 * the label is in none of the tile's classes. */
static void find_places(struct row_scratch *s, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t n) {
    const ireal *restrict label = s->state.label;
    ireal *restrict place = s->place;
    const ireal low = (ireal)first, columns = offsetof(struct row_scratch, in.columns) / sizeof(real);
    const ireal targets = offsetof(struct row_scratch, state.target_logit) / sizeof(real);
    const ureal size = (ureal)classes;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const ireal at = label[r] - low, column = columns + at * MAX_ROWS;
        place[r] = ((ureal)at < size ? column : targets) + (ireal)r;
    }
}

/* What stands at the labels of rows r... leaves the tile for target_logit: -inf in its place adds nothing to the others.
 * Without a branch: no processor foresees which rows have their labels in which tile. */
FL_INLINE void take_lanes(struct row_scratch *s, ptrdiff_t r) {
    real *target = s->state.target_logit + r;
    const ireal *place = s->place + r;
    for (int l = 0; l < FL_LANES; l++) {
        real *own = (real *)s + place[l];
        const real x = *own;
        *own = -R_INFINITY;
        target[l] = x;
    }
}

/* What one pass over a tile holds of FL_LANES rows: the largest logits of those that it raises, and the sums of those that
 * it adds up, which stand BEHIND before. */
enum { BEHIND = 2 * FL_LANES };
struct column_lanes {
    real higher[FL_LANES], max[FL_LANES];
    double others[FL_LANES], carry[FL_LANES];
};

/* Copy four classes of FL_LANES rows from x to `own`, where they may be already, and raise the largest logits by theirs. */
FL_INLINE void raise_four(real *higher, real (*own)[MAX_ROWS], const real *const *x, ptrdiff_t r, ptrdiff_t ahead) {
    const real *x0 = x[0] + r, *x1 = x[1] + r, *x2 = x[2] + r, *x3 = x[3] + r;
    real *y0 = own[0] + r, *y1 = own[1] + r, *y2 = own[2] + r, *y3 = own[3] + r;
    ask_for(x0 + ahead), ask_for(x1 + ahead), ask_for(x2 + ahead), ask_for(x3 + ahead);
    FL_ONE_STEP
    for (int l = 0; l < FL_LANES; l++) {
        const real a = x0[l], b = x1[l], c = x2[l], d = x3[l], four = r_max(r_max(a, b), r_max(c, d));
        y0[l] = a, y1[l] = b, y2[l] = c, y3[l] = d;
        higher[l] = four > higher[l] ? four : higher[l];
    }
}

FL_INLINE void raise_one(real *higher, real *y, const real *x, ptrdiff_t ahead) {
    ask_for(x + ahead);
    FL_ONE_STEP
    for (int l = 0; l < FL_LANES; l++) {
        const real a = x[l];
        y[l] = a;
        higher[l] = a > higher[l] ? a : higher[l];
    }
}

/* exp(x - max), raised, in place of x: for those that are kept. Clang takes loops apart that do this and sum as well. */
FL_INLINE void exp_lanes(real *x, const real *max) {
    P_ONE_STEP
    for (int l = 0; l < FL_LANES; l += PACKET) p_store(x + l, p_exp_below(p_load(x + l), p_load(max + l)));
}

/* exp(x - max), raised, or x where it is that already. */
FL_INLINE packet column_term(const real *max, const real *x, int kept) {
    return kept ? p_load(x) : p_exp_below(p_load(x), p_load(max));
}

FL_INLINE void add_four(struct column_lanes *t, real (*x)[MAX_ROWS], ptrdiff_t r, int keep) {
    real *x0 = x[0] + r, *x1 = x[1] + r, *x2 = x[2] + r, *x3 = x[3] + r;
    if (keep) exp_lanes(x0, t->max), exp_lanes(x1, t->max), exp_lanes(x2, t->max), exp_lanes(x3, t->max);
    P_ONE_STEP
    for (int l = 0; l < FL_LANES; l += PACKET) {
        const packet e = column_term(t->max + l, x0 + l, keep) + column_term(t->max + l, x1 + l, keep);
        const packet f = column_term(t->max + l, x2 + l, keep) + column_term(t->max + l, x3 + l, keep);
        p_add_carrying(t->others + l, t->carry + l, e + f);
    }
}

FL_INLINE void add_two(struct column_lanes *t, real *x0, real *x1, int keep) {
    if (keep) exp_lanes(x0, t->max), exp_lanes(x1, t->max);
    P_ONE_STEP
    for (int l = 0; l < FL_LANES; l += PACKET) {
        const packet e = column_term(t->max + l, x0 + l, keep) + column_term(t->max + l, x1 + l, keep);
        p_add_carrying(t->others + l, t->carry + l, e);
    }
}

FL_INLINE void add_one(struct column_lanes *t, real *x, int keep) {
    if (keep) exp_lanes(x, t->max);
    P_ONE_STEP
    for (int l = 0; l < FL_LANES; l += PACKET)
        p_add_carrying(t->others + l, t->carry + l, column_term(t->max + l, x + l, keep));
}

/* Raise rows r... and add up those before: reading from far away goes on beside arithmetic. `others` is raised like
 * r_exp_raised until the block is complete. What follows the columns in memory comes into the cache meanwhile: a processor
 * foresees no runs that short. */
FL_INLINE void pass_lanes(struct row_scratch *s, ptrdiff_t classes, ptrdiff_t ahead, ptrdiff_t r, int raises, int further,
                          int adds, int keep) {
    struct row_state *st = &s->state;
    struct column_lanes t;
    real (*own)[MAX_ROWS] = s->in.columns;
    const real *const *x = s->column;
    const ptrdiff_t before = r - BEHIND;
    ptrdiff_t c = 0;
    for (int l = 0; raises && l < FL_LANES; l++) t.higher[l] = st->max[r + l];
    for (int l = 0; adds && l < FL_LANES; l++) {
        t.max[l] = st->max[before + l], t.others[l] = st->others[before + l];
        t.carry[l] = sizeof(real) == sizeof(double) ? st->carry[before + l] : 0;
    }
    for (; c + 4 <= classes; c += 4) {
        if (raises) raise_four(t.higher, own + c, x + c, r, ahead);
        if (adds) add_four(&t, own + c, before, keep);
    }
    for (; c + 2 <= classes; c += 2) {
        if (raises) raise_one(t.higher, own[c] + r, x[c] + r, ahead);
        if (raises) raise_one(t.higher, own[c + 1] + r, x[c + 1] + r, ahead);
        if (adds) add_two(&t, own[c] + before, own[c + 1] + before, keep);
    }
    for (; c < classes; c++) {
        if (raises) raise_one(t.higher, own[c] + r, x[c] + r, ahead);
        if (adds) add_one(&t, own[c] + before, keep);
    }
    if (raises && further) rescale_lanes(st, t.higher, r);
    for (int l = 0; raises && l < FL_LANES; l++) st->max[r + l] = t.higher[l];
    for (int l = 0; adds && l < FL_LANES; l++) {
        st->others[before + l] = t.others[l];
        if (sizeof(real) == sizeof(double)) st->carry[before + l] = t.carry[l];
    }
}

/* A tile in one pass. What take_lanes writes has reached the cache by the time it is read as part of a vector. */
FL_INLINE void tile_pass(struct row_scratch *s, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t n, int keep) {
    find_places(s, first, classes, n);
    for (ptrdiff_t r = 0; r < n + BEHIND; r += FL_LANES) {
        if (r < n && r >= BEHIND)
            pass_lanes(s, classes, n, r, 1, first > 0, 1, keep);
        else if (r < n)
            pass_lanes(s, classes, n, r, 1, first > 0, 0, keep);
        else if (r >= BEHIND)
            pass_lanes(s, classes, n, r, 0, 0, 1, keep);
        if (r < n) take_lanes(s, r);
    }
}

static void column_pass(struct row_scratch *s, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t n) {
    tile_pass(s, first, classes, n, 0);
}

static void column_pass_keep(struct row_scratch *s, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t n) {
    tile_pass(s, first, classes, n, 1);
}

/* The sums of a tile that was raised before. */
static void column_sum(struct row_scratch *s, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t n) {
    find_places(s, first, classes, n);
    for (ptrdiff_t r = 0; r < n; r += FL_LANES) take_lanes(s, r);
    for (ptrdiff_t r = BEHIND; r < n + BEHIND; r += FL_LANES) pass_lanes(s, classes, n, r, 0, 0, 1, 0);
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

/* Of these three, g may be x (or e). */
static void column_gradient(const struct row_state *st, real *g, const real *x, ptrdiff_t c, ptrdiff_t n) {
    const real *restrict max = st->max, *restrict inverse = st->inverse, *restrict at_target = st->at_target;
    const ireal *restrict label = st->label;
    const ireal class = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    for (ptrdiff_t r = 0; r < n; r += FL_LANES) {
        real other[FL_LANES]; /* on its own, for compilers that ask whether g is x */
        P_ONE_STEP
        for (int l = 0; l < FL_LANES; l += PACKET)
            p_store(other + l, p_exp_below(p_load(x + r + l), p_load(max + r + l)) * p_all(V_LOWER) *
                                   p_load(inverse + r + l));
        P_ONE_STEP
        for (int l = 0; l < FL_LANES; l += PACKET) {
            const ipacket at = p_load_bits(label + r + l);
            const packet counted = p_where(p_equal(at, class), p_load(at_target + r + l), p_load(other + l));
            p_store(g + r + l, p_where(p_negative(at), p_all(0), counted));
        }
    }
}

/* The same from exponentials that were kept. */
static void column_kept_gradient(const struct row_state *st, real *g, const real *e, ptrdiff_t c, ptrdiff_t n) {
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
static void column_mass_gradient(const struct row_state *st, real *g, const real *x, const real *restrict t,
                                 struct shares share, real w, ptrdiff_t c, ptrdiff_t n) {
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

static void clear_columns(struct row_state *st, ptrdiff_t lanes, int mass) {
    for (ptrdiff_t r = 0; r < lanes; r++) {
        st->max[r] = -R_MAX;
        st->target_logit[r] = 0;
        st->others[r] = 0;
        if (sizeof(real) == sizeof(double)) st->carry[r] = 0;
    }
    for (ptrdiff_t r = 0; mass && r < lanes; r++) st->peak[r] = 0, st->mass[r] = st->drop[r] = 0;
    for (ptrdiff_t r = 0; r < CARRY_ROWS; r++) st->mass_carry[r] = st->drop_carry[r] = 0;
}

/* Whether the exponentials of a block take the place of its logits, for the gradient. */
static int keeps_columns(const fl_row_job *job) {
    return job->want & FL_GRAD && job->classes <= COLUMN_CLASSES && !has_mass(job);
}

/* Where the classes from `first` on stand. They are copied where they are read in place: several pages apart, they would
 * drive each other out of the caches. */
static void find_columns(const fl_row_job *job, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t start, ptrdiff_t n,
                         struct row_scratch *s) {
    const ptrdiff_t step = job->class_stride, stride = job->logits.strides[job->logits.ndim - 1];
    const char *run = one_run(&job->logits, start, n), *from = run ? run + first * step : NULL;
    const int turned = turn_logits(job, first, classes, start, n, s->in.columns);
    int in_place = 0; /* the first class tells of all */
    for (ptrdiff_t c = 0; c < classes; c++) {
        real *own = s->in.columns[c];
        if (turned)
            s->column[c] = own;
        else if (in_place)
            s->column[c] = (const real *)(from + c * step);
        else if (run)
            s->column[c] = fl_load_run(&kernels, &job->logits, from + c * step, stride, n, own);
        else
            s->column[c] = load_column(job, first + c, start, n, own);
        in_place = in_place || (s->column[c] != own && step % (ptrdiff_t)sizeof(real) == 0);
    }
}

/* Raise the largest logits of a block with mass by those of a tile, and add its mass. */
static void raise_mass(const fl_row_job *job, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t start, ptrdiff_t n,
                       struct row_scratch *s) {
    struct row_state *st = &s->state;
    const ptrdiff_t lanes = whole_lanes(n);
    real *higher = s->out;
    memcpy(higher, st->max, (size_t)lanes * sizeof(real));
    for (ptrdiff_t c = 0; c < classes; c++) {
        real *own = s->in.columns[c];
        if (s->column[c] != own) memcpy(own, s->column[c], (size_t)lanes * sizeof(real));
        if (job->target.data)
            column_max(higher, own, lanes);
        else
            column_label(higher, st->label, own, first + c, lanes);
    }
    if (first) {
        if (!job->target.data) column_join(st, higher, lanes);
        column_rescale(st, higher, lanes);
        column_drop_further(st, higher, lanes);
    }
    memcpy(st->max, higher, (size_t)lanes * sizeof(real));
    for (ptrdiff_t c = 0; c < classes; c++)
        column_mass(st, s->in.columns[c], load_shares(job, first + c, start, n, s->out), shares_of(job),
                    class_weight_of(job, first + c), first + c, lanes);
}

static void reduce_columns(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    struct row_state *st = &s->state;
    const ptrdiff_t lanes = whole_lanes(n);
    clear_columns(st, lanes, has_mass(job) || job->z_loss != 0);
    for (ptrdiff_t first = 0; first < job->classes; first += COLUMN_CLASSES) {
        const ptrdiff_t left = job->classes - first, classes = left < COLUMN_CLASSES ? left : COLUMN_CLASSES;
        find_columns(job, first, classes, start, n, s);
        if (has_mass(job)) {
            raise_mass(job, first, classes, start, n, s);
            column_sum(s, first, classes, lanes);
        } else if (keeps_columns(job))
            column_pass_keep(s, first, classes, lanes);
        else
            column_pass(s, first, classes, lanes);
    }
    for (ptrdiff_t r = 0; r < lanes; r++)
        st->others[r] = (st->others[r] + (sizeof(real) == sizeof(double) ? st->carry[r] : 0)) * (double)V_LOWER;
    for (ptrdiff_t r = 0; sizeof(real) == sizeof(double) && r < lanes; r++) {
        st->mass[r] += st->mass_carry[r];
        st->drop[r] += st->drop_carry[r];
    }
}

/* Gradients of a tile of columns, which find_columns or the sums have left in s. */
static void gradient_of_columns(const fl_row_job *job, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t start, ptrdiff_t n,
                                struct row_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(n);
    char *place = (char *)grad_column(job, first, start, n);
    char *squares = place ? NULL : grad_squares(job, first, classes, start, n);
    real *t = s->out + MAX_ROWS;
    for (ptrdiff_t c = 0; c < classes; c++) {
        real *own = s->in.columns[c];
        const real *x = job->classes <= COLUMN_CLASSES ? own : s->column[c];
        real *g = place ? (real *)(place + c * job->grad_class_stride) : squares ? own : s->out;
        if (has_mass(job))
            column_mass_gradient(&s->state, g, x, load_shares(job, first + c, start, n, t), shares_of(job),
                                 class_weight_of(job, first + c), first + c, lanes);
        else if (keeps_columns(job))
            column_kept_gradient(&s->state, g, x, first + c, lanes);
        else
            column_gradient(&s->state, g, x, first + c, lanes);
        if (!place && !squares) store_column(job, first + c, start, n, g);
    }
    if (squares) store_squares(job, squares, n, classes, s->in.columns);
}

static void columns_gradient(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    for (ptrdiff_t first = 0; first < job->classes; first += COLUMN_CLASSES) {
        const ptrdiff_t left = job->classes - first, classes = left < COLUMN_CLASSES ? left : COLUMN_CLASSES;
        if (job->classes > COLUMN_CLASSES) find_columns(job, first, classes, start, n, s);
        gradient_of_columns(job, first, classes, start, n, s);
    }
}

#endif
