/* SPDX-License-Identifier: BSD-3-Clause */
/* ops_binary.h: losses of yes-or-no targets. See elementwise_ops.h for what an op is. */
#ifndef FL_OPS_BINARY_H
#define FL_OPS_BINARY_H

#include "elementwise_term.h"
#include "parts.h"

/* pos * y * softplus(-x) + (1 - y) * softplus(x), softplus(x) = max(x, 0) + log1p(exp(-|x|)): for y in [0, 1] no term
 * is negative, so nothing cancels. The gradient (1 - y) sigmoid(x) - pos y sigmoid(-x) is put over the common
 * denominator 1 + z; its numerator cancels where sigmoid(x) is near y, so it is fused, and 1 - y is taken with its
 * rounding error. */
FL_INLINE struct term bce_logits(real x, real y, real pos) {
    const real z = r_exp_raised(-r_abs(x)) * V_LOWER, log1pz = r_log1p_unit(z), r = 1 / (1 + z);
    const real positive = pos * y, negative = 1 - y, lost = (1 - negative) - y;
    const real above = r_fma(-positive, z, negative) + lost, below = r_fma(negative, z, -positive) + lost * z;
    return (struct term){
        .value = positive * (r_max(r_zero, -x) + log1pz) + negative * (r_max(r_zero, x) + log1pz),
        .grad = {(x >= 0 ? above : below) * r},
        .hess = (negative + positive) * (z * r * r),
    };
}

FL_INLINE struct term op_bce_logits(const real *x, const real *p) {
    (void)p;
    return bce_logits(x[0], x[1], 1);
}

FL_INLINE struct term op_bce_logits_pos(const real *x, const real *p) {
    (void)p;
    return bce_logits(x[0], x[1], x[2]);
}

R_HIDDEN(bce_most, R(100.0));
R_HIDDEN(bce_least, R(1e-12));

/* -y log p - (1 - y) log(1 - p), each logarithm at least -100; the gradient (p - y) / (p (1 - p)) over at least 1e-12.
 * Both are torch's bounds. */
FL_INLINE struct term op_bce(const real *x, const real *p) {
    (void)p;
    const real q = x[0], y = x[1], rest = 1 - q, no = 1 - y;
    const real cost = r_min(bce_most, -r_log(q)), cost_of_rest = r_min(bce_most, -r_log1p(-q));
    const real w = r_max(bce_least, q * rest);
    return (struct term){
        .value = y * cost + no * cost_of_rest,
        .grad = {(q - y) / w},
        .hess = (q * q * no + rest * rest * y) / (w * w),
    };
}

/* log(1 + exp(-t)), t = y x. */
FL_INLINE struct term op_soft_margin(const real *x, const real *p) {
    (void)p;
    const real y = x[1], t = y * x[0], z = r_exp_raised(-r_abs(t)) * V_LOWER, r = 1 / (1 + z);
    return (struct term){
        .value = r_max(r_zero, -t) + r_log1p_unit(z),
        .grad = {-y * ((t >= 0 ? z : R(1.0)) * r)},
        .hess = y * y * (z * r * r),
    };
}

/* x where y = 1, max(0, margin - x) where y = -1, and their sum, max(x, margin), elsewhere; NaN where x or y is. The
 * clamp passes the gradient at equality. */
FL_INLINE struct term op_hinge_embedding(const real *x, const real *p) {
    const real s = x[0], y = x[1], d = p[0] - s;
    const real floor = r_where(y == -1, 0, p[0]), negative = r_max(floor, r_where(y == -1, d, s));
    const real value = r_where(y == 1, s, r_where(y == y, negative, y));
    const real low = r_where(y == -1, -1, 0), slope = r_where(y == 1, 1, r_where(d >= 0, low, low + 1));
    return (struct term){.value = value, .grad = {r_where(value == value, slope, value)}, .hess = value - value};
}

/* The same for y = 1 or -1 alone, of which the sign is enough, and the bits in which another number differs. */
FL_INLINE struct term op_hinge_embedding_signs(const real *x, const real *p) {
    const real s = x[0], d = p[0] - s;
    const real value = r_by_sign(x[1], r_max(r_zero, d), s), passed = d >= 0 ? R(-1.0) : 0;
    const real slope = r_by_sign(x[1], passed, 1);
    return (struct term){.value = value, .grad = {value == value ? slope : value}, .hess = value - value};
}

FL_INLINE ireal no_sign(real y) { return r_bits(y) ^ r_bits(1); }

