/* SPDX-License-Identifier: BSD-3-Clause */
/* ctc_fast.h: the recursion in linear space with one exponent per state, frozen for a window of frames. At a window's
 * start every state is pulled into [1, 4), with an even exponent, and the differences of exponents become coefficients;
 * within the window a step is multiplications and additions. How many frames a window may have is settled before it
 * runs: a frame whose emissions span r bits, where the largest coefficient is 2^m, lets no mass shrink by more than r
 * bits or grow by more than m + 2, so that nothing is lost while their sum stays within CTC_BITS. Coefficients below
 * 2^-700 are beneath notice by then. */
#ifndef FL_CTC_FAST_H
#define FL_CTC_FAST_H

#include "ctc_gradient.h"
#include "shuffle.h"

/* Vectors by hand: in memory, label k - 1 would straddle two stores of the frame before, and wait for both to leave the
 * store buffer. All products but the last are by powers of two and exact, so that it does not matter where the compiler
 * fuses. */
#if defined(__AVX512F__)
#include <immintrin.h>
enum { WIDTH = 8 };
typedef double wide __attribute__((vector_size(64)));
FL_INLINE wide wide_fma(wide a, wide b, wide c) { return (wide)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
FL_INLINE wide one_back(wide before, wide x) { return FL_SHUFFLE(before, x, 7, 8, 9, 10, 11, 12, 13, 14); }
FL_INLINE wide one_on(wide x, wide behind) { return FL_SHUFFLE(x, behind, 1, 2, 3, 4, 5, 6, 7, 8); }
#elif defined(__AVX2__)
#include <immintrin.h>
enum { WIDTH = 4 };
typedef double wide __attribute__((vector_size(32)));
FL_INLINE wide wide_fma(wide a, wide b, wide c) { return (wide)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
FL_INLINE wide one_back(wide before, wide x) { return FL_SHUFFLE(before, x, 3, 4, 5, 6); }
FL_INLINE wide one_on(wide x, wide behind) { return FL_SHUFFLE(x, behind, 1, 2, 3, 4); }
#else
enum { WIDTH = 2 };
typedef double wide __attribute__((vector_size(16)));
FL_INLINE wide wide_fma(wide a, wide b, wide c) { return a * b + c; }
FL_INLINE wide one_back(wide before, wide x) { return FL_SHUFFLE(before, x, 1, 2); }
FL_INLINE wide one_on(wide x, wide behind) { return FL_SHUFFLE(x, behind, 1, 2); }
#endif

FL_INLINE wide get(const double *p) { return *(const wide *)p; }
FL_INLINE void put(double *p, wide x) { *(wide *)p = x; }
FL_INLINE wide all_of(double x) { return x - (wide){0}; }

/* ---- a window's start -------------------------------------------------------------------------------------------- */

/* The largest even number up to the exponent of mass > 0. */
FL_INLINE double even_exponent(double mass) {
    const uint64_t bits = d_bits(mass);
    return d_exponent(bits - (~bits & ((uint64_t)1 << 52))); /* the bias is odd */
}

/* Pull mass[n] into [1, 4), leaving exponents even; a state without mass gets the exponent `unreached`. */
static void lanes_normalise(double *restrict mass, double *restrict exponent, ptrdiff_t n, double unreached) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t k = 0; k < n; k++) {
        const uint64_t bits = d_bits(mass[k]), odd = ~bits & ((uint64_t)1 << 52);
        const double scaled = d_from_bits((bits & 0x000fffffffffffffu) + odd + 0x3ff0000000000000u);
        exponent[k] = mass[k] > 0 ? exponent[k] + even_exponent(mass[k]) : unreached;
        mass[k] = mass[k] > 0 ? scaled : 0.0;
    }
}

