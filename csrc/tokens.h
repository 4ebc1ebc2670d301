/* SPDX-License-Identifier: BSD-3-Clause */
/* tokens.h: what evaluation asks of rows of logits, without gradients: log-probability of a token, log-sum-exp,
 * entropy, the k most probable tokens, divergence of two rows. Blocks, rows and columns are those of softmax.h, m and
 * rest those of fold.h:
 *   log p[t] = -((m - x[t]) + log1p(rest)),  H = log1p(rest) + sum e (m - x) / (1 + rest)
 * The divergence sum p log(p / q) is the sum of p (exp(t) - 1 - t), t = log(q / p), since p and q have the same sum: no
 * term is negative, none cancels, and an error c of the normalisation shows as c^2 / 2 only. It reads the block, which
 * is in cache, a second time. */
#ifndef FL_TOKENS_H
#define FL_TOKENS_H

#include "fold.h"
#include "parts.h"

/* ---- the k largest of a row: a heap in the caller's own arrays, the last in rank on top -------------------------- */

struct ranks {
    real *value;
    int64_t *index;
    ptrdiff_t size, k;
};

/* Whether entry a ranks behind entry b: smaller, or as large and further on. */
static int ranks_behind(const struct ranks *h, ptrdiff_t a, ptrdiff_t b) {
    return h->value[a] < h->value[b] || (h->value[a] == h->value[b] && h->index[a] > h->index[b]);
}

static void swap_ranks(struct ranks *h, ptrdiff_t a, ptrdiff_t b) {
    const real value = h->value[a];
    const int64_t index = h->index[a];
    h->value[a] = h->value[b], h->index[a] = h->index[b];
    h->value[b] = value, h->index[b] = index;
}

static void sink_rank(struct ranks *h, ptrdiff_t at, ptrdiff_t size) {
    for (ptrdiff_t child; (child = 2 * at + 1) < size; at = child) {
        if (child + 1 < size && ranks_behind(h, child + 1, child)) child++;
        if (!ranks_behind(h, child, at)) return;
        swap_ranks(h, at, child);
    }
}

static void offer_rank(struct ranks *h, real value, int64_t index) {
    if (h->size == h->k) {
        if (!(value > h->value[0])) return; /* an equal one further on ranks behind */
        h->value[0] = value, h->index[0] = index;
        sink_rank(h, 0, h->k);
        return;
    }
    h->value[h->size] = value == value ? value : -R_INFINITY; /* NaN ranks as -inf does */
    h->index[h->size++] = index;
    if (h->size == h->k)
        for (ptrdiff_t at = h->k / 2; at-- > 0;) sink_rank(h, at, h->k);
}

/* Offer the n classes from `first` on, of which `largest` is the largest. */
static void offer_tile(struct ranks *h, const real *x, ptrdiff_t first, ptrdiff_t n, real largest) {
    if (h->size == h->k && !(largest > h->value[0])) return;
    for (ptrdiff_t c = 0; c < n; c += 4 * FL_LANES) {
        const ptrdiff_t end = n - c < 4 * FL_LANES ? n : c + 4 * FL_LANES;
        if (h->size == h->k && !(tile_max(x + c, whole_lanes(end - c)) > h->value[0])) continue;
        for (ptrdiff_t i = c; i < end; i++) offer_rank(h, x[i], first + i);
    }
}

static void sort_ranks(struct ranks *h) {
    for (ptrdiff_t last = h->k - 1; last > 0; last--) {
        swap_ranks(h, 0, last);
        sink_rank(h, 0, last);
    }
}

static struct ranks ranks_of(const fl_token_job *job, ptrdiff_t position) {
    return (struct ranks){(real *)job->rows.value + position * job->k, job->index + position * job->k, 0, job->k};
}

/* ---- one pass -------------------------------------------------------------------------------------------------- */

/* Fill row r of the state, and its k largest classes, in one pass. */
static void reduce_token_row(const fl_token_job *job, const fl_row_job *logits, ptrdiff_t start, ptrdiff_t r,
                             struct token_scratch *s) {
    struct fold f = empty_fold();
    struct ranks best = {0};
    const char *row = position(&logits->logits, start + r);
    real *product = job->kind == FL_ENTROPY ? s->product : NULL;
    if (job->kind == FL_TOPK) best = ranks_of(job, start + r);
    for (ptrdiff_t c = 0; c < logits->classes; c += FL_TILE) {
        const ptrdiff_t n = logits->classes - c < FL_TILE ? logits->classes - c : FL_TILE;
        const real *x = load_row(logits, row + c * logits->class_stride, n, s->row);
        const ptrdiff_t target = s->state.label[r] - c;
        const real largest = fold_tile(&f, x, whole_lanes(n), s->e, product);
        if (target >= 0 && target < n) s->state.target_logit[r] = x[target];
        if (job->kind == FL_TOPK) offer_tile(&best, x, c, n, largest);
    }
    if (job->kind == FL_TOPK) sort_ranks(&best);
    store_fold(&s->state, r, f);
}