/* max(0, margin - y (x1 - x2)), gradients in x1 and x2; the clamp passes them at equality. */
FL_INLINE struct term op_margin_ranking(const real *x, const real *p) {
    const real y = x[2], d = x[0] - x[1], v = r_fma(-y, d, p[0]);
    const real off = v < 0 ? 0 : v; /* NaN stays */
    return (struct term){
        .value = r_max(r_zero, v), .grad = {v >= 0 ? -y : off, v >= 0 ? y : off}, .hess = v == v ? 0 : v};
}

/* u^gamma for u + low in [0, 1]; 1 for gamma = 0. */
FL_INLINE real power_of(real u, real low, real gamma) {
    real rest;
    const real log = r_max(r_least, r_log_parts(u, &rest)), product = gamma * log;
    const real error = r_if_finite(r_product_error(gamma, log, product) + gamma * (rest + low / u));
    const real t = product + error, power = r_exp(t);
    return r_fma(power, r_if_finite((product - t) + error), power);
}

FL_INLINE real square_of(real u, real low, real gamma) {
    (void)gamma;
    return r_fma(u, u, 2 * u * low);
}

/* a u^gamma ce, where ce is the cross entropy of logits, u = p (1 - y) + (1 - p) y with p = sigmoid(x) is how far the
 * prediction is off, and a = alpha y + (1 - alpha) (1 - y), or 1 if alpha is negative.
 *
 * Let z = exp(-|x|), and `differ` and `agree` be the probabilities 1 - y and y, or, for negative x, y and 1 - y. Then
 * u = (differ + agree z) / (1 + z); ce = log(1 + z) + |x| differ; and with the sign of x, ce' = (differ - agree z) / (1 + z)
 * and u' / u = (differ - agree) z / ((differ + agree z) (1 + z)). A power multiplies the relative error of u, the
 * loss is a product of three factors, and the gradient's sum cancels: so all are taken in parts. */
FL_INLINE struct term focal(real x, real y, real alpha, real gamma, real (*power)(real, real, real)) {
    const struct parts yes = {y, 0}, no = parts_add((struct parts){1, 0}, (struct parts){-y, 0});
    const struct parts differ = parts_where(x >= 0, no, yes), agree = parts_where(x >= 0, yes, no);
    const struct exp_parts e = r_exp_parts(-r_abs(x));
    const struct parts z = {e.mantissa * e.half * e.rest, e.low * e.half * e.rest};
    const struct parts sum = parts_add((struct parts){1, 0}, z), near = parts_multiply(agree, z);
    const struct parts off = parts_add(differ, near), u = parts_divide(off, sum);

    real log_low;
    const real log = r_log_parts(sum.high, &log_low), r = 1 / sum.high;
    const struct parts far = parts_multiply((struct parts){r_abs(x), 0}, differ);
    struct parts ce = parts_add(far, (struct parts){log, log_low + sum.low * r});
    ce = (struct parts){ce.high + ce.low, ce.low - ((ce.high + ce.low) - ce.high)};
    const real weighs = R(0.5) + r_copysign(R(0.5), alpha); /* 1 or 0: a comparison here is scalar with Clang */
    const real side = weighs * (alpha * y + (1 - alpha) * no.high) + (1 - weighs);
    const real factor = side * power(u.high, u.low, gamma);

    const struct parts slope = parts_add(differ, (struct parts){-near.high, -near.low});
    const struct parts apart = parts_add(differ, (struct parts){-agree.high, -agree.low});
    const struct parts one = {1, 0}, tail = parts_where(off.high == 0, one, parts_divide(z, off)); /* 1 in the limit */
    const struct parts fall = parts_multiply(parts_multiply((struct parts){gamma, 0}, apart), tail);
    const struct parts bounded = {r_min(r_most, ce.high), ce.low};
    const struct parts bent = parts_multiply(fall, bounded);
    const struct parts grad = parts_divide(parts_add(bent, slope), sum);
    const real odds = (z.high - 1) * r, rate = fall.high * r, bend = bent.high * r;
    const real curve = bend * (rate + odds - apart.high * tail.high * r) + 2 * rate * slope.high * r + z.high * r * r;
    return (struct term){
        .value = factor * ce.high,
        .grad = {(x >= 0 ? factor : -factor) * (grad.high + grad.low)},
        .hess = factor * curve,
    };
}

FL_INLINE struct term op_focal(const real *x, const real *p) { return focal(x[0], x[1], p[0], p[1], power_of); }

FL_INLINE struct term op_focal_square(const real *x, const real *p) { return focal(x[0], x[1], p[0], 2, square_of); }

#endif
