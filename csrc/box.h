/* SPDX-License-Identifier: BSD-3-Clause */
/* box.h: intersection over union of boxes: of matched pairs with its relatives GIoU, DIoU and CIoU and their gradients,
 * and of all pairs. A box is two intervals, one per axis:
 *   I = shared_x shared_y,  U = own + other - I,  iou = I / (U + eps)
 *   GIoU  1 - iou + (A - U) / (A + eps), A the area of the smallest box around both
 *   DIoU  1 - iou + d^2 / (c^2 + eps), d between the centers, c the diagonal of that box
 *   CIoU  DIoU + alpha v,  v = 4/pi^2 (angle_other - angle_own)^2,  angle = atan(width / height), alpha = v / (1 - iou + v +
 *         eps), taken as constant in the gradient
 * Every length is at least 0, so that a reversed box is an empty one; at 0 its derivative passes, where two ends meet each
 * takes half. What is divided by 0, without eps, is 0. */
#ifndef FL_BOX_H
#define FL_BOX_H

#include "tile.h"
#include "vecmath.h"

enum { BOXES = FL_BOX_BYTES / sizeof(real) }; /* pairs per block */

struct box_scratch {
    real own[4][BOXES], other[4][BOXES], grad[4][BOXES];
    real value[BOXES], factor[BOXES], mask[BOXES];
    const real *x[4], *y[4]; /* coordinates of the block: in the arrays above, or the user's memory */
};
_Static_assert(sizeof(struct box_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a block of boxes");

/* ---- loading --------------------------------------------------------------------------------------------------- */

/* Boxes at `from`, four reals each, to four arrays of whole lanes, padded with the last box. */
static void split_boxes(real (*restrict to)[BOXES], const real *restrict from, ptrdiff_t n) {
    real *restrict a = to[0], *restrict b = to[1], *restrict c = to[2], *restrict d = to[3];
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        a[i] = from[4 * i];
        b[i] = from[4 * i + 1];
        c[i] = from[4 * i + 2];
        d[i] = from[4 * i + 3];
    }
    for (ptrdiff_t i = n; i % FL_LANES; i++)
        for (int k = 0; k < 4; k++) to[k][i] = to[k][n - 1];
}

static void join_boxes(real *restrict to, real (*restrict from)[BOXES], ptrdiff_t n) {
    const real *restrict a = from[0], *restrict b = from[1], *restrict c = from[2], *restrict d = from[3];
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        to[4 * i] = a[i];
        to[4 * i + 1] = b[i];
        to[4 * i + 2] = c[i];
        to[4 * i + 3] = d[i];
    }
}

/* n boxes from `start` on; coordinates lie `stride` bytes apart. */
static void load_boxes(const fl_operand *op, ptrdiff_t stride, ptrdiff_t start, ptrdiff_t n, real (*to)[BOXES],
                       const real **x) {
    const int native = op->dtype == (sizeof(real) == 4 ? FL_FLOAT32 : FL_FLOAT64) && !op->swapped;
    const int packed = op->ndim == 1 && op->strides[0] == 4 * (ptrdiff_t)sizeof(real) && stride == sizeof(real);
    if (native && packed && (uintptr_t)op->data % sizeof(real) == 0) {
        split_boxes(to, (const real *)(op->data + start * op->strides[0]), n);
        for (int k = 0; k < 4; k++) x[k] = to[k];
    } else
        for (int k = 0; k < 4; k++) x[k] = fl_load_at(&kernels, op, k * stride, start, n, to[k]);
}

/* ---- one pair -------------------------------------------------------------------------------------------------- */

/* One axis of a pair, and derivatives by the own interval's low and high end and by its length. */
struct axis {
    real own, other, shared, around, apart; /* lengths, and the distance of the centers */
    real own_step;
    real shared_low, shared_high, around_low, around_high;
};

/* a where the condition holds, half of it where two ends meet. */
FL_INLINE real box_step(int beyond, int meets, real gate) {
    return r_where(beyond, gate, r_where(meets, R(0.5) * gate, 0));
}

