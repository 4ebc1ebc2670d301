/* SPDX-License-Identifier: BSD-3-Clause */
/* softmax_state.h: a block of rows of classes: its size, its per-row state, and how labels, logits and soft targets are
 * loaded. A block is up to MAX_ROWS positions. Row kernels fill its state in one of two ways:
 *   rows     many classes, class axis last: one row after the other, tiles of classes
 *   columns  few classes, or an inner axis: lanes run over positions, tiles of classes x lanes
 * Which one depends on the shape alone.
 *
 * A soft target gives class c the mass q_c = w_c (keep t_c + spread), with w the class weights, t the target's
 * probability of c (0 where targets are labels), spread = smoothing / classes and keep = 1 - smoothing. A row's label then
 * has keep w[label] on top of it; a row with a distribution has no label, and its largest logit takes that place. */
#ifndef FL_SOFTMAX_STATE_H
#define FL_SOFTMAX_STATE_H

#include "packet.h"
#include "squares.h"

enum {
    MAX_ROWS = FL_TILE / 4, /* positions per block at most */
    COLUMN_CLASSES = 32,    /* classes per tile of columns */
    LINE = 64 / sizeof(real), /* reals in a cache line */
    ROW_CLASSES = 63,       /* longer rows are done one by one: shorter ones cost more than their exponentials */
    KEPT = COLUMN_CLASSES * MAX_ROWS - 2 * FL_TILE,
    CARRY_ROWS = sizeof(real) == sizeof(double) ? MAX_ROWS : 8 /* floats carry nothing; what follows stays aligned */
};

/* State of a block's rows, whole lanes. */
struct row_state {
    real max[MAX_ROWS], target_logit[MAX_ROWS], value[MAX_ROWS], weight[MAX_ROWS];
    real log_sum_exp[MAX_ROWS]; /* soft targets and z_loss only */
    real peak[MAX_ROWS];        /* mass of the label's own class */
    real inverse[MAX_ROWS];     /* factor of exp(x - max) in the gradient */
    real factor[MAX_ROWS];      /* of the mass in the gradient */
    real at_target[MAX_ROWS];   /* the gradient at the label */
    double others[MAX_ROWS];    /* sum of exp(x - max) without the label */
    double mass[MAX_ROWS];      /* sum of q */
    double drop[MAX_ROWS];      /* sum of q (max - x) */
    double carry[MAX_ROWS];     /* what additions to `others` rounded away (float64 columns only) */
    double mass_carry[CARRY_ROWS], drop_carry[CARRY_ROWS];
    ireal label[MAX_ROWS]; /* -1: left out */
};

