/* SPDX-License-Identifier: BSD-3-Clause */
/* vecmath_check.c: measures r_exp, r_expm1, r_log, r_log1p, r_atan, r_exp_raised lowered, r_log1p_unit, r_inverse_unit or
 * exp of r_exp_parts or v_exp_quick_parts of csrc/vecmath.h, or p_exp_down of csrc/packet.h, compiled per (ISA, real) as kernels are.
 *
 *     vecmath_check atan|exp|exp_down|exp_parts|exp_quick_parts|exp_raised|expm1|log|log1p|log1p_unit|inverse_unit [step]
 *
 * float32: every step-th of all 2^32 bit patterns (1 = all of them), against the double libm. float64: 2^32 / step
 * inputs, half of them random bit patterns, half from the ranges where the function is hard, against the long
 * double libm. Prints one line: function, isa, real, inputs, largest error in ulp, worst input, and a hash of all
 * results (equal on all ISAs with fused multiply-add). Exit status 1 if the limit is exceeded or a special value
 * is wrong, 2 on bad usage.
 *
 * A result's ulp is the spacing of `real` at the exact result: the subnormal spacing below the normal range. An
 * infinite result counts as the power of two beyond the largest finite number. */
#include "real.h"
#include "packet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

enum { CHUNK = 4096 };

#if FL_REAL == 32
typedef double exact_real;
#define REAL_NAME "float32"
#define EXACT(f) f
#define FRACTION_BITS 23
#define MIN_EXPONENT (-126)
#define MAX_EXPONENT 127
#else
typedef long double exact_real;
#define REAL_NAME "float64"
#define EXACT(f) f##l
#define FRACTION_BITS 52
#define MIN_EXPONENT (-1022)
#define MAX_EXPONENT 1023
#endif

/* What is measured: the vector loop, not a scalar copy of it. */
#define ARRAY_FUNCTION(name)                                                                          \
    static __attribute__((noinline)) void array_##name(const real *restrict x, real *restrict y, ptrdiff_t n) { \
        for (ptrdiff_t i = 0; i < n; i += FL_LANES)                                                   \
            for (int lane = 0; lane < FL_LANES; lane++) y[i + lane] = r_##name(x[i + lane]);          \
    }
/* The sum of the parts, rounded once: what is beyond half an ulp is the parts' own error. */
static inline real r_exp_of_parts(real x) {
    const struct exp_parts e = r_exp_parts(x);
    return (e.mantissa + e.low) * e.half * e.rest;
}
/* The same of the quick parts, for x where the exponential is neither 0 nor infinite. */
static inline real r_exp_of_quick_parts(real x) {
    const struct exp_parts e = v_exp_quick_parts(r_min(v_exp_max, r_max(v_exp_min, x)));
    return (e.mantissa + e.low) * e.half * e.rest;
}
/* Only of x <= 0 is it an exponential. */
static inline real r_exp_of_raised(real x) {
    const real open = r_exp(x), lowered = r_exp_raised(x) * V_LOWER;
    return x > 0 ? open : lowered;
}
/* By packets, exp(x) of x <= 0, to 1 ulp of what its one-part ln 2 makes of x: n ln 2 / 8 is too large by as much as
 * the float nearest to ln 2. */
