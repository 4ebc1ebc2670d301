/* SPDX-License-Identifier: BSD-3-Clause */
/* ops_likelihood.h: negative log-likelihoods. See elementwise_ops.h for what an op is. */
#ifndef FL_OPS_LIKELIHOOD_H
#define FL_OPS_LIKELIHOOD_H

#include "elementwise_term.h"

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
