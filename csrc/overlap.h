/* SPDX-License-Identifier: BSD-3-Clause */
/* overlap.h: sums of overlaps between predicted and true masks, and gradients of what is made of them (Dice, Jaccard,
 * Tversky and their relatives). Per group of positions (an image, or the batch) and class, with p the probability and t
 * the truth, 0 to 1, of each position that counts:
 *   shared = sum p t,  predicted = sum p,  true = sum t,  counted = sum 1
 * A loss L of these has the gradient dL/dp = slope_shared t + slope_predicted. Truths are class indices, and then never
 * more than an index per position (in columns, as in softmax_columns.h), or a mask per class (overlap_masks.h). A unit of
 * work is a run of positions of one group; its sums go to its own place, so that they are added in one order. */
#ifndef FL_OVERLAP_H
#define FL_OVERLAP_H

#include "softmax_columns.h"

enum { SHARED, PREDICTED, TRUE_SUM, COUNTED };

struct overlap_unit {
    ptrdiff_t group, first, last; /* positions */
};

static struct overlap_unit overlap_unit(const fl_overlap_job *job, ptrdiff_t unit) {
    const ptrdiff_t group = unit / job->units, first = unit % job->units * job->unit;
    const ptrdiff_t left = job->group_size - first, start = group * job->group_size + first;
    return (struct overlap_unit){group, start, start + (left < job->unit ? left : job->unit)};
}

static ptrdiff_t whole_groups(ptrdiff_t n) { return (n + FL_GROUP - 1) & -(ptrdiff_t)FL_GROUP; }

/* The first offender of a unit: the one at the lowest place. */
static void found_bad(fl_partial *out, ptrdiff_t place, int operand) {
    if (out->bad >= 0 && out->bad <= place) return;
    out->bad = place;
    out->bad_operand = operand;
}

/* ---- probabilities of a block ----------------------------------------------------------------------------------- */

/* e = exp(x - max), raised as r_exp_raised does, and its sum; 0 where a position is left out. */
static void column_exponent(real *e, const real *restrict max, const ireal *restrict label, real *restrict sum, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    P_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r += PACKET) {
        const packet one = p_exp_below(p_load(e + r), p_load(max + r));
        const packet counted = p_where(p_negative(p_load_bits(label + r)), p_all(0), one);
        p_store(e + r, counted);
        p_store(sum + r, p_load(sum + r) + counted);
    }
}

static void column_total(double *restrict total, const real *restrict sum, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) total[r] += (double)sum[r];
}

static void column_invert(real *restrict inverse, const double *restrict total, const ireal *restrict label, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) inverse[r] = r_where(label[r] >= 0, (real)(1 / total[r]), 0);
}

/* Probabilities as they are, 0 where a position is left out; `outside` collects what is none. */
static void column_keep(real *p, real *restrict outside, const ireal *restrict label, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        p[r] = r_where(label[r] >= 0, p[r], 0);
        outside[r] = r_where((p[r] < 0) | (p[r] > 1), 1, outside[r]);
    }
}

static ptrdiff_t classes_of_tile(const fl_row_job *rows, ptrdiff_t first) {
    return rows->classes - first < COLUMN_CLASSES ? rows->classes - first : COLUMN_CLASSES;
}

/* Copies of the columns of a tile: they are written over. What follows is asked for meanwhile, as in raise_columns. */
static void copy_columns(const fl_row_job *rows, ptrdiff_t first, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(n);
    if (turn_logits(rows, first, classes_of_tile(rows, first), start, n, s->in.columns)) return;
    for (ptrdiff_t c = 0; c < classes_of_tile(rows, first); c++) {
        real *own = s->in.columns[c];
        const real *x = load_column(rows, first + c, start, n, own);
        if (x != own) {
            memcpy(own, x, (size_t)lanes * sizeof(real));
            for (ptrdiff_t r = 0; r < lanes; r += LINE) __builtin_prefetch(x + lanes + r, 0, 2);
        }
    }
}

static void clear_groups(struct row_scratch *s, ptrdiff_t classes, ptrdiff_t n) {
    for (ptrdiff_t r = whole_lanes(n); r % FL_GROUP; r++) {
        for (ptrdiff_t c = 0; c < classes; c++) s->in.columns[c][r] = 0;
        s->state.label[r] = -1;
        s->state.inverse[r] = 0;
    }
}

