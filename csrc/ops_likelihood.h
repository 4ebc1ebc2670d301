/* SPDX-License-Identifier: BSD-3-Clause */
/* ops_likelihood.h: negative log-likelihoods. See elementwise_ops.h for what an op is. */
#ifndef FL_OPS_LIKELIHOOD_H
#define FL_OPS_LIKELIHOOD_H

#include "elementwise_term.h"
#include "parts.h"

/* (log v + d^2 / v) / 2 with v = max(var, eps), plus log(2 pi) / 2 if full; p = {eps, full}. The terms may cancel to
 * any degree, so each is taken with what rounding took from it (`low`; their sum loses no more than half its own last
 * place), and so is 1 - d^2 / v in the gradient of var, unless d^2 / v is so large that it might overflow before the
 * division by v. The clamp passes the gradient, as torch's does. */
FL_INLINE struct term op_gaussian_nll(const real *x, const real *p) {
    const real d = x[0] - x[1], v = r_max(p[0], x[2]), q = d / v;
    const real inverse = 1 / r_max(r_normal, v); /* finite, so that 0 errors stay 0 */
    const real q_low = (-r_product_error(q, v, q * v) + (d - q * v)) * inverse;
    const real half = R(0.5) * d * q;
    const real half_low = r_if_finite(r_product_error(R(0.5) * d, q, half) + R(0.5) * d * q_low);
    real log_low;
    const real half_log = R(0.5) * r_log_parts(v, &log_low), first = half_log + half;
    const real constant = p[1] * R(0.918938533204672741780329736406), value = first + constant;
    const real constant_low = p[1] * (real)(0x1.d67f1c864beb5p-1 - (double)R(0.918938533204672741780329736406));
    const real low = (half_low + R(0.5) * log_low) + constant_low;
    const real near = R(0.5) * ((1 - 2 * half) - 2 * half_low) / v;
    return (struct term){
        .value = value + r_if_finite(low),
        .grad = {q, half < R(0x1p20) ? near : R(0.5) / v - R(0.5) * q * q},
        .hess = 1 / v,
    };
}

/* log(x) of a positive x to some 2^-4 ulp of low; high is the nearest number, as that of r_log_parts is not. */
FL_INLINE struct parts parts_log(real x) {
    real low;
    const real high = r_log_parts(x, &low), sum = high + r_if_finite(low);
    return (struct parts){sum, r_if_finite((high - sum) + low)};
}

/* sum - y x, fused; a sum that overflows stays so, where finite y and x have a product that would overflow by itself. */
FL_INLINE real r_less(real sum, real y, real x) {
#ifdef V_FUSED /* nothing overflows on the way */
    return r_fma(-y, x, sum);
#else
    return r_where((sum > R_MAX) & (y <= R_MAX) & (x <= R_MAX), sum, r_fma(-y, x, sum));
#endif
}

/* For terms that are 0 whatever the number in them: 0, or NaN if it is. */
FL_INLINE real r_zero_of(real x) { return x == x ? 0 : x; }

/* exp(x) - y x, x = log of the rate. The terms cancel, so the exponential has its low part, and the product is fused.
 * At the bounds of x the rate is 0 or infinite already, and the low part finite still. */
FL_INLINE struct term op_poisson(const real *x, const real *p) {
    (void)p;
    const struct exp_parts e = v_exp_quick_parts(r_min(v_exp_max, r_max(v_exp_min, x[0])));
    const real rate = r_exp_times(e, 1), low = e.low * e.half * e.rest, value = r_less(rate, x[1], x[0]);
    return (struct term){
        .value = (x[1] == 0 ? rate : value) + low,
        .grad = {(rate - x[1]) + low},
        .hess = rate,
    };
}

/* x - y log(v), v = x + eps, x the rate; p = {eps} */
FL_INLINE struct term op_poisson_rate(const real *x, const real *p) {
    const real y = x[1], v = x[0] + p[0], finite = r_min(r_most, v);
    const struct parts log_v = parts_log(v);
    const real fused = r_fma(-y, log_v.high, x[0]) - y * log_v.low;
    return (struct term){
        .value = y == 0 ? x[0] : fused,
        .grad = {r_where(y == 0, 1 + r_zero_of(x[0]), (finite - y) / finite)},
        .hess = r_where(y == 0, r_zero_of(x[0]), y / v / v),
    };
}

