/* SPDX-License-Identifier: BSD-3-Clause */
/* ctc_exact.h: the recursion with a mantissa and an exponent for every state and frame. Nothing can be lost, whatever
 * the emissions are; it takes the sequences that have no window. NaN stays NaN, but what is not reached stays so. */
#ifndef FL_CTC_EXACT_H
#define FL_CTC_EXACT_H

#include "ctc_fast.h"

/* x 2^e as a mantissa in [1, 2) and its exponent. */
FL_INLINE double split(double x, double e, double *exponent) {
    const uint64_t bits = d_bits(x);
    const double mantissa = x - x == 0 ? d_mantissa(bits) : x;
    *exponent = x == 0 ? CTC_UNREACHED : e + d_exponent(bits & 0x7fffffffffffffffu);
    return x == 0 ? 0.0 : mantissa;
}

/* What is reached times what a frame emits. */
FL_INLINE double emit(double reached, double emission) { return reached == 0 ? 0.0 : reached * emission; }

/* State after a frame (`to`) from that before it. */
static void lanes_exact_forward(const struct ctc *s, double *const from[CTC_ROWS], double *const to[CTC_ROWS],
                                const double *restrict emission, const double *restrict emission_exponent) {
    const double *restrict label = from[LABEL], *restrict blank = from[BLANK];
    const double *restrict le = from[LABEL_EXPONENT], *restrict be = from[BLANK_EXPONENT];
    double *restrict to_label = to[LABEL], *restrict to_blank = to[BLANK];
    double *restrict to_le = to[LABEL_EXPONENT], *restrict to_be = to[BLANK_EXPONENT];
    const double *restrict skip = s->skip, *restrict here = s->here;
    const double at_blank = emission[s->labels], at_blank_exponent = emission_exponent[s->labels];
    const ptrdiff_t n = s->lanes & -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t k = 0; k < n; k++) {
        const double before = label[k - 1], before_e = le[k - 1];
        const double e = d_max(be[k], before_e);
        const double sum = blank[k] * d_power(be[k] - e, 0.0) + before * d_power(before_e - e, 0.0);
        to_blank[k] = split(emit(sum, at_blank), e + at_blank_exponent, &to_be[k]);

        const double over = skip[k] > 0 ? before : 0.0, over_e = skip[k] > 0 ? before_e : CTC_UNREACHED;
        const double ee = d_max(d_max(le[k], be[k]), over_e);
        const double all = (label[k] * d_power(le[k] - ee, 0.0) + blank[k] * d_power(be[k] - ee, 0.0)) +
                           over * d_power(over_e - ee, 0.0);
        to_label[k] = split(emit(here[k] > 0 ? all : 0.0, emission[k]), ee + emission_exponent[k], &to_le[k]);
    }
}

/* What follows a frame (`to`), from what follows the next one with that frame's emission (`from`). */
static void lanes_exact_backward(const struct ctc *s, double *const from[CTC_ROWS], double *const to[CTC_ROWS]) {
    const double *restrict label = from[LABEL], *restrict blank = from[BLANK];
    const double *restrict le = from[LABEL_EXPONENT], *restrict be = from[BLANK_EXPONENT];
    double *restrict to_label = to[LABEL], *restrict to_blank = to[BLANK];
    double *restrict to_le = to[LABEL_EXPONENT], *restrict to_be = to[BLANK_EXPONENT];
    const double *restrict skip = s->skip, *restrict here = s->here;
    const ptrdiff_t n = s->lanes & -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t k = 0; k < n; k++) {
        const double e = d_max(be[k], le[k]);
        const double sum = blank[k] * d_power(be[k] - e, 0.0) + label[k] * d_power(le[k] - e, 0.0);
        to_blank[k] = split(sum, e, &to_be[k]);

        const double over = skip[k + 1] > 0 ? label[k + 1] : 0.0;
        const double over_e = skip[k + 1] > 0 ? le[k + 1] : CTC_UNREACHED;
        const double ee = d_max(d_max(le[k], be[k + 1]), over_e);
        const double all = (label[k] * d_power(le[k] - ee, 0.0) + blank[k + 1] * d_power(be[k + 1] - ee, 0.0)) +
                           over * d_power(over_e - ee, 0.0);
        to_label[k] = split(here[k] > 0 ? all : 0.0, ee, &to_le[k]);
    }
}

/* mass *= emission of each state, in place. */
static void lanes_exact_emit(double *restrict mass, double *restrict exponent, const double *restrict emission,
                             const double *restrict emission_exponent, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t k = 0; k < n; k++)
        mass[k] = split(emit(mass[k], emission[k]), exponent[k] + emission_exponent[k], &exponent[k]);
}

/* The same with one emission for all: the blank's. */
static void lanes_exact_emit_blank(double *restrict mass, double *restrict exponent, double emission,
                                   double emission_exponent, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t k = 0; k < n; k++)
        mass[k] = split(emit(mass[k], emission), exponent[k] + emission_exponent, &exponent[k]);
}

static void lanes_exact_occupancy(double *restrict occupancy, const double *restrict alpha,
                                  const double *restrict alpha_exponent, const double *restrict beta,
                                  const double *restrict beta_exponent, double total, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t k = 0; k < n; k++) {
        const double share = alpha[k] * beta[k] * d_power((alpha_exponent[k] + beta_exponent[k]) - total, 4.0);
        occupancy[k] = alpha[k] == 0 || beta[k] == 0 ? 0.0 : share;
    }
}

