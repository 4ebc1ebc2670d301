/* SPDX-License-Identifier: BSD-3-Clause */
/* lovasz.h: the Lovasz extension of the Jaccard loss, of hinges or of the errors of probabilities. One unit of work is one
 * class of one group of positions: its errors e >= 0 are sorted, largest first, and
 *   loss = sum e_k (J_k - J_(k-1)),  J_k = 1 - (true - hits) / (true + misses)
 * of the hits (true positions) and misses (others) among the first k. With I = true - hits and U = true + misses, a hit adds
 * 1 / U, a miss I / (U (U + 1)), which is exact where the difference of two J is not; where nothing is true the first miss
 * adds 1. An error that is not positive adds nothing, and is not sorted.
 * The workspace of a thread holds two keys and two indices per position: the sort goes to and fro between them. */
#ifndef FL_LOVASZ_H
#define FL_LOVASZ_H

#include "overlap_masks.h"
#include "workspace.h"

enum {
    DIGIT_BITS = 11,
    DIGITS = 1 << DIGIT_BITS,
    PASSES = (8 * sizeof(real) - 1 + DIGIT_BITS - 1) / DIGIT_BITS /* the sign of an error is always 0 */
};

struct lovasz {
    ureal *key[2]; /* bits of the errors, inverted, so that the largest comes first; equal ones keep their order */
    uint32_t *index[2]; /* twice the position within the group, plus its truth */
    ptrdiff_t count; /* errors that are sorted */
    double truths;
    int nan;
};

static ptrdiff_t lovasz_workspace(const fl_overlap_job *job) {
    const ptrdiff_t positions = whole_lanes(job->group_size);
    return 2 * positions * (ptrdiff_t)(sizeof(ureal) + sizeof(uint32_t));
}

static void lovasz_layout(struct lovasz *v, const fl_overlap_job *job, char *memory) {
    const ptrdiff_t positions = whole_lanes(job->group_size);
    for (int k = 0; k < 2; k++) {
        v->key[k] = (ureal *)memory + k * positions;
        v->index[k] = (uint32_t *)((ureal *)memory + 2 * positions) + k * positions;
    }
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* e = |t - p| */
static void column_errors(real *restrict e, const real *restrict p, const real *restrict t, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) e[r] = r_abs(t[r] - p[r]);
}

/* e = 1 - x s of a logit, s = -1 or 1 */
static void column_hinge_errors(real *restrict e, const real *restrict x, const real *restrict t, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) e[r] = R(1.0) - x[r] * (R(2.0) * t[r] - R(1.0));
}

static void column_softmax(real *p, const real *x, const real *restrict max, const real *restrict inverse, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) p[r] = r_exp_raised(x[r] - max[r]) * inverse[r];
}

/* Truths of class c: 1 where it is the label. */
static void column_truths(real *restrict t, const ireal *restrict label, ptrdiff_t c, ptrdiff_t n) {
    const ireal own = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) t[r] = r_where(label[r] == own, 1, 0);
}

enum { LOVASZ_X, LOVASZ_T, LOVASZ_E, LOVASZ_KEEP, LOVASZ_MAX, LOVASZ_INVERSE };

/* Truths of a block into LOVASZ_T, and where they count: state.label >= 0. */
static void load_truths(const fl_overlap_job *job, ptrdiff_t c, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s,
                        fl_partial *out) {
    const fl_row_job *rows = &job->rows;
    real *t = s->in.columns[LOVASZ_T];
    if (rows->target.data) {
        load_labels(rows, start, n, s, out);
        column_truths(t, s->state.label, c, whole_lanes(n));
        return;
    }
    count_rows(rows, start, n, s, out);
    const real *given = fl_load_at(&kernels, &rows->distribution, c * rows->distribution_stride, start, n, t);
    if (given != t) memcpy(t, given, (size_t)whole_lanes(n) * sizeof(real));
    for (ptrdiff_t r = 0; r < n; r++)
        if (!rows->every_label && t[r] == (real)rows->ignore_index) s->state.label[r] = -1;
}

/* Errors of a block of class c into LOVASZ_E. */
static void load_errors(const fl_overlap_job *job, ptrdiff_t c, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(n);
    real(*column)[MAX_ROWS] = s->in.columns;
    const real *x = load_column(&job->rows, c, start, n, column[LOVASZ_X]);
    if (job->hinge) {
        column_hinge_errors(column[LOVASZ_E], x, column[LOVASZ_T], lanes);
        return;
    }
    if (job->max) {
        memcpy(column[LOVASZ_MAX], (real *)job->max + start, (size_t)n * sizeof(real));
        memcpy(column[LOVASZ_INVERSE], (real *)job->inverse + start, (size_t)n * sizeof(real));
        column_softmax(column[LOVASZ_X], x, column[LOVASZ_MAX], column[LOVASZ_INVERSE], lanes);
        x = column[LOVASZ_X];
    }
    column_errors(column[LOVASZ_E], x, column[LOVASZ_T], lanes);
}

