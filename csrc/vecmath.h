/* SPDX-License-Identifier: BSD-3-Clause */
/* vecmath.h: r_exp, r_expm1, r_log, r_log1p, r_atan and cheaper ones of narrower domains for real = float | double. Branch-free plain C that compilers vectorise on
 * every ISA; no libm, no table, subnormals kept. Include after real.h.
 *
 * Coefficients: our own minimax fits (Remez exchange at 200 bits) of the relative error over the reduced range.
 * float32 coefficients were then moved by a few units in the last place until the rounded polynomial was nearly as
 * good.
 *
 * Largest error in ulp of the exact result, measured by tests/c/vecmath_check.c (float32: all 2^32 inputs; float64:
 * 33 million, half at random and half where it is hard):
 *               float32                   float64
 *               avx2, avx512  baseline    avx2, avx512  baseline
 *     exp       0.892         0.989       0.910         1.006
 *     log       0.959         1.097       0.846         0.839
 *     log1p     1.507         1.559       1.332         1.301
 *     atan      1.058         1.058       1.133         1.253   (of 1 million and 0.3 million inputs)
 * float64 log and log1p were since rearranged; 1 million inputs then gave 0.825 and 1.155 on avx512 and the baseline.
 * Bits are equal on all ISAs with fused multiply-add. Steps that must be exact are so without it as well: products
 * there are of a short constant and a small integer, or by a power of two. Rounding to nearest is assumed. */
#ifndef FL_VECMATH_H
#define FL_VECMATH_H

#if FL_REAL == 32
#define V_MANTISSA_BITS 23
#define V_ONE_BITS ((ureal)0x3f800000)
#define V_SQRT2_BITS ((ureal)0x3fb504f3)
#define V_EXPONENT_MASK ((ureal)0x7f800000)
#define V_PI_2_LO R(-0x1.777a5cp-25) /* pi / 2 less its rounded value */
#define V_LN2_HI R(0x1.62e4p-1) /* 15 bits: its product with an exponent is exact */
#define V_LN2_LO R(0x1.7f7d1cp-20)
#define V_EXP_MIN R(-104.0) /* below: rounds to 0 */
#define V_EXP_MAX R(89.0)   /* above: overflows */
#define V_SQUARABLE R(0x1p-40) /* the square of its last place is a normal number */
#define V_EXPM1_MIN R(-18.0)   /* below: rounds to -1 */
#define V_RAISE 24          /* exp(V_EXP_MIN) times 2 to that is a normal number */
#define V_LOWER R(0x1p-24)
#define V_PARTS_MIN R(-174.6)  /* exp(x) = 2^n m with n from -252 to 253: half of n is the exponent of a normal number */
#define V_PARTS_MAX R(175.3)
#else
#define V_MANTISSA_BITS 52
#define V_ONE_BITS ((ureal)0x3ff0000000000000)
#define V_SQRT2_BITS ((ureal)0x3ff6a09e667f3bcd)
#define V_EXPONENT_MASK ((ureal)0x7ff0000000000000)
#define V_PI_2_LO R(0x1.1a62633145c07p-54)
#define V_LN2_HI R(0x1.62e42fefa38p-1) /* 42 bits */
#define V_LN2_LO R(0x1.ef35793c7673p-45)
#define V_EXP_MIN R(-745.2)
#define V_EXP_MAX R(710.0)
#define V_SQUARABLE R(0x1p-458)
#define V_EXPM1_MIN R(-40.0)
#define V_RAISE 53
#define V_LOWER R(0x1p-53)
#define V_PARTS_MIN R(-1416.6)
#define V_PARTS_MAX R(1417.4)
#endif
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) /* as r_fma */
#define V_FUSED
#endif
#define V_LN2 R(0x1.62e42fefa39efp-1)
#define V_PI_2 R(0x1.921fb54442d18p+0)
#define V_LOG2E R(0x1.71547652b82fep+0)

R_HIDDEN(v_exp_min, V_EXP_MIN);
R_HIDDEN(v_exp_max, V_EXP_MAX);
R_HIDDEN(v_parts_min, V_PARTS_MIN);
R_HIDDEN(v_parts_max, V_PARTS_MAX);

