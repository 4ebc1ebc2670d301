/* SPDX-License-Identifier: BSD-3-Clause */
/* softmax.h: losses over rows of classes. A block is up to MAX_ROWS positions; its per-row state (largest logit, sum of
 * the other exponentials, target's logit) is filled in one of two ways, finished in one place, vectorised over rows:
 *   rows     many classes, class axis last: one row after the other, tiles of classes
 *   columns  few classes, or an inner axis: lanes run over positions, tiles of classes x lanes
 * Which one depends on the shape alone. The target is left out of the sum, so that a loss near 0 keeps its digits:
 *   d = max - x[t],  S = sum over the others of exp(x - max),  loss = d + log1p(S + (exp(-d) - 1)). */
#ifndef FL_SOFTMAX_H
#define FL_SOFTMAX_H

#include "tile.h"
#include "vecmath.h"

enum {
    MAX_ROWS = FL_TILE / 4,                      /* positions per block at most */
    COLUMN_CLASSES = 32,                         /* classes per tile of columns */
    ROW_CLASSES = 64,                            /* longer rows are done one by one */
    KEPT = COLUMN_CLASSES * MAX_ROWS - FL_TILE
};

/* State of a block's rows, whole lanes. */
struct row_state {
    real max[MAX_ROWS], target_logit[MAX_ROWS], value[MAX_ROWS], weight[MAX_ROWS];
    real inverse[MAX_ROWS]; /* scale * weight / (all of the sum), the factor of exp(x - max) in the gradient */
    real at_target[MAX_ROWS];
    double others[MAX_ROWS]; /* sum of exp(x - max) without the target */
    double carry[MAX_ROWS];  /* what additions to it rounded away (float64 columns only) */
    ireal label[MAX_ROWS];   /* -1: left out */
};

struct row_scratch {
    struct row_state state;
    union {
        struct {
            real row[FL_TILE], kept[KEPT]; /* exponentials of the block, where they fit, for the gradient */
        };
        int64_t labels[MAX_ROWS];
        real mask[MAX_ROWS];
        real columns[COLUMN_CLASSES][MAX_ROWS];
    } in;
    real out[FL_TILE];
    const real *column[COLUMN_CLASSES + 1]; /* of the tile that was loaded last */
};
_Static_assert(sizeof(struct row_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a block of rows");

static int by_rows(const fl_row_job *job) { return job->inner == 1 && job->classes > ROW_CLASSES; }

static ptrdiff_t row_block(const fl_row_job *job) {
    if (!by_rows(job)) return MAX_ROWS;
    const ptrdiff_t fit = FL_BLOCK / job->classes;
    return fit < 1 ? 1 : fit > MAX_ROWS ? MAX_ROWS : fit;
}

/* ---- labels ---------------------------------------------------------------------------------------------------- */

/* state->label[n] and ->weight[n] of positions start...; each label is read once, compared, and only then used. */
static void load_labels(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s, fl_partial *out) {
    struct row_state *st = &s->state;
    const real *class_weight = job->class_weight;
    fl_load_labels(&job->target, start, n, s->in.labels);
    for (ptrdiff_t r = 0; r < n; r++) {
        const int64_t label = s->in.labels[r];
        const int inside = (uint64_t)label < (uint64_t)job->classes;
        const int ignored = label == job->ignore_index && !job->every_label;
        st->label[r] = inside && !ignored ? (ireal)label : ignored ? -1 : -2;
    }
    if (job->mask.data) {
        const real *mask = fl_load(&kernels, &job->mask, start, n, s->in.mask);
        for (ptrdiff_t r = 0; r < n; r++) st->label[r] = mask[r] == 0 ? -1 : st->label[r];
    }
    for (ptrdiff_t r = 0; r < n; r++) {
        if (st->label[r] == -2 && out->bad < 0) out->bad = start + r;
        st->weight[r] = st->label[r] < 0 ? 0 : class_weight ? class_weight[st->label[r]] : 1;
        out->weight += (double)st->weight[r];
    }
    for (ptrdiff_t r = n; r % FL_LANES; r++) st->label[r] = -1, st->weight[r] = 0;
}

static void row_labels(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_row_job *job = arg;
    const ptrdiff_t size = row_block(job), start = block * size, left = job->positions - start;
    load_labels(job, start, left < size ? left : size, (struct row_scratch *)scratch, out);
}

/* ---- rows: one after the other, tiles of classes ---------------------------------------------------------------- */

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

/* n classes of one row as whole lanes, padded with -inf. */
static const real *load_row(const fl_row_job *job, const char *row, ptrdiff_t n, real *scratch) {
    const real *x = fl_load_run(&kernels, &job->logits, row, job->class_stride, n, scratch);
    for (ptrdiff_t c = n; c % FL_LANES; c++) scratch[c] = -R_INFINITY;
    return x;
}

static const char *position(const fl_operand *op, ptrdiff_t p) {
    ptrdiff_t index[FL_MAX_DIMS];
    const char *run;
    fl_unravel(op, p, index);
    fl_next_run(op, index, 1, &run);
    return run;
}

/* Where row r's exponentials are kept until the block's factors are known, or NULL: they are computed again. */
static real *kept_row(const fl_row_job *job, ptrdiff_t r, struct row_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(job->classes);
    return job->classes <= FL_TILE && row_block(job) * lanes <= KEPT ? s->in.kept + r * lanes : NULL;
}

/* Fill max, target_logit, others of row r in one pass over its classes, with a running maximum. */
static void reduce_row(const fl_row_job *job, const char *row, ptrdiff_t r, struct row_scratch *s) {
    struct row_state *st = &s->state;
    real max = -R_MAX, *kept = kept_row(job, r, s), *e = kept ? kept : s->out;
    double others = 0;
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = job->classes - c < FL_TILE ? job->classes - c : FL_TILE, lanes = whole_lanes(n);
        const real *x = load_row(job, row + c * job->class_stride, n, s->in.row);
        const ptrdiff_t target = st->label[r] - c;
        const real higher = tile_max(x, lanes);
        if (higher > max) {
            others *= (double)r_exp(max - higher);
            max = higher;
        }
        tile_exp(e, x, lanes, max, 1);
        if (target >= 0 && target < n) {
            st->target_logit[r] = x[target];
            e[target] = 0;
        }
        others += tile_sum(e, lanes);
    }
    st->max[r] = max;
    st->others[r] = others;
}

static void row_gradient(const fl_row_job *job, const char *row, char *to, ptrdiff_t r, struct row_scratch *s) {
    const struct row_state *st = &s->state;
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = job->classes - c < FL_TILE ? job->classes - c : FL_TILE;
        real *g = (real *)to + c, *tile = n % FL_LANES == 0 ? g : s->out;
        if (st->label[r] < 0) {
            memset(g, 0, (size_t)n * sizeof(real));
            continue;
        }
        const real *kept = kept_row(job, r, s);
        if (kept)
            tile_times(tile, kept, whole_lanes(n), st->inverse[r]);
        else
            tile_exp(tile, load_row(job, row + c * job->class_stride, n, s->in.row), whole_lanes(n), st->max[r],
                     st->inverse[r]);
        if (tile != g) memcpy(g, tile, (size_t)n * sizeof(real));
    }
    if (st->label[r] >= 0) ((real *)to)[st->label[r]] = st->at_target[r];
}

