/* SPDX-License-Identifier: BSD-3-Clause */
/* ops_binary.h: losses of yes-or-no targets. See elementwise_ops.h for what an op is. */
#ifndef FL_OPS_BINARY_H
#define FL_OPS_BINARY_H

#include "elementwise_term.h"

/* pos * y * softplus(-x) + (1 - y) * softplus(x), softplus(x) = max(x, 0) + log1p(exp(-|x|)): for y in [0, 1] no term
 * is negative, so nothing cancels. The gradient (1 - y) sigmoid(x) - pos y sigmoid(-x) is put over the common
 * denominator 1 + z; its numerator cancels where sigmoid(x) is near y, so it is fused, and 1 - y is taken with its
 * rounding error. */
FL_INLINE struct term bce_logits(real x, real y, real pos) {
    const real z = r_exp(-r_abs(x)), log1pz = r_log1p(z), r = 1 / (1 + z);
    const real positive = pos * y, negative = 1 - y, lost = (1 - negative) - y;
    const real above = r_fma(-positive, z, negative) + lost, below = r_fma(negative, z, -positive) + lost * z;
    return (struct term){
        .value = positive * (r_max(0, -x) + log1pz) + negative * (r_max(0, x) + log1pz),
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

/* -y log p - (1 - y) log(1 - p), each logarithm at least -100; the gradient (p - y) / (p (1 - p)) over at least 1e-12.
 * Both are torch's bounds. */
FL_INLINE struct term op_bce(const real *x, const real *p) {
    (void)p;
    const real q = x[0], y = x[1], rest = 1 - q, no = 1 - y;
    const real cost = r_min(R(100.0), -r_log(q)), cost_of_rest = r_min(R(100.0), -r_log1p(-q));
    const real w = r_max(R(1e-12), q * rest);
    return (struct term){
        .value = y * cost + no * cost_of_rest,
        .grad = {(q - y) / w},
        .hess = (q * q * no + rest * rest * y) / (w * w),
    };
}

/* log(1 + exp(-t)), t = y x. */
FL_INLINE struct term op_soft_margin(const real *x, const real *p) {
    (void)p;
    const real y = x[1], t = y * x[0], z = r_exp(-r_abs(t)), r = 1 / (1 + z);
    return (struct term){
        .value = r_max(0, -t) + r_log1p(z),
        .grad = {-y * ((t >= 0 ? z : R(1.0)) * r)},
        .hess = y * y * (z * r * r),
    };
}

/* x where y = 1, max(0, margin - x) where y = -1, and their sum, max(x, margin), elsewhere; NaN where x or y is. The
 * clamp passes the gradient at equality. */
FL_INLINE struct term op_hinge_embedding(const real *x, const real *p) {
    const real s = x[0], y = x[1], d = p[0] - s;
    const real below = d >= 0 ? R(1.0) : 0, near = y == -1 ? 0 : R(1.0), far = y == 1 ? 0 : below;
    const real negative = y == -1 ? r_max(0, d) : r_max(p[0], s), value = y == 1 ? s : negative;
    const int known = (s == s) & (y == y);
    return (struct term){
        .value = known ? value : s + y, .grad = {known ? near - far : s + y}, .hess = known ? 0 : s + y};
}

/* max(0, margin - y (x1 - x2)), gradients in x1 and x2; the clamp passes them at equality. */
FL_INLINE struct term op_margin_ranking(const real *x, const real *p) {
    const real y = x[2], d = x[0] - x[1], v = r_fma(-y, d, p[0]);
    const real off = v < 0 ? 0 : v; /* NaN stays */
    return (struct term){
        .value = r_max(0, v), .grad = {v >= 0 ? -y : off, v >= 0 ? y : off}, .hess = v == v ? 0 : v};
}

/* a u^gamma ce, ce the cross entropy of logits with p = sigmoid(x), u = p (1 - y) + (1 - p) y how far the prediction is
 * off, and a = alpha y + (1 - alpha) (1 - y), or 1 if alpha is negative. With rho = u' / u = (1 - 2 y) p (1 - p) / u,
 * finite where u is 0, the gradient is a u^gamma (gamma rho ce + ce'), and the second derivative
 * a u^gamma (gamma rho ce (gamma rho + 1 - 2 p - rho) + 2 gamma rho ce' + ce''). */
FL_INLINE struct term focal(real x, real y, real alpha, real gamma, real (*power)(real, real)) {
    const struct term ce = bce_logits(x, y, 1);
    const real z = r_exp(-r_abs(x)), r = 1 / (1 + z), no = 1 - y;
    const real off = x >= 0 ? r_fma(z, y, no) : r_fma(z, no, y), tail = z * r; /* u = r off; p (1 - p) = r tail */
    const real rho = (1 - 2 * y) * (off == 0 ? R(1.0) : tail / off);
    const real fall = gamma * rho * r_min(R_MAX, ce.value);
    const real factor = (alpha < 0 ? R(1.0) : alpha * y + (1 - alpha) * no) * power(r * off, gamma);
    const real odds = r_copysign((1 - z) * r, -x); /* 1 - 2 p */
    return (struct term){
        .value = factor * ce.value,
        .grad = {factor * (fall + ce.grad[0])},
        .hess = factor * (fall * (gamma * rho + odds - rho) + 2 * gamma * rho * ce.grad[0] + ce.hess),
    };
}

/* u^gamma for u in [0, 1]. */
FL_INLINE real r_pow_unit(real u, real gamma) {
    real rest;
    const real log = r_log_parts(u, &rest), product = gamma * log;
    const real low = r_if_finite(r_product_error(gamma, log, product) + gamma * rest), t = product + low;
    const real power = r_exp(t);
    return gamma == 0 ? R(1.0) : r_fma(power, r_if_finite((product - t) + low), power);
}

FL_INLINE real square(real u, real gamma) {
    (void)gamma;
    return u * u;
}

FL_INLINE struct term op_focal(const real *x, const real *p) { return focal(x[0], x[1], p[0], p[1], r_pow_unit); }

FL_INLINE struct term op_focal_square(const real *x, const real *p) { return focal(x[0], x[1], p[0], 2, square); }

#endif