/* (exp(r) - 1 - r) / r^2 on |r| <= ln(2) / 2. */
FL_INLINE real v_exp_tail(real r) {
#if FL_REAL == 32 /* degree 4, 2^-28.2 */
    real q = R(0x1.6a2402p-10);
    q = r_fma(q, r, R(0x1.1239ccp-7));
    q = r_fma(q, r, R(0x1.5558d2p-5));
    q = r_fma(q, r, R(0x1.555492p-3));
    return r_fma(q, r, R(0x1.fffffcp-2));
#else /* degree 9, 2^-56.3 */
    real q = R(0x1.ad7f769cb2a05p-26);
    q = r_fma(q, r, R(0x1.28ad6a2c524adp-22));
    q = r_fma(q, r, R(0x1.71df253f4aa4fp-19));
    q = r_fma(q, r, R(0x1.a0199a154e18dp-16));
    q = r_fma(q, r, R(0x1.a01a012a66647p-13));
    q = r_fma(q, r, R(0x1.6c16c18426f80p-10));
    q = r_fma(q, r, R(0x1.1111111127ba8p-7));
    q = r_fma(q, r, R(0x1.555555555088ap-5));
    q = r_fma(q, r, R(0x1.55555555554fap-3));
    return r_fma(q, r, R(0x1.000000000000ap-1));
#endif
}

/* exp(r) on |r| <= ln(2) / 2. */
FL_INLINE real v_exp_reduced(real r) {
#ifdef V_FUSED
    return r_fma(r_fma(v_exp_tail(r), r, R(1.0)), r, R(1.0));
#else /* one operation more, but the products that round are smaller */
    return (v_exp_tail(r) * (r * r) + r) + R(1.0);
#endif
}

/* x = n ln 2 + r, n = round(x / ln 2) by adding a number so large that its last place is 1; ln 2 in two parts, so that r,
 * which is r_high less the second, is good to its last place. That number also carries `bias`: the low bits of the sum
 * are n + bias. Beyond what an exponent holds n is nonsense. */
struct exp_reduction {
    real n, r_high, r;
    ureal bits;
};

FL_INLINE struct exp_reduction v_exp_reduce(real x, ureal bias) {
    const real magic = (real)(R(1.5) * ((ureal)1 << V_MANTISSA_BITS)) + (real)bias;
    const real shifted = r_fma(x, V_LOG2E, magic), n = shifted - magic, r_high = r_fma(n, -V_LN2_HI, x);
    return (struct exp_reduction){n, r_high, r_fma(n, -V_LN2_LO, r_high), (ureal)r_bits(shifted)};
}

#define V_BIAS (V_ONE_BITS >> V_MANTISSA_BITS)

/* 2^n of bits = n + V_BIAS. */
FL_INLINE real v_power(ureal bits) { return r_from_bits((ireal)(bits << V_MANTISSA_BITS)); }

/* 2^n = half rest of bits = n + 2 V_BIAS: 2^floor(n/2) and 2^ceil(n/2), neither of which overflows. */
struct halves {
    real half, rest;
};

FL_INLINE struct halves v_halves(ureal bits) {
    const ureal half = (bits << (V_MANTISSA_BITS - 1)) & V_EXPONENT_MASK;
    return (struct halves){r_from_bits((ireal)half), r_from_bits((ireal)((bits << V_MANTISSA_BITS) - half))};
}

/* exp(x) = 2^n exp(r). 2^n is two factors, so that only the last product rounds where the result is subnormal (slow on
 * x86: about 5 ns). Beyond the limits the result is replaced; NaN compares false and stays. Clamping x first reads better,
 * but GCC then computes both bounds in branches of their own. */
FL_INLINE real r_exp(real x) {
    const struct exp_reduction e = v_exp_reduce(x, 2 * V_BIAS);
    const struct halves power = v_halves(e.bits);
    const real scaled = v_exp_reduced(e.r) * power.half * power.rest;
    const real bounded = x > V_EXP_MAX ? R_INFINITY : scaled;
    return x < V_EXP_MIN ? R(0.0) : bounded;
}

/* 2^V_RAISE exp(x) of x <= 0, a third cheaper: one factor 2^n will do, as nothing overflows and what would be subnormal is
 * not. NaN stays. Times V_LOWER it has the bits of r_exp; sums of it may be lowered instead, and keep more digits. */
FL_INLINE real r_exp_raised(real x) {
    const struct exp_reduction e = v_exp_reduce(x, V_BIAS + V_RAISE);
    return x < V_EXP_MIN ? R(0.0) : v_exp_reduced(e.r) * v_power(e.bits);
}

