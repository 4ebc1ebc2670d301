/* SPDX-License-Identifier: BSD-3-Clause */
/* overlap_masks.h: the sums of overlap.h where each class has a mask of its own, and so its own probability
 * p = 1 / (1 + exp(-x)); and the units of both kinds of truth. One class of a unit after the other, in tiles of FL_TILE
 * positions: what is made of an element stays in registers. */
#ifndef FL_OVERLAP_MASKS_H
#define FL_OVERLAP_MASKS_H

#include "overlap.h"

/* One tile, whole lanes: logits or probabilities, and truths, `ignored` where a position does not count. */
struct mask_tile {
    const real *x, *t;
    real ignored;
    int hard;
};

struct mask_scratch {
    real x[FL_TILE], t[FL_TILE], counts[FL_TILE], g[FL_TILE];
};
_Static_assert(sizeof(struct mask_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a tile of masks");

/* LOGITS: no position is left out and no truth can be wrong, as of bools. SOME: either may be. */
enum mask_kind { LOGITS, SOME_LOGITS, SOME_PROBABILITIES };

/* A position: 0 throughout where it does not count. */
struct mask_term {
    real p, t, counts, slope; /* slope: dp/dx, or 1 */
    real least, largest;      /* of what must lie in [0, 1] */
};

FL_INLINE struct mask_term mask_term(const struct mask_tile *m, ptrdiff_t i, enum mask_kind kind) {
    const real x = m->x[i], t = m->t[i];
    real p = x, slope = 1;
    if (kind != SOME_PROBABILITIES) {
        const real e = r_exp_raised(-r_abs(x)) * V_LOWER, upper = r_inverse_unit(R(1.0) + e), lower = e * upper;
        p = x < 0 ? lower : upper;
        slope = lower * upper;
    }
    if (kind == LOGITS) return (struct mask_term){p, t, 1, slope, 0, 0};
    const int keep = t != m->ignored;
    const real kept_p = r_where(keep, p, 0), kept_t = r_where(keep, t, 0);
    const real truth = r_where(m->hard & (kept_t != 0) & (kept_t != 1), 2, kept_t);
    const real q = kind == SOME_LOGITS ? 0 : kept_p;
    return (struct mask_term){
        .p = kept_p,
        .t = kept_t,
        .counts = r_where(keep, 1, 0),
        .slope = r_where(keep, slope, 0),
        .least = r_min(truth, r_min(q, 0)),
        .largest = r_max(truth, r_max(q, 0)),
    };
}

/* What the sums of one class of a unit are added up in. */
struct mask_lanes {
    double sum[FL_OVERLAP_SUMS][FL_LANES];
    real least[FL_LANES], largest[FL_LANES];
};

/* n: whole groups, added as in add_groups. */
FL_INLINE void add_masks(struct mask_lanes *lanes, const struct mask_tile *tile, ptrdiff_t n, enum mask_kind kind) {
    const struct mask_tile local = *tile;
    struct mask_lanes v = *lanes;
    for (ptrdiff_t i = 0; i < n; i += FL_GROUP) {
        FL_INDEPENDENT
        for (ptrdiff_t l = 0; l < FL_LANES; l++) {
            const struct mask_term a = mask_term(&local, i + l, kind);
            const struct mask_term b = mask_term(&local, i + l + FL_LANES, kind);
            const struct mask_term c = mask_term(&local, i + l + 2 * FL_LANES, kind);
            const struct mask_term d = mask_term(&local, i + l + 3 * FL_LANES, kind);
            v.sum[SHARED][l] += (double)((a.p * a.t + b.p * b.t) + (c.p * c.t + d.p * d.t));
            v.sum[PREDICTED][l] += (double)((a.p + b.p) + (c.p + d.p));
            v.sum[TRUE_SUM][l] += (double)((a.t + b.t) + (c.t + d.t));
            v.sum[COUNTED][l] += (double)((a.counts + b.counts) + (c.counts + d.counts));
            v.least[l] = r_min(a.least, r_min(b.least, r_min(c.least, r_min(d.least, v.least[l]))));
            v.largest[l] = r_max(a.largest, r_max(b.largest, r_max(c.largest, r_max(d.largest, v.largest[l]))));
        }
    }
    *lanes = v;
}

static void add_logits(struct mask_lanes *lanes, const struct mask_tile *tile, ptrdiff_t n) {
    add_masks(lanes, tile, n, LOGITS);
}
static void add_some_logits(struct mask_lanes *lanes, const struct mask_tile *tile, ptrdiff_t n) {
    add_masks(lanes, tile, n, SOME_LOGITS);
}
static void add_some_probabilities(struct mask_lanes *lanes, const struct mask_tile *tile, ptrdiff_t n) {
    add_masks(lanes, tile, n, SOME_PROBABILITIES);
}

/* g = dL/dx */
FL_INLINE void mask_slopes(real *restrict g, const struct mask_tile *tile, real by_shared, real by_predicted,
                           ptrdiff_t n, enum mask_kind kind) {
    const struct mask_tile local = *tile;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const struct mask_term a = mask_term(&local, i, kind);
        const real slope = a.slope * r_fma(by_shared, a.t, by_predicted);
        g[i] = kind == LOGITS ? slope : r_where(a.counts != 0, slope, 0);
    }
}

static void slopes_of_logits(real *restrict g, const struct mask_tile *tile, real by_shared, real by_predicted,
                             ptrdiff_t n) {
    mask_slopes(g, tile, by_shared, by_predicted, n, LOGITS);
}
static void slopes_of_some_logits(real *restrict g, const struct mask_tile *tile, real by_shared, real by_predicted,
                                  ptrdiff_t n) {
    mask_slopes(g, tile, by_shared, by_predicted, n, SOME_LOGITS);
}
static void slopes_of_some_probabilities(real *restrict g, const struct mask_tile *tile, real by_shared,
                                         real by_predicted, ptrdiff_t n) {
    mask_slopes(g, tile, by_shared, by_predicted, n, SOME_PROBABILITIES);
}

static enum mask_kind mask_kind(const fl_overlap_job *job) {
    const fl_row_job *rows = &job->rows;
    const int all = rows->mask.data == NULL && rows->distribution.dtype == FL_BOOL && (uint64_t)rows->ignore_index > 1;
    return rows->holds != FL_LOGITS ? SOME_PROBABILITIES : all ? LOGITS : SOME_LOGITS;
}

/* t becomes `ignored` where the mask is 0 */
static void ignore_masked(real *restrict t, const real *restrict mask, real ignored, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) t[i] = r_where(mask[i] != 0, t[i], ignored);
}

