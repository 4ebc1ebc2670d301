/* SPDX-License-Identifier: BSD-3-Clause */
/* softmax.h: cross entropy of logits: labels or distributions as targets, label smoothing, z-loss, focal loss. Rows or
 * columns (see softmax_state.h) fill the state of a block; it is finished here, vectorised over rows. The label is left
 * out of the sum of exponentials, so that a loss near 0 keeps its digits:
 *   d = max - x[label],  S = sum over the others of exp(x - max),  -log p[label] = d + log1p(S + (exp(-d) - 1)).
 * With soft targets q (masses) the loss is
 *   -keep w log p[label] + sum q (max - x) + (sum q) log(all of the sum) + z_loss lse^2. */
#ifndef FL_SOFTMAX_H
#define FL_SOFTMAX_H

#include "softmax_columns.h"
#include "softmax_rows.h"

enum kind { HARD, SOFT, FOCAL }; /* labels alone; masses or z_loss; focal */

static enum kind kind_of(const fl_row_job *job) {
    return job->gamma >= 0 ? FOCAL : has_mass(job) || job->z_loss != 0 ? SOFT : HARD;
}

/* What the stages over rows take of the job. */
struct finish {
    double scale, labelled, z_loss;
    real gamma;
};

FL_INLINE void finish_value_lanes(struct row_state *st, ptrdiff_t n, struct finish f, enum kind kind) {
    const real *restrict max = st->max, *restrict target_logit = st->target_logit, *restrict weight = st->weight;
    const double *restrict others = st->others, *restrict mass = st->mass, *restrict drop = st->drop;
    const ireal *restrict label = st->label;
    real *restrict value = st->value, *restrict log_sum_exp = st->log_sum_exp;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real d = max[r] - target_logit[r], at_label = r_exp_raised(-d) * V_LOWER;
        const real log_sum = r_log1p((real)(others[r] + ((double)at_label - 1)));
        const real cost = d + log_sum;
        real loss = r_times(weight[r], cost);
        if (kind == SOFT) {
            const double lse = (double)max[r] + (double)log_sum;
            const double soft = (double)r_times((real)mass[r], log_sum) + drop[r];
            loss = (real)(double_times(f.labelled * (double)weight[r], (double)cost) + soft + f.z_loss * lse * lse);
            log_sum_exp[r] = (real)lse;
        }
        if (kind == FOCAL) {
            const double rest = others[r] / (others[r] + (double)at_label);
            loss *= r_pow_unit((real)rest, (real)(rest - (double)(real)rest), f.gamma);
        }
        value[r] = r_where(label[r] >= 0, loss, 0);
    }
}

static void finish_value_hard(struct row_state *st, ptrdiff_t n, struct finish f) {
    finish_value_lanes(st, n, f, HARD);
}
static void finish_value_soft(struct row_state *st, ptrdiff_t n, struct finish f) {
    finish_value_lanes(st, n, f, SOFT);
}
static void finish_value_focal(struct row_state *st, ptrdiff_t n, struct finish f) {
    finish_value_lanes(st, n, f, FOCAL);
}

/* Factors of the gradient, which is inverse exp(x - max) - factor q, but at_target at the label.
 *   labels    w (p - 1) at the label, w p elsewhere; p - 1 = -S / (all of the sum)
 *   soft      (sum of targets + 2 z_loss lse) p - targets
 *   focal     with u = 1 - p[label], A = u^gamma (gamma p log(1/p) + u): -w A at the label, w A p / u elsewhere */
FL_INLINE void finish_factor_lanes(struct row_state *st, const real *restrict grad_output, ptrdiff_t n,
                                   struct finish f, enum kind kind) {
    const real *restrict max = st->max, *restrict target_logit = st->target_logit, *restrict weight = st->weight;
    const real *restrict log_sum_exp = st->log_sum_exp, *restrict peak = st->peak;
    const double *restrict others = st->others, *restrict mass = st->mass;
    real *restrict inverse = st->inverse, *restrict at_target = st->at_target, *restrict factor = st->factor;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real d = max[r] - target_logit[r], at_label = r_exp_raised(-d) * V_LOWER;
        const double all = others[r] + (double)at_label, scale = f.scale * (double)grad_output[r];
        const double at_row = scale * (double)weight[r];
        double others_share = at_row / all, label_share = -others_share * others[r];
        if (kind == SOFT) {
            const double own = f.labelled * (double)weight[r], z = 2 * f.z_loss * (double)log_sum_exp[r];
            const double rest = mass[r] - (double)peak[r]; /* of the targets, without the label's */
            others_share = scale * (own + mass[r] + z) / all;
            label_share = scale * ((rest + z) * (double)at_label - (own + (double)peak[r]) * others[r]) / all;
            factor[r] = (real)scale;
        }
        if (kind == FOCAL) {
            const double rest = others[r] / all, p = (double)at_label / all;
            const real u = (real)rest, power = r_pow_unit(u, (real)(rest - (double)u), f.gamma);
            const double cost = (double)(d + r_log1p((real)(others[r] + ((double)at_label - 1))));
            const double slope = f.gamma * (p > 0 ? p * cost : 0) + rest; /* of nan p, nan is in rest */
            label_share = -at_row * ((double)power * slope);
            others_share = others[r] > 0 ? -label_share / others[r] : 0;
        }
        inverse[r] = (real)others_share;
        at_target[r] = (real)label_share;
    }
}

static void finish_factor_hard(struct row_state *st, const real *restrict g, ptrdiff_t n, struct finish f) {
    finish_factor_lanes(st, g, n, f, HARD);
}
static void finish_factor_soft(struct row_state *st, const real *restrict g, ptrdiff_t n, struct finish f) {
    finish_factor_lanes(st, g, n, f, SOFT);
}
static void finish_factor_focal(struct row_state *st, const real *restrict g, ptrdiff_t n, struct finish f) {
    finish_factor_lanes(st, g, n, f, FOCAL);
}

typedef void (*value_fn)(struct row_state *, ptrdiff_t, struct finish);
typedef void (*factor_fn)(struct row_state *, const real *restrict, ptrdiff_t, struct finish);

static void cross_entropy_block(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    static const value_fn finish_value[] = {finish_value_hard, finish_value_soft, finish_value_focal};
    static const factor_fn finish_factor[] = {finish_factor_hard, finish_factor_soft, finish_factor_focal};
    const fl_row_job *job = arg;
    struct row_scratch *s = (struct row_scratch *)scratch;
    struct row_state *st = &s->state;
    const enum kind kind = kind_of(job);
    const struct finish f = {job->scale, shares_of(job).labelled, (double)(real)job->z_loss, (real)job->gamma};
    const ptrdiff_t size = row_block(job), start = block * size;
    const ptrdiff_t n = job->positions - start < size ? job->positions - start : size, lanes = whole_lanes(n);

    load_targets(job, start, n, s, out);
    if (out->bad >= 0) return;
    if (by_rows(job))
        reduce_rows(job, start, n, s);
    else
        reduce_columns(job, start, n, s);

    finish_value[kind](st, lanes, f);
    if (job->value) memcpy((real *)job->value + start, st->value, (size_t)n * sizeof(real));
    out->sum += tile_sum_wide(st->value, lanes);
    if (!(job->want & FL_GRAD)) return;
    finish_factor[kind](st, load_grad_output(job, start, n, s->out), lanes, f);
    if (!by_rows(job)) {
        columns_gradient(job, start, n, s);
        return;
    }
    for (ptrdiff_t r = 0; r < n; r++) row_gradient(job, start + r, r, s);
}

#endif