/* Coefficients of one kind: 2^(from - to) where the mask is 1, 0 where it is 0. growth[n] keeps the largest. */
static void lanes_coefficients(double *restrict coefficient, double *restrict growth, const double *restrict from,
                               const double *restrict to, const double *restrict mask, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t k = 0; k < n; k++) {
        const double up = (from[k] - to[k]) * mask[k];
        coefficient[k] = d_power(up, 1000.0) * mask[k];
        growth[k] = d_max(growth[k], up);
    }
}

/* Largest of x[n], at least 0; numbers that are not negative have the order of their bits. */
static double lanes_largest(const double *restrict x, ptrdiff_t n) {
    int64_t high = 0;
    n &= -(ptrdiff_t)FL_LANES;
    for (ptrdiff_t k = 0; k < n; k++) {
        const int64_t i = (int64_t)d_bits(x[k]);
        high = i > high ? i : high;
    }
    return d_from_bits((uint64_t)high);
}

/* The three coefficients of a window from the exponents of its labels and blanks, and the largest exponent of one.
 * Forward: into blank k from label k - 1, into label k from blank k and from label k - 1. */
static double forward_coefficients(const struct ctc *s, const double *label, const double *blank, ptrdiff_t low,
                                   ptrdiff_t high) {
    double *growth = coefficient_row(s, GROWTH) + low;
    const ptrdiff_t n = high - low;
    label += low, blank += low;
    memset(growth, 0, (size_t)n * sizeof(double));
    lanes_coefficients(coefficient_row(s, INTO_BLANK) + low, growth, label - 1, blank, s->everywhere + low, n);
    lanes_coefficients(coefficient_row(s, BETWEEN) + low, growth, blank, label, s->here + low, n);
    lanes_coefficients(coefficient_row(s, OVER) + low, growth, label - 1, label, s->skip + low, n);
    return lanes_largest(growth, n);
}

/* Backward: into blank k from label k, into label k from blank k + 1 and from label k + 1. */
static double backward_coefficients(const struct ctc *s, const double *label, const double *blank, ptrdiff_t low,
                                    ptrdiff_t high) {
    double *growth = coefficient_row(s, GROWTH) + low;
    const ptrdiff_t n = high - low;
    label += low, blank += low;
    memset(growth, 0, (size_t)n * sizeof(double));
    lanes_coefficients(coefficient_row(s, INTO_BLANK) + low, growth, label, blank, s->here + low, n);
    lanes_coefficients(coefficient_row(s, BETWEEN) + low, growth, blank + 1, label, s->here + low, n);
    lanes_coefficients(coefficient_row(s, OVER) + low, growth, label + 1, label, s->skip + low + 1, n);
    return lanes_largest(growth, n);
}