/* (p, q) and (r, s): ends of the two intervals, or their centers and lengths. */
FL_INLINE struct axis box_axis(real p, real q, real r, real s, int centers, int gradient) {
    const real a = centers ? p - R(0.5) * q : p, b = centers ? p + R(0.5) * q : q;
    const real c = centers ? r - R(0.5) * s : r, d = centers ? r + R(0.5) * s : s;
    const real own = centers ? q : q - p, other = centers ? s : s - r;
    const real shared = r_min(b, d) - r_max(a, c), around = r_max(b, d) - r_min(a, c);
    struct axis out = {r_max(r_zero, own), r_max(r_zero, other), r_max(r_zero, shared), r_max(r_zero, around),
                       centers ? p - r : R(0.5) * ((a - c) + (b - d)), 0, 0, 0, 0, 0};
    if (!gradient) return out;
    const real within = r_where(shared > 0, 1, 0), open = r_where(around >= 0, 1, 0);
    out.own_step = r_where(own >= 0, 1, 0);
    out.shared_low = -box_step(a > c, a == c, within);
    out.shared_high = box_step(b < d, b == d, within);
    out.around_low = -box_step(a < c, a == c, open);
    out.around_high = box_step(b > d, b == d, open);
    return out;
}

/* x / y of y >= 0; what is divided by 0, or by what is no normal number, is 0. */
FL_INLINE real box_ratio(real x, real y) { return r_where(y < R_MIN, x - x, x / y); }

/* 4/pi^2 times the difference of the angles, squared; its root's sign is that of `turn`. One of no size has none. */
struct aspect {
    real v, turn;
};

FL_INLINE struct aspect box_aspect(struct axis x, struct axis y) {
    const real across = x.other * y.own - x.own * y.other, along = x.other * x.own + y.other * y.own;
    const real none = across - across; /* 0, or nan */
    const real turn = r_where((across == 0) & (along == 0), none, r_atan(across / along)) * R(0.63661977236758134308);
    return (struct aspect){turn * turn, turn};
}

struct pair_loss {
    real value, low[2], high[2], length[2], center[2]; /* derivatives by what an axis is made of */
};

FL_INLINE struct pair_loss box_pair(struct axis x, struct axis y, real eps, int kind, int gradient) {
    const real shared = x.shared * y.shared, own = x.own * y.own, other = x.other * y.other;
    const real rest = (own - shared) + (other - shared), joint = rest + shared, below = joint + eps;
    const real iou = box_ratio(shared, below);
    /* without eps and area nothing is shared: a loss of 1 */
    real value = r_where(below < R_MIN, 1, (rest + eps) / below);
    const real by_shared = -box_ratio(R(1.0) + iou, below), by_own = box_ratio(iou, below); /* of 1 - iou */
    struct pair_loss out = {0};
    real of_shared = by_shared, of_own = by_own, of_around[2] = {0, 0};
    if (kind == FL_GIOU) {
        const real around = x.around * y.around, all = around + eps, empty = box_ratio(around - joint, all);
        value += empty;
        of_shared += box_ratio(1, all);
        of_own -= box_ratio(1, all);
        const real slope = box_ratio(R(1.0) - empty, all);
        of_around[0] = slope * y.around;
        of_around[1] = slope * x.around;
    }
    if (kind == FL_DIOU || kind == FL_CIOU) {
        const real apart = x.apart * x.apart + y.apart * y.apart;
        const real across = (x.around * x.around + y.around * y.around) + eps, share = box_ratio(apart, across);
        value += share;
        const real slope = box_ratio(2, across);
        out.center[0] = slope * x.apart;
        out.center[1] = slope * y.apart;
        of_around[0] = -slope * share * x.around;
        of_around[1] = -slope * share * y.around;
    }
    if (kind == FL_CIOU) {
        const struct aspect angle = box_aspect(x, y);
        const real alpha = box_ratio(angle.v, ((R(1.0) - iou) + angle.v) + eps);
        value = r_fma(alpha, angle.v, value);
        const real size = x.own * x.own + y.own * y.own;
        /* sizes whose squares are no normal numbers have no aspect */
        const real slope = r_where(size < R_MIN, 0, R(-4.0 * 0.31830988618379067154) * alpha * angle.turn / size);
        out.length[0] = slope * y.own * x.own_step;
        out.length[1] = -slope * x.own * y.own_step;
    }
    out.value = value;
    if (!gradient) return out;
    out.length[0] += of_own * y.own * x.own_step;
    out.length[1] += of_own * x.own * y.own_step;
    out.low[0] = of_shared * (x.shared_low * y.shared) + of_around[0] * x.around_low;
    out.high[0] = of_shared * (x.shared_high * y.shared) + of_around[0] * x.around_high;
    out.low[1] = of_shared * (y.shared_low * x.shared) + of_around[1] * y.around_low;
    out.high[1] = of_shared * (y.shared_high * x.shared) + of_around[1] * y.around_high;
    return out;
}

