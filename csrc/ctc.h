/* SPDX-License-Identifier: BSD-3-Clause */
/* ctc.h: one sequence of CTC from its labels to its loss and gradient. The steps:
 *   ctc_emissions.h  the target's emissions, of a segment of frames at a time
 *   ctc_fast.h       forward, and backward with occupancies, in linear space; if the emissions are too wide for that,
 *   ctc_exact.h      the same with an exponent for every state and frame
 *   ctc_gradient.h   occupancies to gradient rows
 * A gradient needs the forward states again while it goes backward. Those of one segment are kept (the fast path: one a
 * window, which is run again); of a long sequence only those before each segment, which is run again then. */
#ifndef FL_CTC_H
#define FL_CTC_H

#include "ctc_exact.h"
#include "workspace.h"

/* ---- labels ------------------------------------------------------------------------------------------------------ */

enum { CTC_LABELS = FL_TILE_BYTES / sizeof(int64_t) };

/* Read the sample's labels, once, into s->index if it is there. Returns the frames that they need at least, or -1 with
 * the first bad label in *bad, an index into the target. */
static ptrdiff_t read_target(struct ctc *s, int64_t *tile, ptrdiff_t *bad) {
    const fl_ctc_job *job = s->job;
    ptrdiff_t needed = s->labels;
    int64_t last = -1;
    for (ptrdiff_t done = 0; done < s->labels; done += CTC_LABELS) {
        const ptrdiff_t left = s->labels - done, n = left < CTC_LABELS ? left : CTC_LABELS;
        const ptrdiff_t start = job->target_starts[s->sample] + done;
        fl_load_labels(&job->target, start, n, tile);
        for (ptrdiff_t k = 0; k < n; k++) {
            const int64_t label = tile[k];
            if (((uint64_t)label >= (uint64_t)job->classes && !fl_planted("ctc label")) || label == job->blank) {
                *bad = start + k;
                return -1;
            }
            needed += label == last;
            if (s->index) {
                s->index[done + k] = (int32_t)label;
                s->here[done + k] = 1;
                s->skip[done + k] = label != last && done + k > 0;
            }
            last = label;
        }
    }
    if (s->index) {
        for (ptrdiff_t k = s->labels; k < s->lanes; k++) s->index[k] = (int32_t)job->blank;
        for (ptrdiff_t k = s->labels; k < s->stride; k++) s->here[k] = s->skip[k] = 0;
        for (ptrdiff_t k = 0; k < s->stride; k++) s->everywhere[k] = 1;
    }
    return needed;
}

/* Whether the call has been interrupted. */
static int stopped(const fl_ctc_job *job, int ask) {
    if (!__atomic_load_n(job->stopped, __ATOMIC_RELAXED) && ask && job->interrupted())
        __atomic_store_n(job->stopped, 1, __ATOMIC_RELAXED);
    return __atomic_load_n(job->stopped, __ATOMIC_RELAXED);
}

/* ---- segments ---------------------------------------------------------------------------------------------------- */

static ptrdiff_t segment_end(const struct ctc *s, ptrdiff_t first) { return at_most(first + s->segment, s->frames); }

static int segment_forward(struct ctc *s, ptrdiff_t first, int forward, int keep) {
    const ptrdiff_t last = segment_end(s, first);
    emit_frames(s, first, last - first, forward);
    if (!s->exact) return fast_forward(s, first, last, keep);
    exact_forward(s, first, last, keep);
    return 1;
}

/* From the first frame to s->total. 0: the fast path cannot. */
static int forward(struct ctc *s) {
    const int gradient = (s->job->want & FL_GRAD) != 0;
    s->shift = 0;
    s->product = 1;
    if (s->exact)
        exact_begin(s, s->now, 0);
    else
        forward_begin(s);
    for (ptrdiff_t i = 0; i < s->segments && !stopped(s->job, s->segments > 1); i++) {
        if (gradient && s->segments > 1) copy_state(s, s->checkpoint, i, s->now, 0, 0, s->lanes);
        if (!segment_forward(s, i * s->segment, 1, gradient && s->segments == 1)) return 0;
    }
    if (s->exact)
        exact_total(s);
    else
        fast_total(s);
    return 1;
}