/* Frames from `first` on, or before it with step -1, that a window may have, at most `most`. */
static ptrdiff_t window_frames(const struct ctc *s, ptrdiff_t first, ptrdiff_t step, ptrdiff_t most, double growth) {
    ptrdiff_t n = 0;
    double bits = 0;
    for (; n < most; n++) {
        bits += s->range[first + n * step] + growth + 2;
        if (!(bits <= CTC_BITS)) break; /* NaN too */
    }
    return n;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* `frames` steps over lanes [low, high). The state of frame f goes to to_label, to_blank + f * step, and is read from
 * there at f + 1; the first is read from from_label, from_blank. step = 0 and from = to: in place. */
static void lanes_forward(const struct ctc *s, const double *from_label, const double *from_blank, double *to_label,
                          double *to_blank, ptrdiff_t step, const double *emission, ptrdiff_t frames, ptrdiff_t low,
                          ptrdiff_t high) {
    const double *into_blank = coefficient_row(s, INTO_BLANK), *between = coefficient_row(s, BETWEEN);
    const double *over = coefficient_row(s, OVER);
    for (ptrdiff_t f = 0; f < frames; f++) {
        const wide at_blank = all_of(emission[s->labels]);
        wide before = {0};
        for (ptrdiff_t k = low; k < high; k += WIDTH) {
            const wide label = get(from_label + k), blank = get(from_blank + k), behind = one_back(before, label);
            put(to_blank + k, wide_fma(behind, get(into_blank + k), blank) * at_blank);
            const wide all = wide_fma(behind, get(over + k), wide_fma(blank, get(between + k), label));
            put(to_label + k, all * get(emission + k));
            before = label;
        }
        from_label = to_label, from_blank = to_blank;
        to_label += step, to_blank += step;
        emission += s->lanes;
    }
}

/* Normalise the running state before frame t and choose the lanes that matter: states that can still reach the end (one
 * label a frame at most), and be reached within the window. Returns the largest exponent of a coefficient. */
static double forward_start(struct ctc *s, ptrdiff_t t, struct ctc_window *w) {
    double *label = state_row(s, s->now, 0, LABEL), *blank = state_row(s, s->now, 0, BLANK);
    double *label_exponent = state_row(s, s->now, 0, LABEL_EXPONENT);
    double *blank_exponent = state_row(s, s->now, 0, BLANK_EXPONENT);
    const ptrdiff_t needed = s->labels - s->frames + t - 1;
    w->first = t;
    w->low = needed > 0 ? needed & -(ptrdiff_t)FL_LANES : 0;
    if (s->front < w->low) s->front = w->low;
    while (s->front < s->labels && d_bits(label[s->front])) s->front++;
    w->high = at_most(whole_lanes(s->front + CTC_WINDOW + 1), s->lanes);

    /* What is not reached yet will be from the last state that is: blank k comes behind label k - 1. */
    const ptrdiff_t k = s->front;
    const double unreached = d_bits(blank[k]) ? blank_exponent[k] + even_exponent(blank[k])
                                              : label_exponent[k - 1] + even_exponent(label[k - 1]);
    lanes_normalise(label + w->low, label_exponent + w->low, w->high - w->low, unreached);
    lanes_normalise(blank + w->low, blank_exponent + w->low, w->high - w->low, unreached);
    label_exponent[w->low - 1] = blank_exponent[w->low]; /* of no account */
    return forward_coefficients(s, label_exponent, blank_exponent, w->low, w->high);
}

static void copy_state(const struct ctc *s, double *to, ptrdiff_t to_index, double *from, ptrdiff_t from_index,
                       ptrdiff_t low, ptrdiff_t high) {
    for (int r = 0; r < CTC_ROWS; r++)
        memcpy(state_row(s, to, to_index, r) + low, state_row(s, from, from_index, r) + low,
               (size_t)(high - low) * sizeof(double));
}

/* The state before the first frame: blank 0 with probability 1. */
static void forward_begin(struct ctc *s) {
    memset(s->now, 0, (size_t)(CTC_ROWS * s->stride) * sizeof(double));
    state_row(s, s->now, 0, BLANK)[0] = 1;
    s->front = 0;
}

/* Frames [first, last) of a segment; keeps the windows' starts if `keep`. 0 if a window can hold no frame. */
static int fast_forward(struct ctc *s, ptrdiff_t first, ptrdiff_t last, int keep) {
    double *label = state_row(s, s->now, 0, LABEL), *blank = state_row(s, s->now, 0, BLANK);
    s->windows = 0;
    for (ptrdiff_t t = first; t < last;) {
        struct ctc_window w;
        const double growth = forward_start(s, t, &w);
        w.frames = window_frames(s, t - first, 1, at_most(last - t, CTC_WINDOW), growth);
        if (w.frames == 0) return 0;
        if (keep) {
            copy_state(s, s->kept, s->windows, s->now, 0, w.low, w.high);
            s->window[s->windows++] = w;
        }
        lanes_forward(s, label, blank, label, blank, 0, s->emission + (t - first) * s->lanes, w.frames, w.low, w.high);
        t += w.frames;
    }
    return 1;
}

/* The probability of the target after the last frame. */
static void fast_total(struct ctc *s) {
    const ptrdiff_t L = s->labels;
    const double blank = state_row(s, s->now, 0, BLANK)[L], label = L ? state_row(s, s->now, 0, LABEL)[L - 1] : 0;
    const double blank_exponent = state_row(s, s->now, 0, BLANK_EXPONENT)[L];
    const double label_exponent = L ? state_row(s, s->now, 0, LABEL_EXPONENT)[L - 1] : 0;
    const double b = blank > 0 ? blank_exponent + even_exponent(blank) : CTC_UNREACHED;
    const double l = label > 0 ? label_exponent + even_exponent(label) : CTC_UNREACHED;
    s->total_exponent = d_max(b, l);
    s->total = blank * d_power(blank_exponent - s->total_exponent, 1000.0) +
               label * d_power(label_exponent - s->total_exponent, 1000.0);
}

/* ---- backward, with occupancies ---------------------------------------------------------------------------------- */

/* The state behind the last frame: the last blank, from which nothing but the last two states is entered. */
static void backward_begin(struct ctc *s) {
    memset(s->mirror, 0, (size_t)(CTC_ROWS * s->stride) * sizeof(double));
    state_row(s, s->mirror, 0, BLANK)[s->labels] = 1;
    s->back = s->labels;
}

/* As forward_start, for the frames of a window backward. */
static double backward_start(struct ctc *s, const struct ctc_window *w) {
    double *label = state_row(s, s->mirror, 0, LABEL), *blank = state_row(s, s->mirror, 0, BLANK);
    double *label_exponent = state_row(s, s->mirror, 0, LABEL_EXPONENT);
    double *blank_exponent = state_row(s, s->mirror, 0, BLANK_EXPONENT);
    while (s->back > w->low && d_bits(label[s->back - 1])) s->back--;
    const ptrdiff_t k = s->back; /* label k comes behind blank k, seen from the end: blank k, label k - 1 ... */
    const double unreached = d_bits(blank[k]) ? blank_exponent[k] + even_exponent(blank[k])
                                              : label_exponent[k] + even_exponent(label[k]);
    lanes_normalise(label + w->low, label_exponent + w->low, w->high - w->low, unreached);
    lanes_normalise(blank + w->low, blank_exponent + w->low, w->high - w->low, unreached);
    label_exponent[w->high] = label_exponent[w->high - 1]; /* of no account */
    blank_exponent[w->high] = blank_exponent[w->high - 1];
    return backward_coefficients(s, label_exponent, blank_exponent, w->low, w->high);
}

/* Factors that make occupancies of a window's masses: (alpha factor) (beta factor). The exponents of a state without
 * mass on one side may be anything; its factor is small enough for its other mass, and 0 times that is 0. */
static void lanes_factors(double *restrict factor, const double *restrict forward, const double *restrict backward,
                          double total, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t k = 0; k < n; k++)
        factor[k] = d_power(((forward[k] + backward[k]) - total) * 0.5, CTC_BITS / 2 + 4);
}