/* ---- a block of pairs -------------------------------------------------------------------------------------------- */

FL_INLINE void box_lanes(struct box_scratch *s, ptrdiff_t n, real eps, int kind, int centers, int gradient) {
    const real *restrict p0 = s->x[0], *restrict p1 = s->x[1], *restrict p2 = s->x[2], *restrict p3 = s->x[3];
    const real *restrict t0 = s->y[0], *restrict t1 = s->y[1], *restrict t2 = s->y[2], *restrict t3 = s->y[3];
    real *restrict g0 = s->grad[0], *restrict g1 = s->grad[1], *restrict g2 = s->grad[2], *restrict g3 = s->grad[3];
    real *restrict value = s->value;
    const real *restrict factor = s->factor;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const struct axis x = box_axis(p0[i], p2[i], t0[i], t2[i], centers, gradient);
        const struct axis y = box_axis(p1[i], p3[i], t1[i], t3[i], centers, gradient);
        const struct pair_loss out = box_pair(x, y, eps, kind, gradient);
        value[i] = out.value;
        if (!gradient) continue;
        const real f = factor[i];
        const real half = R(0.5);
        if (centers) {
            g0[i] = f * ((out.low[0] + out.high[0]) + out.center[0]);
            g1[i] = f * ((out.low[1] + out.high[1]) + out.center[1]);
            g2[i] = f * (half * (out.high[0] - out.low[0]) + out.length[0]);
            g3[i] = f * (half * (out.high[1] - out.low[1]) + out.length[1]);
        } else {
            g0[i] = f * ((out.low[0] - out.length[0]) + half * out.center[0]);
            g1[i] = f * ((out.low[1] - out.length[1]) + half * out.center[1]);
            g2[i] = f * ((out.high[0] + out.length[0]) + half * out.center[0]);
            g3[i] = f * ((out.high[1] + out.length[1]) + half * out.center[1]);
        }
    }
}

/* `lanes_box_giou_centers_grad` and the like: whether boxes are given by their centers, and the gradient asked for. */
#define FL_STAMP_BOX(kind, KIND)                                                                                      \
    static void lanes_box_##kind(struct box_scratch *s, ptrdiff_t n, real eps) {                                     \
        box_lanes(s, n, eps, KIND, 0, 0);                                                                             \
    }                                                                                                                 \
    static void lanes_box_##kind##_grad(struct box_scratch *s, ptrdiff_t n, real eps) {                              \
        box_lanes(s, n, eps, KIND, 0, 1);                                                                             \
    }                                                                                                                 \
    static void lanes_box_##kind##_centers(struct box_scratch *s, ptrdiff_t n, real eps) {                           \
        box_lanes(s, n, eps, KIND, 1, 0);                                                                             \
    }                                                                                                                 \
    static void lanes_box_##kind##_centers_grad(struct box_scratch *s, ptrdiff_t n, real eps) {                      \
        box_lanes(s, n, eps, KIND, 1, 1);                                                                             \
    }
FL_STAMP_BOX(iou, FL_IOU)
FL_STAMP_BOX(giou, FL_GIOU)
FL_STAMP_BOX(diou, FL_DIOU)
FL_STAMP_BOX(ciou, FL_CIOU)

