/* SPDX-License-Identifier: BSD-3-Clause */
/* fold.h: what one pass over the logits of a row leaves of it, for values without gradients (tokens.h) and for rows
 * that come in tiles (linear.h): the largest logit m, and sums over the classes of e = exp(x - m) and of e (m - x).
 *
 * Of each tile a term that is exactly 1, such as the maximum's own, is counted apart (of columns all such), so that what
 * remains of the sum next to 1 keeps its digits however small it is:
 *   rest = sum of the others, + number of those - 1,  log of the sum of exponentials = m + log1p(rest) */
#ifndef FL_FOLD_H
#define FL_FOLD_H

#include "softmax.h"

enum { TOKEN_CLASSES = 16 }; /* classes per tile of columns */
#define EXP_VANISHES R(800.0) /* exp of minus that is 0 */

/* One row's fold. */
struct fold {
    real max;     /* in [-R_MAX, R_MAX]: NaN is passed over, an infinity shows in the sum */
    double rest;  /* sum of the terms that are not counted in ones */
    double ones;  /* number of terms that are 1 */
    double moment;
};

/* The folds of a block's rows, and what is made of them; whole lanes. */
struct token_state {
    real max[MAX_ROWS], ones[MAX_ROWS], target_logit[MAX_ROWS];
    double rest[MAX_ROWS], rest_carry[MAX_ROWS]; /* carry: what additions rounded away (float64 columns only) */
    double moment[MAX_ROWS], moment_carry[MAX_ROWS];
    real log_sum[MAX_ROWS], log_sum_low[MAX_ROWS]; /* log1p(rest), and what follows it */
    real inverse[MAX_ROWS];                        /* 1 / (1 + rest) */
    real first_max[MAX_ROWS], first_inverse[MAX_ROWS]; /* divergence: those of p */
    real shift[MAX_ROWS], shift_low[MAX_ROWS];         /* divergence: log_sum of q less that of p */
    real value[MAX_ROWS];
    ireal label[MAX_ROWS]; /* -1: left out */
};

struct token_scratch {
    struct token_state state;
    union {
        struct {
            real row[FL_TILE], other_row[FL_TILE], product[FL_TILE];
        };
        real columns[TOKEN_CLASSES][MAX_ROWS];
    };
    real e[FL_TILE];
    const real *column[TOKEN_CLASSES + 1];
};
_Static_assert(sizeof(struct token_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a block of tokens");

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* e = exp(x - max), product = e (max - x), both raised as by r_exp_raised; 0 at -inf, for 0 times the largest number is 0.
 * NaN at +inf. */
static void tile_exp_product(real *restrict e, real *restrict product, const real *restrict x, ptrdiff_t n, real max) {
    n &= -(ptrdiff_t)FL_LANES;
    P_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i += PACKET) {
        const packet down = p_all(max) - p_load(x + i), one = p_exp_down(down);
        p_store(e + i, one);
        p_store(product + i, one * p_min(down, p_all(R_MAX)));
    }
}

static struct fold empty_fold(void) { return (struct fold){.max = -R_MAX}; }

/* A higher maximum: all terms shrink by the same factor. */
static void raise_fold(struct fold *f, real higher) {
    const real step = higher - f->max, factor = r_exp(-step);
    f->moment += (f->rest + f->ones) * (double)r_min(step, EXP_VANISHES);
    f->moment *= (double)factor;
    f->max = higher;
    if (factor == 1) return;
    f->rest = (f->rest + f->ones) * (double)factor;
    f->ones = 0;
}

/* The same as tile_exp of any x: +inf gives +inf. */
static void tile_exp_open(real *restrict e, const real *restrict x, ptrdiff_t n, real max) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) e[i] = r_exp(x[i] - max);
}

/* The sum of exp(x - max) without that of x[own], if own is not -1; max is no less than any x. */
static double exp_sum(const real *x, ptrdiff_t n, real max, ptrdiff_t own) {
    double lane[FL_LANES] = {0};
    ireal sign[FL_LANES] = {0};
    tile_exp_sum(lane, sign, x, n, max, own);
    return fold_lanes(lane) * (double)V_LOWER;
}

/* Add x[n], whole lanes, to a fold; e is scratch, product too or NULL if the moment is not asked for. Returns the largest
 * of x. */
