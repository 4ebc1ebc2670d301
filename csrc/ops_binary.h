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

#endif