static struct mask_tile load_mask_tile(const fl_overlap_job *job, ptrdiff_t c, ptrdiff_t start, ptrdiff_t n,
                                       struct mask_scratch *s) {
    const fl_row_job *rows = &job->rows;
    const ptrdiff_t lanes = whole_lanes(n);
    struct mask_tile m = {
        .x = load_column(rows, c, start, n, s->x),
        .t = fl_load_at(&kernels, &rows->distribution, c * rows->distribution_stride, start, n, s->t),
        .ignored = (real)rows->ignore_index,
        .hard = job->hard,
    };
    if (!rows->mask.data) return m;
    if (m.t != s->t) memcpy(s->t, m.t, (size_t)lanes * sizeof(real));
    ignore_masked(s->t, fl_load(&kernels, &rows->mask, start, n, s->counts), m.ignored, lanes);
    m.t = s->t;
    return m;
}

/* The positions behind the last whole group of a tile, as a group of their own in the scratch. */
static struct mask_tile rest_of_tile(struct mask_tile m, ptrdiff_t n, real *x, real *t) {
    const ptrdiff_t first = n - n % FL_GROUP;
    for (ptrdiff_t r = 0; r < FL_GROUP; r++) {
        x[r] = first + r < n ? m.x[first + r] : 0;
        t[r] = first + r < n ? m.t[first + r] : m.ignored;
    }
    m.x = x, m.t = t;
    return m;
}

static void find_outside(const fl_overlap_job *job, const struct mask_tile *m, ptrdiff_t c, ptrdiff_t start,
                         ptrdiff_t n, fl_partial *out) {
    for (ptrdiff_t r = 0; r < n; r++) {
        const struct mask_term a = mask_term(m, r, SOME_LOGITS), b = mask_term(m, r, mask_kind(job));
        const int no_truth = a.least < 0 || a.largest > 1;
        if (no_truth || b.least < 0 || b.largest > 1) found_bad(out, (start + r) * job->rows.classes + c, no_truth);
    }
}