static real fold_tile(struct fold *f, const real *x, ptrdiff_t n, real *e, real *product) {
    const real largest = tile_max(x, n), higher = r_min(largest, R_MAX);
    if (higher > f->max) raise_fold(f, higher);
    /* Where a term that is 1 stands, which is left out below. Of +inf and of nothing above -inf no x is `higher`. */
    const ptrdiff_t found = r_exp(higher - f->max) == 1 ? find(x, n, higher) : n, own = found < n ? found : -1;
    if (product)
        tile_exp_product(e, product, x, n, f->max);
    else if (largest > f->max)
        tile_exp_open(e, x, n, f->max);
    else {
        f->ones += own >= 0;
        f->rest += exp_sum(x, n, f->max, own);
        return largest;
    }
    if (own >= 0) e[own] = 0;
    f->ones += own >= 0;
    f->rest += tile_sum(e, n) * (product ? (double)V_LOWER : 1.0);
    if (product) f->moment += tile_sum(product, n) * (double)V_LOWER;
    return largest;
}

static void store_fold(struct token_state *st, ptrdiff_t r, struct fold f) {
    st->max[r] = f.max;
    st->rest[r] = f.rest;
    st->ones[r] = (real)f.ones;
    st->moment[r] = f.moment;
    st->rest_carry[r] = st->moment_carry[r] = 0;
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

/* sum += x, and the rounding error to carry; floats meet a double that has room for them. */
FL_INLINE void add_to(double *sum, double *carry, double x) {
    const double total = *sum + x;
    if (sizeof(real) == sizeof(double)) {
        const double added = total - *sum;
        *carry += (*sum - (total - added)) + (x - added);
    }
    *sum = total;
}

/* The carry of an infinite sum is NaN. */
FL_INLINE double with_carry(double sum, double carry) { return sum + (carry - carry == 0 ? carry : 0); }

static void column_raise(struct token_state *st, const real *restrict higher, ptrdiff_t n) {
    real *restrict max = st->max, *restrict ones = st->ones;
    double *restrict rest = st->rest, *restrict rest_carry = st->rest_carry;
    double *restrict moment = st->moment, *restrict moment_carry = st->moment_carry;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real step = higher[r] - max[r], factor = r_exp(-step);
        const real merged = factor == 1 ? 0 : ones[r];
        const double all = rest[r] + (double)ones[r];
        moment[r] = (moment[r] + all * (double)r_min(step, EXP_VANISHES)) * (double)factor;
        moment_carry[r] *= (double)factor;
        rest[r] = (rest[r] + (double)merged) * (double)factor;
        rest_carry[r] *= (double)factor;
        ones[r] -= merged;
        max[r] = higher[r];
    }
}

/* Two classes at a time: c and c + 1. */
FL_INLINE void fold_columns(struct token_state *st, const real *restrict x0, const real *restrict x1, ptrdiff_t c,
                            ptrdiff_t n, int want_moment) {
    const real *restrict max = st->max;
    real *restrict ones = st->ones, *restrict target_logit = st->target_logit;
    double *restrict rest = st->rest, *restrict rest_carry = st->rest_carry;
    double *restrict moment = st->moment, *restrict moment_carry = st->moment_carry;
    const ireal *restrict label = st->label;
    const ireal class0 = (ireal)c, class1 = (ireal)c + 1;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real e0 = r_exp(x0[r] - max[r]), e1 = r_exp(x1[r] - max[r]);
        ones[r] += (e0 == 1 ? R(1.0) : R(0.0)) + (e1 == 1 ? R(1.0) : R(0.0));
        add_to(&rest[r], &rest_carry[r], (double)((e0 == 1 ? 0 : e0) + (e1 == 1 ? 0 : e1)));
        if (want_moment)
            add_to(&moment[r], &moment_carry[r],
                   (double)(e0 * r_min(max[r] - x0[r], R_MAX) + e1 * r_min(max[r] - x1[r], R_MAX)));
        target_logit[r] = r_where(label[r] == class0, x0[r], r_where(label[r] == class1, x1[r], target_logit[r]));
    }
}

static void column_fold(struct token_state *st, const real *x0, const real *x1, ptrdiff_t c, ptrdiff_t n) {
    fold_columns(st, x0, x1, c, n, 0);
}

static void column_fold_moment(struct token_state *st, const real *x0, const real *x1, ptrdiff_t c, ptrdiff_t n) {
    fold_columns(st, x0, x1, c, n, 1);
}

#endif
