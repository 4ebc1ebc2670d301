/* SPDX-License-Identifier: BSD-3-Clause */
/* elementwise_maps.h: the loops of the elementwise losses. Per row of elementwise.def three maps (value; with gradients;
 * with Hessian) and, for losses of few operations, two sums (without and with gradients). */
#ifndef FL_ELEMENTWISE_MAPS_H
#define FL_ELEMENTWISE_MAPS_H

#include "elementwise_ops.h"
#include "tile.h"
#include "unsigned_sums.h"

/* GCC makes jumps between the branches of nested conditions before it turns them into selections, which are more then. What
 * that costs: tools/instructions.py, with and without. GCC 11 forgets -fno-trapping-math here, and vectorises little. */
#if !defined(__clang__) && __GNUC__ >= 12
#define MAPS_TELL_GCC
#pragma GCC push_options
#pragma GCC optimize("no-thread-jumps", "no-tree-loop-distribute-patterns") /* nor is a memset made of beat[] below */
#endif

/* One tile of a map: n reals per array, whole steps (in sums whole lanes), nothing overlaps. */
struct map {
    const real *in[FL_MAX_OPERANDS];
    real *value, *grad[FL_MAX_PREDICTIONS], *hess;
    real param[FL_MAX_PARAMS], scale;
};

typedef struct term (*op_fn)(const real *x, const real *p);
typedef ireal (*odd_fn)(real target); /* 0 apart from the sign bit if the quick op holds for this target */

FL_INLINE struct term term_at(const struct map *m, ptrdiff_t i, op_fn op, int n_in, const real *p) {
    const real x[FL_MAX_OPERANDS] = {m->in[0][i], n_in > 1 ? m->in[1][i] : 0, n_in > 2 ? m->in[2][i] : 0,
                                     n_in > 3 ? m->in[3][i] : 0};
    return op(x, p);
}

/* GCC takes as many elements at once as a register holds of the narrowest numbers in a loop, and repeats each statement for
 * all of them before it goes on to the next. A narrow number that is stored besides, and that nobody reads, thus makes it
 * walk several registers of reals abreast: their chains of operations overlap, which a processor cannot do by itself where
 * one chain fills its queues. It takes a tenth to a third off (`make bench-compare BASE=2750f62`). Two registers with the
 * floats of AVX-512 and on the baseline, else four. Hessians, which few ask for, are not worth the code. */
#if FL_REAL == 32 && defined(__AVX2__) && !defined(__AVX512F__)
typedef int8_t narrow;
#elif FL_REAL == 64 && !defined(__AVX2__)
typedef int32_t narrow;
#else
typedef int16_t narrow;
#endif
enum { FL_STEP = 2 * FL_LANES }; /* elements of so many registers, at most */

/* Clang is told by its pragma, for every loop. */
#if defined(__clang__)
#define MAP_LOOP _Pragma("clang loop vectorize(assume_safety) interleave_count(2)")
#else
#define MAP_LOOP FL_INDEPENDENT
#endif

_Static_assert(FL_MAX_PREDICTIONS == 4, "map_steps names each gradient");

/* Gives whether any element was far, whose outputs mean nothing then. */
FL_INLINE int map_steps(const struct map *m, ptrdiff_t n, op_fn op, int n_in, int n_grad, int want, int abreast) {
    const struct map local = *m; /* so that no store can change it */
    real *restrict value = m->value, *restrict hess = m->hess;
    real *restrict grad0 = m->grad[0], *restrict grad1 = m->grad[1];
    real *restrict grad2 = m->grad[2], *restrict grad3 = m->grad[3];
    narrow beat[FL_TILE];
    ireal far = 0;
    n &= -(ptrdiff_t)FL_STEP;
    MAP_LOOP
    for (ptrdiff_t i = 0; i < n; i++) {
        const struct term t = term_at(&local, i, op, n_in, local.param);
        if (abreast) beat[i] = 0;
        value[i] = t.value;
        if ((want & FL_GRAD) && n_grad > 0) grad0[i] = t.grad[0] * local.scale;
        if ((want & FL_GRAD) && n_grad > 1) grad1[i] = t.grad[1] * local.scale;
        if ((want & FL_GRAD) && n_grad > 2) grad2[i] = t.grad[2] * local.scale;
        if ((want & FL_GRAD) && n_grad > 3) grad3[i] = t.grad[3] * local.scale;
        if (want & FL_HESS) hess[i] = t.hess * local.scale;
        far |= t.far;
    }
    __asm__ volatile("" : : "r"(beat) : "memory"); /* as if they were read */
    return far < 0;
}

