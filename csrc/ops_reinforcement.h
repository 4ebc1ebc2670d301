/* SPDX-License-Identifier: BSD-3-Clause */
/* ops_reinforcement.h: temporal differences, proximal policy optimisation. See elementwise_ops.h for what an op is. */
#ifndef FL_OPS_REINFORCEMENT_H
#define FL_OPS_REINFORCEMENT_H

#include "ops_likelihood.h"
#include "ops_regression.h"
#include "ops_variational.h"

/* r + discount (1 - done) v of a next state's value v, which counts for nothing where the episode is done. */
FL_INLINE real bootstrapped(real reward, real next, real done, real discount) {
    const real going_on = 1 - done;
    return reward + (going_on == 0 ? r_zero_of(next) : discount * going_on * next);
}

/* x = (value, reward, next value, done), p = {discount}: target less value. */
FL_INLINE struct term op_td_error(const real *x, const real *p) {
    const real d = bootstrapped(x[1], x[2], x[3], p[0]) - x[0];
    return (struct term){.value = d, .grad = {d == d ? R(-1.0) : d}, .hess = r_zero_of(d)};
}

FL_INLINE struct term op_td_squared(const real *x, const real *p) {
    const real pair[2] = {x[0], bootstrapped(x[1], x[2], x[3], p[0])};
    return op_mse(pair, p);
}

/* p = {discount, delta} */
FL_INLINE struct term op_td_huber(const real *x, const real *p) {
    const real pair[2] = {x[0], bootstrapped(x[1], x[2], x[3], p[0])};
    return op_huber(pair, p + 1);
}

/* The clipped surrogate -min(r A, min(max(r, low), high) A), r = exp(x - old), A = (advantage - mean) inverse; x = (log
 * probability, that of the old policy, advantage), p = {low, high, mean, inverse}. Where the clipped term is less the
 * gradient is 0; at the ends of the range it passes, as a clamp's does. */
FL_INLINE struct term op_ppo_policy(const real *x, const real *p) {
    const real a = (x[2] - p[2]) * p[3];
    const struct exp_parts e = r_exp_parts(x[0] - x[1]);
    const real ratio = r_exp_times(e, 1), whole = r_exp_times(e, -a), bound = a > 0 ? p[1] : p[0];
    const real under = a < 0 ? p[0] - ratio : 0, beyond = a > 0 ? ratio - p[1] : under;
    const real slope = beyond > 0 ? r_zero_of(whole) : whole;
    return (struct term){.value = beyond > 0 ? -a * bound : whole, .grad = {slope}, .hess = slope};
}

/* Half the larger of (v - R)^2 and (w - R)^2, w = v kept within `clip` of the old value; x = (v, R, old), p = {clip}.
 * Where both are equal beyond the clip, the gradient is half of the first one's. */
FL_INLINE struct term op_ppo_value(const real *x, const real *p) {
    const real moved = x[0] - x[2], d = x[0] - x[1], size = r_abs(d), far = r_abs(moved), nan = r_zero_of(moved);
    const real outside = r_abs((x[2] + r_copysign(p[0], moved)) - x[1]), kept = far <= p[0] ? size : outside;
    const real most = kept > size ? kept : size, even = far <= p[0] ? R(1.0) : R(0.5);
    const real below = kept == size ? even : R(1.0), part = kept > size ? R(0.0) : below;
    const real flat = r_zero_of(d), slope = kept > size ? flat : part * d;
    return (struct term){
        .value = R(0.5) * most * most + nan,
        .grad = {slope + nan},
        .hess = part + nan + flat,
    };
}

/* exp(t) - 1 - t, t = x - old: never negative, its mean is an estimate of the divergence of old from new. */
FL_INLINE struct term op_ppo_kl(const real *x, const real *p) {
    (void)p;
    return (struct term){.value = 2 * growth((struct parts){x[0] - x[1], 0}).cost};
}

/* 1 where the ratio is out of range, p = {low, high}. */
FL_INLINE struct term op_ppo_clipped(const real *x, const real *p) {
    const real ratio = r_exp(x[0] - x[1]), outside = ((ratio > p[1]) | (ratio < p[0])) ? R(1.0) : r_zero_of(ratio);
    return (struct term){.value = outside};
}

/* -x A, the log-probability x of an action times its advantage. */
FL_INLINE struct term op_score(const real *x, const real *p) {
    (void)p;
    const real product = x[0] * x[1];
    return (struct term){.value = -product, .grad = {x[0] == x[0] ? -x[1] : x[0]}, .hess = r_zero_of(product)};
}

#endif
