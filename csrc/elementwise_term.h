/* SPDX-License-Identifier: BSD-3-Clause */
/* elementwise_term.h: what an op of an elementwise loss gives. */
#ifndef FL_ELEMENTWISE_TERM_H
#define FL_ELEMENTWISE_TERM_H

#include "vecmath.h"

struct term {
    real value;
    real grad[FL_MAX_PREDICTIONS]; /* by prediction operand */
    real hess;                     /* second derivative by the first prediction */
    ireal far;                     /* of op_NAME_near: below 0 where it does not hold */
};

#endif
