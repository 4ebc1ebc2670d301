/* SPDX-License-Identifier: BSD-3-Clause */
/* elementwise.h: the one driver of all elementwise losses. A block is walked in tiles: load, map, multiply by weights,
 * mask, sum; or, where nobody asks for the values, load and sum. */
#ifndef FL_ELEMENTWISE_H
#define FL_ELEMENTWISE_H

#include "elementwise_maps.h"
#include "stream.h"
#include "tile.h"

static enum domain domain_of(const struct row *row, int operand, double power) {
    if (row->domain[operand] != OF_POWER) return row->domain[operand];
    return power > 2 ? POSITIVE : power >= 1 ? NONNEGATIVE : ANY;
}

/* The smallest number of a domain. */
static real lowest(enum domain domain) {
    return domain == NONNEGATIVE || domain == UNIT ? 0
           : domain == POSITIVE        ? R_MIN * R_EPSILON
           : domain == ABOVE_MINUS_ONE ? R(-1.0) + R(0.5) * R_EPSILON
                                       : -R_INFINITY;
}

/* What lies outside [low, high]: any of x[n], whole lanes; NaN does not: it makes its own element NaN. */
static int tile_leaves(const real *restrict x, real low, real high, ptrdiff_t n) {
    ireal any = 0; /* of the real's width: SSE2 has no other comparison of doubles */
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) any |= r_bits(x[i] < low ? R(1.0) : 0) | r_bits(x[i] > high ? R(1.0) : 0);
    return any != 0;
}

/* Whether an x[n], whole lanes, has its sign set or is, as an integer, below `least`; as integers, since that leaves a sign,
 * where a comparison of reals has to be made a number first. */
static int signs_below(const real *restrict x, ireal least, ptrdiff_t n) {
    ireal any = 0;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) any |= r_bits(x[i]) | (ireal)((ureal)r_bits(x[i]) - (ureal)least);
    return any < 0;
}

/* The same for a sign, or what is above `most`. */
static int signs_above(const real *restrict x, ireal most, ptrdiff_t n) {
    ireal any = 0;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) any |= r_bits(x[i]) | (ireal)((ureal)most - (ureal)r_bits(x[i]));
    return any < 0;
}

/* Whether x[n] may leave the domain [low, high]: sometimes it does not, for -0 or NaN. */
static int may_leave(const real *x, real low, real high, ptrdiff_t n) {
    if (low < 0) return tile_leaves(x, low, high, n);
    return high == 1 ? signs_above(x, r_bits(1), n) : signs_below(x, r_bits(low), n);
}

/* First of x[n] that counts and lies outside the domain, or -1. x is padded to whole lanes. */
static ptrdiff_t first_outside(const real *x, const real *mask, ptrdiff_t n, enum domain domain) {
    const real low = lowest(domain), high = domain == UNIT ? 1 : R_INFINITY;
    if (domain == ANY || !may_leave(x, low, high, whole_lanes(n))) return -1;
    for (ptrdiff_t i = 0; i < n; i++)
        if ((x[i] < low || x[i] > high) && !(mask && mask[i] == 0)) return i;
    return -1;
}

/* A block's scratch, one tile each. */
struct tiles {
    real in[FL_MAX_OPERANDS][FL_TILE], weight[FL_TILE], mask[FL_TILE], grad_output[FL_TILE], value[FL_TILE];
    real grad[FL_MAX_PREDICTIONS][FL_TILE], hess[FL_TILE];
    real step[FL_MAX_OPERANDS + FL_MAX_PREDICTIONS + 2][FL_STEP];
    int far; /* whether quick maps are left alone */
};
_Static_assert(sizeof(struct tiles) <= FL_SCRATCH_BYTES, "the scratch holds every tile");

static const real *load_optional(const fl_operand *op, ptrdiff_t start, ptrdiff_t n, real *scratch) {
    return op->data ? fl_load(&kernels, op, start, n, scratch) : NULL;
}

/* Where a kernel writes n reals bound for `to`: straight there if they are whole lanes, else to the scratch tile. */
FL_INLINE real *destination(real *to, ptrdiff_t n, real *scratch) { return to && n % FL_LANES == 0 ? to : scratch; }

FL_INLINE void deliver(real *to, ptrdiff_t n, const real *tile) {
    if (to && tile != to) memcpy(to, tile, (size_t)n * sizeof(real));
}

FL_INLINE real *element(void *array, ptrdiff_t start) { return array ? (real *)array + start : NULL; }

