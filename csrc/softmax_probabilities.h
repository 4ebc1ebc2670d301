/* SPDX-License-Identifier: BSD-3-Clause */
/* softmax_probabilities.h: the same losses of probabilities or log-probabilities: no softmax. Labels pick one class of each row;
 * soft targets sum -q log p over all. Blocks, labels and masses are those of softmax_state.h. */
#ifndef FL_SOFTMAX_PROBABILITIES_H
#define FL_SOFTMAX_PROBABILITIES_H

#include "softmax.h"

/* Whether a value of x[n], whole lanes, is no probability; NaN passes. */
static int any_outside(const real *restrict x, ptrdiff_t n) {
    real low[FL_LANES] = {0}, high[FL_LANES] = {0};
    for (ptrdiff_t i = 0; i + FL_LANES <= n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            low[l] = x[i + l] < low[l] ? x[i + l] : low[l];
            high[l] = x[i + l] > high[l] ? x[i + l] : high[l];
        }
    int outside = 0;
    for (int l = 0; l < FL_LANES; l++) outside |= low[l] < 0 || high[l] > 1;
    return outside;
}

/* The same of each column that counts: its place in bad[n] becomes 1. */
static void column_outside(real *restrict bad, const ireal *restrict label, const real *restrict x, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++)
        bad[r] = r_where((label[r] >= 0) & ((x[r] < 0) | (x[r] > 1)), 1, bad[r]);
}

/* y = -q log x, 0 where q is 0 */
static void tile_cost(real *restrict y, const real *restrict q, const real *restrict x, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) y[i] = r_times(q[i], -r_log(x[i]));
}

/* y = -factor q / x, 0 where q is 0 */
static void tile_cost_slope(real *restrict y, const real *restrict q, const real *restrict x, ptrdiff_t n, real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) y[i] = r_times(q[i], -factor / x[i]);
}

static void column_cost(struct row_state *st, const real *restrict x, const real *restrict t, struct shares share,
                        real w, ptrdiff_t n) {
    double *restrict drop = st->drop, *restrict carry = st->drop_carry;
    const real keep = share.keep, spread = share.spread;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++)
        add_carrying(&drop[r], &carry[CARRY_ROWS == MAX_ROWS ? r : 0],
                     (double)r_times(r_fma(t[r], keep, spread) * w, -r_log(x[r])));
}

static void column_cost_slope(const struct row_state *st, real *restrict g, const real *restrict x,
                              const real *restrict t, struct shares share, real w, ptrdiff_t n) {
    const ireal *restrict label = st->label;
    const real *restrict factor = st->factor;
    const real keep = share.keep, spread = share.spread;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real slope = r_times(r_fma(t[r], keep, spread) * w, -factor[r] / x[r]);
        g[r] = r_where(label[r] >= 0, slope, 0);
    }
}

/* n probabilities of one row as whole lanes, padded with zeros. */
static const real *load_probabilities(const fl_row_job *job, const char *row, ptrdiff_t n, real *scratch) {
    const real *x = fl_load_run(&kernels, &job->logits, row, job->class_stride, n, scratch);
    for (ptrdiff_t c = n; c % FL_LANES; c++) scratch[c] = 0;
    return x;
}

/* Fill the drop of row r, here the sum of -q log p; whether the row holds what is no probability. */
static int cost_row(const fl_row_job *job, ptrdiff_t p, ptrdiff_t r, struct row_scratch *s) {
    const char *row = position(&job->logits, p), *t = distribution_at(job, p);
    int bad = 0;
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = left_for_tile(job, c), lanes = whole_lanes(n);
        const real *x = load_probabilities(job, row + c * job->class_stride, n, s->in.row);
        bad |= any_outside(x, lanes);
        if (!has_mass(job)) continue;
        tile_cost(s->in.kept, load_mass(job, t, c, n, s), x, lanes);
        s->state.drop[r] += tile_sum(s->in.kept, lanes);
    }
    return bad;
}

