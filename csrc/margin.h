/* SPDX-License-Identifier: BSD-3-Clause */
/* margin.h: the hinge max(0, margin - x[positive] + x[other]) between two classes of a row, and the loss with one positive
 * per row, to the power 1 or 2, in the two ways of softmax.h: rows or columns. multilabel.h has the one with several.
 * A class at -inf costs nothing. At the kink the gradient is 0, nan stays nan. */
#ifndef FL_MARGIN_H
#define FL_MARGIN_H

#include "softmax.h"

/* base = margin - x[positive], rounded: where the other class cancels it, that class's own half ulp is as large. */
FL_INLINE real hinge(real x, real base) {
    const real h = r_max(r_zero, x + base);
    return x == -R_INFINITY ? R(0.0) : h;
}

/* Derivative of a hinge: 1, or 0, or nan. */
FL_INLINE real hinge_step(real h) { return h > R(0.0) ? R(1.0) : h; }

/* One class of a row, of any dtype. */
static real logit_at(const fl_row_job *job, const char *row, ptrdiff_t c) {
    real x;
    if (job->logits.dtype == (sizeof(real) == 4 ? FL_FLOAT32 : FL_FLOAT64) && !job->logits.swapped)
        memcpy(&x, row + c * job->class_stride, sizeof x);
    else
        kernels.load[job->logits.swapped][job->logits.dtype](&x, row + c * job->class_stride, 0, 1);
    return x;
}

/* State of a block's rows beyond that of softmax.h, where max is margin - x[t], others the sum of the (squared) hinges,
 * inverse the factor of a hinge's derivative in the gradient. */
struct margin_scratch {
    struct row_scratch rows;
    double slopes[MAX_ROWS]; /* sum of the derivatives (of half the squares) */
    double slopes_carry[MAX_ROWS];
};
_Static_assert(sizeof(struct margin_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a block of margins");

static void tile_hinge(real *restrict h, const real *restrict x, ptrdiff_t n, real base) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) h[i] = hinge(x[i], base);
}

/* Sum of squares, which are taken in float64: those of floats do not overflow. */
static double tile_square_sum(const real *restrict h, ptrdiff_t n) {
    double lane[FL_LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) lane[l] += (double)h[i + l] * (double)h[i + l];
    return fold_lanes(lane);
}

/* g = factor * derivative of h; the factor of squares has the 2. */
static void tile_step(real *restrict g, const real *restrict h, ptrdiff_t n, real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) g[i] = h[i] > 0 ? factor : h[i];
}

static void tile_slope(real *restrict g, const real *restrict h, ptrdiff_t n, real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) g[i] = h[i] > 0 ? h[i] * factor : h[i];
}

/* Row r: `others`, and the gradient at `to` unless that is NULL, in one pass over its classes. The gradient at the target
 * is minus the sum of all others. */
static void margin_row(const fl_row_job *job, const char *row, char *to, ptrdiff_t r, struct row_scratch *s) {
    struct row_state *st = &s->state;
    const int square = job->power == 2;
    const real base = (real)job->margin - logit_at(job, row, st->label[r]);
    real *h = s->in.kept;
    double sum = 0, slopes = 0;
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = job->classes - c < FL_TILE ? job->classes - c : FL_TILE, lanes = whole_lanes(n);
        const ptrdiff_t target = st->label[r] - c;
        tile_hinge(h, load_row(job, row + c * job->class_stride, n, s->in.row), lanes, base);
        if (target >= 0 && target < n) h[target] = 0;
        sum += square ? tile_square_sum(h, lanes) : tile_sum(h, lanes);
        if (!to) continue;
        real *g = (real *)to + c, *tile = n % FL_LANES == 0 ? g : s->out;
        if (square)
            tile_slope(tile, h, lanes, st->inverse[r]);
        else
            tile_step(tile, h, lanes, st->inverse[r]);
        slopes += tile_sum(tile, lanes);
        if (tile != g) memcpy(g, tile, (size_t)n * sizeof(real));
    }
    st->others[r] = sum;
    if (to) ((real *)to)[st->label[r]] = (real)-slopes;
}