/* A parameter in this precision; a positive one stays positive. */
FL_INLINE real real_param(double p) {
    const real rounded = (real)p;
    return p > 0 && rounded == 0 ? R_MIN * R_EPSILON : rounded;
}

/* The gradients' scale as a factor for the kernel and one for the end: a float cannot hold every scale, but weights of
 * 1e37 and a scale of 1e-43 make a float again. */
static void split_scale(double scale, real *first, real *last) {
    *first = (real)scale;
    *last = 1;
    const double size = scale < 0 ? -scale : scale;
    if (sizeof(real) == sizeof(double) || size == 0 || !(size <= DBL_MAX) || (size >= R_MIN && size <= R_MAX)) return;
    uint64_t bits;
    memcpy(&bits, &size, sizeof bits);
    bits &= (uint64_t)0x7ff << 52;
    double power; /* of two, at most size */
    memcpy(&power, &bits, sizeof power);
    if (power == 0) return;
    if (size < 1) power *= 2; /* the first factor below 1: what is large does not overflow on the way */
    *last = (real)(power < 0x1p-149 ? 0x1p-149 : power > 0x1p127 ? 0x1p127 : power);
    *first = (real)(scale / (double)*last);
}

/* A map of n elements, whole lanes: FL_LANES that are left over by whole steps once more as a step, on copies. Gives whether
 * any was far. */
static int walk_steps(map_fn map, const fl_loss_info *info, int want, const struct map *m, ptrdiff_t n,
                      real (*step)[FL_STEP]) {
    const size_t bytes = FL_LANES * sizeof(real);
    const ptrdiff_t done = n & -(ptrdiff_t)FL_STEP;
    struct map last = *m;
    real *const value = *step++, *const hess = *step++;
    int far = map(m, done);
    if (done == n) return far;
    last.value = value, last.hess = hess;
    for (int k = 0; k < info->n_operands; k++) {
        memcpy(*step, m->in[k] + done, bytes);
        memcpy(*step + FL_LANES, *step, bytes);
        last.in[k] = *step++;
    }
    for (int k = 0; k < info->n_predictions; k++) last.grad[k] = *step++;
    far |= map(&last, FL_STEP);
    memcpy(m->value + done, value, bytes);
    if (want & FL_HESS) memcpy(m->hess + done, hess, bytes);
    for (int k = 0; want & FL_GRAD && k < info->n_predictions; k++) memcpy(m->grad[k] + done, last.grad[k], bytes);
    return far;
}

/* By the quick map, if there is one; where any element is far, once more by the other, which is taken from then on: far ones
 * seldom come alone. Gives whether the quick one held, and all thus are in their domains. */
static int walk_map(int loss, int want, const struct map *m, ptrdiff_t n, struct tiles *t) {
    const fl_loss_info *info = &elementwise_losses[loss];
    const int with = want & FL_HESS ? 2 : want & FL_GRAD ? 1 : 0;
    const map_fn quick = with < 2 ? rows[loss].near[with] : NULL;
    if (quick && !t->far) {
        t->far = walk_steps(quick, info, want, m, n, t->step);
        if (!t->far) return 1;
    }
    walk_steps(rows[loss].map[with], info, want, m, n, t->step);
    return 0;
}

static void finish_gradient(real *g, ptrdiff_t n, const real *weight, const real *mask, const real *grad_output,
                            real scale) {
    if (weight) tile_multiply(g, weight, n);
    if (grad_output) tile_multiply(g, grad_output, n);
    if (scale != 1) tile_scale(g, scale, n);
    if (mask) tile_mask(g, mask, n);
}

/* Where element `start` of an output belongs: in the caller's array, on the stage of what is folded, or nowhere. */
static real *output_at(const fl_elementwise_job *job, void *array, void *stage, ptrdiff_t start) {
    if (array || !stage) return element(array, start);
    return element(stage, start - job->stage_first * FL_BLOCK);
}

static real *gradient_at(const fl_elementwise_job *job, int k, ptrdiff_t start) {
    return output_at(job, job->grad[k], job->stage[k], start);
}

/* Whether the values of n elements are added up without being stored, which is twice as fast for losses of few
 * operations: whole lanes that nobody wants to see. */
static int sums_directly(const fl_elementwise_job *job, ptrdiff_t n) {
    return rows[job->loss].sum[0] && n % FL_LANES == 0 && !(job->want & FL_HESS) && !job->value && !job->value_stage &&
           !job->weight.data && !job->mask.data;
}

/* Sums with gradients, which pass the caches by on their way from a tile to beyond[]: a piece is summed, then the one
 * before it is sent off, whose own stores are over by then. */
