/* SPDX-License-Identifier: BSD-3-Clause */
/* row_sums.h: elementwise losses of which a function of each row's sum is wanted (Renyi's divergence, the gradient penalty).
 * The sums are one pass, the gradients, by factors that the function gives, another: elementwise.h's own walk over a row, or
 * over a piece of it. */
#ifndef FL_ROW_SUMS_H
#define FL_ROW_SUMS_H

#include "elementwise.h"

/* What a unit has of row r: n elements from `start` on. */
struct row_piece {
    ptrdiff_t start, n;
};

static struct row_piece row_piece(const fl_row_sum_job *job, ptrdiff_t r, ptrdiff_t piece) {
    const ptrdiff_t at = piece * FL_BLOCK, left = job->row - at;
    return (struct row_piece){(job->first + r) * job->row + at, job->pieces > 1 && left > FL_BLOCK ? FL_BLOCK : left};
}

static ptrdiff_t last_row(const fl_row_sum_job *job, ptrdiff_t first) {
    return job->count - first < job->rows ? job->count : first + job->rows;
}

static void sums_of_rows(const void *arg, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const fl_row_sum_job *job = arg;
    const ptrdiff_t piece = unit % job->pieces, first = unit / job->pieces * job->rows;
    for (ptrdiff_t r = first; r < last_row(job, first); r++) {
        const struct row_piece p = row_piece(job, r, piece);
        double *sum = job->sums + r * job->pieces + piece, lane[FL_LANES] = {0};
        *sum = 0;
        if (job->counts && !job->counts[r]) continue;
        walk_elements(&job->each, p.start, p.n, scratch, lane, out);
        *sum = fold_lanes(lane);
    }
}

static void gradients_of_rows(const void *arg, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const fl_row_sum_job *job = arg;
    const ptrdiff_t piece = unit % job->pieces, first = unit / job->pieces * job->rows;
    fl_elementwise_job mine = job->each;
    double lane[FL_LANES] = {0}; /* of no use */
    mine.want |= FL_GRAD;
    for (ptrdiff_t r = first; r < last_row(job, first); r++) {
        const struct row_piece p = row_piece(job, r, piece);
        mine.scale = job->factors[r];
        if (mine.scale != 0)
            walk_elements(&mine, p.start, p.n, scratch, lane, out);
        else
            for (int k = 0; k < elementwise_losses[mine.loss].n_predictions; k++)
                memset((real *)mine.grad[k] + p.start, 0, (size_t)p.n * sizeof(real));
    }
}

#endif