static void margin_rows(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    const int gradient = job->want & FL_GRAD;
    for (ptrdiff_t r = 0; r < whole_lanes(n); r++) {
        char *to = gradient && r < n ? (char *)position(&job->grad, start + r) : NULL;
        s->state.others[r] = 0;
        if (s->state.label[r] >= 0)
            margin_row(job, position(&job->logits, start + r), to, r, s);
        else if (to)
            memset(to, 0, (size_t)job->classes * sizeof(real));
    }
}

static void column_pick(struct row_state *st, const real *restrict x, ptrdiff_t c, ptrdiff_t n) {
    const ireal *restrict label = st->label;
    real *restrict target_logit = st->target_logit;
    const ireal class = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) target_logit[r] = r_where(label[r] == class, x[r], target_logit[r]);
}

static void column_base(struct row_state *st, real margin, ptrdiff_t n) {
    const real *restrict target_logit = st->target_logit;
    real *restrict base = st->max;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) base[r] = margin - target_logit[r];
}

/* A sum that is not finite stands as it is: its carry is inf - inf. */
FL_INLINE double sum_with_carry(double sum, double carry) { return sum - sum == 0 ? sum + carry : sum; }

static void column_hinge(struct margin_scratch *s, const real *restrict x, ptrdiff_t c, ptrdiff_t n, int square) {
    struct row_state *st = &s->rows.state;
    const ireal *restrict label = st->label;
    const real *restrict base = st->max;
    double *restrict sum = st->others, *restrict carry = st->carry;
    const ireal class = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double h = (double)r_where(label[r] == class, 0, hinge(x[r], base[r]));
        add_carrying(&sum[r], &carry[r], square ? h * h : h);
    }
}

static void column_slopes(struct margin_scratch *s, const real *restrict x, ptrdiff_t c, ptrdiff_t n, int square) {
    struct row_state *st = &s->rows.state;
    const ireal *restrict label = st->label;
    const real *restrict base = st->max;
    double *restrict slopes = s->slopes, *restrict carry = s->slopes_carry;
    const ireal class = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real h = r_where(label[r] == class, 0, hinge(x[r], base[r])), step = hinge_step(h);
        add_carrying(&slopes[r], &carry[r], (double)(square ? h : step));
    }
}

/* g may be x. */
static void column_margin_gradient(const struct row_state *st, real *g, const real *x, ptrdiff_t c, ptrdiff_t n,
                                   int square) {
    const real *restrict base = st->max, *restrict inverse = st->inverse, *restrict at_target = st->at_target;
    const ireal *restrict label = st->label;
    const ireal class = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real h = hinge(x[r], base[r]), slope = square ? h * inverse[r] : inverse[r];
        const real other = h > 0 ? slope : h;
        g[r] = r_where(label[r] >= 0, r_where(label[r] == class, at_target[r], other), 0);
    }
}

static void margin_columns(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct margin_scratch *s) {
    struct row_state *st = &s->rows.state;
    const ptrdiff_t lanes = whole_lanes(n), few = job->classes <= COLUMN_CLASSES;
    const int square = job->power == 2;
    for (ptrdiff_t r = 0; r < lanes; r++) {
        st->target_logit[r] = 0;
        st->others[r] = st->carry[r] = s->slopes[r] = s->slopes_carry[r] = 0;
    }
    for (ptrdiff_t first = 0; first < job->classes; first += COLUMN_CLASSES) {
        const ptrdiff_t left = job->classes - first, classes = left < COLUMN_CLASSES ? left : COLUMN_CLASSES;
        find_columns(job, first, classes, start, n, &s->rows);
        for (ptrdiff_t c = 0; c < classes; c++) column_pick(st, s->rows.column[c], first + c, lanes);
    }
    column_base(st, (real)job->margin, lanes);
    for (ptrdiff_t first = 0; first < job->classes; first += COLUMN_CLASSES) {
        const ptrdiff_t left = job->classes - first, classes = left < COLUMN_CLASSES ? left : COLUMN_CLASSES;
        if (!few) find_columns(job, first, classes, start, n, &s->rows);
        for (ptrdiff_t c = 0; c < classes; c++) {
            column_hinge(s, s->rows.column[c], first + c, lanes, square);
            if (job->want & FL_GRAD) column_slopes(s, s->rows.column[c], first + c, lanes, square);
        }
    }
    for (ptrdiff_t r = 0; r < lanes; r++) {
        st->others[r] = sum_with_carry(st->others[r], st->carry[r]);
        s->slopes[r] = sum_with_carry(s->slopes[r], s->slopes_carry[r]);
    }
}