struct row_scratch {
    struct row_state state;
    union {
        struct {
            real row[FL_TILE], mass[FL_TILE];
            real kept[KEPT]; /* exponentials of the block, where they fit, for the gradient */
        };
        int64_t labels[MAX_ROWS];
        real mask[MAX_ROWS];
        real columns[COLUMN_CLASSES][MAX_ROWS];
    } in;
    union {
        real out[FL_TILE];
        ireal place[MAX_ROWS]; /* of the labels in a tile of columns */
    };
    const real *column[COLUMN_CLASSES]; /* where the classes of a tile stand */
};
_Static_assert(sizeof(struct row_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a block of rows");

static int by_rows(const fl_row_job *job) { return job->inner == 1 && job->classes > ROW_CLASSES; }

/* Blocks of rows hold some 16 kB, which stay in L1 from the value to the gradient. */
static ptrdiff_t row_block(const fl_row_job *job) {
    const ptrdiff_t fit = 4 * FL_TILE / (job->classes > 0 ? job->classes : 1);
    if (by_rows(job)) return fit < 1 ? 1 : fit;
    if (job->inner > 1 || fit >= MAX_ROWS) return MAX_ROWS;
    return fit & -(ptrdiff_t)FL_LANES;
}

/* ---- labels ---------------------------------------------------------------------------------------------------- */

/* The given labels in our own form: -1 left out, -2 out of range; whether there is none such. */
static int narrow_labels(ireal *restrict label, const int64_t *restrict given, ptrdiff_t n, ptrdiff_t classes,
                         int64_t ignored, int every) {
    const int64_t none = every ? -1 : ignored, is_none = every ? -2 : -1;
    ireal bad = 0;
    for (ptrdiff_t r = 0; r < n; r++) {
        const int64_t inside = (uint64_t)given[r] < (uint64_t)classes || fl_planted("label") ? given[r] : -2;
        label[r] = (ireal)(given[r] == none ? is_none : inside);
    }
    for (ptrdiff_t r = 0; r < n; r++) bad |= (ireal)(label[r] == -2);
    return !bad;
}

/* weight = 1 where there is a label, else 0; their number. */
static ptrdiff_t weigh_labels(real *restrict weight, const ireal *restrict label, ptrdiff_t n) {
    ireal counted = 0;
    for (ptrdiff_t r = 0; r < n; r++) {
        const ireal counts = label[r] >= 0;
        weight[r] = (real)counts;
        counted += counts;
    }
    return (ptrdiff_t)counted;
}

/* state->label[n] and ->weight[n] of positions start...; each label is read once, compared, and only then used. */
static void load_labels(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s, fl_partial *out) {
    struct row_state *st = &s->state;
    const real *class_weight = job->class_weight;
    fl_load_labels(&job->target, start, n, s->in.labels);
    const int fine = narrow_labels(st->label, s->in.labels, n, job->classes, job->ignore_index, job->every_label);
    if (job->mask.data) {
        const real *mask = fl_load(&kernels, &job->mask, start, n, s->in.mask);
        for (ptrdiff_t r = 0; r < n; r++) st->label[r] = mask[r] == 0 ? -1 : st->label[r];
    }
    for (ptrdiff_t r = 0; !fine && r < n; r++)
        if (st->label[r] == -2 && out->bad < 0) out->bad = start + r, out->bad_operand = 1;
    const ptrdiff_t counted = weigh_labels(st->weight, st->label, n);
    if (!class_weight) out->weight += (double)counted;
    for (ptrdiff_t r = 0; class_weight && r < n; r++) {
        if (st->label[r] >= 0) st->weight[r] = class_weight[st->label[r]];
        out->weight += (double)st->weight[r];
    }
    for (ptrdiff_t r = n; r % FL_LANES; r++) st->label[r] = -1, st->weight[r] = 0;
}

/* Rows whose target is a distribution: each that the mask leaves counts once. */
static void count_rows(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s, fl_partial *out) {
    struct row_state *st = &s->state;
    for (ptrdiff_t r = 0; r < n; r++) st->label[r] = 0;
    if (job->mask.data) {
        const real *mask = fl_load(&kernels, &job->mask, start, n, s->in.mask);
        for (ptrdiff_t r = 0; r < n; r++) st->label[r] = mask[r] == 0 ? -1 : 0;
    }
    out->weight += (double)weigh_labels(st->weight, st->label, n);
    for (ptrdiff_t r = n; r % FL_LANES; r++) st->label[r] = -1, st->weight[r] = 0;
}

static void load_targets(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s, fl_partial *out) {
    if (job->target.data)
        load_labels(job, start, n, s, out);
    else
        count_rows(job, start, n, s, out);
}

static void row_labels(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_row_job *job = arg;
    const ptrdiff_t size = row_block(job), start = block * size, left = job->positions - start;
    load_targets(job, start, left < size ? left : size, (struct row_scratch *)scratch, out);
}

/* ---- soft targets ------------------------------------------------------------------------------------------------ */

static int has_mass(const fl_row_job *job) { return !job->target.data || job->smoothing != 0; }

struct shares {
    real keep, spread;
    double labelled; /* the label's share of its class weight: keep, or 0 for distributions */
};

static struct shares shares_of(const fl_row_job *job) {
    const double smoothing = (double)(real)job->smoothing, classes = (double)job->classes;
    return (struct shares){(real)(1 - smoothing), (real)(smoothing / classes), job->target.data ? 1 - smoothing : 0};
}

/* factor x, where a factor of 0 leaves nothing, even of infinity; NaN stays. */
FL_INLINE real r_times(real factor, real x) {
    return r_where(factor != 0, factor * x, r_where(x == x, 0, x));
}
FL_INLINE double double_times(double factor, double x) {
    const double nothing = x == x ? 0 : x;
    return factor != 0 ? factor * x : nothing;
}

static void tile_fill(real *restrict v, real x, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) v[i] = x;
}

/* q = keep t + spread; q may be t. */
static void tile_mix(real *q, const real *t, ptrdiff_t n, real keep, real spread) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) q[i] = r_fma(t[i], keep, spread);
}

/* y = q (top - x), 0 where q is 0 */
static void tile_drop(real *restrict y, const real *restrict q, const real *restrict x, ptrdiff_t n, real top) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) y[i] = r_times(q[i], top - x[i]);
}

/* Mass of the n classes from c on, of the row whose distribution begins at `t`, in s->in.mass: whole lanes, 0 in the
 * padding. Uses s->out. */
