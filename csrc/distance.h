/* SPDX-License-Identifier: BSD-3-Clause */
/* distance.h: how far two vectors of a row are apart: p-norms of their difference, and the cosine of their angle. A row
 * has two vectors, or three; each is taken in tiles of features, which stand where the user has them or, converted, in
 * scratch. The features beyond whole lanes stand in a group of their own, whose padding adds nothing. */
#ifndef FL_DISTANCE_H
#define FL_DISTANCE_H

#include "softmax.h"
#include "wide.h"

enum { MAX_VECTORS = 3, MAX_PAIRS = 3, DISTANCE_ROWS = 64 }; /* rows per block at most */

/* Two vectors of each row of a block, what they measure, and what their gradient needs. */
struct pair {
    int x, y;                    /* which of the row's vectors */
    double value[DISTANCE_ROWS]; /* the distance, or the cosine */
    /* cosine: of each vector, times a power of two (1 unless squares would overflow or vanish) its norm, and that no
     * less than eps */
    double up_x[DISTANCE_ROWS], up_y[DISTANCE_ROWS], norm_x[DISTANCE_ROWS], norm_y[DISTANCE_ROWS];
    double least_x[DISTANCE_ROWS], least_y[DISTANCE_ROWS];
};

/* A block's scratch: its rows, and which piece of which of them stands in it. */
struct distance_scratch {
    real in[MAX_VECTORS][FL_TILE], out[MAX_VECTORS][FL_TILE];
    real rest[MAX_VECTORS][FL_LANES], rest_out[MAX_VECTORS][FL_LANES];
    real target[DISTANCE_ROWS], mask[DISTANCE_ROWS], grad_output[DISTANCE_ROWS], value[DISTANCE_ROWS];
    double loss[DISTANCE_ROWS], slope[MAX_PAIRS][DISTANCE_ROWS]; /* slope: of the loss, by each pair's measure */
    double counts[DISTANCE_ROWS], label[DISTANCE_ROWS];          /* mask and target in float64 */
    real up[MAX_PAIRS][DISTANCE_ROWS], factor[MAX_PAIRS][DISTANCE_ROWS]; /* of the gradients, as over_norm has them */
    struct pair pair[MAX_PAIRS];
    int pairs;
    const char *run[MAX_VECTORS][DISTANCE_ROWS]; /* first feature of each vector of each row */
    int in_place[MAX_VECTORS];      /* whether the features may be read where they stand */
    ptrdiff_t row;                  /* the row at hand */
    const real *whole[MAX_VECTORS]; /* `lanes` features of its piece at hand */
    ptrdiff_t first, lanes, left;   /* which begins at this feature (-1: none is loaded), and has `left` in rest */
};
_Static_assert(sizeof(struct distance_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a block of vectors");

/* Addresses of n rows; whether all are aligned for reals. */
static int find_rows(const fl_operand *op, ptrdiff_t start, ptrdiff_t n, const char **to) {
    ptrdiff_t index[FL_MAX_DIMS];
    uintptr_t bits = 0;
    fl_unravel(op, start, index);
    while (n > 0) {
        const char *run;
        const ptrdiff_t length = fl_next_run(op, index, n, &run), stride = op->strides[op->ndim - 1];
        for (ptrdiff_t r = 0; r < length; r++) {
            to[r] = run + r * stride;
            bits |= (uintptr_t)to[r];
        }
        to += length;
        n -= length;
    }
    return bits % sizeof(real) == 0;
}

static void find_vectors(const fl_distance_job *job, ptrdiff_t start, ptrdiff_t n, struct distance_scratch *s) {
    for (int k = 0; k < job->vectors; k++) {
        const int aligned = find_rows(&job->in[k], start, n, s->run[k]);
        s->in_place[k] = aligned && job->feature_stride[k] == sizeof(real) && is_native(&job->in[k]);
    }
}

static void begin_row(struct distance_scratch *s, ptrdiff_t r) {
    s->row = r;
    s->first = -1;
}

/* n elements of a vector, as fl_load_run gives them; the common case without the call. */
FL_INLINE const real *load_features(const fl_distance_job *job, int k, ptrdiff_t c, ptrdiff_t n,
                                    const struct distance_scratch *s, real *scratch) {
    const char *run = s->run[k][s->row] + c * job->feature_stride[k];
    if (!s->in_place[k]) return fl_load_run(&kernels, &job->in[k], run, job->feature_stride[k], n, scratch);
    if (n % FL_LANES == 0) return (const real *)run;
    memcpy(scratch, run, (size_t)n * sizeof(real));
    return scratch;
}

/* Features c, c + 1, ... of the row's vectors, at most a tile. What stands there already stays. */
static void load_piece(const fl_distance_job *job, ptrdiff_t c, struct distance_scratch *s) {
    if (s->first == c) return;
    const ptrdiff_t n = job->features - c < FL_TILE ? job->features - c : FL_TILE;
    s->first = c;
    s->lanes = n & -(ptrdiff_t)FL_LANES;
    s->left = n - s->lanes;
    for (int k = 0; k < job->vectors; k++) {
        if (s->lanes) s->whole[k] = load_features(job, k, c, s->lanes, s, s->in[k]);
        if (s->left) {
            const real *rest = load_features(job, k, c + s->lanes, s->left, s, s->rest[k]);
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

enum { SQUARES_GROUP = 8 * FL_LANES };

FL_INLINE real one_square(real x, real y, real eps) {
    const real d = apart(x, y, eps);
    return d * d;
}

FL_INLINE real add_square(real x, real y, real eps, real sum) {
    const real d = apart(x, y, eps);
    return r_fma(d, d, sum);
}

/* Sums of squares of the differences of x and each of y[0 ... count - 1] onto count times as many lanes. Eight of them
 * are added as reals: at most five roundings meet a term, and those that overflow or vanish are found by their sum. In
 * parts of whole groups the bits are those of the whole. */
FL_INLINE void add_squares(double *restrict lane, const real *x, const real *const *y, int count, ptrdiff_t n,
                           real eps, int far) {
    ptrdiff_t i = 0;
    for (; i + SQUARES_GROUP <= n; i += SQUARES_GROUP) {
        for (int f = 0; far && f < SQUARES_GROUP; f += FL_LANES) {
            ask_ahead(x + i + f);
            for (int k = 0; k < count; k++) ask_ahead(y[k] + i + f);
        }
        for (int l = 0; l < FL_LANES; l++) {
            real low[2], high[2];
            for (int k = 0; k < count; k++) {
                low[k] = one_square(x[i + l], y[k][i + l], eps);
                high[k] = one_square(x[i + l + FL_GROUP], y[k][i + l + FL_GROUP], eps);
            }
            for (int f = FL_LANES; f < FL_GROUP; f += FL_LANES)
                for (int k = 0; k < count; k++) {
                    low[k] = add_square(x[i + l + f], y[k][i + l + f], eps, low[k]);
                    high[k] = add_square(x[i + l + f + FL_GROUP], y[k][i + l + f + FL_GROUP], eps, high[k]);
                }
            for (int k = 0; k < count; k++) lane[k * FL_LANES + l] += (double)(low[k] + high[k]);
        }
    }
    for (; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++)
            for (int k = 0; k < count; k++) lane[k * FL_LANES + l] += (double)one_square(x[i + l], y[k][i + l], eps);
}

static void tile_squares(double *restrict lane, const real *x, const real *y, ptrdiff_t n, real eps) {
    add_squares(lane, x, &y, 1, n, eps, 1);
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

/* Sums by lane of x y, x x and y y. */
struct products {
    wide xy[WIDES], xx[WIDES], yy[WIDES];
};

FL_INLINE void add_product(struct products *sum, int l, wide a, wide b) {
    sum->xy[l] = w_fma(a, b, sum->xy[l]);
    sum->xx[l] = w_fma(a, a, sum->xx[l]);
    sum->yy[l] = w_fma(b, b, sum->yy[l]);
}

/* Products of floats are exact in float64, so that vectors of nearly one direction keep their angle. */
FL_INLINE void add_products(struct products *sum, const real *x, const real *y, ptrdiff_t n, double up_x, double up_y,
                            int far) {
    struct products s = *sum;
    for (ptrdiff_t i = 0; i < n; i += FL_LANES) {
        if (far) ask_ahead(x + i), ask_ahead(y + i);
        for (int l = 0; l < WIDES; l++)
            add_product(&s, l, w_load(x + i + l * WIDE) * up_x, w_load(y + i + l * WIDE) * up_y);
    }
    *sum = s;
}

static void tile_products(struct products *sum, const real *restrict x, const real *restrict y, ptrdiff_t n) {
    add_products(sum, x, y, n, 1, 1, 1);
}

static void tile_scaled_products(struct products *sum, const real *restrict x, const real *restrict y, ptrdiff_t n,
                                 double up_x, double up_y) {
    add_products(sum, x, y, n, up_x, up_y, 1);
}

/* Largest magnitude of one vector. */
static double largest_feature(const fl_distance_job *job, int k, struct distance_scratch *s) {
    ireal lane[FL_LANES] = {0};
    for (ptrdiff_t c = 0; c < job->features; c += FL_TILE) {
        load_piece(job, c, s);
        for (ptrdiff_t i = 0; i < s->lanes; i += FL_LANES) tile_largest(lane, s->whole[k] + i, no_features, FL_LANES, 0);
        if (s->left) tile_largest(lane, s->rest[k], no_features, FL_LANES, 0);
    }
    for (int l = 1; l < FL_LANES; l++) lane[0] = lane[l] > lane[0] ? lane[l] : lane[0];
    return (double)r_from_bits(lane[0]);
}

/* scaled: each vector times its power of two. */
static void products_of(const fl_distance_job *job, struct pair *p, struct distance_scratch *s, int scaled,
                        double *sums) {
    struct products sum = {{{0}}, {{0}}, {{0}}};
    const double up_x = p->up_x[s->row], up_y = p->up_y[s->row];
    for (ptrdiff_t c = 0; c < job->features; c += FL_TILE) {
        load_piece(job, c, s);
        const real *x = s->whole[p->x], *y = s->whole[p->y], *rest_x = s->rest[p->x], *rest_y = s->rest[p->y];
        if (s->lanes && scaled) tile_scaled_products(&sum, x, y, s->lanes, up_x, up_y);
        if (s->lanes && !scaled) tile_products(&sum, x, y, s->lanes);
        if (s->left && scaled) tile_scaled_products(&sum, rest_x, rest_y, whole_lanes(s->left), up_x, up_y);
        if (s->left && !scaled) tile_products(&sum, rest_x, rest_y, whole_lanes(s->left));
    }
    sums[0] = fold_lanes((const double *)sum.xy);
    sums[1] = fold_lanes((const double *)sum.xx);
    sums[2] = fold_lanes((const double *)sum.yy);
}

/* The power of two by which a vector is taken, so that its largest feature is near 1. */
static double scale_of_vector(const fl_distance_job *job, int k, struct distance_scratch *s) {
    const double largest = largest_feature(job, k, s);
    return largest > 0 && largest < (double)R_INFINITY ? (double)scale_down(largest) : 1;
}

FL_INLINE double at_least(double x, double bound) { return x < bound ? bound : x; }

/* Products of float64 may overflow or vanish. */
FL_INLINE int holds_products(double xx, double yy) {
    const double least = 0x1p-900, most = 0x1p900;
    return sizeof(real) < sizeof(double) || ((xx > least) & (xx < most) & (yy > least) & (yy < most));
}

/* x y / (max(|x|, eps) max(|y|, eps)) of row r, of the sums of the scaled vectors' products; added: what is added to
 * the squared norms instead (PyTorch's cosine_embedding_loss). A vector of zeros has 0, whatever eps. */
FL_INLINE void cosine_of_sums(struct pair *p, ptrdiff_t r, double xy, double xx, double yy, double eps, double added) {
    const double x = p->up_x[r], y = p->up_y[r];
    const double norm_x = __builtin_sqrt(xx + added * x * x), norm_y = __builtin_sqrt(yy + added * y * y);
    const double least_x = at_least(norm_x, eps * x), least_y = at_least(norm_y, eps * y);
    const double c = xy / (least_x * least_y), bounded = c > 1 ? 1 : c < -1 ? -1 : c;
    p->norm_x[r] = norm_x;
    p->norm_y[r] = norm_y;
    p->least_x[r] = least_x;
    p->least_y[r] = least_y;
    p->value[r] = xy == 0 ? 0 : bounded;
}

FL_INLINE double added_to_squares(const fl_distance_job *job) { return job->metric == FL_SHIFTED_COSINE ? 1e-12 : 0; }
FL_INLINE double least_norm(const fl_distance_job *job) { return job->metric == FL_SHIFTED_COSINE ? 0 : job->eps; }

static double cosine(const fl_distance_job *job, struct pair *p, struct distance_scratch *s) {
    double sums[3];
    const ptrdiff_t r = s->row;
    p->up_x[r] = p->up_y[r] = 1;
    products_of(job, p, s, 0, sums);
    if (!holds_products(sums[1], sums[2])) {
        p->up_x[r] = scale_of_vector(job, p->x, s);
        p->up_y[r] = scale_of_vector(job, p->y, s);
        products_of(job, p, s, 1, sums);
    }
    cosine_of_sums(p, r, sums[0], sums[1], sums[2], least_norm(job), added_to_squares(job));
    return p->value[r];
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
    case FL_COSINE_DISTANCE: return 1 - cosine(job, p, s);
    default: return cosine(job, p, s);
    }
}

#endif