static void mask_sums(const fl_overlap_job *job, struct overlap_unit u, ptrdiff_t c, struct mask_scratch *s,
                      double *sums, fl_partial *out) {
    static void (*const add[])(struct mask_lanes *, const struct mask_tile *, ptrdiff_t) = {
        add_logits, add_some_logits, add_some_probabilities};
    const enum mask_kind kind = mask_kind(job);
    struct mask_lanes lanes = {.least = {0}};
    for (ptrdiff_t start = u.first; start < u.last; start += FL_TILE) {
        const ptrdiff_t n = u.last - start < FL_TILE ? u.last - start : FL_TILE, rest = n % FL_GROUP;
        const struct mask_tile m = load_mask_tile(job, c, start, n, s);
        add[kind](&lanes, &m, n - rest);
        if (rest) {
            const struct mask_tile last = rest_of_tile(m, n, s->g, s->g + FL_GROUP);
            add[kind == LOGITS ? SOME_LOGITS : kind](&lanes, &last, FL_GROUP);
        }
        real largest = 0;
        for (int l = 0; l < FL_LANES; l++) largest = r_max(lanes.largest[l], r_max(1 - lanes.least[l], largest));
        if (largest > 1) find_outside(job, &m, c, start, n, out);
    }
    for (int k = 0; k < FL_OVERLAP_SUMS; k++) sums[k] = fold_lanes(lanes.sum[k]);
}

static void mask_gradient(const fl_overlap_job *job, struct overlap_unit u, ptrdiff_t c, struct mask_scratch *s) {
    static void (*const write[])(real *restrict, const struct mask_tile *, real, real, ptrdiff_t) = {
        slopes_of_logits, slopes_of_some_logits, slopes_of_some_probabilities};
    const fl_row_job *rows = &job->rows;
    const double *slopes = job->slopes + (u.group * rows->classes + c) * 2;
    for (ptrdiff_t start = u.first; start < u.last; start += FL_TILE) {
        const ptrdiff_t n = u.last - start < FL_TILE ? u.last - start : FL_TILE;
        const struct mask_tile m = load_mask_tile(job, c, start, n, s);
        real *own = grad_column(rows, c, start, n), *g = own ? own : s->g;
        write[mask_kind(job)](g, &m, (real)slopes[0], (real)slopes[1], whole_lanes(n));
        if (!own) store_column(rows, c, start, n, g);
    }
}

/* ---- units -------------------------------------------------------------------------------------------------------- */

static void overlap_sums(const void *arg, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const fl_overlap_job *job = arg;
    const struct overlap_unit u = overlap_unit(job, unit);
    double *sums = job->sums + unit * job->rows.classes * FL_OVERLAP_SUMS;
    for (ptrdiff_t k = 0; k < job->rows.classes * FL_OVERLAP_SUMS; k++) sums[k] = 0;
    if (!job->rows.target.data) {
        for (ptrdiff_t c = 0; c < job->rows.classes; c++)
            mask_sums(job, u, c, (struct mask_scratch *)scratch, sums + c * FL_OVERLAP_SUMS, out);
        return;
    }
    for (ptrdiff_t start = u.first; start < u.last; start += MAX_ROWS) {
        const ptrdiff_t n = u.last - start < MAX_ROWS ? u.last - start : MAX_ROWS;
        index_sums(job, start, n, (struct row_scratch *)scratch, sums, out);
        if (out->bad >= 0) return;
    }
}

static void overlap_gradient(const void *arg, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const fl_overlap_job *job = arg;
    const struct overlap_unit u = overlap_unit(job, unit);
    if (!job->rows.target.data) {
        for (ptrdiff_t c = 0; c < job->rows.classes; c++) mask_gradient(job, u, c, (struct mask_scratch *)scratch);
        return;
    }
    for (ptrdiff_t start = u.first; start < u.last; start += MAX_ROWS) {
        const ptrdiff_t n = u.last - start < MAX_ROWS ? u.last - start : MAX_ROWS;
        index_gradient(job, u.group, start, n, (struct row_scratch *)scratch, out);
        if (out->bad >= 0) return;
    }
}

#endif
