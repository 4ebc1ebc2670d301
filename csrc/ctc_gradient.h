/* SPDX-License-Identifier: BSD-3-Clause */
/* ctc_gradient.h: from the occupancies of a frame to its row of the gradient. */
#ifndef FL_CTC_GRADIENT_H
#define FL_CTC_GRADIENT_H

#include "ctc_emissions.h"

/* List each class of the target once, by way of a hash table at most half full. */
static void find_distinct(struct ctc *s) {
    const uint32_t mask = (2u << s->slot_bits) - 1;
    memset(s->slot, -1, ((size_t)mask + 1) * sizeof *s->slot);
    s->distinct = s->again = 0;
    for (int32_t k = 0; k < s->labels; k++) {
        uint32_t i = (uint32_t)s->index[k] * 2654435761u >> (31 - s->slot_bits);
        while (s->slot[i] >= 0 && s->index[s->slot[i]] != s->index[k]) i = (i + 1) & mask;
        if (s->slot[i] < 0) {
            s->slot[i] = k;
            s->distinct_class[s->distinct] = s->index[k];
            s->distinct_at[s->distinct++] = k;
        } else {
            s->again_of[s->again] = s->slot[i];
            s->again_at[s->again++] = k;
        }
    }
    for (ptrdiff_t i = s->distinct; i % FL_LANES; i++) s->distinct_at[i] = 0;
}

static real *gradient_row(const struct ctc *s, ptrdiff_t t) {
    const fl_ctc_job *job = s->job;
    return (real *)job->grad + (t * job->samples + s->sample) * job->classes;
}

/* Rows [first, last) become 0. */
static void clear_gradient(const struct ctc *s, ptrdiff_t first, ptrdiff_t last) {
    if (s->job->grad_is_zero) return;
    for (ptrdiff_t t = first; t < last; t++)
        memset(gradient_row(s, t), 0, (size_t)s->job->classes * sizeof(real));
}

/* row = softmax(logits) * scale. Exponentials stand in the row itself until their sum is known, but for the last ones. */
static void softmax_row(struct ctc *s, ptrdiff_t t, real *row) {
    const ptrdiff_t classes = s->job->classes, left = classes % FL_LANES, whole = classes - left;
    real *last = s->tiles + FL_TILE;
    normalise_frame(s, t, t, row);
    const real factor = (real)(s->scale / s->frame_sum[t]);
    tile_scale(row, factor, whole);
    if (left)
        for (int l = 0; l < FL_LANES; l++) last[l] *= factor;
    memcpy(row + whole, last + FL_LANES - left, (size_t)left * sizeof(real));
}

/* to = occupancy[at] * factor; a NaN factor leaves what is not visited at 0. */
static void lanes_written(real *restrict to, const double *restrict occupancy, const int32_t *restrict at,
                          double factor, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const double share = occupancy[at[i]];
        to[i] = (real)(share > 0 ? share * factor : share);
    }
}

/* The gradient of frame t from s->occupancy and the blank's: minus each class's share of the probability and, with
 * logits, plus the softmax. */
static void write_frame(struct ctc *s, ptrdiff_t t, double at_blank) {
    const fl_ctc_job *job = s->job;
    const double factor = -s->scale / s->frame_total;
    double *occupancy = s->occupancy + CTC_FRONT;
    real *row = gradient_row(s, t), *written = s->gathered;
    for (ptrdiff_t i = 0; i < s->again; i++) occupancy[s->again_of[i]] += occupancy[s->again_at[i]];
    lanes_written(written, occupancy, s->distinct_at, factor, whole_lanes(s->distinct));
    if (job->from_logits) {
        softmax_row(s, t, row);
        for (ptrdiff_t i = 0; i < s->distinct; i++) row[s->distinct_class[i]] += written[i];
        row[job->blank] += (real)(at_blank * factor);
    } else {
        clear_gradient(s, t, t + 1);
        for (ptrdiff_t i = 0; i < s->distinct; i++) row[s->distinct_class[i]] = written[i];
        row[job->blank] = (real)(at_blank * factor);
    }
}

#endif