/* ---- columns: lanes over positions, tiles of classes -------------------------------------------------------------- */

static void column_max(real *restrict max, const real *restrict x, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) max[r] = x[r] > max[r] ? x[r] : max[r];
}

static void column_rescale(struct row_state *st, const real *restrict higher, ptrdiff_t n) {
    double *restrict others = st->others, *restrict carry = st->carry;
    const real *restrict max = st->max;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double factor = (double)r_exp(max[r] - higher[r]);
        others[r] *= factor;
        carry[r] *= factor;
    }
}

/* Two classes at a time: c and c + 1. Doubles are added with their rounding error (two-sum), floats into doubles. */
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
        const double e = (double)(r_where(label[r] != class0, e0, 0) + r_where(label[r] != class1, e1, 0));
        const double sum = others[r] + e;
        if (sizeof(real) == sizeof(double)) {
            const double added = sum - others[r];
            carry[r] += (others[r] - (sum - added)) + (e - added);
        }
        others[r] = sum;
        target_logit[r] = r_where(label[r] == class0, x0[r], r_where(label[r] == class1, x1[r], target_logit[r]));
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

static const real *load_column(const fl_row_job *job, ptrdiff_t c, ptrdiff_t start, ptrdiff_t n, real *scratch) {
    return fl_load_at(&kernels, &job->logits, c * job->class_stride, start, n, scratch);
}

static void reduce_columns(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    struct row_state *st = &s->state;
    const real **x = s->column;
    const ptrdiff_t lanes = whole_lanes(n);
    for (ptrdiff_t r = 0; r < lanes; r++) {
        st->max[r] = -R_MAX;
        st->others[r] = st->carry[r] = 0;
        st->target_logit[r] = 0;
    }
    for (ptrdiff_t first = 0; first < job->classes; first += COLUMN_CLASSES) {
        const ptrdiff_t left = job->classes - first, classes = left < COLUMN_CLASSES ? left : COLUMN_CLASSES;
        real *higher = s->out;
        memcpy(higher, st->max, (size_t)lanes * sizeof(real));
        for (ptrdiff_t c = 0; c < classes; c++) {
            x[c] = load_column(job, first + c, start, n, s->in.columns[c]);
            column_max(higher, x[c], lanes);
        }
        if (first) column_rescale(st, higher, lanes);
        memcpy(st->max, higher, (size_t)lanes * sizeof(real));
        for (ptrdiff_t r = 0; r < lanes; r++) s->out[r] = -R_INFINITY; /* partner of an odd last class */
        x[classes] = s->out;
        for (ptrdiff_t c = 0; c < classes; c += 2) column_sum(st, x[c], x[c + 1], first + c, lanes);
    }
    for (ptrdiff_t r = 0; r < lanes; r++) st->others[r] += st->carry[r];
}