/* One frame backward over lanes [low, high): s->mirror holds the probability of what follows this frame, and takes this
 * frame's emission in. Writes the labels' occupancies, and the blanks' summed into lanes. */
static void lanes_backward(const struct ctc *s, const double *alpha_label, const double *alpha_blank,
                           const double *emission, ptrdiff_t low, ptrdiff_t high, double *blank_lanes) {
    double *label_row = state_row(s, s->mirror, 0, LABEL), *blank_row = state_row(s, s->mirror, 0, BLANK);
    double *occupancy = s->occupancy + CTC_FRONT;
    const double *into_blank = coefficient_row(s, INTO_BLANK), *between = coefficient_row(s, BETWEEN);
    const double *over = coefficient_row(s, OVER);
    const double *label_factor = ctc_row(s, s->factor, 2, 0, 0), *blank_factor = ctc_row(s, s->factor, 2, 0, 1);
    const wide at_blank = all_of(emission[s->labels]);
    wide label = get(label_row + low), blank = get(blank_row + low), sum[FL_LANES / WIDTH] = {{0}};
    for (ptrdiff_t first = low; first < high; first += FL_LANES)
        for (int i = 0; i < FL_LANES / WIDTH; i++) {
            const ptrdiff_t k = first + i * WIDTH;
            const wide label_on = k + WIDTH < high ? get(label_row + k + WIDTH) : all_of(0);
            const wide blank_on = k + WIDTH < high ? get(blank_row + k + WIDTH) : all_of(0);
            const wide next_label = one_on(label, label_on), next_blank = one_on(blank, blank_on);
            const wide to_blank = wide_fma(label, get(into_blank + k), blank);
            const wide to_label = wide_fma(next_label, get(over + k), wide_fma(next_blank, get(between + k), label));
            const wide by_label = get(label_factor + k), by_blank = get(blank_factor + k);
            put(occupancy + k, (get(alpha_label + k) * by_label) * (to_label * by_label));
            sum[i] += (get(alpha_blank + k) * by_blank) * (to_blank * by_blank);
            put(label_row + k, to_label * get(emission + k));
            put(blank_row + k, to_blank * at_blank);
            label = label_on, blank = blank_on;
        }
    for (int i = 0; i < FL_LANES / WIDTH; i++) put(blank_lanes + i * WIDTH, sum[i]);
}