static void cost_rows(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s, fl_partial *out) {
    for (ptrdiff_t r = 0; r < n; r++)
        if (s->state.label[r] >= 0 && cost_row(job, start + r, r, s) && out->bad < 0) out->bad = start + r;
}

static void cost_columns(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s, fl_partial *out) {
    struct row_state *st = &s->state;
    const ptrdiff_t lanes = whole_lanes(n);
    real *outside = s->out + MAX_ROWS;
    tile_fill(outside, 0, lanes);
    for (ptrdiff_t c = 0; c < job->classes; c++) {
        const real *x = load_column(job, c, start, n, s->in.columns[0]);
        column_outside(outside, st->label, x, lanes);
        if (has_mass(job))
            column_cost(st, x, load_shares(job, c, start, n, s->out), shares_of(job), class_weight_of(job, c), lanes);
    }
    for (ptrdiff_t r = 0; r < n; r++)
        if (outside[r] != 0 && out->bad < 0) out->bad = start + r;
    for (ptrdiff_t r = 0; sizeof(real) == sizeof(double) && r < lanes; r++) st->drop[r] += st->drop_carry[r];
}

/* Each row's entry at its label; 1 where it has none. */
static void pick_labels(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_state *st) {
    const real one = 1;
    tile_fill(st->target_logit, one, whole_lanes(n));
    for (ptrdiff_t r = 0; job->target.data && r < n; r++) {
        if (st->label[r] < 0) continue;
        const char *entry = position(&job->logits, start + r) + st->label[r] * job->class_stride;
        kernels.load[job->logits.swapped][job->logits.dtype](&st->target_logit[r], entry, 0, 1);
    }
}

/* (1 - p)^gamma */
FL_INLINE real focal_power(real p, real gamma) {
    const real u = 1 - p;
    return r_pow_unit(u, (1 - u) - p, gamma);
}

/* -w log p, -keep w log p - sum q log p, or focal; log p as it is, or of p. */
FL_INLINE void finish_cost_lanes(struct row_state *st, ptrdiff_t n, struct finish f, int holds, int focal) {
    const real *restrict entry = st->target_logit, *restrict weight = st->weight;
    const double *restrict drop = st->drop;
    const ireal *restrict label = st->label;
    real *restrict value = st->value;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real cost = holds == FL_PROBABILITIES ? -r_log(entry[r]) : -entry[r];
        real loss = (real)(double_times(f.labelled * (double)weight[r], (double)cost) + drop[r]);
        if (focal) loss *= focal_power(entry[r], f.gamma);
        value[r] = r_where(label[r] >= 0, loss, 0);
    }
}

static void finish_cost(struct row_state *st, ptrdiff_t n, struct finish f) {
    finish_cost_lanes(st, n, f, FL_PROBABILITIES, 0);
}
static void finish_cost_focal(struct row_state *st, ptrdiff_t n, struct finish f) {
    finish_cost_lanes(st, n, f, FL_PROBABILITIES, 1);
}
static void finish_cost_log(struct row_state *st, ptrdiff_t n, struct finish f) {
    finish_cost_lanes(st, n, f, FL_LOG_PROBABILITIES, 0);
}

/* The label's gradient: -w, -keep w / p, or focal, u = 1 - p: -w u^gamma (gamma log(1/p) / u + 1 / p). */
FL_INLINE void finish_slope_lanes(struct row_state *st, const real *restrict grad_output, ptrdiff_t n,
                                  struct finish f, int holds, int focal) {
    const real *restrict entry = st->target_logit, *restrict weight = st->weight;
    real *restrict at_target = st->at_target, *restrict factor = st->factor;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double scale = f.scale * (double)grad_output[r];
        double slope = holds == FL_PROBABILITIES ? 1 / (double)entry[r] : 1;
        if (focal) {
            const real u = 1 - entry[r];
            const double cost = (double)-r_log(entry[r]), ratio = u == 0 ? 1 : cost / (double)u;
            slope = (double)focal_power(entry[r], f.gamma) * (slope + f.gamma * (ratio > DBL_MAX ? DBL_MAX : ratio));
        }
        factor[r] = (real)scale;
        at_target[r] = (real)double_times(-scale * f.labelled * (double)weight[r], slope);
    }
}