/* rate - y log(rate) plus Stirling's y log(y) - y + log(2 pi y) / 2, for y > 1. All but the last cancels where the rate
 * is near y, so it is y (exp(delta) - 1 - delta), delta = log(rate / y), by the tail of the exponential's series there;
 * else `excess`, rate - y, less y delta. */
FL_INLINE real poisson_with_stirling(real y, real log_y, real delta, real excess) {
    const real near = y * delta * delta * v_exp_tail(delta);
    const real constant = R(0.5) * log_y + R(0.918938533204672741780329736406);
    return (r_abs(delta) < R(0.34) ? near : r_less(excess, y, delta)) + constant;
}

FL_INLINE struct term op_poisson_full(const real *x, const real *p) {
    const real y = x[1];
    const struct parts log_y = parts_log(y);
    struct term t = op_poisson(x, p);
    const real delta = (x[0] - log_y.high) - log_y.low;
    t.value = y > 1 ? poisson_with_stirling(y, log_y.high, delta, t.grad[0]) : t.value;
    return t;
}

FL_INLINE struct term op_poisson_rate_full(const real *x, const real *p) {
    const real y = x[1], v = x[0] + p[0];
    const struct parts log_y = parts_log(y), log_v = parts_log(v);
    struct term t = op_poisson_rate(x, p);
    const real delta = (log_v.high - log_y.high) + (log_v.low - log_y.low);
    t.value = y > 1 ? poisson_with_stirling(y, log_y.high, delta, v - y) - p[0] : t.value;
    return t;
}

/* y (log(y) - x), x the log-probability; 0 where y is, whatever x. The difference cancels: the logarithm has its low
 * part. */
FL_INLINE struct term op_kl_div(const real *x, const real *p) {
    (void)p;
    const real y = x[1], nan = r_zero_of(x[0]);
    const struct parts log_y = parts_log(y);
    const real product = y * ((log_y.high - x[0]) + log_y.low);
    return (struct term){.value = y == 0 ? nan : product, .grad = {nan - y}, .hess = nan};
}

/* exp(y) (y - x), y the target's logarithm too; 0 where exp(y) is, whatever x. The exponential is the square of another
 * one: it may be too small for a number where the product is none. */
FL_INLINE struct term op_kl_div_log(const real *x, const real *p) {
    (void)p;
    const real nan = r_zero_of(x[0]), root = r_exp(R(0.5) * x[1]), product = root * (x[1] - x[0]) * root;
    return (struct term){.value = r_where(root == 0, nan, product), .grad = {nan - root * root}, .hess = nan};
}

/* x + y exp(-x), x = log of the mean. The terms cancel for negative x: the product is fused, with its low part, which is
 * bounded, since it may be infinite (or NaN, 0 times infinity) only where the product is. */
FL_INLINE struct term op_gamma(const real *x, const real *p) {
    (void)p;
    const struct exp_parts e = v_exp_quick_parts(v_bounded(-x[0]));
    const real most = x[0] < -V_PARTS_MAX ? R_MAX : e.mantissa; /* as large as can be */
    const real half = x[1] * e.half, power = most * e.rest;
    const real low = r_max(r_min(half * (e.low * e.rest), r_most), r_least);
    return (struct term){
        .value = r_fma(half, power, x[0]) + low,
        .grad = {r_fma(-half, power, 1) - low},
        .hess = x[0] > -V_PARTS_MIN ? 0 : half * power,
    };
}

/* log(x) + y / x, x the mean. The terms cancel: each has what rounding took from it. */
FL_INLINE struct term op_gamma_rate(const real *x, const real *p) {
    (void)p;
    const real v = x[0], y = x[1], q = y / v;
    const struct parts log_v = parts_log(v);
    const real q_low = (-r_product_error(q, v, q * v) + (y - q * v)) / r_max(r_normal, v), value = log_v.high + q;
    return (struct term){
        .value = value + r_if_finite((log_v.low + q_low) + r_sum_error(log_v.high, q, value)),
        .grad = {(v - y) / v / v},
        .hess = (2 * q - 1) / v / v,
    };
}

