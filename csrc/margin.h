/* SPDX-License-Identifier: BSD-3-Clause */
/* margin.h: hinges between the classes of a row, all of them max(0, margin - x[positive] + x[other]):
 *   multi_margin       one positive per row, hinges to the power 1 or 2, over the ways of softmax.h: rows or columns
 *   multilabel_margin  any number of positives per row, row by row, some positives at a time against tiles of classes
 * A class at -inf costs nothing. At the kink the gradient is 0, nan stays nan. */
#ifndef FL_MARGIN_H
#define FL_MARGIN_H

#include "softmax.h"

/* base = margin - x[positive], rounded: where the other class cancels it, that class's own half ulp is as large. */
FL_INLINE real hinge(real x, real base) {
    const real h = r_max(R(0.0), x + base);
    return x == -R_INFINITY ? R(0.0) : h;
}

/* Derivative of a hinge: 1, or 0, or nan. */
FL_INLINE real hinge_step(real h) { return h > R(0.0) ? R(1.0) : h; }

/* One class of a row, of any dtype. */
static real logit_at(const fl_row_job *job, const char *row, ptrdiff_t c) {
    real x;
    kernels.load[job->logits.swapped][job->logits.dtype](&x, row + c * job->class_stride, 0, 1);
    return x;
}

/* ---- multi_margin ------------------------------------------------------------------------------------------------- */

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

