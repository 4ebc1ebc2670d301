/* SPDX-License-Identifier: BSD-3-Clause */
/* softmax_rows.h: rows of many classes, one after the other, in tiles of classes: sums into the block's state, and the
 * gradient from it. */
#ifndef FL_SOFTMAX_ROWS_H
#define FL_SOFTMAX_ROWS_H

#include "softmax_state.h"

enum {
    PART = 2 * FL_GROUP,
    AHEAD = 2 * FL_TILE, /* of a row, to L2; half of that to L1: what a processor foresees by itself comes too late */
    EARLY = 8 * FL_TILE  /* classes whose largest logit is looked for before they are summed */
};

/* lane = max(lane, x): NaN is passed over. */
FL_INLINE void raise_lanes(real *lane, const real *x, int lanes) {
    FL_INDEPENDENT
    for (int l = 0; l < lanes; l++) lane[l] = x[l] > lane[l] ? x[l] : lane[l];
}

/* Largest of x[n]; NaN is passed over (its exponential will tell). Lanes for four vectors at least, as a few would wait for
 * themselves, and for fewer than there are registers. */
static real tile_max(const real *restrict x, ptrdiff_t n) {
    enum { TWO = 2 * FL_LANES, MOST = PACKET > 1 ? 2 * TWO : TWO };
    real lane[MOST];
    ptrdiff_t i = 0;
    for (int l = 0; l < MOST; l++) lane[l] = -R_MAX;
    if (n < TWO) {
        real few[TWO];
        for (int l = 0; l < TWO; l++) few[l] = -R_MAX;
        memcpy(few, x, (size_t)n * sizeof(real));
        raise_lanes(lane, few, TWO);
    } else {
        for (; i + MOST <= n; i += MOST) raise_lanes(lane, x + i, MOST);
        if (i + TWO < n) raise_lanes(lane, x + i, TWO);
        if (i < n) raise_lanes(lane + MOST - TWO, x + n - TWO, TWO); /* the last ones, some of them once more */
    }
    if (MOST > TWO) raise_lanes(lane, lane + MOST - TWO, TWO);
    raise_lanes(lane, lane + FL_LANES, FL_LANES);
    return fold_max(lane);
}

/* e = exp(x - max), raised as by r_exp_raised; max is no less than any x. */
static void tile_exp_raised(real *restrict e, const real *restrict x, ptrdiff_t n, real max) {
    n &= -(ptrdiff_t)FL_LANES;
    P_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i += PACKET) p_store(e + i, p_exp_below(p_load(x + i), p_all(max)));
}

/* y = exp(x - max) * factor */
static void tile_exp(real *restrict y, const real *restrict x, ptrdiff_t n, real max, real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    P_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i += PACKET)
        p_store(y + i, p_exp_below(p_load(x + i), p_all(max)) * p_all(V_LOWER) * p_all(factor));
}

/* y = e * factor, e raised */
static void tile_lower(real *restrict y, const real *restrict e, ptrdiff_t n, real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) y[i] = e[i] * V_LOWER * factor;
}

/* What one pass finds in a tile: the raised sum of exp(x - max), and whether an x may exceed max: then the sum says
 * nothing. */
struct pass {
    double sum;
    int exceeded;
};

/* The sum of four packets' exp(x - max), raised, FL_LANES apart; each goes to e too if it is kept. Some of max - x has
 * a sign where an x exceeds max, and perhaps at NaN: cheaper to find than the largest x. */
FL_INLINE packet four_terms(const real *restrict x, real max, ireal *restrict sign, real *restrict e, int keep) {
    const packet top = p_all(max), a = top - p_load(x), b = top - p_load(x + FL_LANES);
    const packet c = top - p_load(x + 2 * FL_LANES), d = top - p_load(x + 3 * FL_LANES);
    const packet p = p_exp_down(a), q = p_exp_down(b), r = p_exp_down(c), t = p_exp_down(d);
    p_store_bits(sign, p_or(p_or(p_load_bits(sign), p_bits(a), p_bits(b)), p_bits(c), p_bits(d)));
    if (keep) p_store(e, p), p_store(e + FL_LANES, q), p_store(e + 2 * FL_LANES, r), p_store(e + 3 * FL_LANES, t);
    return (p + q) + (r + t);
}

FL_INLINE void add_exp_group(double *restrict lane, ireal *restrict sign, const real *restrict x, real max,
                             real *restrict e, int keep) {
    P_INDEPENDENT
    for (int l = 0; l < FL_LANES; l += PACKET)
        p_add(lane + l, four_terms(x + l, max, sign + l, keep ? e + l : NULL, keep));
}

