/* SPDX-License-Identifier: BSD-3-Clause */
/* row_sums.h: elementwise losses of which a function of each row's sum is wanted (Renyi's divergence, the gradient
 * penalty). The sums are one pass, the gradients, by factors that the function gives, another: elementwise.h's own walk
 * over a row, or over a piece of it. */
#ifndef FL_ROW_SUMS_H
#define FL_ROW_SUMS_H

#include "elementwise.h"

/* What a unit has of row r: n elements from `start` on. */
struct row_piece {
    ptrdiff_t start, n;
};

static struct row_piece row_piece(const fl_row_sum_job *job, ptrdiff_t r, ptrdiff_t piece) {
    const ptrdiff_t at = piece * FL_ROW_PIECE, left = job->row - at;
    return (struct row_piece){(job->first + r) * job->row + at, left > FL_ROW_PIECE ? FL_ROW_PIECE : left};
}

static ptrdiff_t last_row(const fl_row_sum_job *job, ptrdiff_t first) {
    return job->count - first < job->rows ? job->count : first + job->rows;
}

/* Whether rows share a tile: shorter ones cost more than their elements. */
static int is_short(const fl_row_sum_job *job) { return job->row <= FL_TILE / 2; }

static int counts(const fl_row_sum_job *job, ptrdiff_t r) { return !job->counts || job->counts[r]; }

/* Rows first... < last, of which all count and which fill a tile at most. */
static void sums_of_tile(const fl_row_sum_job *job, ptrdiff_t first, ptrdiff_t last, struct tiles *t, fl_partial *out) {
    const fl_loss_info *info = &elementwise_losses[job->each.loss];
    const struct row *loss = &rows[job->each.loss];
    const ptrdiff_t start = (job->first + first) * job->row, n = (last - first) * job->row;
    struct map m = {.value = t->value};
    for (int k = 0; k < info->n_operands; k++) m.in[k] = fl_load(&kernels, &job->each.in[k], start, n, t->in[k]);
    for (int k = 0; k < info->n_params; k++) m.param[k] = real_param(job->each.param[k]);
    for (int k = 0; k < info->n_operands && out->bad < 0; k++) {
        const ptrdiff_t bad = first_outside(m.in[k], NULL, n, domain_of(loss, k, job->each.param[0]));
        if (bad >= 0) out->bad = start + bad, out->bad_operand = k;
    }
    t->far = 0;
    walk_map(job->each.loss, FL_VALUE, &m, whole_lanes(n), t);
    for (ptrdiff_t r = first; r < last; r++) job->sums[r] = run_sum(t->value + (r - first) * job->row, job->row);
}

static void sums_of_short_rows(const fl_row_sum_job *job, ptrdiff_t first, ptrdiff_t last, struct tiles *t,
                               fl_partial *out) {
    const ptrdiff_t most = FL_TILE / (job->row > 0 ? job->row : 1);
    for (ptrdiff_t r = first; r < last;) {
        ptrdiff_t end = r;
        while (end < last && end - r < most && counts(job, end)) end++;
        if (end > r && job->row > 0) sums_of_tile(job, r, end, t, out);
        for (; job->row == 0 && r < end; r++) job->sums[r] = 0;
        r = end;
        if (r < last && !counts(job, r)) job->sums[r++] = 0;
    }
}

static void sums_of_rows(const void *arg, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const fl_row_sum_job *job = arg;
    const ptrdiff_t piece = unit % job->pieces, first = unit / job->pieces * job->rows, last = last_row(job, first);
    if (is_short(job)) {
        sums_of_short_rows(job, first, last, (struct tiles *)scratch, out);
        return;
    }
    for (ptrdiff_t r = first; r < last; r++) {
        const struct row_piece p = row_piece(job, r, piece);
        double *sum = job->sums + r * job->pieces + piece, lane[FL_LANES] = {0};
        *sum = 0;
        if (!counts(job, r)) continue;
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
