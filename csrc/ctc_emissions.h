/* SPDX-License-Identifier: BSD-3-Clause */
/* ctc_emissions.h: a few frames' emissions of the target's labels, gathered and exponentiated once per (frame, label)
 * relative to the frame's largest, and the normalisers of logits. */
#ifndef FL_CTC_EMISSIONS_H
#define FL_CTC_EMISSIONS_H

#include "ctc_state.h"
#include "softmax.h"

#define CTC_LOG2E 0x1.71547652b82fep+0
#define CTC_LN2 0x1.62e42fefa39efp-1

FL_INLINE double d_fma(double a, double b, double c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

/* exp(r) on |r| <= ln(2) / 2, 1 at 0: our own minimax fits of the relative error, 2^-39.7 beside float32 inputs,
 * 2^-55.6 beside float64. */
FL_INLINE double d_exp_fraction(double r) {
#if FL_REAL == 32
    double q = 0x1.a4278cd8028a0p-16;
    q = d_fma(q, r, 0x1.a1c76d11580d0p-13);
    q = d_fma(q, r, 0x1.6c1423cd7623ap-10);
    q = d_fma(q, r, 0x1.11106a961c8dbp-7);
    q = d_fma(q, r, 0x1.555556622481cp-5);
    q = d_fma(q, r, 0x1.555555b5154a1p-3);
    q = d_fma(q, r, 0x1.ffffffff950b7p-2);
    q = d_fma(q, r, 0x1.ffffffffc495dp-1);
#else
    double q = 0x1.8ad0e36a38fd3p-26;
    q = d_fma(q, r, 0x1.28a29f9bd2546p-22);
    q = d_fma(q, r, 0x1.71f610466f403p-19);
    q = d_fma(q, r, 0x1.a019a68f60ae3p-16);
    q = d_fma(q, r, 0x1.a019f625115f1p-13);
    q = d_fma(q, r, 0x1.6c16c17f35e95p-10);
    q = d_fma(q, r, 0x1.111111137a2afp-7);
    q = d_fma(q, r, 0x1.55555555520ecp-5);
    q = d_fma(q, r, 0x1.5555555554825p-3);
    q = d_fma(q, r, 0x1.0000000000005p-1);
    q = d_fma(q, r, 0x1.0000000000003p+0);
#endif
    return d_fma(q, r, 1.0);
}

/* Integers in the order of the reals that they stand for. */
FL_INLINE ireal ordered(real x) {
    const ireal i = r_bits(x);
    return i ^ ((i >> (8 * (int)sizeof(real) - 1)) & (ireal)(((ureal)-1) >> 1));
}
FL_INLINE real unordered(ireal i) {
    return r_from_bits(i ^ ((i >> (8 * (int)sizeof(real) - 1)) & (ireal)(((ureal)-1) >> 1)));
}

/* ---- exponentials ------------------------------------------------------------------------------------------------ */

/* Largest and smallest of x[n], in the order of integers, where NaN lies beyond the infinities. */
static void lanes_bounds(const real *restrict x, ptrdiff_t n, real *largest, real *smallest) {
    ireal high = ordered(x[0]), low = high;
    n &= -(ptrdiff_t)FL_LANES;
    for (ptrdiff_t k = 0; k < n; k++) {
        const ireal i = ordered(x[k]);
        high = i > high ? i : high;
        low = i < low ? i : low;
    }
    *largest = unordered(high);
    *smallest = unordered(low);
}

/* y = exp(x - the frame's largest) where that is a normal number; what is below lies beyond every window's range. Many
 * frames in one call: a row of a short target is two vectors. */
static void lanes_emissions(double *restrict y, const real *restrict x, const double *restrict largest,
                            ptrdiff_t frames, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    for (ptrdiff_t f = 0; f < frames; f++, x += n, y += n) {
        const double high = largest[f];
        FL_INDEPENDENT
        for (ptrdiff_t k = 0; k < n; k++) {
            const double d = (double)x[k] - high;
            const double shifted = d_fma(d, CTC_LOG2E, 0x1.8p52 + 1023.0);
            const double fraction = d_exp_fraction(d_fma(shifted - (0x1.8p52 + 1023.0), -CTC_LN2, d));
            y[k] = fraction * d_from_bits(d_bits(shifted) << 52);
        }
    }
}

/* The same as y 2^exponent without any limit: 0 for -inf, NaN for NaN. Beyond 2^50 a double has no fraction. */
static void lanes_exact_emissions(double *restrict y, double *restrict exponent, const real *restrict x,
                                  double largest, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t k = 0; k < n; k++) {
        const double d = (double)x[k] - largest, near = d_max(d, -0x1p50);
        const double whole = d_fma(near, CTC_LOG2E, 0x1.8p52) - 0x1.8p52;
        const double fraction = d_exp_fraction(d_fma(whole, -CTC_LN2, near));
        const double far = d_max(d, -0x1p899) * CTC_LOG2E;
        const double mass = x[k] == -R_INFINITY ? 0.0 : d - d == 0 ? fraction : d;
        y[k] = d < -0x1p50 && mass > 0 ? 1.0 : mass;
        exponent[k] = d < -0x1p50 ? far : whole;
    }
}