/* Exponentials of the tile's logits, which the columns hold, in their place. */
static void raise_tile(const fl_row_job *rows, ptrdiff_t first, ptrdiff_t n, struct row_scratch *s) {
    struct row_state *st = &s->state;
    tile_fill(s->out, 0, whole_lanes(n));
    for (ptrdiff_t c = 0; c < classes_of_tile(rows, first); c++)
        column_exponent(s->in.columns[c], st->max, st->label, s->out, whole_lanes(n));
    clear_groups(s, classes_of_tile(rows, first), n);
}

/* What softmax needs of each position: max, and the inverse of the raised sum. The columns are left with the exponentials
 * where all classes fit. */
static void softmax_of_block(const fl_row_job *rows, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    struct row_state *st = &s->state;
    const ptrdiff_t lanes = whole_lanes(n);
    tile_fill(st->max, -R_MAX, lanes);
    for (ptrdiff_t r = 0; r < lanes; r++) st->others[r] = 0;
    for (ptrdiff_t first = 0; first < rows->classes; first += COLUMN_CLASSES) {
        copy_columns(rows, first, start, n, s);
        for (ptrdiff_t c = 0; c < classes_of_tile(rows, first); c++) column_max(st->max, s->in.columns[c], lanes);
    }
    for (ptrdiff_t first = 0; first < rows->classes; first += COLUMN_CLASSES) {
        if (rows->classes > COLUMN_CLASSES) copy_columns(rows, first, start, n, s);
        raise_tile(rows, first, n, s);
        column_total(st->others, s->out, lanes);
    }
    column_invert(st->inverse, st->others, st->label, lanes);
    clear_groups(s, 0, n);
}

/* Columns of a tile whose products with st->inverse are probabilities, whole groups; after softmax_of_block. */
static void load_probability_columns(const fl_row_job *rows, ptrdiff_t first, ptrdiff_t start, ptrdiff_t n,
                                  struct row_scratch *s, fl_partial *out) {
    struct row_state *st = &s->state;
    const ptrdiff_t classes = classes_of_tile(rows, first), lanes = whole_lanes(n);
    if (rows->holds == FL_LOGITS) {
        if (rows->classes <= COLUMN_CLASSES) return;
        copy_columns(rows, first, start, n, s);
        raise_tile(rows, first, n, s);
        return;
    }
    copy_columns(rows, first, start, n, s);
    for (ptrdiff_t c = 0; c < classes; c++) {
        tile_fill(s->out, 0, lanes);
        column_keep(s->in.columns[c], s->out, st->label, lanes);
        if (!out || !(tile_sum_wide(s->out, lanes) > 0)) continue;
        for (ptrdiff_t r = 0; r < n; r++)
            if (s->out[r] != 0) found_bad(out, (start + r) * rows->classes + first + c, 0);
    }
    tile_fill(st->inverse, 1, lanes);
    clear_groups(s, classes, n);
}

/* Labels and probabilities of a block, but for the tiles; 0 if a label is bad. */
static int open_block(const fl_overlap_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s, fl_partial *out) {
    load_labels(&job->rows, start, n, s, out);
    if (out->bad >= 0) return 0;
    if (job->rows.holds == FL_LOGITS) softmax_of_block(&job->rows, start, n, s);
    return 1;
}

/* ---- class indices ------------------------------------------------------------------------------------------------ */

/* Sums of one class: p = e inverse, of which those at their own label are shared. n: whole groups, added as in
 * add_groups. */
static void column_sums(double *restrict sums, const real *restrict e, const real *restrict inverse,
                        const ireal *restrict label, ptrdiff_t class, ptrdiff_t n) {
    double predicted[FL_LANES] = {0}, shared[FL_LANES] = {0};
    const ireal own = (ireal)class;
    for (ptrdiff_t i = 0; i < n; i += FL_GROUP)
        for (int l = 0; l < FL_LANES; l++) {
            const ptrdiff_t a = i + l, b = a + FL_LANES, c = b + FL_LANES, d = c + FL_LANES;
            const real pa = e[a] * inverse[a], pb = e[b] * inverse[b], pc = e[c] * inverse[c], pd = e[d] * inverse[d];
            const real ta = r_where(label[a] == own, pa, 0), tb = r_where(label[b] == own, pb, 0);
            const real tc = r_where(label[c] == own, pc, 0), td = r_where(label[d] == own, pd, 0);
            predicted[l] += (double)((pa + pb) + (pc + pd));
            shared[l] += (double)((ta + tb) + (tc + td));
        }
    sums[PREDICTED] += fold_lanes(predicted);
    sums[SHARED] += fold_lanes(shared);
}

static void count_truths(double *sums, const ireal *label, ptrdiff_t n) {
    for (ptrdiff_t r = 0; r < n; r++)
        if (label[r] >= 0) sums[label[r] * FL_OVERLAP_SUMS + TRUE_SUM] += 1;
}