/* *sum += x; what that rounds away goes to *carry, for doubles: floats leave nothing that counts. */
FL_INLINE void add_carrying(double *sum, double *carry, double x) {
    const double old = *sum, new = old + x;
    if (sizeof(real) == sizeof(double)) {
        const double added = new - old;
        *carry += (old - (new - added)) + (x - added);
    }
    *sum = new;
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

static void column_margin_gradient(const struct row_state *st, real *restrict g, const real *restrict x, ptrdiff_t c,
                                   ptrdiff_t n, int square) {
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

/* Columns of classes first...first + classes, loaded into s->column. */
static void load_columns(const fl_row_job *job, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t start, ptrdiff_t n,
                         struct row_scratch *s) {
    for (ptrdiff_t c = 0; c < classes; c++) s->column[c] = load_column(job, first + c, start, n, s->in.columns[c]);
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
        load_columns(job, first, classes, start, n, &s->rows);
        for (ptrdiff_t c = 0; c < classes; c++) column_pick(st, s->rows.column[c], first + c, lanes);
    }
    column_base(st, (real)job->margin, lanes);
    for (ptrdiff_t first = 0; first < job->classes; first += COLUMN_CLASSES) {
        const ptrdiff_t left = job->classes - first, classes = left < COLUMN_CLASSES ? left : COLUMN_CLASSES;
        if (!few) load_columns(job, first, classes, start, n, &s->rows);
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

/* Class c of positions start...start + n of the gradient where that is n reals in a row, else NULL. */
static real *grad_column(const fl_row_job *job, ptrdiff_t c, ptrdiff_t start, ptrdiff_t n) {
    ptrdiff_t index[FL_MAX_DIMS];
    const char *run;
    fl_unravel(&job->grad, start, index);
    const ptrdiff_t length = fl_next_run(&job->grad, index, n, &run), stride = job->grad.strides[job->grad.ndim - 1];
    return length == n && stride == sizeof(real) ? (real *)(run + c * job->grad_class_stride) : NULL;
}

/* Class c of positions start...start + n of the gradient, wherever it lies. */
static void store_column(const fl_row_job *job, ptrdiff_t c, ptrdiff_t start, ptrdiff_t n, const real *g) {
    const ptrdiff_t stride = job->grad.strides[job->grad.ndim - 1];
    ptrdiff_t index[FL_MAX_DIMS];
    const char *run;
    fl_unravel(&job->grad, start, index);
    for (ptrdiff_t left = n; left > 0;) {
        const ptrdiff_t length = fl_next_run(&job->grad, index, left, &run);
        run += c * job->grad_class_stride;
        for (ptrdiff_t r = 0; r < length; r++) *(real *)(run + r * stride) = g[r];
        g += length;
        left -= length;
    }
}

static void margin_columns_gradient(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct margin_scratch *s) {
    const int square = job->power == 2, few = job->classes <= COLUMN_CLASSES;
    struct row_state *st = &s->rows.state;
    for (ptrdiff_t r = 0; r < whole_lanes(n); r++)
        st->at_target[r] = (real)(-s->slopes[r] * (double)st->inverse[r]);
    for (ptrdiff_t c = 0; c < job->classes; c++) {
        const real *x = few ? s->rows.column[c] : load_column(job, c, start, n, s->rows.in.columns[0]);
        real *own = n % FL_LANES == 0 ? grad_column(job, c, start, n) : NULL, *g = own ? own : s->rows.out;
        column_margin_gradient(st, g, x, c, whole_lanes(n), square);
        if (!own) store_column(job, c, start, n, g);
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
    out->sum += tile_sum(st->value, lanes);
    if (job->want & FL_GRAD && !by_rows(job)) margin_columns_gradient(job, start, n, s);
}

/* ---- multilabel_margin -------------------------------------------------------------------------------------------- */

enum {
    POSITIVES = 64, /* of a row at a time */
    TOGETHER = 4    /* in one pass over the classes */
};

struct multilabel_scratch {
    int64_t label[POSITIVES]; /* checked */
    real base[POSITIVES];     /* margin - x[label] */
    real lost[POSITIVES];     /* how many hinges each takes part in */
    real value[MAX_ROWS], grad_output[MAX_ROWS], mask[MAX_ROWS];
    real row[FL_TILE];
    real others[FL_TILE]; /* the row, with -inf in place of the positives: they cost nothing */
    real gained[FL_TILE]; /* how many hinges each class takes part in */
};
_Static_assert(sizeof(struct multilabel_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a tile of a row");

/* The next positives of a row, from slot *at of its target on, which moves behind them: their number. 0: there are no
 * more; -1: slot *at holds no class. The list ends at its first -1, or with the slots. Each label is read once, compared,
 * and only then used. */
static ptrdiff_t next_listed(const fl_row_job *job, const char *target, ptrdiff_t *at, struct multilabel_scratch *s) {
    const ptrdiff_t left = job->slots - *at, n = left < POSITIVES ? left : POSITIVES;
    fl_load_label_run(&job->target, target + *at * job->slot_stride, job->slot_stride, n, s->label);
    for (ptrdiff_t k = 0; k < n; k++) {
        if ((uint64_t)s->label[k] < (uint64_t)job->classes) continue;
        const int ends = s->label[k] == -1;
        *at = ends ? job->slots : *at + k;
        return ends ? k : -1;
    }
    *at += n;
    return n;
}

/* The same of a row of bools: the places of what is true. */
static ptrdiff_t next_true(const fl_row_job *job, const char *target, ptrdiff_t *at, struct multilabel_scratch *s) {
    ptrdiff_t found = 0, c = *at;
    while (c < job->slots && found < POSITIVES) {
        uint64_t eight = 1;
        if (job->slot_stride == 1 && job->slots - c >= 8) memcpy(&eight, target + c, sizeof eight);
        if (eight == 0) {
            c += 8;
            continue;
        }
        s->label[found] = c;
        found += target[c * job->slot_stride] != 0;
        c++;
    }
    *at = c;
    return found;
}

static ptrdiff_t next_positives(const fl_row_job *job, const char *target, ptrdiff_t *at,
                                struct multilabel_scratch *s) {
    return job->target.dtype == FL_BOOL ? next_true(job, target, at, s) : next_listed(job, target, at, s);
}

/* s->others: classes c...c + n of a row without its positives, whole lanes. Returns 0, or -1 for a bad label. */
static int load_others(const fl_row_job *job, const char *row, const char *target, ptrdiff_t c, ptrdiff_t n,
                       struct multilabel_scratch *s) {
    memcpy(s->others, load_row(job, row + c * job->class_stride, n, s->row), (size_t)whole_lanes(n) * sizeof(real));
    for (ptrdiff_t at = 0, found; (found = next_positives(job, target, &at, s)) != 0;) {
        if (found < 0) return -1;
        for (ptrdiff_t k = 0; k < found; k++)
            if (s->label[k] >= c && s->label[k] < c + n) s->others[s->label[k] - c] = -R_INFINITY;
    }
    return 0;
}

/* Sum of the hinges of k positives with all others[n]. */
FL_INLINE double hinges(const real *restrict others, ptrdiff_t n, const real *restrict base, const int k) {
    double lane[FL_LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            real sum = hinge(others[i + l], base[0]);
            for (int j = 1; j < k; j++) sum += hinge(others[i + l], base[j]);
            lane[l] += (double)sum;
        }
    return fold_lanes(lane);
}

#define FL_STAMP_HINGES(k)                                                                                            \
    static double tile_hinges_##k(const real *restrict others, ptrdiff_t n, const real *restrict base) {              \
        return hinges(others, n, base, k);                                                                            \
    }
FL_STAMP_HINGES(1)
FL_STAMP_HINGES(2)
FL_STAMP_HINGES(3)
FL_STAMP_HINGES(4)

/* Derivatives of the same: gained[n] grows by how many of the k hinges of each class are above 0, lost[k] is how many of
 * each positive are. */
FL_INLINE void steps(real *restrict gained, real *restrict lost, const real *restrict others, ptrdiff_t n,
                     const real *restrict base, const int k) {
    real lane[TOGETHER][FL_LANES] = {{0}};
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            real sum = 0;
            for (int j = 0; j < k; j++) {
                const real step = hinge_step(hinge(others[i + l], base[j]));
                lane[j][l] += step;
                sum += step;
            }
            gained[i + l] += sum;
        }
    for (int j = 0; j < k; j++) {
        real sum = 0;
        for (int l = 0; l < FL_LANES; l++) sum += lane[j][l];
        lost[j] = sum;
    }
}

#define FL_STAMP_STEPS(k)                                                                                             \
    static void tile_steps_##k(real *restrict gained, real *restrict lost, const real *restrict others, ptrdiff_t n,  \
                               const real *restrict base) {                                                           \
        steps(gained, lost, others, n, base, k);                                                                      \
    }
FL_STAMP_STEPS(1)
FL_STAMP_STEPS(2)
FL_STAMP_STEPS(3)
FL_STAMP_STEPS(4)

static double sum_hinges(const real *others, ptrdiff_t n, const real *base, ptrdiff_t positives) {
    static double (*const together[])(const real *restrict, ptrdiff_t, const real *restrict) = {
        tile_hinges_1, tile_hinges_2, tile_hinges_3, tile_hinges_4};
    double sum = 0;
    for (ptrdiff_t k = 0; k < positives; k += TOGETHER) {
        const ptrdiff_t left = positives - k, some = left < TOGETHER ? left : TOGETHER;
        sum += together[some - 1](others, n, base + k);
    }
    return sum;
}

static void count_steps(real *gained, real *lost, const real *others, ptrdiff_t n, const real *base,
                        ptrdiff_t positives) {
    static void (*const together[])(real *restrict, real *restrict, const real *restrict, ptrdiff_t,
                                    const real *restrict) = {tile_steps_1, tile_steps_2, tile_steps_3, tile_steps_4};
    for (ptrdiff_t k = 0; k < positives; k += TOGETHER) {
        const ptrdiff_t left = positives - k, some = left < TOGETHER ? left : TOGETHER;
        together[some - 1](gained, lost + k, others, n, base + k);
    }
}

/* n reals of one stride to another. */
static void copy_reals(char *to, ptrdiff_t to_stride, const char *from, ptrdiff_t from_stride, ptrdiff_t n) {
    if (to_stride == sizeof(real) && from_stride == sizeof(real)) {
        memcpy(to, from, (size_t)n * sizeof(real));
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++) memcpy(to + i * to_stride, from + i * from_stride, sizeof(real));
}

/* Classes c...c + n of the gradient of a row. */
static void fetch_gained(const fl_row_job *job, const char *to, ptrdiff_t c, ptrdiff_t n, struct multilabel_scratch *s) {
    copy_reals((char *)s->gained, sizeof(real), to + c * job->grad_class_stride, job->grad_class_stride, n);
    tile_clear_padding(s->gained, n);
}

static void put_gained(const fl_row_job *job, char *to, ptrdiff_t c, ptrdiff_t n, const struct multilabel_scratch *s) {
    copy_reals(to + c * job->grad_class_stride, job->grad_class_stride, (const char *)s->gained, sizeof(real), n);
}

static void put_zeros(const fl_row_job *job, char *to) {
    const real zero = 0;
    if (job->grad_class_stride == sizeof(real))
        memset(to, 0, (size_t)job->classes * sizeof(real));
    else
        copy_reals(to, job->grad_class_stride, (const char *)&zero, 0, job->classes);
}

/* Take what the last positives lost from the gradient: from s->gained, which holds classes c...c + n, or from memory. */
static void take_lost(const fl_row_job *job, char *to, ptrdiff_t c, ptrdiff_t n, ptrdiff_t positives,
                      struct multilabel_scratch *s) {
    for (ptrdiff_t k = 0; k < positives; k++) {
        const ptrdiff_t inside = s->label[k] - c;
        real *g = inside >= 0 && inside < n ? &s->gained[inside] : (real *)(to + s->label[k] * job->grad_class_stride);
        *g -= s->lost[k];
    }
}

/* *sum of the hinges of a tile of classes c...c + n with all positives of the row. With a gradient, it gathers in memory
 * as whole numbers, so that the order in which they are added does not show. Returns 0, or -1 for a bad label. */
static int multilabel_tile(const fl_row_job *job, const char *row, const char *target, char *to, ptrdiff_t c,
                           ptrdiff_t n, double *sum, struct multilabel_scratch *s) {
    if (load_others(job, row, target, c, n, s) < 0) return -1;
    if (to) fetch_gained(job, to, c, n, s);
    for (ptrdiff_t at = 0, found; (found = next_positives(job, target, &at, s)) != 0;) {
        if (found < 0) return -1;
        for (ptrdiff_t k = 0; k < found; k++) s->base[k] = (real)job->margin - logit_at(job, row, s->label[k]);
        *sum += sum_hinges(s->others, whole_lanes(n), s->base, found);
        if (!to) continue;
        count_steps(s->gained, s->lost, s->others, whole_lanes(n), s->base, found);
        take_lost(job, to, c, n, found, s);
    }
    if (to) put_gained(job, to, c, n, s);
    return 0;
}

/* *sum of a row's hinges and, at `to` unless that is NULL, its gradient. Returns 0, or -1 for a bad label. */
static int multilabel_row(const fl_row_job *job, const char *row, const char *target, char *to, real factor,
                          double *sum, struct multilabel_scratch *s) {
    *sum = 0;
    if (to) put_zeros(job, to);
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = job->classes - c < FL_TILE ? job->classes - c : FL_TILE;
        if (multilabel_tile(job, row, target, to, c, n, sum, s) < 0) return -1;
    }
    for (ptrdiff_t c = 0; to && c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = job->classes - c < FL_TILE ? job->classes - c : FL_TILE;
        fetch_gained(job, to, c, n, s);
        tile_scale(s->gained, factor, whole_lanes(n));
        put_gained(job, to, c, n, s);
    }
    return 0;
}

/* Which positions count, as reals. */
static const real *load_counted(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, real *scratch) {
    if (job->mask.data) return fl_load(&kernels, &job->mask, start, n, scratch);
    for (ptrdiff_t r = 0; r < whole_lanes(n); r++) scratch[r] = 1;
    return scratch;
}

/* The slot of a list's first label that is no class, or -1. */
static ptrdiff_t bad_slot(const fl_row_job *job, const char *target, struct multilabel_scratch *s) {
    ptrdiff_t at = 0, found = 1;
    while (found > 0) found = next_positives(job, target, &at, s);
    return found < 0 ? at : -1;
}

/* What is bad is told as the position times the slots, plus the slot. */
static void multilabel_margin_block(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_row_job *job = arg;
    struct multilabel_scratch *s = (struct multilabel_scratch *)scratch;
    const ptrdiff_t size = row_block(job), start = block * size;
    const ptrdiff_t n = job->positions - start < size ? job->positions - start : size;
    const double scale = job->scale / (double)job->classes;
    const real *counted = load_counted(job, start, n, s->mask);
    const real *grad_output = load_grad_output(job, start, n, s->grad_output);
    for (ptrdiff_t r = 0; r < n; r++) {
        const char *target = position(&job->target, start + r);
        char *to = job->want & FL_GRAD ? (char *)position(&job->grad, start + r) : NULL;
        double sum = 0;
        s->value[r] = 0;
        if (counted[r] == 0) {
            if (to) put_zeros(job, to);
            continue;
        }
        const real factor = (real)(scale * (double)grad_output[r]);
        if (multilabel_row(job, position(&job->logits, start + r), target, to, factor, &sum, s) < 0) {
            const ptrdiff_t bad = bad_slot(job, target, s);
            out->bad = (start + r) * job->slots + (bad < 0 ? 0 : bad); /* another thread may have mended it */
            return;
        }
        s->value[r] = (real)(sum / (double)job->classes);
        out->weight += 1;
    }
    tile_clear_padding(s->value, n);
    if (job->value) memcpy((real *)job->value + start, s->value, (size_t)n * sizeof(real));
    out->sum += tile_sum(s->value, whole_lanes(n));
}

/* Check the labels of a block's rows and count them. */
static void multilabel_labels(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_row_job *job = arg;
    struct multilabel_scratch *s = (struct multilabel_scratch *)scratch;
    const ptrdiff_t size = row_block(job), start = block * size;
    const ptrdiff_t n = job->positions - start < size ? job->positions - start : size;
    const real *counted = load_counted(job, start, n, s->mask);
    for (ptrdiff_t r = 0; r < n; r++) {
        if (counted[r] == 0) continue;
        out->weight += 1;
        if (job->target.dtype == FL_BOOL) continue;
        const ptrdiff_t bad = bad_slot(job, position(&job->target, start + r), s);
        if (bad < 0) continue;
        out->bad = (start + r) * job->slots + bad;
        return;
    }
}

#endif