static void reduce_token_columns(const fl_token_job *job, const fl_row_job *logits, ptrdiff_t start, ptrdiff_t n,
                                 struct token_scratch *s) {
    const real **x = s->column;
    real *higher = s->e;
    const ptrdiff_t lanes = whole_lanes(n);
    for (ptrdiff_t first = 0; first < logits->classes; first += TOKEN_CLASSES) {
        const ptrdiff_t left = logits->classes - first, classes = left < TOKEN_CLASSES ? left : TOKEN_CLASSES;
        const int turned = turn_logits(logits, first, classes, start, n, s->columns);
        memcpy(higher, s->state.max, (size_t)lanes * sizeof(real));
        for (ptrdiff_t c = 0; c < classes; c++) {
            x[c] = turned ? s->columns[c] : load_column(logits, first + c, start, n, s->columns[c]);
            column_max(higher, x[c], lanes);
        }
        for (ptrdiff_t r = 0; r < lanes; r++) higher[r] = r_min(higher[r], R_MAX);
        column_raise(&s->state, higher, lanes);
        for (ptrdiff_t r = 0; r < lanes; r++) s->e[r] = -R_INFINITY; /* partner of an odd last class */
        x[classes] = s->e;
        for (ptrdiff_t c = 0; c < classes; c += 2)
            (job->kind == FL_ENTROPY ? column_fold_moment : column_fold)(&s->state, x[c], x[c + 1], first + c, lanes);
    }
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

/* log1p(rest) in two parts: log(u) of the rounded u = 1 + rest, and what the rounding took, to first order. NaN where
 * the row has no softmax: it holds NaN or +inf, or nothing above -inf. */
static void finish_sums(struct token_state *st, ptrdiff_t n) {
    const real *restrict ones = st->ones;
    const double *restrict rest = st->rest, *restrict carry = st->rest_carry;
    real *restrict log_sum = st->log_sum, *restrict low = st->log_sum_low, *restrict inverse = st->inverse;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double others = (double)(ones[r] - 1) + with_carry(rest[r], carry[r]);
        const real all = (real)(1 + others), rounded = (real)(others - ((double)all - 1));
        real below;
        log_sum[r] = r_log_parts(all, &below);
        low[r] = r_if_finite(below + rounded / all);
        inverse[r] = (real)(1 / (1 + others));
    }
}

static void finish_logsumexp(struct token_state *st, ptrdiff_t n) {
    const real *restrict max = st->max, *restrict log_sum = st->log_sum, *restrict low = st->log_sum_low;
    real *restrict value = st->value;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real sum = max[r] + log_sum[r];
        value[r] = sum + r_if_finite(r_sum_error(max[r], log_sum[r], sum) + low[r]);
    }
}

/* Of a row without a softmax: NaN in place of +inf; of -inf together with the infinite distance to a target. */
FL_INLINE real log_sum_of(real high, real low) {
    const real sum = high + low;
    return sum == R_INFINITY ? R_NAN : sum;
}

static void finish_log_probs(struct token_state *st, ptrdiff_t n) {
    const real *restrict max = st->max, *restrict target_logit = st->target_logit;
    const real *restrict log_sum = st->log_sum, *restrict low = st->log_sum_low;
    real *restrict value = st->value;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) value[r] = 0 - ((max[r] - target_logit[r]) + log_sum_of(log_sum[r], low[r]));
}

static void finish_entropy(struct token_state *st, ptrdiff_t n) {
    const double *restrict moment = st->moment, *restrict carry = st->moment_carry;
    const real *restrict inverse = st->inverse, *restrict log_sum = st->log_sum, *restrict low = st->log_sum_low;
    real *restrict value = st->value;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++)
        value[r] = log_sum_of(log_sum[r], low[r]) + (real)with_carry(moment[r], carry[r]) * inverse[r];
}

/* Positions that are left out get 0. */
static void finish_counted(struct token_state *st, ptrdiff_t n) {
    const ireal *restrict label = st->label;
    real *restrict value = st->value;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) value[r] = r_where(label[r] >= 0, value[r], 0);
}

