/* SPDX-License-Identifier: BSD-3-Clause */
/* ops_variational.h: divergences between distributions, one dimension or class at a time; their sum over a row is the
 * row's. See elementwise_ops.h for what an op is. */
#ifndef FL_OPS_VARIATIONAL_H
#define FL_OPS_VARIATIONAL_H

#include "ops_likelihood.h"

/* Half of exp(t) - 1, with what rounding took from it, and half of exp(t) - 1 - t: both keep their digits near t = 0,
 * and overflow only if they must. */
struct growth {
    struct parts excess;
    real cost;
};

FL_INLINE struct growth growth(struct parts t) {
    const struct exp_parts e = r_exp_parts(t.high);
    const real half_t = R(0.5) * t.high, half = r_exp_times(e, R(0.5));
    const real moved = r_if_finite(t.low * half), low = r_if_finite(R(0.5) * e.low * e.half * e.rest) + moved;
    const real tail = half_t * t.high * r_exp_tail(t.high), less_half = half - R(0.5);
    const real rest = r_sum_error(half, R(-0.5), less_half) + low, far = less_half + r_if_finite(rest);
    const int near = r_abs(t.high) < R(0.34);
    const real gap = less_half - half_t, gap_rest = r_sum_error(less_half, -half_t, gap) + (rest - R(0.5) * t.low);
    const real cost = half > R_MAX ? half : gap + r_if_finite(gap_rest), near_rest = r_fma(R(0.5), t.low, tail);
    const struct parts by_series = {half_t + near_rest, r_sum_error(half_t, near_rest, half_t + near_rest)};
    const struct parts by_exp = {far, r_if_finite((less_half - far) + rest)};
    return (struct growth){parts_where(near, by_series, by_exp), near ? tail : cost};
}

/* From a Gaussian of mean m and log-variance s to the standard normal: (exp(s) - 1 - s + m^2) / 2. */
FL_INLINE struct term op_gaussian_kl_normal(const real *x, const real *p) {
    (void)p;
    const struct growth g = growth((struct parts){x[1], 0});
    return (struct term){
        .value = r_fma(R(0.5) * x[0], x[0], g.cost),
        .grad = {x[0], g.excess.high},
        .hess = x[0] != x[0] ? x[0] : 1,
    };
}

/* From a Gaussian (m, s) to another one (n, u): (exp(t) - 1 - t + d^2 exp(-u)) / 2, t = s - u, d = m - n. No term is
 * negative. In the gradient of u the two that are left may cancel: they are taken with what rounding took from them. The
 * power is given to both factors d by halves: neither overflows or vanishes unless the square does. */
FL_INLINE struct term op_gaussian_kl(const real *x, const real *p) {
    (void)p;
    const struct parts d = less(x[0], x[2]), none = {0, 0};
    const struct growth g = growth((struct parts){x[1] - x[3], r_if_finite(less(x[1], x[3]).low)});
    const struct exp_parts e = r_exp_parts(-x[3]), first = {e.mantissa, e.low, e.half, 1};
    const real low = r_if_finite(d.low), half = R(0.5) * e.half;
    const struct parts up = exp_rest(first, none, (struct parts){d.high * half, low * half});
    const struct parts square = parts_multiply(up, (struct parts){d.high * e.rest, low * e.rest});
    const struct parts both = parts_add(square, g.excess);
    const real slope = r_exp_times(e, d.high);
    return (struct term){
        .value = g.cost + (square.high + square.low),
        .grad = {slope, g.excess.high, -slope, -(both.high + both.low)},
        .hess = r_exp_times(e, 1),
    };
}

/* ((1 + s) log(1 + s) + (1 - s) log(1 - s)) / s^2 of z = s^2 <= 0.36: the series of z^k / ((k + 1) (2 k + 1)). */
#define JS_TERM(k) q = r_fma(q, z, R(1.0) / (real)((k + 1) * (2 * k + 1)));
FL_INLINE real js_series(real z) {
    real q = 0;
#if FL_REAL == 64
    JS_TERM(33) JS_TERM(32) JS_TERM(31) JS_TERM(30) JS_TERM(29) JS_TERM(28) JS_TERM(27) JS_TERM(26) JS_TERM(25)
    JS_TERM(24) JS_TERM(23) JS_TERM(22) JS_TERM(21) JS_TERM(20) JS_TERM(19) JS_TERM(18) JS_TERM(17) JS_TERM(16)
    JS_TERM(15) JS_TERM(14)
#endif
    JS_TERM(13) JS_TERM(12) JS_TERM(11) JS_TERM(10) JS_TERM(9) JS_TERM(8) JS_TERM(7) JS_TERM(6) JS_TERM(5)
    JS_TERM(4) JS_TERM(3) JS_TERM(2) JS_TERM(1) JS_TERM(0)
    return q;
}
#undef JS_TERM