/* exp(x) in parts, for sums that cancel and products that would overflow on the way: (mantissa + low) half rest, where
 * half and rest are powers of two and mantissa is near 1. */
struct exp_parts {
    real mantissa, low, half, rest;
};

/* For x from V_PARTS_MIN to V_PARTS_MAX. */
FL_INLINE struct exp_parts v_exp_parts(real x) {
    const struct exp_reduction e = v_exp_reduce(x, 2 * V_BIAS);
    const struct halves power = v_halves(e.bits);
    const real r = e.r, r_low = r_fma(e.n, -V_LN2_LO, e.r_high - r);
    const real tail = v_exp_tail(r) * (r * r), first = R(1.0) + r, mantissa = first + tail;
    const real low = ((R(1.0) - first) + r) + ((first - mantissa) + tail);
    return (struct exp_parts){mantissa, r_fma(r_low, mantissa, low), power.half, power.rest};
}

FL_INLINE real v_bounded(real x) { return r_min(v_parts_max, r_max(v_parts_min, x)); }

/* The same in fewer operations: r and what follows it are rounded, so that mantissa + low is off by half an ulp
 * (tests/c/vecmath_check.c: exp_quick_parts, with the rounding of their sum 1.04 at most). */
FL_INLINE struct exp_parts v_exp_quick_parts(real x) {
    const struct exp_reduction e = v_exp_reduce(x, 2 * V_BIAS);
    const struct halves power = v_halves(e.bits);
    const real grown = r_fma(v_exp_tail(e.r), e.r * e.r, e.r), mantissa = R(1.0) + grown;
    return (struct exp_parts){mantissa, (R(1.0) - mantissa) + grown, power.half, power.rest};
}

/* Beyond the bounds 0, or as large as can be. */
FL_INLINE struct exp_parts r_exp_parts(real x) {
    const real bounded = v_bounded(x);
    struct exp_parts e = v_exp_parts(bounded);
    const real at_most = x > V_PARTS_MAX ? R_MAX : e.mantissa;
    e.mantissa = x < V_PARTS_MIN ? R(0.0) : at_most;
    e.low = bounded == x ? e.low : R(0.0);
    return e;
}

/* f exp(x) without low: overflows and underflows only if the product does. */
FL_INLINE real r_exp_times(struct exp_parts e, real f) { return f * e.half * e.mantissa * e.rest; }

/* f exp(c x) of f >= 0 and c x from V_PARTS_MIN to V_PARTS_MAX; the product c x is not rounded. Overflows only if the result
 * does, but for f that are no normal numbers. */
FL_INLINE real v_exp_product(real f, real c, real x) {
    const real product = c * x, low = r_product_error(c, x, product);
    const struct exp_reduction e = v_exp_reduce(product, 2 * V_BIAS);
    const struct halves power = v_halves(e.bits);
    return f * power.half * v_exp_reduced(e.r + low) * power.rest;
}

/* The same of any c x. */
FL_INLINE real r_exp_product(real f, real c, real x) {
    const real product = c * x, scaled = v_exp_product(f, c, x);
    const real bounded = product > V_PARTS_MAX ? r_max(f * R_INFINITY, f) : scaled;
    return product < V_PARTS_MIN ? f - f : bounded;
}

/* exp(x) - 1 = 2^n (r + r^2 tail) + (2^n - 1), with all its digits near 0; taken by halves, since 2^n may be too large
 * for a number. -0 gives 0. */
FL_INLINE real r_expm1(real x) {
    const struct exp_reduction e = v_exp_reduce(x, V_BIAS);
    const real r = e.r, r_low = r_fma(e.n, -V_LN2_LO, e.r_high - r);
    const real g = (r + V_SQUARABLE) - V_SQUARABLE; /* as in r_log1p: squares of tiny r would be subnormal */
    const real tail = r_fma(v_exp_tail(r), g * g, r_low), power = v_power(e.bits - 1); /* 2^(n - 1) */
    const real scaled = r_fma(power, tail, r_fma(power, r, power - R(0.5))) * R(2.0);
    const real bounded = x > V_EXP_MAX ? R_INFINITY : scaled;
    const real near = e.n == 0 ? r + tail : bounded;
    return x < V_EXPM1_MIN ? R(-1.0) : near;
}

/* The scale of u > 0: n << V_MANTISSA_BITS with 2^n u in (sqrt(1/2), sqrt(2)], in two's complement. */
FL_INLINE ureal v_scale(ureal bits) {
    const ureal top = ~(((ureal)1 << V_MANTISSA_BITS) - 1);
    return (V_SQRT2_BITS - bits) & top;
}