/* Logits of the k best of each row become log-probabilities. */
static void topk_log_probs(const fl_token_job *job, const struct token_state *st, ptrdiff_t start, ptrdiff_t n) {
    for (ptrdiff_t r = 0; r < n; r++) {
        const struct ranks best = ranks_of(job, start + r);
        const real max = st->max[r], log_sum = log_sum_of(st->log_sum[r], st->log_sum_low[r]);
        const int counts = st->label[r] >= 0;
        for (ptrdiff_t j = 0; j < job->k; j++) {
            best.value[j] = counts ? 0 - ((max - best.value[j]) + log_sum) : 0;
            best.index[j] = counts ? best.index[j] : -1;
        }
    }
}

/* ---- divergence -------------------------------------------------------------------------------------------------- */

/* exp(t) - 1 - t for |t| < 2 or so, t = n ln 2 + r: 2^n (exp(r) - 1 - r) + (2^n - 1) r + (2^n - 1 - n ln 2). */
FL_INLINE real r_exp_rest(real t) {
    const real magic = (real)(R(1.5) * ((ureal)1 << V_MANTISSA_BITS));
    const real shifted = r_fma(t, V_LOG2E, magic), n = shifted - magic;
    const real r = r_fma(n, -V_LN2_LO, r_fma(n, -V_LN2_HI, t));
    const real power = r_from_bits((ireal)(((ureal)r_bits(shifted) << V_MANTISSA_BITS) + V_ONE_BITS)), less = power - 1;
    const real constant = r_fma(n, -V_LN2_LO, r_fma(n, -V_LN2_HI, less));
    return r_fma(power * (r * r), r_exp_tail(r), r_fma(less, r, constant));
}

/* What two rows amount to. */
struct softmaxes {
    real x_max, y_max, x_inverse, y_inverse, shift, shift_low;
};

/* p (exp(t) - 1 - t) = q - p - p t, t = log(q / p). A masked token (p = 0) costs q; one that only q masks, inf. */
FL_INLINE real divergence_term(real x, real y, struct softmaxes s) {
    const real below_x = x - s.x_max, below_y = y - s.y_max;
    const real p = r_exp(below_x) * s.x_inverse, q = r_exp(below_y) * s.y_inverse;
    const real t = ((below_y - below_x) - s.shift) - s.shift_low;
    const real impossible = x > -R_INFINITY ? -R_INFINITY : 0, finite = p == 0 ? 0 : p * t;
    const real product = y == -R_INFINITY ? impossible : finite;
    const real far = (q - p) - product, near = p * r_exp_rest(t);
    return r_abs(t) < 2 ? near : far;
}

static void tile_divergence(real *restrict out, const real *restrict x, const real *restrict y, ptrdiff_t n,
                            struct softmaxes s) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) out[i] = divergence_term(x[i], y[i], s);
}

static void column_divergence(struct token_state *st, const real *restrict x, const real *restrict y, ptrdiff_t n) {
    const real *restrict x_max = st->first_max, *restrict y_max = st->max;
    const real *restrict x_inverse = st->first_inverse, *restrict y_inverse = st->inverse;
    const real *restrict shift = st->shift, *restrict shift_low = st->shift_low;
    double *restrict sum = st->rest, *restrict carry = st->rest_carry;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const struct softmaxes s = {x_max[r], y_max[r], x_inverse[r], y_inverse[r], shift[r], shift_low[r]};
        add_to(&sum[r], &carry[r], (double)divergence_term(x[r], y[r], s));
    }
}

static void divergence_row(const fl_token_job *job, ptrdiff_t start, ptrdiff_t r, struct token_scratch *s) {
    const fl_row_job *p = &job->rows, *q = job->other;
    const char *p_row = position(&p->logits, start + r), *q_row = position(&q->logits, start + r);
    const struct softmaxes rows = {s->state.first_max[r], s->state.max[r],   s->state.first_inverse[r],
                                   s->state.inverse[r],   s->state.shift[r], s->state.shift_low[r]};
    double sum = 0;
    for (ptrdiff_t c = 0; c < p->classes; c += FL_TILE) {
        const ptrdiff_t n = p->classes - c < FL_TILE ? p->classes - c : FL_TILE, lanes = whole_lanes(n);
        const real *x = load_row(p, p_row + c * p->class_stride, n, s->row);
        const real *y = load_row(q, q_row + c * q->class_stride, n, s->other_row);
        tile_divergence(s->e, x, y, lanes, rows);
        sum += tile_sum(s->e, lanes);
    }
    s->state.rest[r] = sum;
}