static __attribute__((noinline)) void array_exp_down(const real *restrict x, real *restrict y, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += PACKET) p_store(y + i, p_exp_down(-p_load(x + i)) * p_all(V_LOWER));
    for (ptrdiff_t i = 0; i < n; i++) y[i] = x[i] > 0 ? r_exp(x[i]) : y[i];
}
static exact_real exact_exp_down(exact_real x) {
#ifdef P_TABLE
    if (x < 0 && !isinf(x)) x += x * (1 - (exact_real)V_LN2 / 0.693147180559945309);
#endif
    return EXACT(exp)(x);
}
/* Of [0, 1] only. */
static inline real r_log1p_of_unit(real x) {
    const real open = r_log1p(x), unit = r_log1p_unit(x);
    return x < 0 || x > 1 ? open : unit;
}
/* Of [1, 2] only; else x. */
static inline real r_inverse_of_unit(real x) {
    const real unit = r_inverse_unit(x);
    return x < 1 || x > 2 ? x : unit;
}
static exact_real exact_inverse(exact_real x) { return x < 1 || x > 2 ? x : 1 / x; }
ARRAY_FUNCTION(inverse_of_unit)
ARRAY_FUNCTION(log1p_of_unit)
ARRAY_FUNCTION(atan)
ARRAY_FUNCTION(exp)
ARRAY_FUNCTION(exp_of_raised)
ARRAY_FUNCTION(exp_of_parts)
ARRAY_FUNCTION(exp_of_quick_parts)
ARRAY_FUNCTION(expm1)
ARRAY_FUNCTION(log)
ARRAY_FUNCTION(log1p)

typedef struct {
    real x, y;
} special;
typedef struct {
    real low, high;
} range;

static const special atan_specials[] = {
    {R(0.0), R(0.0)}, {R(-0.0), R(-0.0)}, {R_INFINITY, V_PI_2}, {-R_INFINITY, -V_PI_2}, {R_NAN, R_NAN}, {-R_NAN, R_NAN},
    {R_MAX, V_PI_2}, {-R_MAX, -V_PI_2}, {R(1.0), V_PI_2 / 2}, {R(-1.0), -V_PI_2 / 2}, {R_MIN, R_MIN}, {-R_MIN, -R_MIN},
    {R_MIN * R_EPSILON, R_MIN * R_EPSILON}, {-R_MIN * R_EPSILON, -R_MIN * R_EPSILON}};
static const special exp_specials[] = {
    {R(0.0), R(1.0)}, {R(-0.0), R(1.0)}, {R_INFINITY, R_INFINITY}, {-R_INFINITY, R(0.0)}, {R_NAN, R_NAN},
    {-R_NAN, R_NAN}, {R_MAX, R_INFINITY}, {-R_MAX, R(0.0)}, {R(1e4), R_INFINITY}, {R(-1e4), R(0.0)},
    {R_MIN, R(1.0)}, {-R_MIN, R(1.0)}};
static const special expm1_specials[] = {
    {R(0.0), R(0.0)}, {R(-0.0), R(0.0)}, {R_INFINITY, R_INFINITY}, {-R_INFINITY, R(-1.0)}, {R_NAN, R_NAN},
    {-R_NAN, R_NAN}, {R_MAX, R_INFINITY}, {-R_MAX, R(-1.0)}, {R_MIN, R_MIN}, {-R_MIN, -R_MIN},
    {R_MIN * R_EPSILON, R_MIN * R_EPSILON}, {-R_MIN * R_EPSILON, -R_MIN * R_EPSILON}};
static const special log_specials[] = {
    {R(1.0), R(0.0)}, {R(0.0), -R_INFINITY}, {R(-0.0), -R_INFINITY}, {R_INFINITY, R_INFINITY}, {-R_INFINITY, R_NAN},
    {R_NAN, R_NAN}, {-R_NAN, R_NAN}, {R(-1.0), R_NAN}, {-R_MAX, R_NAN}, {-R_MIN, R_NAN}, {-R_MIN * R_EPSILON, R_NAN}};
static const special log1p_specials[] = {
    {R(0.0), R(0.0)}, {R(-0.0), R(-0.0)}, {R(-1.0), -R_INFINITY}, {R_INFINITY, R_INFINITY}, {-R_INFINITY, R_NAN},
    {R_NAN, R_NAN}, {-R_NAN, R_NAN}, {R(-1.0) - R_EPSILON, R_NAN}, {R(-2.0), R_NAN}, {-R_MAX, R_NAN},
    {R_MIN, R_MIN}, {-R_MIN, -R_MIN}, {R_MIN * R_EPSILON, R_MIN * R_EPSILON},
    {-R_MIN * R_EPSILON, -R_MIN * R_EPSILON}};