static const real *load_mass(const fl_row_job *job, const char *t, ptrdiff_t c, ptrdiff_t n, struct row_scratch *s) {
    const struct shares share = shares_of(job);
    const real *weight = job->class_weight;
    const ptrdiff_t lanes = whole_lanes(n);
    real *q = s->in.mass;
    if (job->target.data)
        tile_fill(q, share.spread, lanes);
    else {
        const ptrdiff_t stride = job->distribution_stride;
        const real *given = fl_load_run(&kernels, &job->distribution, t + c * stride, stride, n, q);
        tile_mix(q, given, lanes, share.keep, share.spread);
    }
    if (weight) {
        memcpy(s->out, weight + c, (size_t)n * sizeof(real));
        for (ptrdiff_t k = n; k < lanes; k++) s->out[k] = 0;
        tile_multiply(q, s->out, lanes);
    }
    for (ptrdiff_t k = n; k < lanes; k++) q[k] = 0;
    return q;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

static const char *position(const fl_operand *op, ptrdiff_t p) {
    ptrdiff_t index[FL_MAX_DIMS];
    const char *run;
    fl_unravel(op, p, index);
    fl_next_run(op, index, 1, &run);
    return run;
}

/* Where the n positions from start on stand if one stride leads through them all, else NULL. */
static const char *one_run(const fl_operand *op, ptrdiff_t start, ptrdiff_t n) {
    ptrdiff_t index[FL_MAX_DIMS];
    const char *run;
    fl_unravel(op, start, index);
    return fl_next_run(op, index, n, &run) == n ? run : NULL;
}

/* Whether an operand holds reals as they are. */
static int is_native(const fl_operand *op) {
    return op->dtype == (sizeof(real) == 4 ? FL_FLOAT32 : FL_FLOAT64) && !op->swapped;
}

/* Where the distribution of position p begins, or NULL. */
static const char *distribution_at(const fl_row_job *job, ptrdiff_t p) {
    return job->target.data ? NULL : position(&job->distribution, p);
}

static const real *load_grad_output(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, real *scratch) {
    if (job->grad_output.data) return fl_load(&kernels, &job->grad_output, start, n, scratch);
    tile_fill(scratch, 1, whole_lanes(n));
    return scratch;
}

/* One class of a block's gradients, g[n], to where class c of positions start... belongs. */
static void store_column(const fl_row_job *job, ptrdiff_t c, ptrdiff_t start, ptrdiff_t n, const real *g) {
    const ptrdiff_t stride = job->grad.strides[job->grad.ndim - 1];
    ptrdiff_t index[FL_MAX_DIMS];
    const char *run;
    fl_unravel(&job->grad, start, index);
    while (n > 0) {
        const ptrdiff_t length = fl_next_run(&job->grad, index, n, &run);
        run += c * job->grad_class_stride;
        if (stride == sizeof(real))
            memcpy((char *)run, g, (size_t)length * sizeof(real));
        else
            for (ptrdiff_t r = 0; r < length; r++) *(real *)(run + r * stride) = g[r];
        g += length;
        n -= length;
    }
}

/* Classes of n positions to columns, in squares, where their logits stand side by side: whether they do. */
static int turn_logits(const fl_row_job *job, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t start, ptrdiff_t n,
                       real (*columns)[MAX_ROWS]) {
    const fl_operand *op = &job->logits;
    if (classes < SIDE || job->class_stride != sizeof(real) || !is_native(op)) return 0;
    const char *run = one_run(op, start, n);
    if (!run) return 0;
    rows_to_columns(columns[0], MAX_ROWS, run + first * job->class_stride, op->strides[op->ndim - 1], n, classes);
    for (ptrdiff_t c = 0; n % FL_LANES && c < classes; c++)
        for (ptrdiff_t r = n; r % FL_LANES; r++) columns[c][r] = columns[c][n - 1];
    return 1;
}

/* Where the gradients of a tile of classes of n positions belong if squares of them may be written there, else NULL. */
static char *grad_squares(const fl_row_job *job, ptrdiff_t first, ptrdiff_t classes, ptrdiff_t start, ptrdiff_t n) {
    if (classes < SIDE || job->grad_class_stride != sizeof(real)) return NULL;
    const char *run = one_run(&job->grad, start, n);
    return run ? (char *)run + first * job->grad_class_stride : NULL;
}

/* Columns of gradients to where grad_squares says. */
static void store_squares(const fl_row_job *job, char *to, ptrdiff_t n, ptrdiff_t classes, real (*columns)[MAX_ROWS]) {
    columns_to_rows(to, job->grad.strides[job->grad.ndim - 1], columns[0], MAX_ROWS, n, classes);
}

/* Where class c of positions start... belongs if kernels may write n reals there at once, else NULL. */
static real *grad_column(const fl_row_job *job, ptrdiff_t c, ptrdiff_t start, ptrdiff_t n) {
    ptrdiff_t index[FL_MAX_DIMS];
    const char *run;
    if (n % FL_LANES || job->grad.strides[job->grad.ndim - 1] != sizeof(real)) return NULL;
    fl_unravel(&job->grad, start, index);
    return fl_next_run(&job->grad, index, n, &run) == n ? (real *)(run + c * job->grad_class_stride) : NULL;
}

#endif