/* Keys of all errors of the unit that are positive, or no numbers, and the number of truths. */
static void gather_errors(const fl_overlap_job *job, ptrdiff_t group, ptrdiff_t c, struct lovasz *v,
                          struct row_scratch *s, fl_partial *out) {
    const ptrdiff_t first = group * job->group_size, last = first + job->group_size;
    const real *restrict t = s->in.columns[LOVASZ_T], *restrict e = s->in.columns[LOVASZ_E];
    const ireal *restrict label = s->state.label;
    ureal *restrict key = v->key[0];
    uint32_t *restrict index = v->index[0];
    ptrdiff_t count = 0, truths = 0, nan = 0;
    for (ptrdiff_t start = first; start < last; start += MAX_ROWS) {
        const ptrdiff_t n = last - start < MAX_ROWS ? last - start : MAX_ROWS;
        load_truths(job, c, start, n, s, out);
        if (out->bad >= 0) return;
        load_errors(job, c, start, n, s);
        for (ptrdiff_t r = 0; r < n; r++) {
            const int counts = label[r] >= 0, truth = t[r] != 0;
            key[count] = ~(ureal)r_bits(e[r]);
            index[count] = (uint32_t)(start - first + r) * 2 + (uint32_t)truth;
            count += counts & !(e[r] <= 0);
            truths += counts & truth;
            nan += counts & (e[r] != e[r]);
        }
    }
    v->count = count;
    v->truths = (double)truths;
    v->nan = nan != 0;
}

/* ---- the sort ---------------------------------------------------------------------------------------------------- */

FL_INLINE uint32_t digit_of(ureal key, int pass) { return (uint32_t)(key >> (pass * DIGIT_BITS)) & (DIGITS - 1); }

/* Least digit first. Returns which of the two buffers the result stands in. Digits that all keys share are passed over. */
static int sort_errors(struct lovasz *v, uint32_t *restrict places) {
    int from = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        const ureal *restrict key = v->key[from];
        const uint32_t *restrict index = v->index[from];
        ureal *restrict to_key = v->key[1 - from];
        uint32_t *restrict to_index = v->index[1 - from];
        memset(places, 0, DIGITS * sizeof *places);
        for (ptrdiff_t k = 0; k < v->count; k++) places[digit_of(key[k], pass)]++;
        if (v->count == 0 || places[digit_of(key[0], pass)] == (uint32_t)v->count) continue;
        uint32_t place = 0;
        for (int d = 0; d < DIGITS; d++) {
            const uint32_t here = places[d];
            places[d] = place;
            place += here;
        }
        for (ptrdiff_t k = 0; k < v->count; k++) {
            const uint32_t to = places[digit_of(key[k], pass)]++;
            to_key[to] = key[k];
            to_index[to] = index[k];
        }
        from = 1 - from;
    }
    return from;
}

/* ---- the scan ---------------------------------------------------------------------------------------------------- */

/* The loss; and, unless `slope` is NULL, the derivative at each position by the probability or logit. */
static double scan_errors(const struct lovasz *v, int at, double factor, real *restrict slope) {
    const ureal *restrict key = v->key[at];
    const uint32_t *restrict index = v->index[at];
    double left = v->truths, joint = v->truths, loss = 0;
    for (ptrdiff_t k = 0; k < v->count; k++) {
        const int truth = index[k] & 1;
        const double miss = joint > 0 ? left / (joint * (joint + 1)) : 1;
        const double step = v->nan ? (double)R_NAN : truth ? 1 / joint : miss;
        left -= truth;
        joint += !truth;
        loss += (double)r_from_bits((ireal)~key[k]) * step;
        if (slope) slope[index[k] >> 1] = (real)(factor * (truth ? -step : step));
    }
    return loss;
}

static void store_slopes(const fl_overlap_job *job, ptrdiff_t group, ptrdiff_t c, const real *slope) {
    const ptrdiff_t first = group * job->group_size;
    for (ptrdiff_t k = 0; k < job->group_size; k += MAX_ROWS) {
        const ptrdiff_t left = job->group_size - k, n = left < MAX_ROWS ? left : MAX_ROWS;
        store_column(&job->rows, c, first + k, n, slope + k);
    }
}