static void sum_streaming(const struct row *row, int n_grad, const struct map *m, ptrdiff_t n, double *lane,
                          real *const *beyond) {
    for (ptrdiff_t at = 0; at < n; at += STREAM_LAG) {
        const ptrdiff_t some = n - at < STREAM_LAG ? n - at : STREAM_LAG;
        struct map piece = *m;
        for (int k = 0; k < FL_MAX_OPERANDS; k++) piece.in[k] = m->in[k] ? m->in[k] + at : NULL;
        for (int k = 0; k < n_grad; k++) piece.grad[k] = m->grad[k] + at;
        row->sum[1](&piece, some, lane);
        for (int k = 0; k < n_grad; k++) stream_behind(beyond[k], m->grad[k], at, some);
    }
    for (int k = 0; k < n_grad; k++) stream_rest(beyond[k], m->grad[k], n, n > STREAM_LAG ? n - STREAM_LAG : 0);
}

/* What stands in x (each operand's n elements from `start` on) outside its domain. */
static void check_domains(const fl_elementwise_job *job, const real *const *x, const real *mask, ptrdiff_t start,
                          ptrdiff_t n, fl_partial *out) {
    const struct row *row = &rows[job->loss];
    for (int k = 0; k < elementwise_losses[job->loss].n_operands && out->bad < 0; k++) {
        const ptrdiff_t bad = first_outside(x[k], mask, n, domain_of(row, k, job->param[0]));
        if (bad >= 0) out->bad = start + bad, out->bad_operand = k;
    }
}

/* n elements, at most a tile. Their values go to lane[]. */
static void elementwise_tile(const fl_elementwise_job *job, ptrdiff_t start, ptrdiff_t n, struct tiles *t, double *lane,
                             fl_partial *out) {
    const fl_loss_info *info = &elementwise_losses[job->loss];
    const struct row *row = &rows[job->loss];
    const ptrdiff_t lanes = whole_lanes(n);
    struct map m = {.in = {NULL}};
    real last_scale;
    split_scale(job->scale, &m.scale, &last_scale);
    real *const value = output_at(job, job->value, job->value_stage, start), *const hess = element(job->hess, start);

    for (int k = 0; k < info->n_operands; k++) m.in[k] = fl_load(&kernels, &job->in[k], start, n, t->in[k]);
    for (int k = 0; k < info->n_params; k++) m.param[k] = real_param(job->param[k]);
    const real *weight = load_optional(&job->weight, start, n, t->weight);
    const real *mask = load_optional(&job->mask, start, n, t->mask);

    const int summed = sums_directly(job, n);
    int checked = 0;
    const int stream = summed && job->stream && job->want & FL_GRAD && !job->grad_output.data && last_scale == 1;
    m.value = destination(value, n, t->value);
    m.hess = destination(hess, n, t->hess);
    real *beyond[FL_MAX_PREDICTIONS];
    for (int k = 0; job->want & FL_GRAD && k < info->n_predictions; k++) {
        beyond[k] = gradient_at(job, k, start);
        m.grad[k] = stream ? t->grad[k] : destination(beyond[k], n, t->grad[k]);
    }
    if (stream) {
        sum_streaming(row, info->n_predictions, &m, n, lane, beyond);
    } else if (summed) {
        row->sum[job->want & FL_GRAD ? 1 : 0](&m, n, lane);
    } else {
        checked = walk_map(job->loss, job->want, &m, lanes, t);
        if (weight) tile_multiply(m.value, weight, lanes);
        if (mask) tile_mask(m.value, mask, lanes);
        deliver(value, n, m.value);
        if (!value) {
            tile_clear_padding(m.value, n);
            add_to_lanes(lane, m.value, lanes);
        }
    }
    /* Only now, when the operands stand in L1: to wait for memory beside the map's arithmetic costs less than before it. */
    if (!checked) check_domains(job, m.in, mask, start, n, out);
    const real *grad_output =
        job->want & FL_GRAD ? load_optional(&job->grad_output, start, n, t->grad_output) : NULL;
    for (int k = 0; job->want & FL_GRAD && !stream && k < info->n_predictions; k++) {
        finish_gradient(m.grad[k], lanes, weight, mask, grad_output, last_scale);
        deliver(beyond[k], n, m.grad[k]);
    }
    if (job->want & FL_HESS) {
        finish_gradient(m.hess, lanes, weight, mask, grad_output, last_scale);
        deliver(hess, n, m.hess);
    }
}