FL_INLINE void add_exp_part(double *restrict lane, ireal *restrict sign, const real *restrict x, real max,
                            real *restrict e, int keep) {
    real half[FL_LANES], *f = keep ? e + FL_GROUP : NULL;
    P_INDEPENDENT
    for (int l = 0; l < FL_LANES; l += PACKET)
        p_store(half + l, four_terms(x + l, max, sign + l, keep ? e + l : NULL, keep));
    P_INDEPENDENT
    for (int l = 0; l < FL_LANES; l += PACKET)
        p_add(lane + l, p_load(half + l) + four_terms(x + FL_GROUP + l, max, sign + l, keep ? f + l : NULL, keep));
}

FL_INLINE void add_exp_parts(double *restrict lane, ireal *restrict sign, const real *restrict x, ptrdiff_t n, real max,
                             real *restrict e, int keep) {
    for (ptrdiff_t i = 0; i < n; i += PART) {
        for (int l = 0; l < PART; l += LINE)
            __builtin_prefetch(x + i + AHEAD + l, 0, 2), __builtin_prefetch(x + i + FL_TILE + l, 0, 3);
        add_exp_part(lane, sign, x + i, max, keep ? e + i : NULL, keep);
    }
}

/* y = x[n], whole lanes, but -inf before `first` and at the label. */
static void hide(real *restrict y, const real *restrict x, ireal n, ireal first, ireal label) {
    n &= -(ireal)FL_LANES;
    FL_INDEPENDENT
    for (ireal i = 0; i < n; i++) y[i] = r_where((i < first) | (i == label), -R_INFINITY, x[i]);
}

/* The last classes of x[n], which are no whole part, to part[size]: -inf at the label, in front of those that fill no whole
 * lanes, and behind. Only whole vectors are stored: what is read as one next would wait for others. How many lanes are
 * in front of the last classes. */
static ptrdiff_t take_rest(real *restrict part, const real *restrict x, ptrdiff_t n, ptrdiff_t rest, ptrdiff_t size,
                           ptrdiff_t label) {
    const ptrdiff_t first = n - rest, lanes = whole_lanes(rest), body = rest & -(ptrdiff_t)FL_LANES;
    hide(part, x + first, (ireal)body, 0, (ireal)(label - first));
    tile_fill(part + lanes, -R_INFINITY, size - lanes);
    if (body == rest) return 0;
    if (n >= FL_LANES) {
        hide(part + body, x + n - FL_LANES, FL_LANES, (ireal)(lanes - rest), (ireal)(label - (n - FL_LANES)));
        return lanes - rest;
    }
    tile_fill(part, -R_INFINITY, FL_LANES);
    memcpy(part, x, (size_t)n * sizeof(real));
    if (label >= 0) part[label] = -R_INFINITY;
    return 0;
}

/* Raised exp(x - max) of a tile onto lanes, and the signs of max - x; that of x[label], unless that is -1, counts as 0. All
 * of them go to e, if they are kept, with zeros up to whole lanes. */
FL_INLINE void add_exp(double *restrict lane, ireal *restrict sign, const real *restrict x, ptrdiff_t n, real max,
                       ptrdiff_t label, real *restrict e, int keep) {
    const ptrdiff_t whole = n - n % PART, own = label >= 0 && label < whole ? label - label % PART : whole;
    const ptrdiff_t rest = n - whole, body = rest & -(ptrdiff_t)FL_LANES, size = rest > FL_GROUP ? PART : FL_GROUP;
    real part[PART], last[PART], *to = keep ? last : NULL;
    add_exp_parts(lane, sign, x, own, max, e, keep);
    if (own < whole) {
        hide(part, x + own, PART, 0, (ireal)(label - own));
        add_exp_part(lane, sign, part, max, keep ? e + own : NULL, keep);
        add_exp_parts(lane, sign, x + own + PART, whole - own - PART, max, keep ? e + own + PART : NULL, keep);
    }
    if (rest) {
        const ptrdiff_t front = take_rest(part, x, n, rest, size, label);
        if (size == FL_GROUP)
            add_exp_group(lane, sign, part, max, to, keep);
        else
            add_exp_part(lane, sign, part, max, to, keep);
        if (keep) {
            memcpy(e + whole, last, (size_t)body * sizeof(real));
            for (ptrdiff_t i = body; i < rest; i++) e[whole + i] = last[front + i];
            tile_clear_padding(e, n);
        }
    }
}

static void tile_exp_sum(double *restrict lane, ireal *restrict sign, const real *restrict x, ptrdiff_t n, real max,
                         ptrdiff_t label) {
    add_exp(lane, sign, x, n, max, label, NULL, 0);
}