/* n of v_scale as a number; float in units of 2^-23, which v_log_sum's constants make good: no shift needed. The
 * double has no conversion from int64 before AVX-512: n + 2048 goes into the low bits of 2^52. */
FL_INLINE real v_scale_number(ureal scale) {
#if FL_REAL == 32
    return (real)(ireal)scale;
#else
    const ureal magic = (ureal)0x4330000000000000 | 2048;
    return r_from_bits((ireal)((scale >> V_MANTISSA_BITS) ^ magic)) - R(0x1.00000000008p+52);
#endif
}
#if FL_REAL == 32
#define V_SCALE_UNIT R(0x1p-23)
#else
#define V_SCALE_UNIT R(1.0)
#endif

#if FL_REAL == 32
/* log(1 + f) = f + f^2 Q(f), Q of degree 8, 2^-27.7, its even and odd terms side by side; z = f^2, and the constant term is
 * the caller's: that of Q, or what is left of it next to -1/2. */
#define V_LOG_CONSTANT R(-0x1.fffff8p-2)
FL_INLINE real v_log_q(real f, real z, real constant) {
    real even = R(-0x1.392564p-4);
    real odd = R(0x1.08a434p-3);
    even = r_fma(even, z, R(-0x1.0f35dep-3));
    odd = r_fma(odd, z, R(0x1.22648cp-3));
    even = r_fma(even, z, R(-0x1.5425eap-3));
    odd = r_fma(odd, z, R(0x1.99a46ap-3));
    even = r_fma(even, z, R(-0x1.000430p-2));
    odd = r_fma(odd, z, R(0x1.555550p-2));
    even = r_fma(even, z, constant);
    return r_fma(odd, f, even);
}
#else
/* log(1 + f) = 2 atanh(s), s = f / (2 + f), as f - h + s (h + s^2 P(s^2)), h = f^2/2, P of degree 6, 2^-58.9. This is what
 * follows f - h. */
FL_INLINE real v_log_rest(real f, real h) {
    const real s = f / (R(2.0) + f);
    const real z = s * s;
    real p = R(0x1.2f05634bdc969p-3);
    p = r_fma(p, z, R(0x1.39a1babe2a023p-3));
    p = r_fma(p, z, R(0x1.74663ee81c0a7p-3));
    p = r_fma(p, z, R(0x1.c71c52095f030p-3));
    p = r_fma(p, z, R(0x1.24924941f121fp-2));
    p = r_fma(p, z, R(0x1.999999997fdb8p-2));
    p = r_fma(p, z, R(0x1.5555555555592p-1));
    return s * r_fma(p, z, h);
}
#endif

/* log(1 + f) - n ln 2 for f in (sqrt(1/2) - 1, sqrt(2) - 1], n in units of v_scale_number; g is f, or 0 where f is
 * tiny. The signs are such that f = -0.0, n = 0 gives -0.0; where f is tiny it is returned as it is. */
FL_INLINE real v_log_sum(real f, real g, real n) {
#if FL_REAL == 32
    const real z = g * g, q = v_log_q(g, z, V_LOG_CONSTANT);
#ifdef V_FUSED /* the float nearest to ln 2 is off by 2^-28 only */
    return r_fma(n, -V_LN2 * V_SCALE_UNIT, r_fma(q, z, f));
#else
    const real small = r_fma(q, z, n * (-V_LN2_LO * V_SCALE_UNIT));
    return r_fma(n, -V_LN2_HI * V_SCALE_UNIT, f + small);
#endif
#else
    const real h = R(0.5) * g * g;
    const real small = v_log_rest(g, h) + n * (-V_LN2_LO * V_SCALE_UNIT);
    return r_fma(n, -V_LN2_HI * V_SCALE_UNIT, f - (h - small));
#endif
}

/* y = log(u) made right where u is not positive and finite; x is what NaN and inf are taken from. */
FL_INLINE real v_log_special(real y, real u, real x) {
    const real not_positive = u < R(0.0) ? R_NAN : -R_INFINITY;
    y = u > R(0.0) ? y : not_positive;
    return x < R_INFINITY ? y : x;
}