static void columns_gradient(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    const ptrdiff_t stride = job->grad.strides[job->grad.ndim - 1];
    for (ptrdiff_t c = 0; c < job->classes; c++) {
        ptrdiff_t index[FL_MAX_DIMS];
        const char *run;
        const int loaded = job->classes <= COLUMN_CLASSES;
        const real *x = loaded ? s->column[c] : load_column(job, c, start, n, s->in.columns[0]);
        real *g = s->out;
        fl_unravel(&job->grad, start, index);
        ptrdiff_t length = fl_next_run(&job->grad, index, n, &run);
        run += c * job->grad_class_stride;
        if (length == n && n % FL_LANES == 0 && stride == sizeof(real)) {
            column_gradient(&s->state, (real *)run, x, c, n);
            continue;
        }
        column_gradient(&s->state, g, x, c, whole_lanes(n));
        for (ptrdiff_t left = n;;) {
            for (ptrdiff_t r = 0; r < length; r++) *(real *)(run + r * stride) = g[r];
            g += length;
            left -= length;
            if (left == 0) break;
            length = fl_next_run(&job->grad, index, left, &run);
            run += c * job->grad_class_stride;
        }
    }
}

/* ---- both ----------------------------------------------------------------------------------------------------------- */

static void finish_values(struct row_state *st, ptrdiff_t n) {
    const real *restrict max = st->max, *restrict target_logit = st->target_logit, *restrict weight = st->weight;
    const double *restrict others = st->others;
    const ireal *restrict label = st->label;
    real *restrict value = st->value;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real d = max[r] - target_logit[r];
        const real loss = d + r_log1p((real)others[r] + (r_exp(-d) - 1));
        value[r] = r_where(label[r] >= 0, loss * weight[r], 0);
    }
}

/* Factors of the gradient: p = exp(x - max) / S elsewhere, -(others / S) at the target. */
static void finish_factors(struct row_state *st, const real *restrict grad_output, ptrdiff_t n, double scale) {
    const real *restrict max = st->max, *restrict target_logit = st->target_logit, *restrict weight = st->weight;
    const double *restrict others = st->others;
    real *restrict inverse = st->inverse, *restrict at_target = st->at_target;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double all = others[r] + (double)r_exp(target_logit[r] - max[r]);
        const double factor = scale * (double)weight[r] * (double)grad_output[r] / all;
        inverse[r] = (real)factor;
        at_target[r] = (real)(-factor * others[r]);
    }
}

static const real *load_grad_output(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, real *scratch) {
    if (job->grad_output.data) return fl_load(&kernels, &job->grad_output, start, n, scratch);
    for (ptrdiff_t r = 0; r < whole_lanes(n); r++) scratch[r] = 1;
    return scratch;
}

static void cross_entropy_block(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_row_job *job = arg;
    struct row_scratch *s = (struct row_scratch *)scratch;
    struct row_state *st = &s->state;
    const ptrdiff_t size = row_block(job), start = block * size;
    const ptrdiff_t n = job->positions - start < size ? job->positions - start : size, lanes = whole_lanes(n);

    load_labels(job, start, n, s, out);
    if (out->bad >= 0) return;
    if (by_rows(job))
        for (ptrdiff_t r = 0; r < lanes; r++) {
            st->max[r] = 0, st->target_logit[r] = 0, st->others[r] = 0;
            if (st->label[r] >= 0) reduce_row(job, position(&job->logits, start + r), r, s);
        }
    else
        reduce_columns(job, start, n, s);

    finish_values(st, lanes);
    if (job->value) memcpy((real *)job->value + start, st->value, (size_t)n * sizeof(real));
    out->sum += tile_sum(st->value, lanes);
    if (!(job->want & FL_GRAD)) return;
    finish_factors(st, load_grad_output(job, start, n, s->out), lanes, job->scale);
    if (by_rows(job))
        for (ptrdiff_t r = 0; r < n; r++)
            row_gradient(job, position(&job->logits, start + r), (char *)position(&job->grad, start + r), r, s);
    else
        columns_gradient(job, start, n, s);
}

#endif
