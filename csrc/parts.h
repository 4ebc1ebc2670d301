/* SPDX-License-Identifier: BSD-3-Clause */
/* parts.h: numbers that carry along what rounding took from them, for terms that cancel. */
#ifndef FL_PARTS_H
#define FL_PARTS_H

#include "vecmath.h"

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
