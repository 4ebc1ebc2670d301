/* SPDX-License-Identifier: BSD-3-Clause */
/* mining.h: for an anchor the farthest vector of its own label and the nearest of another. A row of products of the
 * anchor with all vectors, from a matrix product, says to within a bound which may be it; those few are measured anew,
 * so that the answer does not depend on how the product was rounded. */
#ifndef FL_MINING_H
#define FL_MINING_H

#include "triplet.h"

enum { MINING_PIECE = 128, MINING_PIECES = 256 }; /* vectors per piece of a row at least; pieces at most */

/* Of each piece of a row: the largest number of the anchor's label, the smallest of others, and whether one is NaN. */
struct mining_scratch {
    real largest[MINING_PIECES], smallest[MINING_PIECES];
    ireal odd[MINING_PIECES], hit[FL_TILE];
};
_Static_assert(sizeof(struct mining_scratch) <= FL_SCRATCH_BYTES, "the scratch holds the pieces of a row");

/* An anchor, its label and its products with all vectors. */
struct mining_row {
    const real *product;
    ptrdiff_t anchor;
    ireal own;
};

/* |b_j|^2 - 2 a b_j: the squared distance less |a|^2. */
FL_INLINE real nearness(real product, real square) { return r_fma(R(-2.0), product, square); }

/* By lane: the largest of n vectors of the anchor's label, the smallest of others, in which NaN is passed over, and
 * whether there is one. */
static void tile_extremes(real *restrict largest, real *restrict smallest, ireal *restrict odd,
                          const real *restrict product, const real *restrict square, const ireal *restrict label,
                          ptrdiff_t n, ireal own) {
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const real d = nearness(product[i + l], square[i + l]);
            const real same = r_where(label[i + l] == own, d, -R_INFINITY);
            const real other = r_where(label[i + l] == own, R_INFINITY, d);
            largest[l] = r_max(same, largest[l]);
            smallest[l] = r_min(other, smallest[l]);
            odd[l] |= d != d;
        }
}

/* The p-th piece: n vectors from `first` on. */
static void bound_piece(const fl_mining_job *job, const struct mining_row *row, ptrdiff_t p, ptrdiff_t first,
                        ptrdiff_t n, struct mining_scratch *s) {
    real largest[FL_LANES], smallest[FL_LANES];
    ireal odd[FL_LANES] = {0};
    for (int l = 0; l < FL_LANES; l++) {
        largest[l] = -R_INFINITY;
        smallest[l] = R_INFINITY;
    }
    tile_extremes(largest, smallest, odd, row->product + first, (const real *)job->square + first,
                  (const ireal *)job->label + first, n, row->own);
    for (int l = 1; l < FL_LANES; l++) {
        largest[0] = r_max(largest[l], largest[0]);
        smallest[0] = r_min(smallest[l], smallest[0]);
        odd[0] |= odd[l];
    }
    s->largest[p] = largest[0];
    s->smallest[p] = smallest[0];
    s->odd[p] = odd[0];
}

/* Which of n vectors may be the hardest: not below far, or not above near, so that NaN is a candidate. */
static void tile_candidates(ireal *restrict hit, const real *restrict product, const real *restrict square,
                            const ireal *restrict label, ptrdiff_t n, ireal own, real far, real near) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const real d = nearness(product[i], square[i]);
        const ireal positive = !(d < far), negative = !(d > near);
        hit[i] = label[i] == own ? positive : negative;
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

/* Measure the candidates among n vectors from `first` on. */
static void mine_tile(const fl_mining_job *job, const struct mining_row *row, ptrdiff_t first, ptrdiff_t n, real far,
                      real near, ireal *hit, struct hardest *positive, struct hardest *negative) {
    const ireal *label = job->label;
    const real *square = job->square;
    tile_candidates(hit, row->product + first, square + first, label + first, n, row->own, far, near);
    for (ptrdiff_t i = 0; i < n; i++) {
        const ptrdiff_t j = first + i;
        if (!hit[i] || j == row->anchor || j >= job->count) continue;
        const int same = label[j] == row->own;
        consider(same ? positive : negative, squared_distance(job, row->anchor, j), j, same);
    }
}

static void mine_row(const void *arg, ptrdiff_t r, char *scratch, fl_partial *out) {
    const fl_mining_job *job = arg;
    struct mining_scratch *s = (struct mining_scratch *)scratch;
    const ptrdiff_t lanes = whole_lanes(job->count), share = whole_lanes((lanes - 1) / MINING_PIECES + 1);
    const ptrdiff_t piece = share > MINING_PIECE ? share : MINING_PIECE, anchor = job->first + r;
    const struct mining_row row = {(const real *)job->products + r * lanes, anchor, ((const ireal *)job->label)[anchor]};
    real largest = -R_INFINITY, smallest = R_INFINITY;
    (void)out;
    for (ptrdiff_t i = 0, p = 0; i < lanes; i += piece, p++) {
        const ptrdiff_t n = lanes - i < piece ? lanes - i : piece;
        bound_piece(job, &row, p, i, n, s);
        largest = r_max(s->largest[p], largest);
        smallest = r_min(s->smallest[p], smallest);
    }
    const real bound = (real)(job->bound * ((double)((const real *)job->square)[anchor] + job->largest_square));
    const real far = largest - bound, near = smallest + bound;
    struct hardest positive = {0, -1}, negative = {0, -1};
    for (ptrdiff_t i = 0, p = 0; i < lanes; i += piece, p++) {
        if (s->largest[p] < far && s->smallest[p] > near && !s->odd[p]) continue;
        const ptrdiff_t end = i + piece < lanes ? i + piece : lanes;
        for (ptrdiff_t c = i; c < end; c += FL_TILE)
            mine_tile(job, &row, c, end - c < FL_TILE ? end - c : FL_TILE, far, near, s->hit, &positive, &negative);
    }
    job->positive[r] = positive.index;
    job->negative[r] = negative.index;
}

#endif