static void clear_folds(struct token_state *st, ptrdiff_t n) {
    for (ptrdiff_t r = 0; r < n; r++) {
        store_fold(st, r, empty_fold());
        st->target_logit[r] = 0;
    }
}

static void reduce_tokens(const fl_token_job *job, const fl_row_job *logits, ptrdiff_t start, ptrdiff_t n,
                          struct token_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(n);
    clear_folds(&s->state, lanes);
    if (by_rows(logits) || job->kind == FL_TOPK) {
        for (ptrdiff_t r = 0; r < n; r++)
            if (s->state.label[r] >= 0) reduce_token_row(job, logits, start, r, s);
    } else
        reduce_token_columns(job, logits, start, n, s);
    finish_sums(&s->state, lanes);
}

/* The block's rows of q were reduced after those of p: read both again, term by term. */
static void divergence_block(const fl_token_job *job, ptrdiff_t start, ptrdiff_t n, struct token_scratch *s) {
    struct token_state *st = &s->state;
    const ptrdiff_t lanes = whole_lanes(n);
    reduce_tokens(job, &job->rows, start, n, s);
    for (ptrdiff_t r = 0; r < lanes; r++) {
        st->first_max[r] = st->max[r];
        st->first_inverse[r] = st->inverse[r];
        st->shift[r] = st->log_sum[r];
        st->shift_low[r] = st->log_sum_low[r];
    }
    reduce_tokens(job, job->other, start, n, s);
    for (ptrdiff_t r = 0; r < lanes; r++) {
        const real before = st->shift[r], shift = st->log_sum[r] - before;
        st->shift_low[r] = (st->log_sum_low[r] - st->shift_low[r]) + r_sum_error(st->log_sum[r], -before, shift);
        st->shift[r] = shift;
        st->rest[r] = st->rest_carry[r] = 0;
    }
    if (by_rows(&job->rows) && by_rows(job->other)) {
        for (ptrdiff_t r = 0; r < n; r++)
            if (st->label[r] >= 0) divergence_row(job, start, r, s);
    } else
        for (ptrdiff_t c = 0; c < job->rows.classes; c++)
            column_divergence(st, load_column(&job->rows, c, start, n, s->columns[0]),
                              load_column(job->other, c, start, n, s->columns[1]), lanes);
    for (ptrdiff_t r = 0; r < lanes; r++) st->value[r] = (real)with_carry(st->rest[r], st->rest_carry[r]);
}

/* label[n] of positions start...: the target, 0 where none is asked for, -1 where the position is left out. */
static void load_token_labels(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, char *scratch, fl_partial *out) {
    struct token_scratch *s = (struct token_scratch *)scratch;
    if (job->target.data) {
        struct row_scratch *rows = (struct row_scratch *)scratch;
        load_labels(job, start, n, rows, out);
        memmove(s->state.label, rows->state.label, (size_t)whole_lanes(n) * sizeof(ireal));
        return;
    }
    const real *mask = job->mask.data ? fl_load(&kernels, &job->mask, start, n, s->row) : NULL;
    for (ptrdiff_t r = 0; r < n; r++) s->state.label[r] = mask && mask[r] == 0 ? -1 : 0;
    for (ptrdiff_t r = n; r % FL_LANES; r++) s->state.label[r] = -1;
}

static void tokens_block(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_token_job *job = arg;
    struct token_scratch *s = (struct token_scratch *)scratch;
    struct token_state *st = &s->state;
    const ptrdiff_t size = row_block(&job->rows), start = block * size, left = job->rows.positions - start;
    const ptrdiff_t n = left < size ? left : size, lanes = whole_lanes(n);

    load_token_labels(&job->rows, start, n, scratch, out);
    if (out->bad >= 0) return;
    if (job->kind == FL_DIVERGENCE)
        divergence_block(job, start, n, s);
    else
        reduce_tokens(job, &job->rows, start, n, s);
    switch (job->kind) {
    case FL_LOG_PROB: finish_log_probs(st, lanes); break;
    case FL_LOGSUMEXP: finish_logsumexp(st, lanes); break;
    case FL_ENTROPY: finish_entropy(st, lanes); break;
    case FL_TOPK: topk_log_probs(job, st, start, n); return;
    }
    finish_counted(st, lanes);
    if (job->rows.value) memcpy((real *)job->rows.value + start, st->value, (size_t)n * sizeof(real));
    out->sum += tile_sum_wide(st->value, lanes);
}

#endif
