/* SPDX-License-Identifier: BSD-3-Clause */
/* elementwise_ops.h: one small function per elementwise loss, value and derivatives together. Branch-free; x[] are the
 * operands in argument order, p[] the parameters. What a kernel does not ask for, the compiler drops.
 * r_max(a, b) and r_min(a, b) keep a NaN in b only: the data stand second. */
#ifndef FL_ELEMENTWISE_OPS_H
#define FL_ELEMENTWISE_OPS_H

#include "vecmath.h"

struct term {
    real value;
    real grad[FL_MAX_PREDICTIONS]; /* by prediction operand */
    real hess;                     /* second derivative by the first prediction */
};

/* For sums of weights and counts of masks. */
FL_INLINE struct term op_identity(const real *x, const real *p) {
    (void)p;
    return (struct term){.value = x[0]};
}

FL_INLINE struct term op_l1(const real *x, const real *p) {
    (void)p;
    const real d = x[0] - x[1];
    const real sign = d > 0 ? R(1.0) : d < 0 ? R(-1.0) : d; /* 0 at 0, NaN at NaN */
    return (struct term){.value = r_abs(d), .grad = {sign}, .hess = d != d ? d : 0};
}

FL_INLINE struct term op_mse(const real *x, const real *p) {
    (void)p;
    const real d = x[0] - x[1];
    return (struct term){.value = d * d, .grad = {2 * d}, .hess = d != d ? d : 2};
}

/* With c = min(|d|, delta): c (|d| - c / 2) is d^2 / 2 inside and delta (|d| - delta / 2) outside. */
FL_INLINE struct term op_huber(const real *x, const real *p) {
    const real d = x[0] - x[1], a = r_abs(d), c = r_min(p[0], a);
    return (struct term){.value = c * (a - R(0.5) * c), .grad = {r_copysign(c, d)}, .hess = d != d ? d : a <= p[0] ? R(1.0) : 0};
}

/* pos * y * softplus(-x) + (1 - y) * softplus(x), softplus(x) = max(x, 0) + log1p(exp(-|x|)): for y in [0, 1] no term is
 * negative, so nothing cancels; the gradient (1 - y) sigmoid(x) - pos y sigmoid(-x) keeps its digits at y = 1 too. */
FL_INLINE struct term bce_logits(real x, real y, real pos) {
    const real z = r_exp(-r_abs(x)), log1pz = r_log1p(z);
    const real r = 1 / (1 + z), near = x >= 0 ? r : z * r, far = x >= 0 ? z * r : r; /* sigmoid(x), sigmoid(-x) */
    const real positive = pos * y, negative = 1 - y;
    return (struct term){
        .value = positive * (r_max(0, -x) + log1pz) + negative * (r_max(0, x) + log1pz),
        .grad = {negative * near - positive * far},
        .hess = (negative + positive) * (near * far),
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

/* (log v + d^2 / v) / 2 with v = max(var, eps), plus log(2 pi) / 2 if full. d (d / v) does not overflow where d^2 would.
 * The clamp passes the gradient, as torch's does. p = {eps, full}. */
FL_INLINE struct term op_gaussian_nll(const real *x, const real *p) {
    const real d = x[0] - x[1], v = r_max(p[0], x[2]), q = d / v;
    return (struct term){
        .value = R(0.5) * (r_log(v) + d * q) + p[1] * R(0.918938533204672741780329736406),
        .grad = {q, R(0.5) * (1 - d * q) / v},
        .hess = 1 / v,
    };
}

#endif
