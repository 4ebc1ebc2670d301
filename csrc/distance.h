/* SPDX-License-Identifier: BSD-3-Clause */
/* distance.h: how far two vectors of a row are apart: p-norms of their difference, and the cosine of their angle. A row
 * has two vectors, or three; each is taken in tiles of features, which stand where the user has them or, converted, in
 * scratch. The features beyond whole lanes stand in a group of their own, whose padding adds nothing. */
#ifndef FL_DISTANCE_H
#define FL_DISTANCE_H

#include "softmax.h"

enum { MAX_VECTORS = 3, DISTANCE_ROWS = 64 }; /* rows per block at most */

/* A block's scratch, and which piece of which row stands in it. */
struct distance_scratch {
    real in[MAX_VECTORS][FL_TILE], out[MAX_VECTORS][FL_TILE];
    real rest[MAX_VECTORS][FL_LANES], rest_out[MAX_VECTORS][FL_LANES];
    real target[DISTANCE_ROWS], mask[DISTANCE_ROWS], grad_output[DISTANCE_ROWS], value[DISTANCE_ROWS];
    const char *run[MAX_VECTORS];   /* first feature of each vector of the row at hand */
    const real *whole[MAX_VECTORS]; /* `lanes` features of the piece at hand */
    ptrdiff_t first, lanes, left;   /* it begins at this feature (-1: none is loaded), and has `left` in rest */
};
_Static_assert(sizeof(struct distance_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a block of vectors");

/* Two vectors of a row, what they measure, and what their gradient needs. */
struct pair {
    int x, y;          /* which of the row's vectors */
    double value;      /* the distance, or the cosine */
    /* cosine: of each vector, times a power of two (1 unless squares would overflow or vanish) its norm, and that no
     * less than eps */
    real up_x, up_y;
    double norm_x, norm_y, least_x, least_y;
};

static const char *row_of(const fl_operand *op, ptrdiff_t row) {
    return op->ndim == 1 ? op->data + row * op->strides[0] : position(op, row);
}

/* n elements of a vector, as fl_load_run gives them; the common case without the call. */
FL_INLINE const real *load_features(const fl_distance_job *job, int k, const char *run, ptrdiff_t n, real *scratch) {
    const fl_operand *op = &job->in[k];
    if (job->feature_stride[k] == sizeof(real) && is_native(op) && (uintptr_t)run % sizeof(real) == 0) {
        if (n % FL_LANES == 0) return (const real *)run;
        memcpy(scratch, run, (size_t)n * sizeof(real));
        return scratch;
    }
    return fl_load_run(&kernels, op, run, job->feature_stride[k], n, scratch);
}

/* Features c, c + 1, ... of the row's vectors, at most a tile. What stands there already stays. */
static void load_piece(const fl_distance_job *job, ptrdiff_t c, struct distance_scratch *s) {
    if (s->first == c) return;
    const ptrdiff_t n = job->features - c < FL_TILE ? job->features - c : FL_TILE;
    s->first = c;
    s->lanes = n & -(ptrdiff_t)FL_LANES;
    s->left = n - s->lanes;
    for (int k = 0; k < job->vectors; k++) {
        const char *run = s->run[k] + c * job->feature_stride[k];
        if (s->lanes) s->whole[k] = load_features(job, k, run, s->lanes, s->in[k]);
        if (s->left) {
            const real *rest = load_features(job, k, run + s->lanes * job->feature_stride[k], s->left, s->rest[k]);
            if (rest != s->rest[k]) memcpy(s->rest[k], rest, FL_LANES * sizeof(real));
            tile_clear_padding(s->rest[k], s->left);
        }
    }
}

/* ---- differences ------------------------------------------------------------------------------------------------- */

/* As PyTorch takes it, in this order: equal numbers differ by eps exactly. */
FL_INLINE real apart(real x, real y, real eps) { return (x - y) + eps; }

static void tile_difference(real *restrict d, const real *restrict x, const real *restrict y, ptrdiff_t n, real eps) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) d[i] = apart(x[i], y[i], eps);
}

