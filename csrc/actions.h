/* SPDX-License-Identifier: BSD-3-Clause */
/* actions.h: losses over rows of one number per action, a row's label being the action taken: policy gradients with an
 * entropy bonus, over logits or log-probabilities, and temporal differences of action values. Blocks, rows and columns
 * are those of softmax.h. */
#ifndef FL_ACTIONS_H
#define FL_ACTIONS_H

#include "elementwise.h"
#include "margin.h"
#include "tokens.h"

/* ---- policy gradient --------------------------------------------------------------------------------------------- */

/* Per row: factors of the gradient, which is p (all + bonus (log p + what)) but at_action at the action, where
 * p = exp(x - max) inverse and log p + what = x - max - shift. */
struct policy_scratch {
    struct token_scratch tokens;
    real advantage[MAX_ROWS], grad_output[MAX_ROWS], entropy[MAX_ROWS];
    real max[MAX_ROWS], shift[MAX_ROWS], inverse[MAX_ROWS], all[MAX_ROWS], bonus[MAX_ROWS], at_action[MAX_ROWS];
};
_Static_assert(sizeof(struct policy_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a block of policies");

/* Entropy of the rows from their folds, of logits log_sum + moment / sum; of log-probabilities, which are taken as they
 * are, e^max (moment - max sum). Then -A log p[a] - coefficient H. */
FL_INLINE void finish_policy_lanes(struct policy_scratch *s, ptrdiff_t n, real coefficient, int logits) {
    struct token_state *st = &s->tokens.state;
    const real *restrict max = st->max, *restrict ones = st->ones, *restrict target_logit = st->target_logit;
    const double *restrict rest = st->rest, *restrict rest_carry = st->rest_carry;
    const double *restrict moment = st->moment, *restrict moment_carry = st->moment_carry;
    const real *restrict log_sum = st->log_sum, *restrict low = st->log_sum_low, *restrict inverse = st->inverse;
    const real *restrict advantage = s->advantage;
    const ireal *restrict label = st->label;
    real *restrict value = st->value, *restrict entropy = s->entropy;
    const int none = coefficient == 0;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double spread = with_carry(moment[r], moment_carry[r]);
        const double sum = 1 + ((double)(ones[r] - 1) + with_carry(rest[r], rest_carry[r]));
        const real of_logits = log_sum_of(log_sum[r], low[r]);
        const real plain = (real)((double)r_exp(max[r]) * (spread - (double)max[r] * sum));
        const real h = logits ? of_logits + (real)spread * inverse[r] : plain;
        const real cost = logits ? (max[r] - target_logit[r]) + of_logits : -target_logit[r];
        const real bonus = r_where(none, 0, coefficient * h);
        entropy[r] = h;
        value[r] = r_where(label[r] >= 0, advantage[r] * cost - bonus, 0);
    }
}

static void finish_policy_logits(struct policy_scratch *s, ptrdiff_t n, real coefficient) {
    finish_policy_lanes(s, n, coefficient, 1);
}

static void finish_policy_log_probs(struct policy_scratch *s, ptrdiff_t n, real coefficient) {
    finish_policy_lanes(s, n, coefficient, 0);
}

/* One entry without the action's own share. A class without probability has no gradient. */
FL_INLINE real policy_slope(real x, real max, real shift, real inverse, real all, real bonus, int none) {
    const real below = x - max, p = r_exp(below) * inverse, product = bonus * (below - shift);
    const real finite = p == 0 ? 0 : product;
    return p * (all + r_where(none, 0, finite));
}

/* Of logits the gradient is A (p - [c = a]) + bonus p (log p + H), of log-probabilities -A [c = a] + bonus p (log p +
 * 1). Beside a sure action 1 - p would lose its digits: its share is the sum of all others. */
FL_INLINE void policy_factor_lanes(struct policy_scratch *s, ptrdiff_t n, double scale, real coefficient, int logits) {
    const struct token_state *st = &s->tokens.state;
    const real *restrict top = st->max, *restrict ones = st->ones, *restrict target_logit = st->target_logit;
    const double *restrict rest = st->rest, *restrict rest_carry = st->rest_carry;
    const real *restrict log_sum = st->log_sum, *restrict low = st->log_sum_low, *restrict part = st->inverse;
    const real *restrict advantage = s->advantage, *restrict grad_output = s->grad_output;
    const real *restrict entropy = s->entropy;
    real *restrict max = s->max, *restrict shift = s->shift, *restrict inverse = s->inverse, *restrict all = s->all;
    real *restrict bonus = s->bonus, *restrict at_action = s->at_action;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double factor = scale * (double)grad_output[r];
        const double others = (double)(ones[r] - 1) + with_carry(rest[r], rest_carry[r]);
        const real here = r_exp(target_logit[r] - top[r]), own = (real)(factor * (double)advantage[r]);
        const real share = logits ? (real)((others + (1 - (double)here)) * (double)part[r]) : 1;
        max[r] = logits ? top[r] : 0;
        shift[r] = logits ? log_sum_of(log_sum[r], low[r]) - entropy[r] : -1;
        inverse[r] = logits ? part[r] : 1;
        all[r] = logits ? own : 0;
        bonus[r] = (real)(factor * (double)coefficient);
        at_action[r] = policy_slope(target_logit[r], max[r], shift[r], inverse[r], 0, bonus[r], bonus[r] == 0) - own * share;
    }
}