/* Values of n elements, whole lanes, added to lane[] in the order of add_to_lanes, but never stored. Nothing else belongs
 * into this loop, but what is gathered as the sums are: GCC keeps these in registers only as long as every store there is a
 * plain one and none is behind a condition; in memory each step waits for the one before (on Zen 5 twice as long). Gives
 * 0 unless `odd` finds anything but the sign bit in a target, or values that are to be `without_sign` are not, for which
 * lane[] stays as it was; nobody asks for both. */
FL_INLINE int sum_lanes(const struct map *m, ptrdiff_t n, double *lane, op_fn op, int n_in, int n_grad, odd_fn odd,
                        int without_sign) {
    const struct map local = *m;
    real *restrict grad0 = m->grad[0], *restrict grad1 = m->grad[1];
    double sum[FL_LANES];
    real value[FL_LANES];
    struct unsigned_sums sums = unsigned_start(lane);
    ireal found[FL_LANES] = {0}, any = 0;
    if (!without_sign) memcpy(sum, lane, sizeof sum);
    for (ptrdiff_t i = 0; i < n; i += FL_LANES) {
        for (int k = 0; k < n_in; k++) ask_ahead(local.in[k] + i);
        FL_ONE_STEP
        for (int l = 0; l < FL_LANES; l++) {
            const struct term t = term_at(&local, i + l, op, n_in, local.param);
            if (without_sign)
                value[l] = t.value;
            else
                sum[l] += (double)t.value;
            if (n_grad > 0) grad0[i + l] = t.grad[0] * local.scale;
            if (n_grad > 1) grad1[i + l] = t.grad[1] * local.scale;
            if (odd) found[l] |= odd(local.in[n_in - 1][i + l]);
        }
        if (without_sign) unsigned_add(&sums, value);
    }
    if (without_sign) return !unsigned_end(&sums, lane);
    memcpy(lane, sum, sizeof sum);
    for (int l = 0; odd && l < FL_LANES; l++) any |= found[l];
    return (ireal)((ureal)any << 1) != 0;
}

/* By a quicker way, which holds for most data; where it does not, once more by op. */
FL_INLINE void sum_trying(const struct map *m, ptrdiff_t n, double *lane, op_fn quick, op_fn op, int n_in, int n_grad,
                          odd_fn odd, int without_sign) {
    double before[FL_LANES];
    if (odd) memcpy(before, lane, sizeof before);
    if (!sum_lanes(m, n, lane, quick, n_in, n_grad, odd, without_sign)) return;
    if (odd) memcpy(lane, before, sizeof before);
    sum_lanes(m, n, lane, op, n_in, n_grad, NULL, 0);
}

#define SUMS(name, predictions, ...)                                                                                  \
    static void sum_value_##name(const struct map *m, ptrdiff_t n, double *lane) {                                    \
        enum { n_grad = 0 };                                                                                          \
        __VA_ARGS__;                                                                                                  \
    }                                                                                                                 \
    static void sum_grad_##name(const struct map *m, ptrdiff_t n, double *lane) {                                     \
        enum { n_grad = predictions };                                                                                \
        __VA_ARGS__;                                                                                                  \
    }