static const real no_features[FL_LANES];

/* The differences beyond whole lanes; 0 in the padding. */
static void rest_difference(const fl_distance_job *job, const struct pair *p, struct distance_scratch *s, real *d) {
    tile_difference(d, s->rest[p->x], s->rest[p->y], whole_lanes(s->left), (real)job->eps);
    tile_clear_padding(d, s->left);
}

/* Sum of squares of differences onto the lanes, four at a time: floats whose squares overflow or vanish are found by
 * their sum. */
static void tile_squares(double *restrict lane, const real *restrict x, const real *restrict y, ptrdiff_t n, real eps) {
    const ptrdiff_t grouped = n - n % FL_GROUP;
    for (ptrdiff_t i = 0; i < grouped; i += FL_GROUP)
        for (int l = 0; l < FL_LANES; l++) {
            const ptrdiff_t k = i + l;
            const real a = apart(x[k], y[k], eps), b = apart(x[k + FL_LANES], y[k + FL_LANES], eps);
            const real c = apart(x[k + 2 * FL_LANES], y[k + 2 * FL_LANES], eps);
            const real d = apart(x[k + 3 * FL_LANES], y[k + 3 * FL_LANES], eps);
            lane[l] += (double)(r_fma(a, a, b * b) + r_fma(c, c, d * d));
        }
    for (ptrdiff_t i = grouped; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const real a = apart(x[i + l], y[i + l], eps);
            lane[l] += (double)(a * a);
        }
}

/* The same of a triplet, of anchor and positive, and of anchor and negative, in one pass; the bits are those of two. */
static void tile_two_squares(double *restrict near, double *restrict far, const real *restrict a, const real *restrict p,
                             const real *restrict q, ptrdiff_t n, real eps) {
    const ptrdiff_t grouped = n - n % FL_GROUP;
    for (ptrdiff_t i = 0; i < grouped; i += FL_GROUP)
        for (int l = 0; l < FL_LANES; l++) {
            const ptrdiff_t k = i + l;
            const real a0 = a[k], a1 = a[k + FL_LANES], a2 = a[k + 2 * FL_LANES], a3 = a[k + 3 * FL_LANES];
            const real p0 = apart(a0, p[k], eps), p1 = apart(a1, p[k + FL_LANES], eps);
            const real p2 = apart(a2, p[k + 2 * FL_LANES], eps), p3 = apart(a3, p[k + 3 * FL_LANES], eps);
            const real q0 = apart(a0, q[k], eps), q1 = apart(a1, q[k + FL_LANES], eps);
            const real q2 = apart(a2, q[k + 2 * FL_LANES], eps), q3 = apart(a3, q[k + 3 * FL_LANES], eps);
            near[l] += (double)(r_fma(p0, p0, p1 * p1) + r_fma(p2, p2, p3 * p3));
            far[l] += (double)(r_fma(q0, q0, q1 * q1) + r_fma(q2, q2, q3 * q3));
        }
    for (ptrdiff_t i = grouped; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const real d = apart(a[i + l], p[i + l], eps), e = apart(a[i + l], q[i + l], eps);
            near[l] += (double)(d * d);
            far[l] += (double)(e * e);
        }
}

/* The same of differences times a power of two, in float64. */
static void tile_scaled_squares(double *restrict lane, const real *restrict x, const real *restrict y, ptrdiff_t n,
                                real eps, real up) {
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const double d = (double)(apart(x[i + l], y[i + l], eps) * up);
            lane[l] += d * d;
        }
}

static void tile_magnitudes(double *restrict lane, const real *restrict x, const real *restrict y, ptrdiff_t n,
                            real eps) {
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) lane[l] += (double)r_abs(apart(x[i + l], y[i + l], eps));
}

