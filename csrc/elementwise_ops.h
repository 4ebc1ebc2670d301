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

/* With c = min(|d|, delta): c |d| / 2 inside, c (|d| - delta / 2) outside; inf at infinite distance, whatever delta. */
FL_INLINE struct term op_huber(const real *x, const real *p) {
    const real d = x[0] - x[1], a = r_abs(d), c = r_min(p[0], a);
    const real rest = a <= p[0] ? R(0.5) * a : a - R(0.5) * p[0];
    return (struct term){.value = c * rest, .grad = {r_copysign(c, d)}, .hess = d != d ? d : a <= p[0] ? R(1.0) : 0};
}

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

/* (log v + d^2 / v) / 2 with v = max(var, eps), plus log(2 pi) / 2 if full; p = {eps, full}. The terms may cancel to
 * any degree, so each is taken with what rounding took from it (`low`), and so is 1 - d^2 / v in the gradient of var,
 * unless d^2 / v is so large that it might overflow before the division by v. The clamp passes the gradient, as
 * torch's does. */
FL_INLINE struct term op_gaussian_nll(const real *x, const real *p) {
    const real d = x[0] - x[1], v = r_max(p[0], x[2]), q = d / v;
    const real inverse = 1 / r_max(R_MIN, v); /* finite, so that 0 errors stay 0 */
    const real q_low = (-r_product_error(q, v, q * v) + (d - q * v)) * inverse;
    const real half = R(0.5) * d * q;
    const real half_low = r_if_finite(r_product_error(R(0.5) * d, q, half) + R(0.5) * d * q_low);
    real log_low;
    const real half_log = R(0.5) * r_log_parts(v, &log_low), first = half_log + half;
    const real constant = p[1] * R(0.918938533204672741780329736406), value = first + constant;
    const real constant_low = p[1] * (real)(0x1.d67f1c864beb5p-1 - (double)R(0.918938533204672741780329736406));
    const real low = ((half_low + R(0.5) * log_low) + constant_low) +
                     (r_sum_error(half_log, half, first) + r_sum_error(first, constant, value));
    const real near = R(0.5) * ((1 - 2 * half) - 2 * half_low) / v;
    return (struct term){
        .value = value + r_if_finite(low),
        .grad = {q, half < R(0x1p20) ? near : R(0.5) / v - R(0.5) * q * q},
        .hess = 1 / v,
    };
}

#endif