/* log(x) = log(1 + f) - n ln 2, 1 + f = 2^n x by integer arithmetic, exact. Subnormals are scaled up first. */
FL_INLINE real r_log(real x) {
    const real up = (real)((ureal)1 << V_MANTISSA_BITS);
    const real u = x < R_MIN ? x * up : x;
    const real n_up = x < R_MIN ? V_MANTISSA_BITS / V_SCALE_UNIT : R(0.0);
    const ureal scale = v_scale((ureal)r_bits(u));
    const real f = r_from_bits((ireal)((ureal)r_bits(u) + scale)) - R(1.0);
    return v_log_special(v_log_sum(f, f, v_scale_number(scale) + n_up), x, x);
}

/* log(x) of a positive x as the result plus *low, good to some 2^-4 ulp: for sums that cancel. The first terms,
 * f - f^2/2 - n ln 2, are added with their rounding errors (n ln 2 is the larger one, or 0); what follows is a few per
 * cent of them. *low is 0 or meaningless where the result is not finite. */
FL_INLINE real r_log_parts(real x, real *low) {
    const real up = (real)((ureal)1 << V_MANTISSA_BITS);
    const real u = x < R_MIN ? x * up : x;
    const ureal scale = v_scale((ureal)r_bits(u));
    const real f = r_from_bits((ireal)((ureal)r_bits(u) + scale)) - R(1.0);
    const real n = (v_scale_number(scale) + (x < R_MIN ? V_MANTISSA_BITS / V_SCALE_UNIT : R(0.0))) * V_SCALE_UNIT;
    const real g = (f + V_SQUARABLE) - V_SQUARABLE;
    const real square = g * g, square_low = r_product_error(g, g, square), half = R(0.5) * square;
    const real first = f - half, second = n * -V_LN2_HI, high = second + first;
#if FL_REAL == 32
    const real rest = v_log_q(g, square, V_LOG_CONSTANT + R(0.5)) * square;
#else
    const real rest = v_log_rest(g, half);
#endif
    *low = (n * -V_LN2_LO + rest) + ((((f - first) - half) - R(0.5) * square_low) + ((second - high) + first));
    return v_log_special(high, x, x);
}

/* log1p(x) = log(1 + f) - n ln 2 with f = 2^n (1 + x) - 1 = 2^n x - (1 - 2^n): n from the rounded 1 + x, f from x
 * itself with one rounding at most, and f = x where n = 0. 2^n x by integer arithmetic: x is not small where n is
 * not 0. n goes down to -1024 (-128), where 2^n is no normal number; 2^(n+2) is. Squares of tiny f would be
 * subnormal, 80 times slower on x86: g drops the places of f that are too small to be squared, and is as good as f
 * where the square matters. v_log1p is for 1 + x that is positive and finite. */
FL_INLINE real v_log1p(real x) {
    const ureal scale = v_scale((ureal)r_bits(R(1.0) + x));
    const real scaled_x = r_from_bits((ireal)((ureal)r_bits(x) + scale));
    const real four_scale = r_from_bits((ireal)(V_ONE_BITS + ((ureal)2 << V_MANTISSA_BITS) + scale));
    const real f = scaled_x - r_fma(four_scale, R(-0.25), R(1.0));
    const real g = (f + V_SQUARABLE) - V_SQUARABLE;
    return v_log_sum(f, g, v_scale_number(scale));
}

FL_INLINE real r_log1p(real x) { return v_log_special(v_log1p(x), R(1.0) + x, R(1.0) + x); }

/* log1p(x) of x in [0, 1], where one polynomial will do: x + x^2 Q(x), Q of degree 8, 2^-27.5. Doubles would need twice as
 * many terms, and are no faster so. */
FL_INLINE real r_log1p_unit(real x) {
#if FL_REAL == 32
    real q = R(-0x1.b1ee3ep-9);
    q = r_fma(q, x, R(0x1.4a6fd6p-6));
    q = r_fma(q, x, R(-0x1.d7cf8ep-5));
    q = r_fma(q, x, R(0x1.b52c4ap-4));
    q = r_fma(q, x, R(-0x1.3a62aap-3));
    q = r_fma(q, x, R(0x1.9353f2p-3));
    q = r_fma(q, x, R(-0x1.ff2518p-3));
    q = r_fma(q, x, R(0x1.554dd8p-2));
    q = r_fma(q, x, R(-0x1.ffffd2p-2));
    return r_fma(q * x, x, x);
#else
    return r_log1p(x);
#endif
}