/* ---- gathering --------------------------------------------------------------------------------------------------- */

typedef real four_reals __attribute__((vector_size(4 * sizeof(real))));

/* to[k] = row[index[k]] for whole lanes, four by four: no slower than Intel's gather instruction where that is fast, and
 * twice as fast as AMD's. */
static void gather_reals(real *restrict to, const real *restrict row, const int32_t *restrict index, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    for (ptrdiff_t k = 0; k < n; k += 4) {
        const int32_t *at = index + k;
        *(four_reals *)(to + k) = (four_reals){row[at[0]], row[at[1]], row[at[2]], row[at[3]]};
    }
}

static void prefetch(const char *p, ptrdiff_t bytes) {
    for (ptrdiff_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i);
}

/* How many frames of so many cache lines each are asked for ahead: memory is slow to answer, but takes many questions. */
static ptrdiff_t frames_ahead(ptrdiff_t lines) {
    const ptrdiff_t n = CTC_AHEAD / lines;
    return n < 1 ? 1 : n < 16 ? n : 16;
}

FL_INLINE ptrdiff_t row_lines(const struct ctc *s) { return s->job->classes * (ptrdiff_t)sizeof(real) / 64 + 1; }

/* Ask for a row that will be gathered soon: all of it, or the classes alone if they are fewer than its cache lines. */
static void prefetch_row(const struct ctc *s, const char *row) {
    if (row_lines(s) <= s->labels + 1)
        prefetch(row, s->job->classes * (ptrdiff_t)sizeof(real));
    else
        for (ptrdiff_t k = 0; k <= s->labels; k++) __builtin_prefetch(row + s->index[k] * (ptrdiff_t)sizeof(real));
}

#define GATHER_BYTES(TYPE)                                                                                            \
    for (ptrdiff_t k = 0; k < n; k++) memcpy(to + k * (ptrdiff_t)sizeof(TYPE), row + index[k] * stride, sizeof(TYPE))

/* Elements as they stand in memory, side by side. */
static void gather_bytes(char *restrict to, const char *restrict row, const int32_t *restrict index, ptrdiff_t n,
                         ptrdiff_t stride, ptrdiff_t size) {
    if (size == 1)
        GATHER_BYTES(uint8_t);
    else if (size == 2)
        GATHER_BYTES(uint16_t);
    else if (size == 4)
        GATHER_BYTES(uint32_t);
    else
        GATHER_BYTES(uint64_t);
}

static int in_place(const fl_ctc_job *job) {
    const fl_operand *x = &job->log_probs;
    const ptrdiff_t strides = job->frame_stride | job->sample_stride | (ptrdiff_t)(uintptr_t)x->data;
    return x->dtype == (sizeof(real) == 4 ? FL_FLOAT32 : FL_FLOAT64) && !x->swapped &&
           job->class_stride == sizeof(real) && strides % (ptrdiff_t)sizeof(real) == 0;
}

/* frames x lanes reals at the classes of s->index, into s->gathered. */
static void gather_frames(struct ctc *s, ptrdiff_t first, ptrdiff_t frames) {
    const fl_ctc_job *job = s->job;
    const ptrdiff_t size = fl_itemsize(job->log_probs.dtype);
    const ptrdiff_t ahead = frames_ahead(row_lines(s) <= s->labels ? row_lines(s) : s->labels + 1);
    const char *row = s->log_probs + first * job->frame_stride;
    for (ptrdiff_t f = 0; f < frames; f++, row += job->frame_stride) {
        real *to = s->gathered + f * s->lanes;
        if (s->plain) {
            if (first + f + ahead < s->frames) prefetch_row(s, row + ahead * job->frame_stride);
            gather_reals(to, (const real *)row, s->index, s->lanes);
        } else {
            gather_bytes(s->raw, row, s->index, s->lanes, job->class_stride, size);
            kernels.load[job->log_probs.swapped][job->log_probs.dtype](to, s->raw, size, s->lanes);
        }
    }
}