static void tile_exp_sum_keep(double *restrict lane, ireal *restrict sign, const real *restrict x, ptrdiff_t n, real max,
                              ptrdiff_t label, real *restrict e) {
    add_exp(lane, sign, x, n, max, label, e, 1);
}

/* g = inverse e - factor q, e raised */
static void tile_less_mass(real *restrict g, const real *restrict e, const real *restrict q, ptrdiff_t n, real inverse,
                           real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) g[i] = r_fma(e[i] * V_LOWER, inverse, -(factor * q[i]));
}

/* Index of the first of x[n] that is `value`, or n. */
static ptrdiff_t find(const real *x, ptrdiff_t n, real value) {
    ptrdiff_t i = 0;
    for (; i + FL_GROUP <= n; i += FL_GROUP) {
        const int place = p_find(x + i, p_all(value));
        if (place >= 0) return i + place;
    }
    while (i < n && x[i] != value) i++;
    return i;
}

/* Whether n classes of a row may be read where they stand. */
static int row_in_place(const fl_row_job *job, const char *row) {
    return job->class_stride == sizeof(real) && is_native(&job->logits) && (uintptr_t)row % sizeof(real) == 0;
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

/* The same without padding, where they stand if they may be read there. */
static const real *reals_of_row(const fl_row_job *job, const char *row, ptrdiff_t n, real *scratch) {
    return row_in_place(job, row) ? (const real *)row : load_row(job, row, n, scratch);
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
    const real higher = tile_max(x, n);
    if (!(higher > st->max[r])) return 0;
    raise_max(job, r, c, n, x, higher, st);
    return 1;
}

/* The largest logit of a row of several tiles that are kept, in a pass of its own: kept exponentials share one. */
static void find_max(const fl_row_job *job, const char *row, ptrdiff_t r, struct row_scratch *s) {
    struct row_state *st = &s->state;
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = left_for_tile(job, c);
        const real *x = reals_of_row(job, row + c * job->class_stride, n, s->in.row);
        const real higher = tile_max(x, n);
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
static struct pass pass_others(const struct row_state *st, ptrdiff_t r, ptrdiff_t c, ptrdiff_t n, const real *x,
                               real *kept) {
    const ptrdiff_t at = st->label[r] - c, label = at >= 0 && at < n ? at : -1;
    const real max = st->max[r];
    ireal sign[FL_LANES] = {0};
    double lane[FL_LANES] = {0};
    if (kept)
        tile_exp_sum_keep(lane, sign, x, n, max, label, kept + c);
    else
        tile_exp_sum(lane, sign, x, n, max, label);
    for (int l = 1; l < FL_LANES; l++) sign[0] |= sign[l];
    return (struct pass){fold_lanes(lane), sign[0] < 0 || (label >= 0 && x[label] > max)};
}

/* Fill the state of row r. The first tiles of classes are read for their largest logits first; the others are summed with
 * the largest so far, and again if they held a larger one, which of random ones the k-th tile does once in k. A row that
 * is kept for its gradient in several tiles has its largest logit looked for in a pass of its own. */
static void reduce_row(const fl_row_job *job, ptrdiff_t p, ptrdiff_t r, struct row_scratch *s) {
    struct row_state *st = &s->state;
    const char *row = position(&job->logits, p), *t = distribution_at(job, p);
    real *fits = kept_row(job, r, s), *kept = job->want & FL_GRAD ? fits : NULL;
    const int known = fits && job->classes > FL_TILE;
    if (known) find_max(job, row, r, s);
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = left_for_tile(job, c);
        const char *tile = row + c * job->class_stride;
        const real *x = has_mass(job) ? load_row(job, tile, n, s->in.row) : reals_of_row(job, tile, n, s->in.row);
        if (c < EARLY && !known) raise_to_tile(job, r, c, n, x, st);
        struct pass found = pass_others(st, r, c, n, x, kept);
        if (found.exceeded && raise_to_tile(job, r, c, n, x, st)) found = pass_others(st, r, c, n, x, kept);
        st->others[r] += found.sum * (double)V_LOWER;
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
        const ptrdiff_t n = left_for_tile(job, c), body = n & -(ptrdiff_t)FL_LANES;
        if (body) gradient_tile(job, row, t, r, c, body, to + c, s);
        if (body == n) continue;
        gradient_tile(job, row, t, r, c + body, n - body, s->out, s);
        for (ptrdiff_t i = body; i < n; i++) to[c + i] = s->out[i - body];
    }
    to[st->label[r]] = st->at_target[r];
}

#endif