/* Largest sum of two exponents: in the order of integers. */
static double lanes_exact_highest(const double *restrict a, const double *restrict b, ptrdiff_t n) {
    int64_t high = INT64_MIN;
    n &= -(ptrdiff_t)FL_LANES;
    for (ptrdiff_t k = 0; k < n; k++) {
        const int64_t bits = (int64_t)d_bits(a[k] + b[k]), i = bits ^ ((bits >> 63) & INT64_MAX);
        high = i > high ? i : high;
    }
    return d_from_bits((uint64_t)(high ^ ((high >> 63) & INT64_MAX)));
}

static double exact_sum(const double *x, ptrdiff_t n) {
    double lane[FL_LANES] = {0};
    for (ptrdiff_t k = 0; k < n; k += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) lane[l] += x[k + l];
    return fold_lanes(lane);
}

static void rows_of(const struct ctc *s, double *state, ptrdiff_t i, double *rows[CTC_ROWS]) {
    for (int r = 0; r < CTC_ROWS; r++) {
        rows[r] = state_row(s, state, i, r);
        rows[r][-1] = rows[r][s->lanes] = r < LABEL_EXPONENT ? 0 : CTC_UNREACHED;
    }
}

/* A state of one blank with probability 1. */
static void exact_begin(const struct ctc *s, double *state, ptrdiff_t at) {
    for (int r = 0; r < CTC_ROWS; r++)
        for (ptrdiff_t k = -CTC_FRONT; k < s->lanes; k++)
            state_row(s, state, 0, r)[k] = r < LABEL_EXPONENT ? 0 : CTC_UNREACHED;
    state_row(s, state, 0, BLANK)[at] = 1;
    state_row(s, state, 0, BLANK_EXPONENT)[at] = 0;
}

/* Frames [first, last) of a segment; keeps the state after each if `keep`. s->now is the state before and after. */
static void exact_forward(struct ctc *s, ptrdiff_t first, ptrdiff_t last, int keep) {
    double *from[CTC_ROWS], *to[CTC_ROWS];
    for (ptrdiff_t t = first; t < last; t++) {
        const ptrdiff_t i = (t - first) * s->lanes;
        rows_of(s, s->now, 0, from);
        rows_of(s, s->now, 1, to);
        lanes_exact_forward(s, from, to, s->emission + i, s->emission_exponent + i);
        copy_state(s, s->now, 0, s->now, 1, 0, s->lanes);
        if (keep) copy_state(s, s->kept, t - first, s->now, 0, 0, s->lanes);
    }
}

static void exact_total(struct ctc *s) {
    double *rows[CTC_ROWS];
    rows_of(s, s->now, 0, rows);
    const ptrdiff_t L = s->labels;
    const double e = d_max(rows[BLANK_EXPONENT][L], rows[LABEL_EXPONENT][L - 1]);
    s->total_exponent = e;
    s->total = rows[BLANK][L] * d_power(rows[BLANK_EXPONENT][L] - e, 0.0) +
               rows[LABEL][L - 1] * d_power(rows[LABEL_EXPONENT][L - 1] - e, 0.0);
}

/* Frames of the segment [first, last) from the last to the first, with their gradients. Each frame's occupancies are put
 * in proportion to their own sum, not to the target's probability: exponents beyond 2^53, of log-probabilities of -1e20
 * and the like, are rounded. */
static void exact_backward(struct ctc *s, ptrdiff_t first, ptrdiff_t last) {
    double *beta[CTC_ROWS], *to[CTC_ROWS], *alpha[CTC_ROWS], *occupancy = s->occupancy + CTC_FRONT;
    for (ptrdiff_t t = last; t-- > first;) {
        const double *emission = s->emission + (t - first) * s->lanes;
        const double *emission_exponent = s->emission_exponent + (t - first) * s->lanes;
        rows_of(s, s->mirror, 0, beta);
        rows_of(s, s->mirror, 1, to);
        rows_of(s, s->kept, t - first, alpha);
        lanes_exact_backward(s, beta, to);
        const double high = d_max(lanes_exact_highest(alpha[LABEL_EXPONENT], to[LABEL_EXPONENT], s->lanes),
                                  lanes_exact_highest(alpha[BLANK_EXPONENT], to[BLANK_EXPONENT], s->lanes));
        lanes_exact_occupancy(occupancy, alpha[BLANK], alpha[BLANK_EXPONENT], to[BLANK], to[BLANK_EXPONENT], high,
                              s->lanes);
        const double at_blank = exact_sum(occupancy, s->lanes);
        lanes_exact_occupancy(occupancy, alpha[LABEL], alpha[LABEL_EXPONENT], to[LABEL], to[LABEL_EXPONENT], high,
                              s->lanes);
        s->frame_total = exact_sum(occupancy, s->lanes) + at_blank;
        write_frame(s, t, at_blank);
        lanes_exact_emit(to[LABEL], to[LABEL_EXPONENT], emission, emission_exponent, s->lanes);
        lanes_exact_emit_blank(to[BLANK], to[BLANK_EXPONENT], emission[s->labels], emission_exponent[s->labels],
                               s->lanes);
        copy_state(s, s->mirror, 0, s->mirror, 1, 0, s->lanes);
    }
}

#endif