static void finish_slope(struct row_state *st, const real *restrict g, ptrdiff_t n, struct finish f) {
    finish_slope_lanes(st, g, n, f, FL_PROBABILITIES, 0);
}
static void finish_slope_focal(struct row_state *st, const real *restrict g, ptrdiff_t n, struct finish f) {
    finish_slope_lanes(st, g, n, f, FL_PROBABILITIES, 1);
}
static void finish_slope_log(struct row_state *st, const real *restrict g, ptrdiff_t n, struct finish f) {
    finish_slope_lanes(st, g, n, f, FL_LOG_PROBABILITIES, 0);
}

/* The gradient of soft targets, or zeros. */
static void slope_row(const fl_row_job *job, ptrdiff_t p, ptrdiff_t r, struct row_scratch *s) {
    const struct row_state *st = &s->state;
    const char *row = position(&job->logits, p), *t = distribution_at(job, p);
    real *to = (real *)position(&job->grad, p);
    if (st->label[r] < 0 || !has_mass(job)) {
        memset(to, 0, (size_t)job->classes * sizeof(real));
        return;
    }
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = left_for_tile(job, c);
        const real *x = load_probabilities(job, row + c * job->class_stride, n, s->in.row);
        tile_cost_slope(s->in.kept, load_mass(job, t, c, n, s), x, whole_lanes(n), st->factor[r]);
        memcpy(to + c, s->in.kept, (size_t)n * sizeof(real));
    }
}

static void slope_columns(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct row_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(n);
    real *g = s->out, *t = s->out + MAX_ROWS;
    tile_fill(g, 0, lanes);
    for (ptrdiff_t c = 0; c < job->classes; c++) {
        if (has_mass(job)) {
            const real *x = load_column(job, c, start, n, s->in.columns[0]);
            column_cost_slope(&s->state, g, x, load_shares(job, c, start, n, t), shares_of(job),
                              class_weight_of(job, c), lanes);
        }
        store_column(job, c, start, n, g);
    }
}

/* The label's part on top. */
static void add_slopes(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, const struct row_state *st) {
    for (ptrdiff_t r = 0; job->target.data && r < n; r++) {
        if (st->label[r] < 0 || st->at_target[r] == 0) continue;
        real *to = (real *)(position(&job->grad, start + r) + st->label[r] * job->grad_class_stride);
        *to += st->at_target[r];
    }
}

static void probabilities_block(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_row_job *job = arg;
    struct row_scratch *s = (struct row_scratch *)scratch;
    struct row_state *st = &s->state;
    const int log = job->holds == FL_LOG_PROBABILITIES, focal = job->gamma >= 0;
    const struct finish f = {job->scale, shares_of(job).labelled, 0, (real)job->gamma};
    const ptrdiff_t size = row_block(job), start = block * size;
    const ptrdiff_t n = job->positions - start < size ? job->positions - start : size, lanes = whole_lanes(n);

    load_targets(job, start, n, s, out);
    if (out->bad >= 0) return;
    clear_columns(st, lanes, 1);
    if (!log && by_rows(job)) cost_rows(job, start, n, s, out);
    if (!log && !by_rows(job)) cost_columns(job, start, n, s, out);
    if (out->bad >= 0) return;

    pick_labels(job, start, n, st);
    (log ? finish_cost_log : focal ? finish_cost_focal : finish_cost)(st, lanes, f);
    if (job->value) memcpy((real *)job->value + start, st->value, (size_t)n * sizeof(real));
    out->sum += tile_sum_wide(st->value, lanes);
    if (!(job->want & FL_GRAD)) return;
    const real *g = load_grad_output(job, start, n, s->out);
    (log ? finish_slope_log : focal ? finish_slope_focal : finish_slope)(st, g, lanes, f);
    if (by_rows(job))
        for (ptrdiff_t r = 0; r < n; r++) slope_row(job, start + r, r, s);
    else
        slope_columns(job, start, n, s);
    add_slopes(job, start, n, st);
}

#endif