/* Largest magnitudes, as ordered integers: NaN is the largest of all. */
static void tile_largest(ireal *restrict lane, const real *restrict x, const real *restrict y, ptrdiff_t n, real eps) {
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const ireal bits = r_bits(r_abs(apart(x[i + l], y[i + l], eps)));
            lane[l] = bits > lane[l] ? bits : lane[l];
        }
}

/* |d| / norm in [0, 1] and what rounding took from it. */
struct share {
    real high, low;
};
FL_INLINE struct share share_of_norm(real d, double inverse) {
    const double share = (double)r_abs(d) * inverse, bounded = share < 1 ? share : (share == share ? 1 : share);
    const real high = (real)bounded;
    return (struct share){high, (real)(bounded - (double)high)};
}

/* Sum of (|d| / largest)^power. */
static void tile_powers(double *restrict lane, const real *restrict x, const real *restrict y, ptrdiff_t n, real eps,
                        double inverse, real power) {
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const struct share u = share_of_norm(apart(x[i + l], y[i + l], eps), inverse);
            lane[l] += (double)r_pow_unit(u.high, u.low, power);
        }
}

/* ---- norms of rows ----------------------------------------------------------------------------------------------- */

static double largest_of(const fl_distance_job *job, const struct pair *p, struct distance_scratch *s) {
    ireal lane[FL_LANES] = {0};
    real d[FL_LANES];
    for (ptrdiff_t c = 0; c < job->features; c += FL_TILE) {
        load_piece(job, c, s);
        if (s->lanes) tile_largest(lane, s->whole[p->x], s->whole[p->y], s->lanes, (real)job->eps);
        if (!s->left) continue;
        rest_difference(job, p, s, d);
        tile_largest(lane, d, no_features, whole_lanes(s->left), 0);
    }
    for (int l = 1; l < FL_LANES; l++) lane[0] = lane[l] > lane[0] ? lane[l] : lane[0];
    return (double)r_from_bits(lane[0]);
}

/* A power of two near 1 / x for a positive finite x. */
static real scale_down(double x) {
    const real bounded = (real)(x < (double)R_MIN ? (double)R_MIN : x > (double)(R_MAX / 4) ? (double)(R_MAX / 4) : x);
    const ureal exponent = (ureal)r_bits(bounded) & V_EXPONENT_MASK;
    return r_from_bits((ireal)(2 * V_ONE_BITS - exponent));
}

static double sum_of_squares(const fl_distance_job *job, const struct pair *p, struct distance_scratch *s, real up) {
    double lane[FL_LANES] = {0};
    real d[FL_LANES];
    for (ptrdiff_t c = 0; c < job->features; c += FL_TILE) {
        load_piece(job, c, s);
        const real *x = s->whole[p->x], *y = s->whole[p->y];
        if (s->lanes && up == 0)
            tile_squares(lane, x, y, s->lanes, (real)job->eps);
        else if (s->lanes)
            tile_scaled_squares(lane, x, y, s->lanes, (real)job->eps, up);
        if (!s->left) continue;
        rest_difference(job, p, s, d);
        if (up == 0)
            tile_squares(lane, d, no_features, whole_lanes(s->left), 0);
        else
            tile_scaled_squares(lane, d, no_features, whole_lanes(s->left), 0, up);
    }
    return fold_lanes(lane);
}

/* Bounds within which a sum of squares has lost nothing that counts to underflow or overflow. */
#if FL_REAL == 32
#define SQUARES_LEAST 0x1p-90
#define SQUARES_MOST 0x1p126
#else
#define SQUARES_LEAST 0x1p-900
#define SQUARES_MOST 0x1p1020
#endif

/* sum: of the squares, as sum_of_squares gives it first. */
static double norm_of_sum(const fl_distance_job *job, const struct pair *p, struct distance_scratch *s, double sum) {
    if (sum > SQUARES_LEAST && sum < SQUARES_MOST) return __builtin_sqrt(sum);
    const double largest = largest_of(job, p, s);
    if (!(largest > 0 && largest < (double)R_INFINITY)) return largest;
    const real up = scale_down(largest);
    return __builtin_sqrt(sum_of_squares(job, p, s, up)) / (double)up;
}