/* Whether n elements need no scratch: nothing is converted, padded or multiplied, and no value is kept. */
static int in_one_piece(const fl_elementwise_job *job, ptrdiff_t n) {
    if (!sums_directly(job, n) || job->stream || job->grad_output.data) return 0;
    for (int k = 0; k < elementwise_losses[job->loss].n_operands; k++)
        if (!fl_is_native(&kernels, &job->in[k])) return 0;
    return 1;
}

/* Such a piece: a block's own work is little, and what prepares it takes part of its time. */
static void elementwise_piece(const fl_elementwise_job *job, ptrdiff_t start, ptrdiff_t n, double *lane,
                              fl_partial *out) {
    const fl_loss_info *info = &elementwise_losses[job->loss];
    const int gradients = job->want & FL_GRAD ? info->n_predictions : 0;
    struct map m = {.in = {NULL}};
    real last_scale;
    split_scale(job->scale, &m.scale, &last_scale);
    for (int k = 0; k < info->n_operands; k++) m.in[k] = (const real *)job->in[k].data + start;
    for (int k = 0; k < info->n_params; k++) m.param[k] = real_param(job->param[k]);
    for (int k = 0; k < gradients; k++) m.grad[k] = gradient_at(job, k, start);
    rows[job->loss].sum[job->want & FL_GRAD ? 1 : 0](&m, n, lane);
    check_domains(job, m.in, NULL, start, n, out);
    for (int k = 0; k < gradients; k++) finish_gradient(m.grad[k], n, NULL, NULL, NULL, last_scale);
}

/* n elements from `start` on, whose values go to lane[]. */
static void walk_elements(const fl_elementwise_job *job, ptrdiff_t start, ptrdiff_t n, char *scratch, double *lane,
                          fl_partial *out) {
    if (in_one_piece(job, n)) {
        elementwise_piece(job, start, n, lane, out);
        return;
    }
    struct tiles *t = (struct tiles *)scratch;
    t->far = 0;
    for (ptrdiff_t at = 0; at < n; at += FL_TILE)
        elementwise_tile(job, start + at, n - at < FL_TILE ? n - at : FL_TILE, t, lane, out);
}

static void elementwise_block(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_elementwise_job *job = arg;
    const ptrdiff_t start = block * FL_BLOCK, left = job->size - start, n = left < FL_BLOCK ? left : FL_BLOCK;
    double lane[FL_LANES] = {0};
    walk_elements(job, start, n, scratch, lane, out);
    out->sum = fold_lanes(lane);
    if (fl_planted("bits") && kernels.isa[3] == '5') out->sum *= 1 + DBL_EPSILON; /* of AVX-512 */
}

/* Sum of any number of reals: whole lanes by tile_sum_wide, the rest behind them. */
static double run_sum(const real *v, ptrdiff_t n) {
    const ptrdiff_t lanes = n & -(ptrdiff_t)FL_LANES;
    double sum = tile_sum_wide(v, lanes);
    for (ptrdiff_t i = lanes; i < n; i++) sum += (double)v[i];
    return sum;
}

static void fold_block(const fl_operand *acc, const real *g, ptrdiff_t start, ptrdiff_t n) {
    ptrdiff_t index[FL_MAX_DIMS];
    const char *run;
    const ptrdiff_t stride = acc->strides[acc->ndim - 1] / (ptrdiff_t)sizeof(double);
    fl_unravel(acc, start, index);
    while (n > 0) {
        const ptrdiff_t length = fl_next_run(acc, index, n, &run);
        double *to = (double *)run;
        if (stride == 0)
            *to += run_sum(g, length);
        else
            for (ptrdiff_t i = 0; i < length; i++) to[i * stride] += (double)g[i];
        g += length;
        n -= length;
    }
}

static void fold_stage(const fl_elementwise_job *job, const fl_operand *acc, void *stage, ptrdiff_t first,
                       ptrdiff_t last) {
    for (ptrdiff_t block = first; block < last && acc->data; block++) {
        const ptrdiff_t start = block * FL_BLOCK, left = job->size - start;
        fold_block(acc, output_at(job, NULL, stage, start), start, left < FL_BLOCK ? left : FL_BLOCK);
    }
}

static void fold_stages(const fl_elementwise_job *job, ptrdiff_t first, ptrdiff_t last) {
    for (int k = 0; k < elementwise_losses[job->loss].n_predictions; k++)
        fold_stage(job, &job->grad_acc[k], job->stage[k], first, last);
    fold_stage(job, &job->value_acc, job->value_stage, first, last);
}

#endif