/* From the last frame to the first, writing the gradient. 0: the fast path cannot. */
static int backward(struct ctc *s) {
    if (s->exact)
        exact_begin(s, s->mirror, s->labels);
    else
        backward_begin(s);
    for (ptrdiff_t i = s->segments; i-- > 0 && !stopped(s->job, s->segments > 1);) {
        const ptrdiff_t first = i * s->segment;
        if (s->segments > 1) {
            copy_state(s, s->now, 0, s->checkpoint, i, 0, s->lanes);
            s->front = 0;
            segment_forward(s, first, 0, 1);
        }
        if (s->exact)
            exact_backward(s, first, segment_end(s, first));
        else if (!fast_backward(s, first))
            return 0;
    }
    return 1;
}

/* ---- one sequence ------------------------------------------------------------------------------------------------ */

/* Write the gradient of a sequence whose s->total is known and, with logits, complete s->shift. */
static void gradient(struct ctc *s) {
    find_distinct(s);
    if (s->total == 0) {
        clear_gradient(s, 0, s->frames);
        if (s->job->from_logits)
            for (ptrdiff_t t = 0; t < s->frames; t++) normalise_frame(s, t, t, NULL);
    } else if (!backward(s)) {
        s->exact = 1;
        forward(s);
        backward(s);
    }
    if (s->job->from_logits) add_shifts(s, 0, s->frames);
}

/* Loss of a sequence that is long enough for its target, whose labels are read; writes the gradient. */
static double feasible_loss(struct ctc *s) {
    s->exact = s->job->exact;
    if (!forward(s)) {
        s->exact = 1;
        forward(s);
    }
    if (s->job->grad && !stopped(s->job, 0)) gradient(s);
    if (s->total > 0) return s->shift - ctc_log(s->total, s->total_exponent);
    return s->total == 0 && s->shift == s->shift ? R_INFINITY : R_NAN;
}

static double sample_factor(const struct ctc *s, char *scratch) {
    const fl_ctc_job *job = s->job;
    const double per_label = job->per_label && s->labels > 1 ? 1.0 / (double)s->labels : 1.0;
    if (!job->grad_output.data) return job->scale * per_label;
    const real *given = fl_load(&kernels, &job->grad_output, s->sample, 1, scratch);
    return job->scale * per_label * (double)given[0];
}

static void ctc_sequence(const void *arg, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const fl_ctc_job *job = arg;
    const ptrdiff_t n = job->order[unit], frames = job->input_lengths[n], labels = job->target_lengths[n];
    struct ctc s = {.job = job, .labels = labels, .frames = frames, .sample = n};
    int taken = -1;
    if (stopped(job, 0)) return;
    if (labels <= frames) {
        taken = claim_workspace(job->workspace_taken, job->workspaces);
        ctc_layout(&s, job, frames, labels, job->workspace + taken * job->workspace_bytes);
    }
    s.log_probs = job->log_probs.data + n * job->sample_stride;
    s.tiles = (real *)scratch;
    s.plain = in_place(job);
    const ptrdiff_t needed = read_target(&s, (int64_t *)scratch, &out->bad);
    if (needed >= 0) {
        double loss = R_INFINITY;
        s.scale = sample_factor(&s, scratch);
        if (needed <= frames)
            loss = feasible_loss(&s);
        else if (job->grad)
            clear_gradient(&s, 0, frames);
        if (job->grad) clear_gradient(&s, frames, job->frames);
        if (job->zero_infinity && loss == R_INFINITY) loss = 0;
        if (job->value) ((real *)job->value)[n] = (real)loss;
        out->sum = job->per_label && labels > 1 ? loss / (double)labels : loss;
    }
    if (taken >= 0) release_workspace(job->workspace_taken, taken);
}

#endif