static void policy_factors_logits(struct policy_scratch *s, ptrdiff_t n, double scale, real coefficient) {
    policy_factor_lanes(s, n, scale, coefficient, 1);
}

static void policy_factors_log_probs(struct policy_scratch *s, ptrdiff_t n, double scale, real coefficient) {
    policy_factor_lanes(s, n, scale, coefficient, 0);
}

static void tile_policy(real *restrict g, const real *restrict x, ptrdiff_t n, real max, real shift, real inverse,
                        real all, real bonus) {
    const int none = bonus == 0;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) g[i] = policy_slope(x[i], max, shift, inverse, all, bonus, none);
}

static void policy_row_gradient(const fl_row_job *job, ptrdiff_t start, ptrdiff_t r, struct policy_scratch *s) {
    const ireal label = s->tokens.state.label[r];
    real *to = (real *)position(&job->grad, start + r);
    const char *row = position(&job->logits, start + r);
    if (label < 0) {
        memset(to, 0, (size_t)job->classes * sizeof(real));
        return;
    }
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = left_for_tile(job, c);
        const real *x = load_row(job, row + c * job->class_stride, n, s->tokens.row);
        tile_policy(s->tokens.e, x, whole_lanes(n), s->max[r], s->shift[r], s->inverse[r], s->all[r], s->bonus[r]);
        memcpy(to + c, s->tokens.e, (size_t)n * sizeof(real));
    }
    to[label] = s->at_action[r];
}

static void column_policy(const struct policy_scratch *s, real *restrict g, const real *restrict x, ptrdiff_t c,
                          ptrdiff_t n) {
    const ireal *restrict label = s->tokens.state.label;
    const real *restrict max = s->max, *restrict shift = s->shift, *restrict inverse = s->inverse;
    const real *restrict all = s->all, *restrict bonus = s->bonus, *restrict at_action = s->at_action;
    const ireal class = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real other = policy_slope(x[r], max[r], shift[r], inverse[r], all[r], bonus[r], bonus[r] == 0);
        g[r] = r_where(label[r] >= 0, r_where(label[r] == class, at_action[r], other), 0);
    }
}

static void policy_gradient(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct policy_scratch *s) {
    const int logits = job->holds == FL_LOGITS;
    (logits ? policy_factors_logits : policy_factors_log_probs)(s, whole_lanes(n), job->scale, (real)job->entropy);
    if (by_rows(job)) {
        for (ptrdiff_t r = 0; r < n; r++) policy_row_gradient(job, start, r, s);
        return;
    }
    for (ptrdiff_t c = 0; c < job->classes; c++) {
        const real *x = load_column(job, c, start, n, s->tokens.columns[0]);
        real *own = grad_column(job, c, start, n), *g = own ? own : s->tokens.e;
        column_policy(s, g, x, c, whole_lanes(n));
        if (!own) store_column(job, c, start, n, g);
    }
}

/* n reals of an operand, copied behind whole lanes. */
static void copy_in(const fl_operand *op, ptrdiff_t start, ptrdiff_t n, real *to) {
    const real *from = fl_load(&kernels, op, start, n, to);
    if (from != to) memcpy(to, from, (size_t)n * sizeof(real));
}

static void policy_block(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_row_job *job = arg;
    struct policy_scratch *s = (struct policy_scratch *)scratch;
    struct token_state *st = &s->tokens.state;
    const fl_token_job tokens = {.kind = FL_ENTROPY};
    const ptrdiff_t size = row_block(job), start = block * size, left = job->positions - start;
    const ptrdiff_t n = left < size ? left : size, lanes = whole_lanes(n);

    load_token_labels(job, start, n, scratch, out);
    if (out->bad >= 0) return;
    copy_in(&job->advantage, start, n, s->advantage);
    reduce_tokens(&tokens, job, start, n, &s->tokens);
    (job->holds == FL_LOGITS ? finish_policy_logits : finish_policy_log_probs)(s, lanes, (real)job->entropy);
    if (job->value) memcpy((real *)job->value + start, st->value, (size_t)n * sizeof(real));
    out->sum += tile_sum_wide(st->value, lanes);
    if (!(job->want & FL_GRAD)) return;
    if (job->grad_output.data)
        copy_in(&job->grad_output, start, n, s->grad_output);
    else
        tile_fill(s->grad_output, 1, lanes);
    policy_gradient(job, start, n, s);
}

/* ---- action values ----------------------------------------------------------------------------------------------- */

