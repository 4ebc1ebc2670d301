/* SPDX-License-Identifier: BSD-3-Clause */
/* parts.h: numbers that carry along what rounding took from them, for terms that cancel. */
#ifndef FL_PARTS_H
#define FL_PARTS_H

#include "vecmath.h"

/* (exp(r) - 1 - r) / r^2 on |r| <= ln(2) / 2, the series: unlike v_exp_tail right to the last place by itself. */
FL_INLINE real r_exp_tail(real r) {
#if FL_REAL == 32 /* what follows is below 2^-28 */
    real q = R(1.0) / R(40320.0);
#else /* 2^-59 */
    real q = R(1.0) / R(87178291200.0);
    q = r_fma(q, r, R(1.0) / R(6227020800.0));
    q = r_fma(q, r, R(1.0) / R(479001600.0));
    q = r_fma(q, r, R(1.0) / R(39916800.0));
    q = r_fma(q, r, R(1.0) / R(3628800.0));
    q = r_fma(q, r, R(1.0) / R(362880.0));
    q = r_fma(q, r, R(1.0) / R(40320.0));
#endif
    q = r_fma(q, r, R(1.0) / R(5040.0));
    q = r_fma(q, r, R(1.0) / R(720.0));
    q = r_fma(q, r, R(1.0) / R(120.0));
    q = r_fma(q, r, R(1.0) / R(24.0));
    q = r_fma(q, r, R(1.0) / R(6.0));
    return r_fma(q, r, R(0.5));
}

/* A number as the sum of a rounded one and what rounding took from it, to first order; low is 0 if high is not finite. */
struct parts {
    real high, low;
};

FL_INLINE struct parts parts_add(struct parts a, struct parts b) {
    const real high = a.high + b.high;
    return (struct parts){high, r_if_finite(r_sum_error(a.high, b.high, high) + (a.low + b.low))};
}

FL_INLINE struct parts parts_multiply(struct parts a, struct parts b) {
    const real high = a.high * b.high;
    return (struct parts){high, r_if_finite(r_product_error(a.high, b.high, high) + (a.high * b.low + a.low * b.high))};
}

FL_INLINE struct parts parts_divide(struct parts a, struct parts b) {
    const real high = a.high / b.high, back = high * b.high;
    const real rest = ((a.high - back) - r_product_error(high, b.high, back)) + (a.low - high * b.low);
    return (struct parts){high, r_if_finite(rest / b.high)};
}

FL_INLINE struct parts parts_where(int condition, struct parts a, struct parts b) {
    return (struct parts){condition ? a.high : b.high, condition ? a.low : b.low};
}

#endif