enum { MAPPED_ABREAST = 0, SUMMED_ABREAST = 0, UNSIGNED_ABREAST = 0, SIDED_ABREAST = 0 };
enum { CHAINED_ABREAST = 1, NEAR_ABREAST = 1 };
#define MAPPED(name, operands, predictions)
#define CHAINED(name, operands, predictions)
#define NEAR(name, operands, predictions)                                                                             \
    static int map_near_value_##name(const struct map *m, ptrdiff_t n) {                                              \
        return map_steps(m, n, op_##name##_near, operands, predictions, FL_VALUE, 1);                                 \
    }                                                                                                                 \
    static int map_near_grad_##name(const struct map *m, ptrdiff_t n) {                                               \
        return map_steps(m, n, op_##name##_near, operands, predictions, FL_VALUE | FL_GRAD, 1);                       \
    }
#define SUMMED(name, operands, predictions)                                                                           \
    SUMS(name, predictions, sum_lanes(m, n, lane, op_##name, operands, n_grad, NULL, 0))
#if defined(FL_UNSIGNED_SUMS)
#define UNSIGNED(name, operands, predictions)                                                                         \
    SUMS(name, predictions, sum_trying(m, n, lane, op_##name, op_##name, operands, n_grad, NULL, 1))
#else
#define UNSIGNED SUMMED
#endif
#define SIDED(name, operands, predictions)                                                                            \
    SUMS(name, predictions, sum_trying(m, n, lane, op_##name##_signs, op_##name, operands, n_grad, no_sign, 0))
#define ROW(name, how, operands, predictions, params, d0, d1, d2, d3)                                                 \
    how(name, operands, predictions)                                                                                  \
    static int map_value_##name(const struct map *m, ptrdiff_t n) {                                                   \
        return map_steps(m, n, op_##name, operands, predictions, FL_VALUE, how##_ABREAST);                            \
    }                                                                                                                 \
    static int map_grad_##name(const struct map *m, ptrdiff_t n) {                                                    \
        return map_steps(m, n, op_##name, operands, predictions, FL_VALUE | FL_GRAD, how##_ABREAST);                  \
    }                                                                                                                 \
    static int map_hess_##name(const struct map *m, ptrdiff_t n) {                                                    \
        return map_steps(m, n, op_##name, operands, predictions, FL_VALUE | FL_GRAD | FL_HESS, 0);                    \
    }
#include "elementwise.def"
#undef ROW
#undef MAPPED
#undef CHAINED
#undef NEAR
#undef SUMMED
#undef UNSIGNED
#undef SIDED
#undef SUMS

#ifdef MAPS_TELL_GCC
#pragma GCC pop_options
#endif

/* What an operand must not leave; OF_POWER: as the first parameter, the power of a Tweedie distribution, has it. */
enum domain { ANY, NONNEGATIVE, POSITIVE, UNIT, ABOVE_MINUS_ONE, OF_POWER };

typedef int (*map_fn)(const struct map *, ptrdiff_t n); /* whether any element was far */

struct row {
    map_fn map[3]; /* value, with gradients, with Hessian */
    void (*sum[2])(const struct map *, ptrdiff_t n, double *lane); /* value, with gradients; or NULL */
    map_fn near[2]; /* value, with gradients; or NULL */
    enum domain domain[FL_MAX_OPERANDS];
};

#define MAPPED(name)
#define CHAINED(name)
#define NEAR(name) .near = {map_near_value_##name, map_near_grad_##name},
#define SUMMED(name) .sum = {sum_value_##name, sum_grad_##name},
#define UNSIGNED(name) SUMMED(name)
#define SIDED(name) SUMMED(name)
static const struct row rows[] = {
#define ROW(name, how, operands, predictions, params, d0, d1, d2, d3)                                                 \
    {.map = {map_value_##name, map_grad_##name, map_hess_##name}, how(name).domain = {d0, d1, d2, d3}},
#include "elementwise.def"
#undef ROW
};

#undef MAPPED
#undef CHAINED
#undef NEAR
#undef SUMMED
#undef UNSIGNED
#undef SIDED

static const fl_loss_info elementwise_losses[] = {
#define ROW(name, how, operands, predictions, params, d0, d1, d2, d3) {#name, operands, predictions, params},
#include "elementwise.def"
#undef ROW
};

enum { N_LOSSES = sizeof elementwise_losses / sizeof *elementwise_losses };

#endif