/* ---- normalisers of logits --------------------------------------------------------------------------------------- */

/* A row need not be whole lanes: its last FL_LANES elements are taken together, though some have been taken before. Of a
 * row that is shorter than that, load_classes puts -inf before the first. */

/* Largest of x[n] in the order of integers, where NaN lies beyond the infinities. */
static ireal lanes_highest(const real *restrict x, ptrdiff_t n) {
    const real *restrict last = x + n - FL_LANES;
    ireal lane[FL_LANES], high;
    for (int l = 0; l < FL_LANES; l++) lane[l] = ordered(last[l]);
    n &= -(ptrdiff_t)FL_LANES;
    for (ptrdiff_t k = 0; k < n; k += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const ireal i = ordered(x[k + l]);
            lane[l] = i > lane[l] ? i : lane[l];
        }
    high = lane[0];
    for (int l = 0; l < FL_LANES; l++) high = lane[l] > high ? lane[l] : high;
    return high;
}

/* e = exp(x - max), at most 1, of whole lanes, and of the last FL_LANES elements to `last`; the sum of all. Four reals
 * meet before they are added to a float64 lane, as in tile_sum. */
static double lanes_exp_sum(real *restrict e, real *restrict last, const real *restrict x, real max, ptrdiff_t n) {
    double lane[FL_LANES] = {0};
    const ptrdiff_t whole = n & -(ptrdiff_t)FL_LANES;
    const int taken = FL_LANES - (int)(n - whole); /* of the last ones, before */
    ptrdiff_t i = 0;
    for (; i + 4 * FL_LANES <= whole; i += 4 * FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const ptrdiff_t k = i + l;
            const ptrdiff_t k1 = k + FL_LANES, k2 = k1 + FL_LANES, k3 = k2 + FL_LANES;
            e[k] = r_exp(x[k] - max), e[k1] = r_exp(x[k1] - max);
            e[k2] = r_exp(x[k2] - max), e[k3] = r_exp(x[k3] - max);
            lane[l] += (double)((e[k] + e[k1]) + (e[k2] + e[k3]));
        }
    for (; i < whole; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) lane[l] += (double)(e[i + l] = r_exp(x[i + l] - max));
    if (taken < FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            last[l] = r_exp(x[n - FL_LANES + l] - max);
            lane[l] += l < taken ? 0.0 : (double)last[l];
        }
    return fold_lanes(lane);
}

FL_INLINE ptrdiff_t tile_of(ptrdiff_t classes, ptrdiff_t c) { return classes - c < FL_TILE ? classes - c : FL_TILE; }

/* Tile c... of a frame, n reals; behind -inf if they are less than FL_LANES. */
static const real *load_classes(const struct ctc *s, const char *row, ptrdiff_t c, ptrdiff_t n) {
    const fl_ctc_job *job = s->job;
    const char *from = row + c * job->class_stride;
    real *to = s->tiles + (n < FL_LANES ? FL_LANES : 0);
    const real *x = (const real *)from;
    if (!s->plain) x = fl_load_run(&kernels, &job->log_probs, from, job->class_stride, n, to);
    if (n >= FL_LANES) return x;
    for (int l = 0; l < FL_LANES; l++) s->tiles[l] = -R_INFINITY;
    if (x != to) memcpy(to, x, (size_t)n * sizeof(real));
    return to;
}

/* Largest logit of frame t and the sum of all exponentials, to place i. The exponentials of whole lanes go to `row`, if
 * there is one, and then those of the last FL_LANES classes to the second of s->tiles, unless they are whole lanes. */