static void margin_columns_gradient(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct margin_scratch *s) {
    const int square = job->power == 2, few = job->classes <= COLUMN_CLASSES;
    struct row_state *st = &s->rows.state;
    for (ptrdiff_t r = 0; r < whole_lanes(n); r++)
        st->at_target[r] = (real)(-s->slopes[r] * (double)st->inverse[r]);
    for (ptrdiff_t first = 0; first < job->classes; first += COLUMN_CLASSES) {
        const ptrdiff_t left = job->classes - first, classes = left < COLUMN_CLASSES ? left : COLUMN_CLASSES;
        char *place = (char *)grad_column(job, first, start, n);
        char *squares = place ? NULL : grad_squares(job, first, classes, start, n);
        if (!few) find_columns(job, first, classes, start, n, &s->rows);
        for (ptrdiff_t c = 0; c < classes; c++) {
            real *g = place ? (real *)(place + c * job->grad_class_stride) : squares ? s->rows.in.columns[c] : s->rows.out;
            column_margin_gradient(st, g, s->rows.column[c], first + c, whole_lanes(n), square);
            if (!place && !squares) store_column(job, first + c, start, n, g);
        }
        if (squares) store_squares(job, squares, n, classes, s->rows.in.columns);
    }
}

static void finish_margins(struct row_state *st, ptrdiff_t n, double classes) {
    const real *restrict weight = st->weight;
    const double *restrict others = st->others;
    const ireal *restrict label = st->label;
    real *restrict value = st->value;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real loss = (real)(others[r] / classes * (double)weight[r]);
        value[r] = r_where(label[r] >= 0, loss, 0);
    }
}

static void finish_margin_factors(struct row_state *st, const real *restrict grad_output, ptrdiff_t n, double scale) {
    const real *restrict weight = st->weight;
    real *restrict inverse = st->inverse;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) inverse[r] = (real)(scale * (double)weight[r] * (double)grad_output[r]);
}

static void multi_margin_block(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_row_job *job = arg;
    struct margin_scratch *s = (struct margin_scratch *)scratch;
    struct row_state *st = &s->rows.state;
    const ptrdiff_t size = row_block(job), start = block * size;
    const ptrdiff_t n = job->positions - start < size ? job->positions - start : size, lanes = whole_lanes(n);
    const double classes = (double)job->classes;

    load_labels(job, start, n, &s->rows, out);
    if (out->bad >= 0) return;
    out->weight = 0; /* the mean is over positions, whatever their weights */
    for (ptrdiff_t r = 0; r < n; r++) out->weight += st->label[r] >= 0;
    if (job->want & FL_GRAD)
        finish_margin_factors(st, load_grad_output(job, start, n, s->rows.out), lanes, job->scale * job->power / classes);
    if (by_rows(job))
        margin_rows(job, start, n, &s->rows);
    else
        margin_columns(job, start, n, s);
    finish_margins(st, lanes, classes);
    if (job->value) memcpy((real *)job->value + start, st->value, (size_t)n * sizeof(real));
    out->sum += tile_sum_wide(st->value, lanes);
    if (job->want & FL_GRAD && !by_rows(job)) margin_columns_gradient(job, start, n, s);
}

#endif
