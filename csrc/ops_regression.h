/* SPDX-License-Identifier: BSD-3-Clause */
/* ops_regression.h: distances between predictions and targets. See elementwise_ops.h for what an op is. */
#ifndef FL_OPS_REGRESSION_H
#define FL_OPS_REGRESSION_H

#include "elementwise_term.h"

FL_INLINE struct term op_l1(const real *x, const real *p) {
    (void)p;
    const real d = x[0] - x[1];
    return (struct term){.value = r_abs(d), .grad = {r_sign(d)}, .hess = d != d ? d : 0};
}

FL_INLINE struct term op_mse(const real *x, const real *p) {
    (void)p;
    const real d = x[0] - x[1];
    return (struct term){.value = d * d, .grad = {2 * d}, .hess = d != d ? d : 2};
}

/* c (|d| - c / 2) with c = min(|d|, delta); inf at infinite distance, whatever delta. */
FL_INLINE struct term op_huber(const real *x, const real *p) {
    const real d = x[0] - x[1], a = r_abs(d), c = r_min(r_min(R_MAX, p[0]), a);
    return (struct term){
        .value = c * r_fma(R(-0.5), c, a),
        .grad = {r_copysign(r_min(p[0], a), d)},
        .hess = d != d ? d : a <= p[0] ? R(1.0) : 0,
    };
}

/* d^2 / (2 beta) for |d| < beta, else |d| - beta / 2; beta = 0 is l1. The reciprocal of beta leaves the loop; that of a
 * subnormal beta would overflow, so it is taken of `up` times beta. */
FL_INLINE struct term op_smooth_l1(const real *x, const real *p) {
    const real up = p[0] < 4 * R_MIN ? 1 / R_EPSILON : R(1.0), inverse = 1 / (p[0] * up);
    const real d = x[0] - x[1], a = r_abs(d), slope = d * up * inverse;
    const real sign = r_sign(d);
    return (struct term){
        .value = a < p[0] ? R(0.5) * d * slope : a - R(0.5) * p[0],
        .grad = {a < p[0] ? slope : sign},
        .hess = d != d ? d : a < p[0] ? inverse * up : 0,
    };
}

/* One term of a root mean square, of differences scaled by p = {a power of two}: the root is taken outside, and divides
 * the gradient there. */
FL_INLINE struct term op_rmse(const real *x, const real *p) {
    const real d = x[0] - x[1], scaled = d * p[0];
    return (struct term){.value = scaled * scaled, .grad = {scaled}, .hess = d != d ? d : 1};
}

/* log(cosh(d)): below 1 as log1p(cosh(d) - 1), cosh(d) - 1 = m^2 / (2 exp(-|d|)) with m = exp(-|d|) - 1; above as
 * |d| - log(2) + log1p(exp(-2 |d|)). Nothing cancels in either. tanh(d) = -k / (2 + k), k = exp(-2 |d|) - 1. */
FL_INLINE struct term op_log_cosh(const real *x, const real *p) {
    (void)p;
    const real d = x[0] - x[1], a = r_abs(d), m = r_expm1(-a), e = 1 + m;
    const real less_one = m * m * R(0.5) / e, above = a - V_LN2;
    const real k = r_fma(m, m, 2 * m), tanh = -k / (2 + k), sech = 2 * (r_exp_raised(-a) * V_LOWER) / (2 + k);
    return (struct term){
        .value = (a < 1 ? 0 : above) + r_log1p_unit(a < 1 ? less_one : e * e),
        .grad = {r_copysign(tanh, d)},
        .hess = sech * sech,
    };
}

/* max(q (y - x), (q - 1) (y - x)); the gradient is 0 where they are equal, as that of l1. The loss has no curvature:
 * hess is 1, what boosting libraries take. */
FL_INLINE struct term quantile(real x, real y, real q) {
    const real d = x - y, slope = r_by_sign(d, -q, 1 - q); /* of -0 too: equal numbers cost +0 */
    return (struct term){
        .value = slope * d, .grad = {((d < 0) | (d > 0)) ? slope : d}, .hess = d != d ? d : 1};
}

