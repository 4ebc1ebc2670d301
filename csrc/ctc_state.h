/* SPDX-License-Identifier: BSD-3-Clause */
/* ctc_state.h: what one sequence keeps in its workspace, and the float64 helpers of CTC (which computes in float64 for
 * both reals).
 *
 * A target of L labels has L + 1 blank states and L label states; state k of either kind stands at index k of a row,
 * and rows are whole lanes of L + 1 reals, so that label states L and beyond are padding. From one frame to the next
 *   blank k  comes from blank k and label k - 1
 *   label k  comes from label k, blank k and, where skip[k] (it differs from its predecessor), label k - 1
 * A state's probability is mass * 2^exponent, its exponent an integral double. */
#ifndef FL_CTC_STATE_H
#define FL_CTC_STATE_H

#include "tile.h"

enum {
    CTC_WINDOW = 16,       /* frames between two normalisations at most */
    CTC_BITS = 640,        /* what a window's masses may grow and shrink by, together */
    CTC_CHUNK = 2048,      /* emissions of one pass over a few frames: 16 kB */
    CTC_KEPT = 1 << 18,    /* emissions that a gradient keeps, if they are all of them, rather than gather them again */
    CTC_AHEAD = 128,       /* cache lines that are asked for ahead of their frame, if a row is not more */
    CTC_FRONT = FL_LANES   /* room before each row: state -1 */
};
#define CTC_UNREACHED (-0x1p1000) /* exponent of a state without mass, on the exact path */

FL_INLINE uint64_t d_bits(double x) { uint64_t i; memcpy(&i, &x, sizeof i); return i; }
FL_INLINE double d_from_bits(uint64_t i) { double x; memcpy(&x, &i, sizeof x); return x; }
FL_INLINE double d_max(double a, double b) { return a > b ? a : b; }
FL_INLINE double d_min(double a, double b) { return a < b ? a : b; }

/* 2^e of an integral e up to `most` < 1024, which stands for what is larger; 0 below -700. */
FL_INLINE double d_power(double e, double most) {
    const double held = d_min(d_max(e, -800.0), most);
    const double power = d_from_bits(d_bits(held + (0x1.8p52 + 1023.0)) << 52);
    return e < -700.0 ? 0.0 : power;
}

/* Exponent of a positive normal x as a number; there is no conversion from int64 before AVX-512. */
FL_INLINE double d_exponent(uint64_t bits) {
    return d_from_bits((bits >> 52) | 0x4330000000000000u) - (0x1p52 + 1023.0);
}