/* Windows of the segment [first, ...) from the last to the first, with their gradients. 0: one can hold no frame. */
static int fast_backward(struct ctc *s, ptrdiff_t first) {
    double *occupancy = s->occupancy + CTC_FRONT, blank_lanes[FL_LANES] __attribute__((aligned(64)));
    s->frame_total = s->total;
    for (ptrdiff_t i = s->windows; i-- > 0;) {
        const struct ctc_window *w = &s->window[i];
        double *alpha_label = ctc_row(s, s->alpha, 2, 0, 0), *alpha_blank = ctc_row(s, s->alpha, 2, 0, 1);
        double *label_exponent = state_row(s, s->kept, i, LABEL_EXPONENT);
        double *blank_exponent = state_row(s, s->kept, i, BLANK_EXPONENT);
        const double *emission = s->emission + (w->first - first) * s->lanes;
        label_exponent[w->low - 1] = blank_exponent[w->low]; /* of no account */
        forward_coefficients(s, label_exponent, blank_exponent, w->low, w->high);
        lanes_forward(s, state_row(s, s->kept, i, LABEL), state_row(s, s->kept, i, BLANK), alpha_label, alpha_blank,
                      2 * s->stride, emission, w->frames, w->low, w->high);
        for (ptrdiff_t left = w->frames; left > 0;) {
            const double growth = backward_start(s, w);
            ptrdiff_t n = window_frames(s, w->first - first + left - 1, -1, left, growth);
            if (n == 0) return 0;
            for (int r = LABEL; r <= BLANK; r++)
                lanes_factors(ctc_row(s, s->factor, 2, 0, r) + w->low,
                              state_row(s, s->kept, i, r + LABEL_EXPONENT) + w->low,
                              state_row(s, s->mirror, 0, r + LABEL_EXPONENT) + w->low, s->total_exponent,
                              w->high - w->low);
            while (n-- > 0) {
                left--;
                lanes_backward(s, alpha_label + left * 2 * s->stride, alpha_blank + left * 2 * s->stride,
                               emission + left * s->lanes, w->low, w->high, blank_lanes);
                memset(occupancy, 0, (size_t)w->low * sizeof(double));
                memset(occupancy + w->high, 0, (size_t)(s->lanes - w->high) * sizeof(double));
                write_frame(s, w->first + left, fold_lanes(blank_lanes));
            }
        }
    }
    return 1;
}

#endif