FL_INLINE struct parts less(real a, real b) { return (struct parts){a - b, r_sum_error(a, -b, a - b)}; }

FL_INLINE struct parts reciprocal(struct parts a) {
    const real c = 1 / a.high, product = c * a.high;
    return (struct parts){c, (((1 - product) - r_product_error(c, a.high, product)) - c * a.low) * c};
}

FL_INLINE struct parts times(struct parts a, real b) {
    const real product = a.high * b;
    return (struct parts){product, r_if_finite(r_product_error(a.high, b, product) + a.low * b)};
}

/* f exp(t) / e.half, where e is exp(t.high) in parts. */
FL_INLINE struct parts exp_rest(struct exp_parts e, struct parts t, struct parts f) {
    const real product = f.high * e.mantissa, low = r_fma(t.low, e.mantissa, e.low) * f.high + f.low * e.mantissa;
    return (struct parts){product * e.rest, r_if_finite((r_product_error(f.high, e.mantissa, product) + low) * e.rest)};
}

/* f exp(t) */
FL_INLINE struct parts exp_times(struct parts t, struct parts f) {
    const struct exp_parts e = r_exp_parts(t.high);
    return exp_rest(e, t, (struct parts){f.high * e.half, f.low * e.half});
}

/* f y exp(t); f y alone might vanish. */
FL_INLINE struct parts exp_times_both(struct parts t, struct parts f, real y) {
    const struct exp_parts e = r_exp_parts(t.high);
    return exp_rest(e, t, times(f, y * e.half));
}

/* a - b; `beyond` where both are infinite. */
FL_INLINE real difference(struct parts a, struct parts b, real beyond) {
    const struct parts sum = parts_add(a, (struct parts){-b.high, -b.low});
    return a.high == b.high && r_abs(a.high) == R_INFINITY ? beyond : sum.high + sum.low;
}

/* exp((2 - p) x) / (2 - p) - y exp((1 - p) x) / (1 - p), x = log of the mean, p = {power}. Outside of 1 < p < 2 the terms
 * cancel, so all is done in pairs, and terms above 1 are taken `down`, since they may overflow where their difference does
 * not. What depends on p alone leaves the loop. Where both terms overflow, the first one counts for p < 1, else the
 * second. */
FL_INLINE struct term op_tweedie(const real *x, const real *p) {
    const struct parts to_one = less(1, p[0]), to_two = less(2, p[0]);
    const struct parts a = times(to_two, x[0]), b = times(to_one, x[0]);
    const real down = a.high > 0 ? R_EPSILON : R(1.0), up = a.high > 0 ? 1 / R_EPSILON : R(1.0);
    const struct parts one = {down, 0}, of_two = reciprocal(to_two), of_one = reciprocal(to_one);
    const struct parts first = exp_times(a, (struct parts){of_two.high * down, of_two.low * down});
    const struct parts second = exp_times_both(b, (struct parts){of_one.high * down, of_one.low * down}, x[1]);
    const struct parts first_slope = exp_times(a, one), second_slope = exp_times_both(b, one, x[1]);
    const real beyond = p[0] < 1 ? R_INFINITY : -R_INFINITY;
    return (struct term){
        .value = up * difference(first, second, R_INFINITY),
        .grad = {up * difference(first_slope, second_slope, beyond)},
        .hess = up * difference(times(first_slope, to_two.high), times(second_slope, to_one.high), R_INFINITY),
    };
}

/* For 1 < p < 2: above LARGE exp(x) is taken DOWN, since it may be too large for a number, and above ABOVE no y counts
 * beside it; y below TINY, and an exp(x) that counts beside it, are taken UP, since they may be too small. */
#if FL_REAL == 32
#define TWEEDIE_LARGE R(64.0)
#define TWEEDIE_DOWN R(0x1p-64)
#define TWEEDIE_ABOVE R(107.0)
#define TWEEDIE_BELOW R(-121.0)
#define TWEEDIE_TINY R(0x1p-100)
#define TWEEDIE_UP R(0x1p48)
#else
#define TWEEDIE_LARGE R(500.0)
#define TWEEDIE_DOWN R(0x1p-256)
#define TWEEDIE_ABOVE R(748.0)
#define TWEEDIE_BELOW R(-782.0)
#define TWEEDIE_TINY R(0x1p-900)
#define TWEEDIE_UP R(0x1p106)
#endif