/* Jensen-Shannon: (p log(p / m) + q log(q / m)) / 2, m = (p + q) / 2. With s = |p - q| / (p + q) that is
 *   m ((1 + s) log(1 + s) + (1 - s) log(1 - s)) / 2,
 * whose terms cancel where s is small. The gradients are log(1 +- s) / 2; the smaller one's share 1 - s of m is taken
 * from the numbers themselves where it is small. */
FL_INLINE struct term op_js(const real *x, const real *p) {
    (void)p;
    const real a = x[0], b = x[1], low = b < a ? b : a, sum = a + b;
    const real whole = r_max(r_tiny, sum), s = r_abs(a - b) / whole, share = 2 * (low / whole);
    const real one = 1 + s, lost_of_s = s - (one - 1);
    real log_low;
    const real log_high = r_log_parts(one, &log_low), up_low = log_low + lost_of_s / one, up = log_high + up_low;
    const real near_down = r_log1p(-s), far_down = r_log(share);
    const real down = sum == 0 ? 0 : share < R(0.5) ? far_down : near_down, lost = low == 0 ? 0 : down;
    const real near = s * s * js_series(s * s), m = R(0.5) * sum;
    const real far = r_fma(one, log_high, r_fma(share, lost, r_fma(one, up_low, lost_of_s * up)));
    const real of_a = a < b ? down : up, of_b = a < b ? up : down, nan = r_zero_of(sum);
    return (struct term){
        .value = R(0.5) * m * (s < R(0.6) ? near : far) + nan,
        .grad = {R(0.5) * of_a + nan, R(0.5) * of_b + nan},
        .hess = a == 0 ? R_INFINITY : R(0.5) * (b / whole) / a,
    };
}

/* log(p / q) in two parts; of 0 against 0 it is 0. */
FL_INLINE struct parts log_ratio(real p, real q) {
    const struct parts of_p = parts_log(p), of_q = parts_log(q);
    const struct parts u = parts_add(of_p, (struct parts){-of_q.high, -of_q.low});
    return parts_where(p == q, (struct parts){0, 0}, u);
}

/* Relative entropy: p log(p / q), 0 where p is. */
FL_INLINE struct term op_relative_entropy(const real *x, const real *p) {
    (void)p;
    const real nan = r_zero_of(x[0] + x[1]);
    const struct parts u = log_ratio(x[0], x[1]);
    const real product = x[0] * (u.high + u.low), ratio = x[0] / x[1], slope = (1 + u.high) + u.low;
    return (struct term){
        .value = (x[0] == 0 ? 0 : product) + nan,
        .grad = {slope + nan, (x[0] == 0 ? 0 : -ratio) + nan},
        .hess = 1 / x[0],
    };
}

/* One term of the sum whose logarithm is Renyi's: p^a q^(1 - a) = p exp((a - 1) u), u = log(p / q), with the gradients
 * a exp((a - 1) u) and (1 - a) exp(a u); p = {a}. */
FL_INLINE struct term op_renyi(const real *x, const real *p) {
    const real nan = r_zero_of(x[0] + x[1]);
    const struct parts u = log_ratio(x[0], x[1]), less_one = less(p[0], 1), a = {p[0], 0};
    const struct parts lower = parts_multiply(u, less_one), upper = parts_multiply(u, a);
    const struct parts value = exp_times(lower, (struct parts){x[0], 0}), slope = exp_times(lower, a);
    const struct parts other = exp_times(upper, (struct parts){-less_one.high, -less_one.low});
    return (struct term){
        .value = (x[0] == 0 ? 0 : value.high + value.low) + nan,
        .grad = {(slope.high + slope.low) + nan, (x[0] == 0 ? 0 : other.high + other.low) + nan},
        .hess = (slope.high + slope.low) * less_one.high / x[0],
    };
}

/* The same of order 2: p^2 / q. */
FL_INLINE struct term op_renyi_square(const real *x, const real *p) {
    (void)p;
    const real nan = r_zero_of(x[0] + x[1]), ratio = x[0] / x[1], usual = x[0] == x[1] ? R(1.0) : ratio;
    const real empty = x[0] == 0 ? R(0.0) : usual, first = x[0] == x[1] ? R(2.0) : 2 * empty;
    return (struct term){
        .value = x[0] * empty + nan,
        .grad = {first + nan, nan - empty * empty},
        .hess = 2 / x[1],
    };
}

#endif