#define FL_BOX_ENTRIES(kind)                                                                                          \
    {{lanes_box_##kind, lanes_box_##kind##_grad}, {lanes_box_##kind##_centers, lanes_box_##kind##_centers_grad}}

/* A positive eps stays positive in the working type. */
static real box_eps(const fl_box_job *job) {
    const real eps = (real)job->eps;
    return job->eps > 0 && eps < R_MIN ? R_MIN : eps;
}

static void box_factors(const fl_box_job *job, ptrdiff_t start, ptrdiff_t n, struct box_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(n);
    if (!job->grad_output.data) {
        for (ptrdiff_t i = 0; i < lanes; i++) s->factor[i] = (real)job->scale;
        return;
    }
    const real *given = fl_load(&kernels, &job->grad_output, start, n, s->factor);
    for (ptrdiff_t i = 0; i < lanes; i++) s->factor[i] = (real)(job->scale * (double)given[i]);
}

static void box_block(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    typedef void (*lanes_fn)(struct box_scratch *, ptrdiff_t, real);
    static const lanes_fn run[4][2][2] = {
        [FL_IOU] = FL_BOX_ENTRIES(iou),
        [FL_GIOU] = FL_BOX_ENTRIES(giou),
        [FL_DIOU] = FL_BOX_ENTRIES(diou),
        [FL_CIOU] = FL_BOX_ENTRIES(ciou),
    };
    const fl_box_job *job = arg;
    struct box_scratch *s = (struct box_scratch *)scratch;
    const ptrdiff_t start = block * BOXES, left = job->positions - start, n = left < BOXES ? left : BOXES;
    const ptrdiff_t lanes = whole_lanes(n);
    const int gradient = job->grad != NULL;
    load_boxes(&job->input, job->input_stride, start, n, s->own, s->x);
    load_boxes(&job->target, job->target_stride, start, n, s->other, s->y);
    if (gradient) box_factors(job, start, n, s);
    run[job->kind][job->centers][gradient](s, lanes, box_eps(job));
    tile_clear_padding(s->value, n);
    out->weight = (double)n;
    if (job->mask.data) {
        const real *mask = fl_load(&kernels, &job->mask, start, n, s->mask);
        tile_mask(s->value, mask, lanes);
        for (int k = 0; gradient && k < 4; k++) tile_mask(s->grad[k], mask, lanes);
        out->weight = 0;
        for (ptrdiff_t i = 0; i < n; i++) out->weight += mask[i] != 0;
    }
    out->sum = tile_sum_wide(s->value, lanes);
    if (job->value) memcpy((real *)job->value + start, s->value, (size_t)n * sizeof(real));
    if (gradient) join_boxes((real *)job->grad + 4 * start, s->grad, n);
}

/* ---- all pairs --------------------------------------------------------------------------------------------------- */

FL_INLINE void matrix_lanes(struct box_scratch *s, ptrdiff_t n, const real *box, int centers) {
    const real *restrict t0 = s->y[0], *restrict t1 = s->y[1], *restrict t2 = s->y[2], *restrict t3 = s->y[3];
    const real p0 = box[0], p1 = box[1], p2 = box[2], p3 = box[3];
    real *restrict value = s->value;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const struct axis x = box_axis(p0, p2, t0[i], t2[i], centers, 0), y = box_axis(p1, p3, t1[i], t3[i], centers, 0);
        const real shared = x.shared * y.shared, own = x.own * y.own, other = x.other * y.other;
        value[i] = box_ratio(shared, (own - shared) + other);
    }
}

static void lanes_matrix(struct box_scratch *s, ptrdiff_t n, const real *box) { matrix_lanes(s, n, box, 0); }
static void lanes_matrix_centers(struct box_scratch *s, ptrdiff_t n, const real *box) { matrix_lanes(s, n, box, 1); }

/* FL_BOX_ROWS boxes of `input` against BOXES of `target`; blocks go along the rows of the matrix. */
static void box_matrix_block(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_box_job *job = arg;
    struct box_scratch *s = (struct box_scratch *)scratch;
    const ptrdiff_t across = (job->columns + BOXES - 1) / BOXES;
    const ptrdiff_t row = block / across * FL_BOX_ROWS, column = block % across * BOXES;
    const ptrdiff_t rows = job->positions - row < FL_BOX_ROWS ? job->positions - row : FL_BOX_ROWS;
    const ptrdiff_t n = job->columns - column < BOXES ? job->columns - column : BOXES;
    (void)out;
    load_boxes(&job->input, job->input_stride, row, rows, s->own, s->x);
    load_boxes(&job->target, job->target_stride, column, n, s->other, s->y);
    for (ptrdiff_t r = 0; r < rows; r++) {
        const real box[4] = {s->x[0][r], s->x[1][r], s->x[2][r], s->x[3][r]};
        (job->centers ? lanes_matrix_centers : lanes_matrix)(s, whole_lanes(n), box);
        memcpy((real *)job->value + (row + r) * job->columns + column, s->value, (size_t)n * sizeof(real));
    }
}

#endif