struct action_scratch {
    struct row_scratch rows;
    real best[MAX_ROWS], best_value[MAX_ROWS], reward[MAX_ROWS], done[MAX_ROWS], weight[MAX_ROWS];
};
_Static_assert(sizeof(struct action_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a block of action values");

/* Raise the largest score so far to that of the next action, and with it the value; of equal ones the first stays. NaN
 * is the largest. */
static void column_best(struct action_scratch *s, const real *restrict score, const real *restrict value, ptrdiff_t n) {
    real *restrict best = s->best, *restrict best_value = s->best_value;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const int higher = (score[r] > best[r]) | (score[r] != score[r]);
        best_value[r] = r_where(higher, value[r], best_value[r]);
        best[r] = r_where(higher, score[r], best[r]);
    }
}

/* Value of the best next action: by its own score, or by that of the other network. */
static void reduce_next(const fl_action_job *job, ptrdiff_t start, ptrdiff_t n, struct action_scratch *s) {
    const fl_row_job *judge = job->judge ? job->judge : job->next;
    const ptrdiff_t lanes = whole_lanes(n);
    for (ptrdiff_t c = 0; c < job->next->classes; c++) {
        const real *value = load_column(job->next, c, start, n, s->rows.in.columns[0]);
        const real *score = job->judge ? load_column(judge, c, start, n, s->rows.in.columns[1]) : value;
        if (c == 0) {
            memcpy(s->best, score, (size_t)lanes * sizeof(real));
            memcpy(s->best_value, value, (size_t)lanes * sizeof(real));
        } else
            column_best(s, score, value, lanes);
    }
}

/* Values and slopes of the rows: the op of the elementwise loss, once more. */
FL_INLINE void finish_actions(struct action_scratch *s, ptrdiff_t n, op_fn op, const real *params) {
    struct row_state *st = &s->rows.state;
    const real p[2] = {params[0], params[1]}; /* so that no store can change them */
    const real *restrict chosen = st->target_logit, *restrict reward = s->reward, *restrict next = s->best_value;
    const real *restrict done = s->done, *restrict weight = s->weight;
    const ireal *restrict label = st->label;
    real *restrict value = st->value, *restrict slope = st->at_target;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real x[FL_MAX_OPERANDS] = {chosen[r], reward[r], next[r], done[r]};
        const struct term t = op(x, p);
        value[r] = r_where(label[r] >= 0, t.value * weight[r], 0);
        slope[r] = r_where(label[r] >= 0, t.grad[0] * weight[r], 0);
    }
}

static void finish_squared(struct action_scratch *s, ptrdiff_t n, const real *p) {
    finish_actions(s, n, op_td_squared, p);
}

static void finish_huber(struct action_scratch *s, ptrdiff_t n, const real *p) { finish_actions(s, n, op_td_huber, p); }

static void column_action(const struct row_state *st, real *restrict g, ptrdiff_t c, ptrdiff_t n) {
    const ireal *restrict label = st->label;
    const real *restrict at_target = st->at_target;
    const ireal class = (ireal)c;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) g[r] = r_where(label[r] == class, at_target[r], 0);
}

static void copy_optional(const fl_operand *op, ptrdiff_t start, ptrdiff_t n, real absent, real *to) {
    if (op->data)
        copy_in(op, start, n, to);
    else
        tile_fill(to, absent, whole_lanes(n));
}

static void action_gradient(const fl_action_job *job, ptrdiff_t start, ptrdiff_t n, struct action_scratch *s) {
    const fl_row_job *rows = &job->rows;
    struct row_state *st = &s->rows.state;
    const ptrdiff_t lanes = whole_lanes(n);
    copy_optional(&rows->grad_output, start, n, 1, s->reward);
    for (ptrdiff_t r = 0; r < lanes; r++)
        st->at_target[r] = (real)((double)st->at_target[r] * (rows->scale * (double)s->reward[r]));
    for (ptrdiff_t c = 0; c < rows->classes; c++) {
        real *own = grad_column(rows, c, start, n), *g = own ? own : s->rows.out;
        column_action(st, g, c, lanes);
        if (!own) store_column(rows, c, start, n, g);
    }
}

static void action_block(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_action_job *job = arg;
    const fl_row_job *rows = &job->rows;
    struct action_scratch *s = (struct action_scratch *)scratch;
    struct row_state *st = &s->rows.state;
    const ptrdiff_t size = row_block(rows), start = block * size, left = rows->positions - start;
    const ptrdiff_t n = left < size ? left : size, lanes = whole_lanes(n);
    const real p[2] = {(real)job->discount, (real)job->delta};

    load_labels(rows, start, n, &s->rows, out);
    if (out->bad >= 0) return;
    copy_in(&job->reward, start, n, s->reward);
    copy_optional(&job->done, start, n, 0, s->done);
    copy_optional(&job->weight, start, n, 1, s->weight);
    for (ptrdiff_t r = 0; r < lanes; r++) st->target_logit[r] = 0;
    for (ptrdiff_t c = 0; c < rows->classes; c++)
        column_pick(st, load_column(rows, c, start, n, s->rows.in.columns[0]), c, lanes);
    reduce_next(job, start, n, s);
    (job->delta > 0 ? finish_huber : finish_squared)(s, lanes, p);
    if (rows->value) memcpy((real *)rows->value + start, st->value, (size_t)n * sizeof(real));
    out->sum += tile_sum_wide(st->value, lanes);
    if (rows->want & FL_GRAD) action_gradient(job, start, n, s);
}

#endif
