/* SPDX-License-Identifier: BSD-3-Clause */
/* mining.h: for an anchor the farthest vector of its own label and the nearest of another. A row of products of the
 * anchor with all vectors, from a matrix product, says to within a bound which may be it; those few are measured anew,
 * so that the answer does not depend on how the product was rounded. */
#ifndef FL_MINING_H
#define FL_MINING_H

#include "triplet.h"

/* x[j] = |b_j|^2 - 2 a b_j, the squared distance less |a|^2; the largest of the anchor's label and the smallest of
 * others. NaN is passed over. */
static void tile_squared_distances(real *restrict largest, real *restrict smallest, real *restrict x,
                                   const real *restrict square, const ireal *restrict label, ptrdiff_t n, ireal own) {
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const real d = r_fma(R(-2.0), x[i + l], square[i + l]);
            const real same = r_where(label[i + l] == own, d, -R_INFINITY);
            const real other = r_where(label[i + l] == own, R_INFINITY, d);
            x[i + l] = d;
            largest[l] = same > largest[l] ? same : largest[l];
            smallest[l] = other < smallest[l] ? other : smallest[l];
        }
}

/* Exactly rounded but for float64's sum: the squared distance of two vectors of whole lanes. */
static double squared_distance(const fl_mining_job *job, ptrdiff_t i, ptrdiff_t j) {
    double lane[FL_LANES] = {0};
    const real *x = (const real *)job->vectors + i * job->features, *y = (const real *)job->vectors + j * job->features;
    tile_scaled_squares(lane, x, y, job->features, 0, 1);
    return fold_lanes(lane);
}

/* The hardest so far; NaN is harder than any number. */
struct hardest {
    double value;
    int64_t index;
};

FL_INLINE void consider(struct hardest *h, double value, ptrdiff_t j, int farther) {
    const int wins = farther ? value > h->value : value < h->value;
    if (h->index < 0 || (h->value == h->value && (wins || value != value))) *h = (struct hardest){value, (int64_t)j};
}

static void mine_row(const void *arg, ptrdiff_t r, char *scratch, fl_partial *out) {
    const fl_mining_job *job = arg;
    const ptrdiff_t anchor = job->first + r, lanes = whole_lanes(job->count);
    const ireal *label = job->label, own = label[anchor];
    const real *square = job->square;
    real *x = (real *)job->products + r * lanes, largest[FL_LANES], smallest[FL_LANES];
    (void)scratch;
    (void)out;
    for (int l = 0; l < FL_LANES; l++) {
        largest[l] = -R_INFINITY;
        smallest[l] = R_INFINITY;
    }
    tile_squared_distances(largest, smallest, x, square, label, lanes, own);
    const real bound = (real)(job->bound * ((double)square[anchor] + job->largest_square));
    for (int l = 1; l < FL_LANES; l++) {
        largest[0] = largest[l] > largest[0] ? largest[l] : largest[0];
        smallest[0] = smallest[l] < smallest[0] ? smallest[l] : smallest[0];
    }
    const real far = largest[0] - bound, near = smallest[0] + bound;
    struct hardest positive = {0, -1}, negative = {0, -1};
    for (ptrdiff_t i = 0; i < lanes; i += FL_LANES) {
        ireal any = 0;
        for (int l = 0; l < FL_LANES; l++) { /* not below and not above: NaN is a candidate */
            const ireal same = label[i + l] == own;
            any |= (same & !(x[i + l] < far)) | (!same & !(x[i + l] > near));
        }
        if (!any) continue;
        for (ptrdiff_t j = i; j < i + FL_LANES && j < job->count; j++) {
            if (label[j] == own && j != anchor && !(x[j] < far))
                consider(&positive, squared_distance(job, anchor, j), j, 1);
            if (label[j] != own && !(x[j] > near)) consider(&negative, squared_distance(job, anchor, j), j, 0);
        }
    }
    job->positive[r] = positive.index;
    job->negative[r] = negative.index;
}

#endif