FL_INLINE double d_mantissa(uint64_t bits) {
    return d_from_bits((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);
}

/* log(mass 2^exponent) of a positive mass: 2 atanh((m - 1) / (m + 1)), once a sequence. */
static double ctc_log(double mass, double exponent) {
    const uint64_t bits = d_bits(mass), up = d_mantissa(bits) > 0x1.6a09e667f3bcdp+0;
    const double m = d_mantissa(bits) * (up ? 0.5 : 1.0), e = exponent + d_exponent(bits) + (double)up;
    const double s = (m - 1.0) / (m + 1.0), z = s * s;
    double p = 0;
    for (int i = 23; i > 1; i -= 2) p = (p + 1.0 / i) * z;
    return e * 0x1.62e42fefa38p-1 + (2.0 * s + (2.0 * s * p + e * 0x1.ef35793c7673p-45));
}

/* A stretch of frames [first, first + frames) whose exponents are frozen, and its lanes [low, high). */
struct ctc_window {
    ptrdiff_t first, frames, low, high;
};

struct ctc {
    const fl_ctc_job *job;
    const char *log_probs; /* the sample's first frame */
    ptrdiff_t sample, frames, labels, lanes;
    ptrdiff_t stride;            /* from one row to the next, in doubles */
    ptrdiff_t segment, segments; /* frames are worked on in segments */
    int plain; /* log_probs are reals of this build, the classes of a frame side by side */
    int exact;

    int32_t *index;            /* class of each label, then the blank up to whole lanes */
    double *skip, *here;       /* 1 where label k may be entered from label k - 1; where there is a label k; else 0 */
    double *everywhere;        /* 1 */
    double *emission;          /* segment x lanes: relative to the frame's largest; of each label, then of the blank */
    double *emission_exponent; /* on the exact path */
    double *range;             /* of each frame of the segment: bits between its largest and its smallest emission */
    double *largest;               /* of each frame: its largest emission's logarithm */
    double *frame_max, *frame_sum; /* of each frame of logits, log-sum-exp: the largest of all classes, sum of exp */
    double *now, *mirror;      /* the running state, forward and backward: four rows */
    double *kept;              /* the state before each window of a segment, exact path: after each frame */
    double *checkpoint;        /* the state before each segment */
    double *coefficient;       /* four rows */
    double *factor;            /* two rows: makes occupancies of masses */
    double *alpha;             /* two rows for each frame of a window */
    double *occupancy;         /* of each label at one frame */
    struct ctc_window *window; /* of the segment */
    ptrdiff_t windows;
    ptrdiff_t front, back; /* labels before `front` are reached from the start, from `back` on they reach the end */

    real *gathered;       /* a few frames' emissions; what is stored into one gradient row */
    char *raw;            /* the same as they stand in memory */
    int32_t *distinct_class, *distinct_at; /* each class of the target once, and where it occurs first */
    int32_t *again_at, *again_of;          /* the other occurrences, and where each one's class occurs first */
    ptrdiff_t distinct, again;
    int32_t *slot; /* hash table of the classes: where each occurs first, or -1 */
    int slot_bits;

    double shift, product; /* sum over frames of log-sum-exp less largest emission, or minus the latter; what is left */
    real *tiles;                  /* two, in the scratch */
    double total, total_exponent; /* probability of the target, times 2^total_exponent exp(-shift) */
    double frame_total;           /* what the occupancies of the frame at hand add up to */
    double scale;                 /* of the gradient */
};

enum { LABEL, BLANK, LABEL_EXPONENT, BLANK_EXPONENT, CTC_ROWS };
enum { INTO_BLANK, BETWEEN, OVER, GROWTH, COEFFICIENT_ROWS }; /* label to blank, blank to label, label to label */

/* Row r of the i-th group of `rows` rows. */
FL_INLINE double *ctc_row(const struct ctc *s, double *base, ptrdiff_t rows, ptrdiff_t i, int r) {
    return base + (i * rows + r) * s->stride + CTC_FRONT;
}
FL_INLINE double *state_row(const struct ctc *s, double *state, ptrdiff_t i, int r) {
    return ctc_row(s, state, CTC_ROWS, i, r);
}
FL_INLINE double *coefficient_row(const struct ctc *s, int r) {
    return ctc_row(s, s->coefficient, COEFFICIENT_ROWS, 0, r);
}

/* ---- workspace -------------------------------------------------------------------------------------------------- */

struct ctc_arena {
    char *base; /* NULL: only measure */
    ptrdiff_t size;
    int overflow;
};

static void *take(struct ctc_arena *a, ptrdiff_t count, ptrdiff_t rows, ptrdiff_t size) {
    ptrdiff_t bytes;
    void *taken = a->base ? a->base + a->size : NULL;
    a->overflow |= __builtin_mul_overflow(count, rows, &bytes) || __builtin_mul_overflow(bytes, size, &bytes) ||
                   bytes > PTRDIFF_MAX / 4 || a->size > PTRDIFF_MAX / 4;
    if (!a->overflow) a->size += (bytes + 63) & -(ptrdiff_t)64;
    return taken;
}

/* A power of two, at most twice the square root of n. */
static ptrdiff_t rough_root(ptrdiff_t n) {
    ptrdiff_t root = 1;
    while (root < n / root) root *= 2;
    return root;
}

/* How many frames are worked on at a time. A gradient keeps the states of one segment and those before each, so that
 * about the square root of all frames is best; short inputs are one segment. */
static ptrdiff_t segment_of(ptrdiff_t frames, ptrdiff_t lanes, int gradient) {
    const ptrdiff_t fit = (gradient ? CTC_KEPT : CTC_CHUNK) / lanes, root = gradient ? rough_root(frames) : 1;
    const ptrdiff_t wanted = fit > root ? fit : root;
    return frames <= wanted ? frames : (wanted + CTC_WINDOW - 1) / CTC_WINDOW * CTC_WINDOW;
}

/* Cut one sample's workspace out of `base`: bytes, or -1. */
static ptrdiff_t ctc_layout(struct ctc *s, const fl_ctc_job *job, ptrdiff_t frames, ptrdiff_t labels, char *base) {
    struct ctc_arena a = {.base = base};
    const int gradient = (job->want & FL_GRAD) != 0;
    const ptrdiff_t d = sizeof(double), lanes = whole_lanes(labels + 1), gather = lanes > CTC_CHUNK ? lanes : CTC_CHUNK;
    s->job = job;
    s->frames = frames, s->labels = labels, s->lanes = lanes;
    s->stride = lanes + CTC_FRONT;
    s->segment = segment_of(frames, lanes, gradient);
    const ptrdiff_t frames_noted = gradient && job->from_logits ? frames : s->segment;
    s->segments = frames ? (frames - 1) / s->segment + 1 : 0;
    s->index = take(&a, lanes, 1, sizeof *s->index);
    s->skip = take(&a, s->stride, 1, d);
    s->here = take(&a, s->stride, 1, d);
    s->everywhere = take(&a, s->stride, 1, d);
    s->gathered = take(&a, gather, 1, sizeof(real));
    s->raw = take(&a, gather, 1, 8);
    s->emission = take(&a, s->segment, lanes, d);
    s->emission_exponent = take(&a, s->segment, lanes, d);
    s->range = take(&a, s->segment + FL_LANES, 1, d);
    s->largest = take(&a, frames_noted, 1, d);
    s->frame_max = take(&a, job->from_logits ? frames_noted : 0, 1, d);
    s->frame_sum = take(&a, job->from_logits ? frames_noted : 0, 1, d);
    s->now = take(&a, s->stride, 2 * CTC_ROWS, d);
    s->coefficient = take(&a, s->stride, COEFFICIENT_ROWS, d);
    if (gradient) {
        s->mirror = take(&a, s->stride, 2 * CTC_ROWS, d);
        s->factor = take(&a, s->stride, 2, d);
        s->occupancy = take(&a, s->stride, 1, d);
        s->alpha = take(&a, s->stride, 2 * CTC_WINDOW, d);
        s->window = take(&a, s->segment, 1, sizeof *s->window);
        s->distinct_class = take(&a, lanes, 1, sizeof *s->distinct_class);
        s->distinct_at = take(&a, lanes, 1, sizeof *s->distinct_at);
        s->again_at = take(&a, lanes, 1, sizeof *s->again_at);
        s->again_of = take(&a, lanes, 1, sizeof *s->again_of);
        s->kept = take(&a, s->segment, CTC_ROWS * s->stride, d);
        s->checkpoint = take(&a, s->segments > 1 ? s->segments : 0, CTC_ROWS * s->stride, d);
        for (s->slot_bits = 5; (lanes >> s->slot_bits) > 0; s->slot_bits++) {}
        s->slot = take(&a, (ptrdiff_t)2 << s->slot_bits, 1, sizeof *s->slot);
    }
    take(&a, CTC_FRONT, 1, d); /* behind the last row */
    return a.overflow ? -1 : a.size;
}

static ptrdiff_t ctc_workspace(const fl_ctc_job *job) {
    ptrdiff_t most = 0;
    for (ptrdiff_t n = 0; n < job->samples; n++) {
        struct ctc s;
        if (job->target_lengths[n] > job->input_lengths[n]) continue; /* infeasible, and never laid out */
        const ptrdiff_t bytes = ctc_layout(&s, job, job->input_lengths[n], job->target_lengths[n], NULL);
        if (bytes < 0) return -1;
        most = bytes > most ? bytes : most;
    }
    return most;
}

#endif