/* Where random bit patterns seldom fall. */
static const range atan_ranges[] = {{-1, 1}, {0.5, 2}, {0.99, 1.01}, {1, 100}, {-0.001, 0.001}, {0, 1e-300}};
static const range exp_ranges[] = {{-1, 1}, {-40, 0}, {-745.2, 710}, {-746, -707}, {709, 710}};
static const range expm1_ranges[] = {{-0.001, 0.001}, {-0.5, 0.5}, {-1, 1}, {-40, 0}, {0, 710}, {709, 710}};
static const range log_ranges[] = {{0.999, 1.001}, {0.5, 2}, {0.25, 4}, {0, 1e-307}, {0, 1e6}};
static const special inverse_specials[] = {{R(1.0), R(1.0)}, {R(2.0), R(0.5)}, {R_NAN, R_NAN}, {R_INFINITY, R_INFINITY}};
static const range inverse_ranges[] = {{1, 2}, {1, 1.001}, {1.999, 2}};
static const range log1p_ranges[] = {{-0.001, 0.001}, {-0.5, 0.5}, {-1, 0}, {-1, -0.999}, {0, 4}};

typedef struct {
    const char *name;
    void (*array)(const real *, real *, ptrdiff_t);
    exact_real (*exact)(exact_real);
    double limit32, limit64; /* ulp */
    const special *specials;
    int n_specials;
    const range *ranges;
    int n_ranges;
} function;

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define FUNCTION(name, limit32, limit64)                                                                \
    {#name, array_##name, EXACT(name), limit32, limit64, name##_specials, COUNT(name##_specials), name##_ranges, \
     COUNT(name##_ranges)}
static const function functions[] = {
    FUNCTION(atan, 1.5, 1.5), FUNCTION(exp, 1.1, 2.0), {"exp_parts", array_exp_of_parts, EXACT(exp), 0.8, 0.8, exp_specials,
    COUNT(exp_specials), exp_ranges, COUNT(exp_ranges)},
    {"exp_quick_parts", array_exp_of_quick_parts, EXACT(exp), 1.1, 1.1, exp_specials, COUNT(exp_specials), exp_ranges,
    COUNT(exp_ranges)},
    {"exp_raised", array_exp_of_raised, EXACT(exp), 1.1, 2.0, exp_specials, COUNT(exp_specials), exp_ranges, COUNT(exp_ranges)},
    {"exp_down", array_exp_down, exact_exp_down, 1.0, 2.0, exp_specials, COUNT(exp_specials), exp_ranges, COUNT(exp_ranges)},
    FUNCTION(expm1, 1.5, 2.0), FUNCTION(log, 1.5, 2.0), FUNCTION(log1p, 2.0, 2.0),
    {"log1p_unit", array_log1p_of_unit, EXACT(log1p), 2.0, 2.0, log1p_specials, COUNT(log1p_specials), log1p_ranges,
    COUNT(log1p_ranges)},
    {"inverse_unit", array_inverse_of_unit, exact_inverse, 1.5, 1.5, inverse_specials, COUNT(inverse_specials), inverse_ranges,
    COUNT(inverse_ranges)}};

/* 2^e, inside the range of `exact_real`. */
static exact_real power_of_two(int e) {
#if FL_REAL == 32
    const uint64_t bits = (uint64_t)(e + 1023) << 52;
    double p;
    memcpy(&p, &bits, sizeof p);
    return p;
#else
    return ldexpl(1.0L, e);
#endif
}

static int exponent_of(exact_real x) {
#if FL_REAL == 32
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (int)(bits >> 52 & 0x7ff) - 1023;
#else
    int e;
    frexpl(x, &e);
    return e - 1;
#endif
}

static double error_in_ulp(real got, exact_real want) {
    const exact_real beyond = power_of_two(MAX_EXPONENT + 1);
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0.0 : INFINITY;
    if (want == 0 || isinf(want)) return got == (real)want ? 0.0 : INFINITY;
    const exact_real bounded = want > beyond ? beyond : want;
    const exact_real value = isinf(got) ? (got > 0 ? beyond : -beyond) : (exact_real)got;
    int e = exponent_of(bounded);
    if (e < MIN_EXPONENT) e = MIN_EXPONENT;
    if (e > MAX_EXPONENT) e = MAX_EXPONENT;
    const exact_real difference = value - bounded;
    return (double)((difference < 0 ? -difference : difference) * power_of_two(FRACTION_BITS - e));
}

#if FL_REAL == 32
static real input(const function *f, uint64_t index, uint64_t step, uint64_t *state) {
    (void)f, (void)state;
    const uint32_t bits = (uint32_t)(index * step);
    return r_from_bits((ireal)bits);
}
#else
static uint64_t random_bits(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static real input(const function *f, uint64_t index, uint64_t step, uint64_t *state) {
    (void)step;
    const uint64_t bits = random_bits(state);
    if (index % 2 == 0) return r_from_bits((ireal)bits);
    const range g = f->ranges[index / 2 % (uint64_t)f->n_ranges];
    return g.low + (g.high - g.low) * ((double)(bits >> 11) * 0x1p-53);
}
#endif

/* Every special value in every lane. */
static int wrong_specials(const function *f) {
    int wrong = 0;
    for (int s = 0; s < f->n_specials; s++) {
        for (int lane = 0; lane < FL_LANES; lane++) {
            real x[FL_LANES], y[FL_LANES];
            for (int i = 0; i < FL_LANES; i++) x[i] = R(0.5);
            const special v = f->specials[s];
            x[lane] = v.x;
            f->array(x, y, FL_LANES);
            const int right = isnan(v.y) ? isnan(y[lane]) : r_bits(y[lane]) == r_bits(v.y);
            if (!right && wrong++ == 0)
                fprintf(stderr, "%s(%a) gave %a, expected %a\n", f->name, (double)v.x, (double)y[lane], (double)v.y);
        }
    }
    return wrong;
}

static int check(const function *f, uint64_t step) {
    static real x[CHUNK], y[CHUNK];
    const uint64_t total = (((uint64_t)1 << 32) + step - 1) / step;
    uint64_t state = 20240229, hash = 0xcbf29ce484222325;
    double worst = 0.0;
    real worst_x = R(0.0), worst_y = R(0.0);
    for (uint64_t start = 0; start < total; start += CHUNK) {
        const int n = total - start < CHUNK ? (int)(total - start) : CHUNK;
        for (int i = 0; i < CHUNK; i++) x[i] = i < n ? input(f, start + (uint64_t)i, step, &state) : R(0.5);
        f->array(x, y, CHUNK);
        for (int i = 0; i < n; i++) {
            const double e = error_in_ulp(y[i], f->exact((exact_real)x[i]));
            if (e > worst) worst = e, worst_x = x[i], worst_y = y[i];
            hash = (hash ^ (isnan(y[i]) ? (ureal)-1 : (ureal)r_bits(y[i]))) * 0x100000001b3;
        }
    }
    const int wrong = wrong_specials(f);
    printf("%s %s %s inputs %llu max_ulp %.4f worst %a -> %a hash %016llx\n", f->name, TEXT(FL_ISA), REAL_NAME,
           (unsigned long long)total, worst, (double)worst_x, (double)worst_y, (unsigned long long)hash);
    return wrong > 0 || worst > (FL_REAL == 32 ? f->limit32 : f->limit64);
}

int main(int argc, char **argv) {
    char *end = "";
    const unsigned long long step = argc == 3 ? strtoull(argv[2], &end, 10) : 4099;
    if ((argc == 2 || argc == 3) && *end == '\0' && step > 0)
        for (int i = 0; i < COUNT(functions); i++)
            if (strcmp(argv[1], functions[i].name) == 0) return check(&functions[i], step);
    fprintf(stderr, "usage: vecmath_check atan|exp|exp_down|exp_parts|exp_quick_parts|exp_raised|expm1|log|log1p|log1p_unit|inverse_unit [step]\n");
    return 2;
}