FL_INLINE struct term op_quantile(const real *x, const real *p) { return quantile(x[0], x[1], p[0]); }

FL_INLINE struct term op_quantiles(const real *x, const real *p) {
    (void)p;
    return quantile(x[0], x[1], x[2]);
}

/* |x - y| / max(|y|, eps), p = {eps} */
FL_INLINE struct term op_mape(const real *x, const real *p) {
    const real d = x[0] - x[1], size = r_max(p[0], r_abs(x[1]));
    const real sign = r_sign(d);
    return (struct term){.value = r_abs(d) / size, .grad = {sign / size}, .hess = d != d ? d : 0};
}

/* 2 |x - y| / s, s = |x| + |y|; 0 where both are 0. The gradient, 4 sign(x - y) |y| / s^2 where the signs agree, is 0
 * where they differ, since the loss is 2 there; at x = 0 it is half of what stands beside. Numbers so large that s might
 * overflow are halved. */
FL_INLINE struct term op_smape(const real *x, const real *p) {
    (void)p;
    const real most = r_max(r_abs(x[0]), r_abs(x[1])), down = most > R(0.25) * R_MAX ? R(0.5) : R(1.0);
    const real a = x[0] * down, b = x[1] * down, d = a - b, size_b = r_abs(b);
    const real s = r_max(r_tiny, r_abs(a) + size_b);
    const real sign = r_sign(d);
    const real share = (size_b / s) / s * down, agreed = (x[0] > 0) == (x[1] > 0) ? 4 * share : 0;
    const real steep = x[0] == 0 ? 2 * share : agreed, flat = 0 * d;
    const real slope = d == 0 || x[1] == 0 || steep == 0 ? flat : sign * steep;
    const real outward = a > 0 ? R(2.0) : a < 0 ? R(-2.0) : 0;
    return (struct term){
        .value = 2 * (r_abs(d) / s),
        .grad = {slope},
        .hess = slope == 0 ? flat : -outward * slope / s * down,
    };
}

#if FL_REAL == 32
#define MSLE_HUGE R(0x1p100)
#define MSLE_DOWN R(0x1p-64)
#define MSLE_LOG (64 * V_LN2)
#else
#define MSLE_HUGE R(0x1p900)
#define MSLE_DOWN R(0x1p-512)
#define MSLE_LOG (512 * V_LN2)
#endif

/* l^2, l = log1p(x) - log1p(y) = +-log1p((high - low) / (1 + low)): the quotient is never negative, so that no digits
 * are lost. It might overflow where high is huge and low is not: there it is taken down by 2^-64, which the logarithm
 * makes good, since 1 is nothing beside it (doubles: 2^-512). A quotient that has a sign, is NaN or above
 * 2^89 (2^889) is far. */
FL_INLINE struct term msle(const real *x, int near) {
    const real d = x[0] - x[1], low = r_min(x[1], x[0]);
    const int huge = !near & (r_abs(d) > MSLE_HUGE) & (low < R(1024.0));
    const real ratio = r_abs(d) * (huge ? MSLE_DOWN : 1) / (1 + low), log = near ? v_log1p(ratio) : r_log1p(ratio);
    const real size = near ? log : log + (huge ? MSLE_LOG : 0), l = r_copysign(size, d), u = 1 + x[0];
    const ireal beyond = (ireal)((ureal)r_bits(MSLE_HUGE / 2048) - (ureal)r_bits(ratio)) | r_bits(ratio);
    return (struct term){.value = size * size, .grad = {2 * l / u}, .hess = 2 * (1 - l) / (u * u), .far = near ? beyond : 0};
}

FL_INLINE struct term op_msle(const real *x, const real *p) { (void)p; return msle(x, 0); }
FL_INLINE struct term op_msle_near(const real *x, const real *p) { (void)p; return msle(x, 1); }

#endif
