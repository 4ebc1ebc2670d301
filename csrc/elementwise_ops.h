/* SPDX-License-Identifier: BSD-3-Clause */
/* elementwise_ops.h: one small function per elementwise loss, value and derivatives together. Branch-free; x[] are the
 * operands in argument order, p[] the parameters. What a kernel does not ask for, the compiler drops.
 * r_max(a, b) and r_min(a, b) keep a NaN in b only: the data stand second. */
#ifndef FL_ELEMENTWISE_OPS_H
#define FL_ELEMENTWISE_OPS_H

#include "ops_adversarial.h"
#include "ops_binary.h"
#include "ops_likelihood.h"
#include "ops_regression.h"
#include "ops_reinforcement.h"
#include "ops_variational.h"

/* For sums of weights and counts of masks. */
FL_INLINE struct term op_identity(const real *x, const real *p) {
    (void)p;
    return (struct term){.value = x[0]};
}

#endif
