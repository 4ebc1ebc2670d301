/* SPDX-License-Identifier: BSD-3-Clause */
/* ops_regression.h: distances between predictions and targets. See elementwise_ops.h for what an op is. */
#ifndef FL_OPS_REGRESSION_H
#define FL_OPS_REGRESSION_H

#include "elementwise_term.h"

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

#endif
