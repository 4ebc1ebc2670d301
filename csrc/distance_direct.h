/* SPDX-License-Identifier: BSD-3-Clause */
/* distance_direct.h: gradients of Euclidean distances, plain or squared, of vectors that stand as contiguous reals, of one
 * pair or of a triplet: the common case, without zeros to add to and with the factors of a block's rows at once. */
#ifndef FL_DISTANCE_DIRECT_H
#define FL_DISTANCE_DIRECT_H

#include "distance_rows.h"
#include "stream.h"

static int is_direct(const fl_distance_job *job, const struct distance_scratch *s) {
    const ptrdiff_t row = job->features * (ptrdiff_t)sizeof(real);
    if (job->metric > FL_SQUARED || s->pairs > 2 || job->features < FL_LANES || !stands_in_place(job, s)) return 0;
    for (int k = 0; k < job->vectors; k++)
        if (job->grad_stride[k] != sizeof(real) || job->grad[k].ndim != 1 ||
            (job->grad[k].strides[0] != row && job->rows > 1))
            return 0;
    return 1;
}

/* What the differences of each pair are multiplied by. */
static void rows_factors(struct distance_scratch *restrict s, const real *restrict grad_output, ptrdiff_t n, int k,
                         double scale, int squared) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double factor = scale * (double)grad_output[r] * s->slope[k][r];
        real up, over = over_norm(factor, s->pair[k].value[r], &up);
        s->up[k][r] = squared ? R(1.0) : up;
        s->factor[k][r] = squared ? (real)(2 * factor) : over;
    }
}

static void tile_set_pair(real *const *g, const real *const *v, ptrdiff_t n, real eps, real up, real factor) {
    real *restrict gx = g[0], *restrict gy = g[1];
    const real *restrict x = v[0], *restrict y = v[1];
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const real t = apart(x[i], y[i], eps) * up * factor;
        gx[i] = t;
        gy[i] = R(0.0) - t;
    }
}

static void tile_set_triplet(real *const *g, const real *const *v, ptrdiff_t n, real eps, real near_up,
                             real near_factor, real far_up, real far_factor) {
    real *restrict ga = g[0], *restrict gp = g[1], *restrict gn = g[2];
    const real *restrict a = v[0], *restrict p = v[1], *restrict q = v[2];
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const real t = apart(a[i], p[i], eps) * near_up * near_factor;
        const real u = apart(a[i], q[i], eps) * far_up * far_factor;
        ga[i] = t + u;
        gp[i] = R(0.0) - t;
        gn[i] = R(0.0) - u;
    }
}

/* Gradients of n features, whole lanes, of row r, whose vectors are v. */
FL_INLINE void set_tile(const fl_distance_job *job, const struct distance_scratch *s, ptrdiff_t r, const real *const *v,
                        ptrdiff_t n, real *const *g) {
    const real eps = (real)job->eps;
    if (s->pairs == 2)
        tile_set_triplet(g, v, n, eps, s->up[0][r], s->factor[0][r], s->up[1][r], s->factor[1][r]);
    else
        tile_set_pair(g, v, n, eps, s->up[0][r], s->factor[0][r]);
}

/* The features beyond whole lanes of row r, behind g. */
static void set_rest(const fl_distance_job *job, struct distance_scratch *s, ptrdiff_t r, real *const *g) {
    const real *v[MAX_VECTORS];
    real *rest[MAX_VECTORS];
    for (int k = 0; k < job->vectors; k++) {
        load_rest(job, s, k, r);
        v[k] = s->rest[k], rest[k] = s->rest_out[k];
    }
    set_tile(job, s, r, v, whole_lanes(s->left), rest);
    for (int k = 0; k < job->vectors; k++) memcpy(g[k], rest[k], (size_t)s->left * sizeof(real));
}

/* Gradients of row r, features c to c + n, to g. A row that costs nothing has none, whatever stands in it. */
static void set_row(const fl_distance_job *job, struct distance_scratch *s, ptrdiff_t r, ptrdiff_t c, ptrdiff_t n,
                    real *const *g) {
    const ptrdiff_t lanes = n & -(ptrdiff_t)FL_LANES;
    const real *v[MAX_VECTORS];
    real *behind[MAX_VECTORS];
    if (s->counts[r] == 0 || s->slope[0][r] == 0) {
        for (int k = 0; k < job->vectors; k++) memset(g[k], 0, (size_t)n * sizeof(real));
        return;
    }
    for (int k = 0; k < job->vectors; k++) v[k] = features_of(s, k, r) + c, behind[k] = g[k] + lanes;
    set_tile(job, s, r, v, lanes, g);
    if (lanes < n) set_rest(job, s, r, behind);
}

/* The same past the caches, gathered by tiles of whole rows, or of parts of longer ones. to: where row `start` begins. */
static void stream_gradients(const fl_distance_job *job, ptrdiff_t n, struct distance_scratch *s, real *const *to) {
    const ptrdiff_t d = job->features, rows = d < FL_TILE ? FL_TILE / d : 1;
    real *g[MAX_VECTORS];
    for (ptrdiff_t r = 0; r < n; r += rows) {
        const ptrdiff_t some = n - r < rows ? n - r : rows;
        for (ptrdiff_t c = 0; c < d; c += FL_TILE) {
            const ptrdiff_t size = d - c < FL_TILE ? d - c : FL_TILE;
            for (ptrdiff_t j = 0; j < some; j++) {
                for (int k = 0; k < job->vectors; k++) g[k] = s->out[k] + j * size;
                set_row(job, s, r + j, c, size, g);
            }
            for (int k = 0; k < job->vectors; k++) stream_rest(to[k] + r * d + c, s->out[k], some * size, 0);
        }
    }
}

static void direct_gradients(const fl_distance_job *job, ptrdiff_t start, ptrdiff_t n, const real *grad_output,
                             struct distance_scratch *s) {
    real *to[MAX_VECTORS], *g[MAX_VECTORS];
    for (int k = 0; k < job->vectors; k++) to[k] = (real *)place_of_gradient(job, k, start, 0);
    for (int k = 0; k < s->pairs; k++)
        rows_factors(s, grad_output, whole_lanes(n), k, job->scale, job->metric == FL_SQUARED);
    if (job->stream) {
        stream_gradients(job, n, s, to);
        return;
    }
    for (ptrdiff_t r = 0; r < n; r++) {
        for (int k = 0; k < job->vectors; k++) g[k] = to[k] + r * job->features;
        set_row(job, s, r, 0, job->features, g);
    }
}

#endif