static double euclidean(const fl_distance_job *job, const struct pair *p, struct distance_scratch *s) {
    return norm_of_sum(job, p, s, sum_of_squares(job, p, s, 0));
}

/* Both distances of a triplet whose rows are one piece of whole lanes, the common case: one pass, one fold. */
static int two_euclidean(const fl_distance_job *job, struct pair *near, struct pair *far, struct distance_scratch *s) {
    double lane[2][FL_LANES] = {{0}};
    if (job->features > FL_TILE || job->features % FL_LANES || job->features == 0) return 0;
    load_piece(job, 0, s);
    tile_two_squares(lane[0], lane[1], s->whole[0], s->whole[1], s->whole[2], s->lanes, (real)job->eps);
    near->value = norm_of_sum(job, near, s, fold_lanes(lane[0]));
    far->value = norm_of_sum(job, far, s, fold_lanes(lane[1]));
    return 1;
}

static double manhattan(const fl_distance_job *job, const struct pair *p, struct distance_scratch *s) {
    double lane[FL_LANES] = {0};
    real d[FL_LANES];
    for (ptrdiff_t c = 0; c < job->features; c += FL_TILE) {
        load_piece(job, c, s);
        if (s->lanes) tile_magnitudes(lane, s->whole[p->x], s->whole[p->y], s->lanes, (real)job->eps);
        if (!s->left) continue;
        rest_difference(job, p, s, d);
        tile_magnitudes(lane, d, no_features, whole_lanes(s->left), 0);
    }
    return fold_lanes(lane);
}

/* sum^(1 / p) of a sum that is at least 1, by its reciprocal; 1 / p has a low part that counts. */
static double root_of(double sum, double p) {
    const double u = 1 / sum, inverse = 1 / p;
    const real high = (real)u, low = (real)(u - (double)high), q = (real)inverse, q_low = (real)(inverse - (double)q);
    const real power = r_pow_unit(high, low, q);
    return 1 / ((double)power * (1 + (double)q_low * (double)r_log(high)));
}

/* The largest difference is taken out, so that no power overflows. */
static double minkowski(const fl_distance_job *job, const struct pair *p, struct distance_scratch *s) {
    double lane[FL_LANES] = {0};
    real d[FL_LANES];
    const double largest = largest_of(job, p, s);
    if (!(largest > 0 && largest < (double)R_INFINITY)) return largest;
    for (ptrdiff_t c = 0; c < job->features; c += FL_TILE) {
        load_piece(job, c, s);
        const real eps = (real)job->eps, power = (real)job->p;
        if (s->lanes) tile_powers(lane, s->whole[p->x], s->whole[p->y], s->lanes, eps, 1 / largest, power);
        if (!s->left) continue;
        rest_difference(job, p, s, d);
        tile_powers(lane, d, no_features, whole_lanes(s->left), 0, 1 / largest, power);
    }
    return largest * root_of(fold_lanes(lane), job->p);
}

/* ---- cosine ------------------------------------------------------------------------------------------------------ */

/* Sums of x y, x x and y y onto three times as many lanes; products of floats are exact in float64, so that vectors of
 * nearly one direction keep their angle. */
static void tile_products(double *restrict lane, const real *restrict x, const real *restrict y, ptrdiff_t n, real up_x,
                          real up_y) {
    double *restrict xy = lane, *restrict xx = lane + FL_LANES, *restrict yy = lane + 2 * FL_LANES;
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const double a = (double)(x[i + l] * up_x), b = (double)(y[i + l] * up_y);
            xy[l] += a * b;
            xx[l] += a * a;
            yy[l] += b * b;
        }
}

