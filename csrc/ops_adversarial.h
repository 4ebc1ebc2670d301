/* SPDX-License-Identifier: BSD-3-Clause */
/* ops_adversarial.h: costs of a critic's scores against one label for all, p = {label}. See elementwise_ops.h for what
 * an op is. */
#ifndef FL_OPS_ADVERSARIAL_H
#define FL_OPS_ADVERSARIAL_H

#include "ops_binary.h"
#include "ops_regression.h"

/* log(1 + exp(-y x)) */
FL_INLINE struct term op_logistic(const real *x, const real *p) {
    const real pair[2] = {x[0], p[0]};
    return op_soft_margin(pair, p);
}

/* (x - y)^2 / 2 */
FL_INLINE struct term op_least_squares(const real *x, const real *p) {
    const real d = x[0] - p[0];
    return (struct term){.value = R(0.5) * d * d, .grad = {d}, .hess = d != d ? d : 1};
}

/* max(0, 1 - y x); the gradient is 0 at the kink, as that of a rectifier. */
FL_INLINE struct term op_hinge(const real *x, const real *p) {
    const real h = r_max(r_zero, 1 - p[0] * x[0]);
    return (struct term){.value = h, .grad = {h > 0 ? -p[0] : h}, .hess = h != h ? h : 0};
}

/* y x */
FL_INLINE struct term op_linear(const real *x, const real *p) {
    const real h = p[0] * x[0];
    return (struct term){.value = h, .grad = {h == h ? p[0] : h}, .hess = h == h ? 0 : h};
}

#endif