/* The same for 1 < p < 2 and y >= 0, where neither term of the value is negative, so that nothing cancels in it. The
 * gradient is exp((1 - p) x) (exp(x) - y), which does: exp(x) has its low part. Where only one term counts it is
 * exp((2 - p) x). `near`: of x of moderate size, and y that are 0 or neither tiny nor infinite, so that no bound is met
 * (but for y = 0, whose difference nobody reads). */
FL_INLINE struct term tweedie_between(const real *x, const real *p, int near) {
    const real y = x[1], to_one = 1 - p[0], to_two = 2 - p[0]; /* exact */
    const real small = y < TWEEDIE_TINY ? TWEEDIE_UP : R(1.0), counts = x[0] > TWEEDIE_BELOW ? small : R(1.0);
    const real below = x[0] < 0 ? counts : R(1.0), scale = x[0] > TWEEDIE_LARGE ? TWEEDIE_DOWN : below;
    const real by = near ? R(1.0) : scale, back = r_from_bits((ireal)(2 * V_ONE_BITS - (ureal)r_bits(by)));
    real (*const times_exp)(real, real, real) = near ? v_exp_product : r_exp_product;
    const struct exp_parts e = v_exp_parts(near ? x[0] : v_bounded(x[0]));
    const real half = e.half * by, rate = half * e.mantissa * e.rest, rest = half * e.low * e.rest;
    const real finite = (rate - y * by) + (near ? rest : r_if_finite(rest));
    const real endless = x[0] <= R_MAX ? -R_INFINITY : finite, d = !near && y > R_MAX ? endless : finite;
    const real one = times_exp(1, to_two, x[0]), both = r_copysign(times_exp(r_abs(d), to_one, x[0]) * back, d);
    const real beside = y <= R_MAX ? one : both, above = !near && x[0] > TWEEDIE_ABOVE ? beside : both;
    const real tiny = y < TWEEDIE_TINY ? y : 0;
    const ureal large = (ureal)r_bits(TWEEDIE_LARGE) - (ureal)r_bits(r_abs(x[0])), bits = (ureal)r_bits(y);
    const ireal beyond = (ireal)(large | bits | ((ureal)r_bits(R_MAX) - bits) | (0 - (ureal)r_bits(tiny)));
    return (struct term){
        .value = times_exp(1 / to_two, to_two, x[0]) - times_exp(y, to_one, x[0]) * (1 / to_one),
        .grad = {y == 0 ? one : above},
        .hess = near ? 0 : op_tweedie(x, p).hess,
        .far = near ? beyond : 0,
    };
}

FL_INLINE struct term op_tweedie_between(const real *x, const real *p) { return tweedie_between(x, p, 0); }
FL_INLINE struct term op_tweedie_between_near(const real *x, const real *p) { return tweedie_between(x, p, 1); }

/* The same of the mean v: v^(1 - p) (v / (2 - p) - y / (1 - p)), gradient v^-p (v - y). */
FL_INLINE struct term op_tweedie_rate(const real *x, const real *p) {
    const real v = x[0], y = x[1];
    const struct parts to_one = less(1, p[0]), to_two = less(2, p[0]), log_v = parts_log(v), unit = {1, 0};
    const struct parts first = times(reciprocal(to_two), v), second = times(reciprocal(to_one), -y);
    const struct parts bracket = parts_add(first, second);
    const struct parts power = times(log_v, to_one.high), lower = times(log_v, -p[0]);
    const struct parts half = {R(0.5) * power.high, R(0.5) * (power.low + to_one.low * log_v.high)};
    const struct parts value = exp_times(half, exp_times(half, bracket)); /* powers may be too large */
    const struct parts root = {R(0.5) * lower.high, R(0.5) * lower.low};
    const struct parts slope = exp_times(root, exp_times(root, less(v, y)));
    const struct parts inverse = exp_times(root, exp_times(root, unit));
    return (struct term){
        .value = value.high + value.low,
        .grad = {slope.high + slope.low},
        .hess = inverse.high * (to_one.high + p[0] * (y / v)),
    };
}

#endif