static void index_sums(const fl_overlap_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s, double *sums,
                       fl_partial *out) {
    struct row_state *st = &s->state;
    if (!open_block(job, start, n, s, out)) return;
    for (ptrdiff_t first = 0; first < job->rows.classes; first += COLUMN_CLASSES) {
        load_probability_columns(&job->rows, first, start, n, s, out);
        for (ptrdiff_t c = 0; c < classes_of_tile(&job->rows, first); c++)
            column_sums(sums + (first + c) * FL_OVERLAP_SUMS, s->in.columns[c], st->inverse, st->label, first + c,
                        whole_groups(n));
    }
    count_truths(sums, st->label, n);
    if (job->max) memcpy((real *)job->max + start, st->max, (size_t)n * sizeof(real));
    if (job->inverse) memcpy((real *)job->inverse + start, st->inverse, (size_t)n * sizeof(real));
}

/* With G the slope at the label, by both sums, and b that of the others by `predicted`: softmax gives
 * p_label D at the label, D = sum over the others of p (G - b), and p (b - G + D) elsewhere: nothing cancels at the label. */
static void column_differ(double *restrict differ, const real *restrict e, const real *restrict inverse,
                          const real *restrict at_label, const ireal *restrict label, real by_predicted, ptrdiff_t c,
                          ptrdiff_t n) {
    const ireal own = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real p = e[r] * inverse[r];
        differ[r] += (double)r_where(label[r] == own, 0, p * (at_label[r] - by_predicted));
    }
}

static void column_softmax_slope(real *restrict g, const real *restrict e, const real *restrict inverse,
                                 const real *restrict at_label, const real *restrict differ,
                                 const ireal *restrict label, real by_predicted, ptrdiff_t c, ptrdiff_t n) {
    const ireal own = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real p = e[r] * inverse[r];
        const real slope = p * (r_where(label[r] == own, 0, by_predicted - at_label[r]) + differ[r]);
        g[r] = r_where(label[r] >= 0, slope, 0);
    }
}

static void column_index_slope(real *restrict g, const ireal *restrict label, real by_shared, real by_predicted,
                               ptrdiff_t c, ptrdiff_t n) {
    const ireal own = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real slope = r_where(label[r] == own, by_shared, 0) + by_predicted;
        g[r] = r_where(label[r] >= 0, slope, 0);
    }
}

static void index_gradient(const fl_overlap_job *job, ptrdiff_t group, ptrdiff_t start, ptrdiff_t n,
                           struct row_scratch *s, fl_partial *out) {
    const fl_row_job *rows = &job->rows;
    struct row_state *st = &s->state;
    const ptrdiff_t lanes = whole_lanes(n);
    const double *slopes = job->slopes + group * rows->classes * 2;
    const int logits = rows->holds == FL_LOGITS;
    if (!open_block(job, start, n, s, out)) return;
    for (ptrdiff_t r = 0; r < lanes; r++) {
        const ptrdiff_t label = st->label[r];
        st->drop[r] = 0;
        st->at_target[r] = label < 0 ? 0 : (real)(slopes[2 * label] + slopes[2 * label + 1]);
    }
    for (ptrdiff_t first = 0; logits && first < rows->classes; first += COLUMN_CLASSES) {
        load_probability_columns(rows, first, start, n, s, NULL);
        for (ptrdiff_t c = 0; c < classes_of_tile(rows, first); c++)
            column_differ(st->drop, s->in.columns[c], st->inverse, st->at_target, st->label,
                          (real)slopes[2 * (first + c) + 1], first + c, lanes);
    }
    for (ptrdiff_t r = 0; r < lanes; r++) st->factor[r] = (real)st->drop[r];
    for (ptrdiff_t first = 0; first < rows->classes; first += COLUMN_CLASSES) {
        if (logits) load_probability_columns(rows, first, start, n, s, NULL);
        for (ptrdiff_t c = 0; c < classes_of_tile(rows, first); c++) {
            real *own = grad_column(rows, first + c, start, n), *g = own ? own : s->out;
            const real by_shared = (real)slopes[2 * (first + c)], by_predicted = (real)slopes[2 * (first + c) + 1];
            if (logits)
                column_softmax_slope(g, s->in.columns[c], st->inverse, st->at_target, st->factor, st->label, by_predicted,
                                     first + c, lanes);
            else
                column_index_slope(g, st->label, by_shared, by_predicted, first + c, lanes);
            if (!own) store_column(rows, first + c, start, n, g);
        }
    }
}

#endif