/* Value and, as far as probabilities or logits of hinges, gradient of class unit % classes of group unit / classes. */
static void lovasz_class(const void *arg, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const fl_overlap_job *job = arg;
    const ptrdiff_t group = unit / job->rows.classes, c = unit % job->rows.classes;
    struct lovasz v = {.count = 0};
    if (!job->wanted[unit]) {
        job->losses[unit] = 0;
        if (!job->rows.grad.data) return;
    }
    const int taken = claim_workspace(job->workspace_taken, job->workspaces);
    lovasz_layout(&v, job, job->workspace + taken * job->workspace_bytes);
    if (job->wanted[unit]) gather_errors(job, group, c, &v, (struct row_scratch *)scratch, out);
    if (out->bad < 0) {
        const int at = sort_errors(&v, (uint32_t *)scratch);
        real *slope = job->rows.grad.data ? (real *)v.key[1 - at] : NULL;
        if (slope) memset(slope, 0, (size_t)job->group_size * sizeof(real));
        if (job->wanted[unit]) job->losses[unit] = scan_errors(&v, at, job->slopes[unit], slope);
        if (slope) store_slopes(job, group, c, slope);
    }
    release_workspace(job->workspace_taken, taken);
}

/* ---- through the softmax ------------------------------------------------------------------------------------------ */

static void column_fold_product(double *restrict sum, const real *restrict p, const real *restrict g, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) sum[r] += (double)(p[r] * g[r]);
}

/* g = p (g - sum); exactly 0 where a position is left out */
static void column_chain(real *restrict g, const real *restrict p, const real *restrict sum, const real *restrict inverse,
                         ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) g[r] = r_where(inverse[r] == 0, 0, p[r] * (g[r] - sum[r]));
}

static real *softmax_column(const fl_overlap_job *job, ptrdiff_t c, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    real(*column)[MAX_ROWS] = s->in.columns;
    const real *x = load_column(&job->rows, c, start, n, column[LOVASZ_X]);
    column_softmax(column[LOVASZ_X], x, column[LOVASZ_MAX], column[LOVASZ_INVERSE], whole_lanes(n));
    return column[LOVASZ_X];
}

/* The gradient by the probabilities, which stands in its place, becomes that by the logits. */
static void lovasz_chain(const void *arg, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const fl_overlap_job *job = arg;
    const fl_row_job *rows = &job->rows;
    struct row_scratch *s = (struct row_scratch *)scratch;
    const struct overlap_unit u = overlap_unit(job, unit);
    real(*column)[MAX_ROWS] = s->in.columns;
    (void)out;
    for (ptrdiff_t start = u.first; start < u.last; start += MAX_ROWS) {
        const ptrdiff_t n = u.last - start < MAX_ROWS ? u.last - start : MAX_ROWS, lanes = whole_lanes(n);
        memcpy(column[LOVASZ_MAX], (real *)job->max + start, (size_t)n * sizeof(real));
        memcpy(column[LOVASZ_INVERSE], (real *)job->inverse + start, (size_t)n * sizeof(real));
        for (ptrdiff_t r = n; r < lanes; r++) column[LOVASZ_MAX][r] = column[LOVASZ_INVERSE][r] = 0;
        for (ptrdiff_t r = 0; r < lanes; r++) s->state.drop[r] = 0;
        for (ptrdiff_t c = 0; c < rows->classes; c++) {
            const real *p = softmax_column(job, c, start, n, s);
            const real *g = fl_load_at(&kernels, &rows->grad, c * rows->grad_class_stride, start, n, column[LOVASZ_E]);
            column_fold_product(s->state.drop, p, g, lanes);
        }
        for (ptrdiff_t r = 0; r < lanes; r++) s->state.factor[r] = (real)s->state.drop[r];
        for (ptrdiff_t c = 0; c < rows->classes; c++) {
            const real *p = softmax_column(job, c, start, n, s);
            const real *g = fl_load_at(&kernels, &rows->grad, c * rows->grad_class_stride, start, n, column[LOVASZ_E]);
            if (g != column[LOVASZ_E]) memcpy(column[LOVASZ_E], g, (size_t)lanes * sizeof(real));
            column_chain(column[LOVASZ_E], p, s->state.factor, column[LOVASZ_INVERSE], lanes);
            store_column(rows, c, start, n, column[LOVASZ_E]);
        }
    }
}

#endif