/* Largest magnitude of one vector. */
static double largest_feature(const fl_distance_job *job, int k, struct distance_scratch *s) {
    ireal lane[FL_LANES] = {0};
    for (ptrdiff_t c = 0; c < job->features; c += FL_TILE) {
        load_piece(job, c, s);
        for (ptrdiff_t i = 0; i < s->lanes; i += FL_LANES) tile_largest(lane, s->whole[k] + i, no_features, whole_lanes(s->left), 0);
        if (s->left) tile_largest(lane, s->rest[k], no_features, whole_lanes(s->left), 0);
    }
    for (int l = 1; l < FL_LANES; l++) lane[0] = lane[l] > lane[0] ? lane[l] : lane[0];
    return (double)r_from_bits(lane[0]);
}

/* Products of float64 may overflow or vanish: then each vector is taken times a power of two. */
static void products_of(const fl_distance_job *job, struct pair *p, struct distance_scratch *s, double *sums) {
    double lane[3 * FL_LANES] = {0};
    for (ptrdiff_t c = 0; c < job->features; c += FL_TILE) {
        load_piece(job, c, s);
        if (s->lanes) tile_products(lane, s->whole[p->x], s->whole[p->y], s->lanes, p->up_x, p->up_y);
        if (s->left) tile_products(lane, s->rest[p->x], s->rest[p->y], whole_lanes(s->left), p->up_x, p->up_y);
    }
    for (int k = 0; k < 3; k++) sums[k] = fold_lanes(lane + k * FL_LANES);
}

/* The power of two by which a vector is taken, so that its largest feature is near 1. */
static real scale_of_vector(const fl_distance_job *job, int k, struct distance_scratch *s) {
    const double largest = largest_feature(job, k, s);
    return largest > 0 && largest < (double)R_INFINITY ? scale_down(largest) : 1;
}

FL_INLINE double at_least(double x, double bound) { return x < bound ? bound : x; }

/* x y / (max(|x|, eps) max(|y|, eps)); added: what is added to the squared norms instead (PyTorch's
 * cosine_embedding_loss). Norms are those of the scaled vectors. */
static double cosine(const fl_distance_job *job, struct pair *p, struct distance_scratch *s, double added) {
    double sums[3];
    p->up_x = p->up_y = 1;
    products_of(job, p, s, sums);
    const double least = 0x1p-900, most = 0x1p900;
    if (sizeof(real) == sizeof(double) && !(sums[1] > least && sums[1] < most && sums[2] > least && sums[2] < most)) {
        p->up_x = scale_of_vector(job, p->x, s);
        p->up_y = scale_of_vector(job, p->y, s);
        products_of(job, p, s, sums);
    }
    const double x = (double)p->up_x, y = (double)p->up_y;
    p->norm_x = __builtin_sqrt(sums[1] + added * x * x);
    p->norm_y = __builtin_sqrt(sums[2] + added * y * y);
    const double eps = added == 0 ? job->eps : 0;
    p->least_x = at_least(p->norm_x, eps * x);
    p->least_y = at_least(p->norm_y, eps * y);
    if (sums[0] == 0) return 0; /* a vector of zeros, whatever eps */
    const double c = sums[0] / p->least_x / p->least_y;
    return c > 1 ? 1 : c < -1 ? -1 : c;
}

/* ---- one pair ---------------------------------------------------------------------------------------------------- */

static double measure(const fl_distance_job *job, struct pair *p, struct distance_scratch *s) {
    switch (job->metric) {
    case FL_EUCLIDEAN: return euclidean(job, p, s);
    case FL_SQUARED: {
        const double norm = euclidean(job, p, s);
        return norm * norm;
    }
    case FL_MANHATTAN: return manhattan(job, p, s);
    case FL_CHEBYSHEV: return largest_of(job, p, s);
    case FL_MINKOWSKI: return minkowski(job, p, s);
    case FL_COSINE_DISTANCE: return 1 - cosine(job, p, s, 0);
    case FL_SHIFTED_COSINE: return cosine(job, p, s, 1e-12);
    default: return cosine(job, p, s, 0);
    }
}

#endif