/* (u + u_low)^p for u in [0, 1], p >= 0; 1 for p = 0, 0 at u = 0 for p > 1e-36. The logarithm is taken with its low part
 * and the product with what rounding took from it, so that the exponential is of an argument that is exact but for some
 * 2^-4 ulp. */
FL_INLINE real r_pow_unit(real u, real u_low, real p) {
    real rest;
    const real first = r_log_parts(u, &rest), log = u == 0 ? -R_MAX : first + rest, product = p * log;
    const real low = r_if_finite(r_product_error(p, log, product) + p * (r_sum_error(first, rest, log) + u_low / u));
    const real power = r_exp(product);
    return r_fma(power, low, power);
}

/* 1 / x of x in [1, 2]: a cubic q, good to 1 / 577 (1 - x q is a Chebyshev polynomial), and Newton's steps, each of
 * which squares the error: 0.501 ulp, 0.92 and 1.24 on the baseline. 16 floats are divided in the time of ten
 * multiplications. */
FL_INLINE real r_inverse_unit(real x) {
    real q = R(-128.0) / R(577.0);
    q = r_fma(q, x, R(768.0) / R(577.0));
    q = r_fma(q, x, R(-1696.0) / R(577.0));
    q = r_fma(q, x, R(1632.0) / R(577.0));
    q = r_fma(q, r_fma(-x, q, R(1.0)), q);
    q = r_fma(q, r_fma(-x, q, R(1.0)), q);
    return sizeof(real) == sizeof(double) ? r_fma(q, r_fma(-x, q, R(1.0)), q) : q;
}

/* atan(x) = x + x^3 Q(x^2) on [-1, 1], Q of degree 8 (2^-28.5) and 19 (2^-57.6); beyond, pi/2 less that of 1/x. -0 and NaN
 * stay. */
FL_INLINE real r_atan(real x) {
    const real size = r_abs(x), inverted = R(1.0) / size, t = size > R(1.0) ? inverted : size;
    const real g = (t + V_SQUARABLE) - V_SQUARABLE, z = g * g; /* as in r_log1p */
#if FL_REAL == 32
    real q = R(-0x1.d63048p-10);
    q = r_fma(q, z, R(0x1.65a694p-7));
    q = r_fma(q, z, R(-0x1.fed19ap-6));
    q = r_fma(q, z, R(0x1.daca04p-5));
    q = r_fma(q, z, R(-0x1.58349cp-4));
    q = r_fma(q, z, R(0x1.c09a02p-4));
    q = r_fma(q, z, R(-0x1.2421b6p-3));
    q = r_fma(q, z, R(0x1.9991fep-3));
    q = r_fma(q, z, R(-0x1.55553ep-2));
#else
    real q = R(0x1.bbc16f197605cp-17);
    q = r_fma(q, z, R(-0x1.3f1a03e2e7f0dp-13));
    q = r_fma(q, z, R(0x1.b3d93d1a5b292p-11));
    q = r_fma(q, z, R(-0x1.7a212130d73afp-9));
    q = r_fma(q, z, R(0x1.d7a098412a56fp-8));
    q = r_fma(q, z, R(-0x1.c77dd3a221f8bp-7));
    q = r_fma(q, z, R(0x1.6832dc7cbb9b8p-6));
    q = r_fma(q, z, R(-0x1.e9f19d18ada79p-6));
    q = r_fma(q, z, R(0x1.2c2b918666672p-5));
    q = r_fma(q, z, R(-0x1.59a28c824a471p-5));
    q = r_fma(q, z, R(0x1.82da41591eaa8p-5));
    q = r_fma(q, z, R(-0x1.ae5e435949c70p-5));
    q = r_fma(q, z, R(0x1.e1bb9ae82a08ap-5));
    q = r_fma(q, z, R(-0x1.110e5017d6a36p-4));
    q = r_fma(q, z, R(0x1.3b1366754dd12p-4));
    q = r_fma(q, z, R(-0x1.745d11aae1f99p-4));
    q = r_fma(q, z, R(0x1.c71c717f93775p-4));
    q = r_fma(q, z, R(-0x1.249249237e1e2p-3));
    q = r_fma(q, z, R(0x1.9999999995546p-3));
    q = r_fma(q, z, R(-0x1.5555555555526p-2));
#endif
    const real rest = q * z * g, near = t + rest;
    const real beyond = V_PI_2 - ((rest - V_PI_2_LO) + t);
    return r_copysign(size > R(1.0) ? beyond : near, x);
}

#endif