static void normalise_frame(struct ctc *s, ptrdiff_t t, ptrdiff_t i, real *row) {
    const fl_ctc_job *job = s->job;
    const ptrdiff_t classes = job->classes, size = sizeof(real), ahead = frames_ahead(row_lines(s));
    const char *logits = s->log_probs + t * job->frame_stride;
    real unused[FL_LANES], *rest = s->tiles + FL_TILE;
    const real *x = load_classes(s, logits, 0, tile_of(classes, 0));
    ireal high = lanes_highest(x, tile_of(classes, 0));
    for (ptrdiff_t c = FL_TILE; c < classes; c += FL_TILE) {
        const ptrdiff_t n = tile_of(classes, c);
        const ireal higher = lanes_highest(x = load_classes(s, logits, c, n), n);
        high = higher > high ? higher : high;
    }
    const real max = unordered(high);
    double sum = 0;
    for (ptrdiff_t c = 0; c < classes; c += FL_TILE) {
        const ptrdiff_t n = tile_of(classes, c);
        if (s->plain && t + ahead < s->frames) prefetch(logits + ahead * job->frame_stride + c * size, n * size);
        if (classes > FL_TILE) x = load_classes(s, logits, c, n);
        sum += lanes_exp_sum(row ? row + c : rest, row ? rest : unused, x, max, n);
    }
    s->frame_max[i] = (double)max;
    s->frame_sum[i] = sum;
}

/* Frames [first, first + n), which stand at place 0..., join s->shift. The sums of a few frames take one logarithm:
 * they are at least 1, and products of CTC_WINDOW of them in range. A frame of -inf only has none: NaN. */
static void add_shifts(struct ctc *s, ptrdiff_t first, ptrdiff_t n) {
    if (!s->job->from_logits) {
        for (ptrdiff_t i = 0; i < n; i++) s->shift -= s->largest[i];
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        s->shift += s->frame_max[i] - s->largest[i];
        s->product *= s->frame_sum[i] >= 1 ? s->frame_sum[i] : R_NAN;
        if ((first + i) % CTC_WINDOW == CTC_WINDOW - 1 || first + i == s->frames - 1) {
            s->shift += s->product > 0 ? ctc_log(s->product, 0.0) : R_NAN;
            s->product = 1;
        }
    }
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

/* Largest of x[n] without its NaNs; -inf if there is nothing else. */
static real largest_number(const real *restrict x, ptrdiff_t n) {
    real largest = -R_INFINITY;
    for (ptrdiff_t k = 0; k < n; k++) largest = x[k] > largest ? x[k] : largest;
    return largest;
}

/* Emissions and largest ones of n gathered frames, to places at... of the segment. */
static void emit_fast(struct ctc *s, ptrdiff_t at, ptrdiff_t n, double *largest) {
    for (ptrdiff_t f = 0; f < n; f++) {
        real high, low;
        lanes_bounds(s->gathered + f * s->lanes, s->lanes, &high, &low);
        largest[f] = (double)high;
        s->range[at + f] = ((double)high - (double)low) * CTC_LOG2E;
    }
    lanes_emissions(s->emission + at * s->lanes, s->gathered, largest, n, s->lanes);
}

static void emit_exactly(struct ctc *s, ptrdiff_t at, ptrdiff_t n, double *largest) {
    for (ptrdiff_t f = 0; f < n; f++) {
        const real *x = s->gathered + f * s->lanes;
        const ptrdiff_t to = (at + f) * s->lanes;
        largest[f] = (double)largest_number(x, s->lanes);
        lanes_exact_emissions(s->emission + to, s->emission_exponent + to, x, largest[f], s->lanes);
    }
}

/* Emissions of frames [first, first + frames), the first ones of a segment. `forward`: for the first time; their shifts
 * are noted and, unless the gradient will do that, their normalisers, while the rows are in cache. */
static void emit_frames(struct ctc *s, ptrdiff_t first, ptrdiff_t frames, int forward) {
    const int logits = s->job->from_logits, gradient = (s->job->want & FL_GRAD) != 0;
    const ptrdiff_t lanes = s->lanes, at_once = lanes < CTC_CHUNK ? CTC_CHUNK / lanes : 1;
    double *largest = s->largest + (logits && gradient ? first : 0);
    for (ptrdiff_t done = 0; done < frames; done += at_once) {
        const ptrdiff_t n = frames - done < at_once ? frames - done : at_once;
        if (forward && logits && !gradient)
            for (ptrdiff_t f = done; f < done + n; f++) normalise_frame(s, first + f, f, NULL);
        gather_frames(s, first + done, n);
        if (s->exact)
            emit_exactly(s, done, n, largest + done);
        else
            emit_fast(s, done, n, largest + done);
    }
    if (forward && !(logits && gradient)) add_shifts(s, first, frames);
}

#endif
