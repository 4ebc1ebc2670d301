/* SPDX-License-Identifier: BSD-3-Clause */
/* distance_gradient.h: the derivative of a pair's measure by both of its vectors, times a factor, added to the gradients
 * of the row. For distances of a difference the two are each other's negative. */
#ifndef FL_DISTANCE_GRADIENT_H
#define FL_DISTANCE_GRADIENT_H

#include "distance.h"

/* What a tile's derivatives are made of: factor (the loss's derivative by the measure) and the numbers of the row. */
struct slope {
    real factor, up;  /* up: power of two by which differences are taken before the factor */
    real largest;     /* Chebyshev */
    double inverse;   /* Minkowski: 1 / norm */
    double cross, own_x, own_y, up_x, up_y; /* cosine: cross y - own_x x, of the scaled vectors */
};

/* ---- tiles: gx += t, gy -= t ------------------------------------------------------------------------------------- */

static void tile_pull_scaled(real *restrict gx, real *restrict gy, const real *restrict x, const real *restrict y,
                             ptrdiff_t n, real eps, real up, real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const real t = apart(x[i], y[i], eps) * up * factor;
        gx[i] += t;
        gy[i] -= t;
    }
}

/* The sign of d, 0 of 0, nan of nan. */
static void tile_pull_sign(real *restrict gx, real *restrict gy, const real *restrict x, const real *restrict y,
                           ptrdiff_t n, real eps, real factor) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const real d = apart(x[i], y[i], eps), sign = r_copysign(R(1.0), d);
        const real step = r_where(d != 0, r_where(d == d, sign, d), R(0.0)), t = step * factor;
        gx[i] += t;
        gy[i] -= t;
    }
}

static void tile_pull_largest(real *restrict gx, real *restrict gy, const real *restrict x, const real *restrict y,
                              ptrdiff_t n, real eps, real factor, real largest) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const real d = apart(x[i], y[i], eps), sign = r_copysign(R(1.0), d);
        const real t = r_where(r_abs(d) == largest, sign, R(0.0)) * factor;
        gx[i] += t;
        gy[i] -= t;
    }
}

/* sign(d) (|d| / norm)^(p - 1); 0 where d is, also for p < 1, where the power is infinite. */
static void tile_pull_power(real *restrict gx, real *restrict gy, const real *restrict x, const real *restrict y,
                            ptrdiff_t n, real eps, real factor, double inverse, real exponent) {
    const int falls = exponent < 0;
    const real size = falls ? -exponent : exponent;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const real d = apart(x[i], y[i], eps);
        const struct share u = share_of_norm(d, inverse);
        const real power = r_pow_unit(u.high, u.low, size);
        const real slope = r_where(falls, 1 / power, power);
        const real t = r_where(d != 0, r_copysign(slope, d) * factor, R(0.0));
        gx[i] += t;
        gy[i] -= t;
    }
}

static void tile_turn(real *restrict gx, real *restrict gy, const real *restrict x, const real *restrict y, ptrdiff_t n,
                      const struct slope *s) {
    const double cross = s->cross, own_x = s->own_x, own_y = s->own_y, up_x = s->up_x, up_y = s->up_y;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const double a = (double)x[i] * up_x, b = (double)y[i] * up_y;
        gx[i] += (real)((cross * b - own_x * a) * up_x);
        gy[i] += (real)((cross * a - own_y * b) * up_y);
    }
}

/* Number of the features whose magnitude is `largest`, by lane. */
static void tile_count_largest(double *restrict lane, const real *restrict x, const real *restrict y, ptrdiff_t n,
                               real eps, real largest) {
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const real d = r_abs(apart(x[i + l], y[i + l], eps));
            lane[l] += (double)r_where(d == largest, R(1.0), R(0.0));
        }
}

/* ---- one pair ---------------------------------------------------------------------------------------------------- */

static double count_of_largest(const fl_distance_job *job, const struct pair *p, struct distance_scratch *s) {
    double lane[FL_LANES] = {0};
    real d[FL_LANES];
    const real largest = (real)p->value[s->row];
    for (ptrdiff_t c = 0; c < job->features; c += FL_TILE) {
        load_piece(job, c, s);
        if (s->lanes) tile_count_largest(lane, s->whole[p->x], s->whole[p->y], s->lanes, (real)job->eps, largest);
        if (!s->left) continue;
        rest_difference(job, p, s, d); /* the largest is not 0: the padding does not count */
        tile_count_largest(lane, d, no_features, whole_lanes(s->left), 0, largest);
    }
    return fold_lanes(lane);
}

/* factor / norm for differences times *up, which keeps both within what a real holds. */
FL_INLINE real over_norm(double factor, double norm, real *up) {
    const double few = sizeof(real) == 4 ? 0x1p-60 : 0x1p-500, many = 1 / few;
    const double by = norm < few ? many : norm > many ? few : 1.0, inverse = factor / (norm * by);
    *up = (real)by;
    return (real)(norm == 0 ? 0.0 : inverse);
}

static struct slope slope_of(const fl_distance_job *job, const struct pair *p, double factor, struct distance_scratch *s) {
    struct slope slope = {.factor = (real)factor, .up = 1};
    const ptrdiff_t r = s->row;
    const double value = p->value[r];
    switch (job->metric) {
    case FL_EUCLIDEAN: slope.factor = over_norm(factor, value, &slope.up); break;
    case FL_SQUARED: slope.factor = (real)(2 * factor); break;
    case FL_MANHATTAN: break;
    case FL_CHEBYSHEV:
        slope.largest = (real)value;
        slope.factor = value == 0 ? 0 : (real)(value == value ? factor / count_of_largest(job, p, s) : value);
        break;
    case FL_MINKOWSKI:
        slope.inverse = value == 0 ? 0 : 1 / value;
        if (value != value) slope.factor = (real)value;
        break;
    default: { /* the norm's own derivative passes below eps too, as in PyTorch; that of a vector of zeros is 0 */
        const double c = job->metric == FL_COSINE_DISTANCE ? 1 - value : value;
        const double sign = job->metric == FL_COSINE_DISTANCE ? -factor : factor;
        slope.cross = sign / p->least_x[r] / p->least_y[r];
        slope.own_x = p->norm_x[r] == 0 ? 0 : sign * c / p->least_x[r] / p->norm_x[r];
        slope.own_y = p->norm_y[r] == 0 ? 0 : sign * c / p->least_y[r] / p->norm_y[r];
        slope.up_x = p->up_x[r];
        slope.up_y = p->up_y[r];
    }
    }
    return slope;
}

/* Where the gradients of the piece at hand are gathered. */
struct gradient_piece {
    real *whole[MAX_VECTORS], *rest[MAX_VECTORS];
};

static void pull_tile(const fl_distance_job *job, const struct slope *s, real *gx, real *gy, const real *x,
                      const real *y, ptrdiff_t n, real eps) {
    switch (job->metric) {
    case FL_EUCLIDEAN:
    case FL_SQUARED: tile_pull_scaled(gx, gy, x, y, n, eps, s->up, s->factor); break;
    case FL_MANHATTAN: tile_pull_sign(gx, gy, x, y, n, eps, s->factor); break;
    case FL_CHEBYSHEV: tile_pull_largest(gx, gy, x, y, n, eps, s->factor, s->largest); break;
    case FL_MINKOWSKI: tile_pull_power(gx, gy, x, y, n, eps, s->factor, s->inverse, (real)(job->p - 1)); break;
    default: tile_turn(gx, gy, x, y, n, s);
    }
}

/* Add a pair's part to the gradients of the piece at hand. */
static void pull(const fl_distance_job *job, const struct pair *p, const struct slope *slope, struct distance_scratch *s,
                 const struct gradient_piece *g) {
    if (s->lanes)
        pull_tile(job, slope, g->whole[p->x], g->whole[p->y], s->whole[p->x], s->whole[p->y], s->lanes,
                  (real)job->eps);
    if (s->left)
        pull_tile(job, slope, g->rest[p->x], g->rest[p->y], s->rest[p->x], s->rest[p->y], whole_lanes(s->left), (real)job->eps);
}

/* Where vector k's gradient of row `row`, feature c... belongs. */
static char *place_of_gradient(const fl_distance_job *job, int k, ptrdiff_t row, ptrdiff_t c) {
    const fl_operand *op = &job->grad[k];
    const char *first = op->ndim == 1 ? op->data + row * op->strides[0] : position(op, row);
    return (char *)first + c * job->grad_stride[k];
}

/* Where the gradients of the piece at hand are gathered: the whole lanes where they belong, if that is contiguous. */
static struct gradient_piece begin_gradients(const fl_distance_job *job, ptrdiff_t row, struct distance_scratch *s) {
    struct gradient_piece g = {{NULL}, {NULL}};
    for (int k = 0; k < job->vectors; k++) {
        const int direct = job->grad_stride[k] == sizeof(real);
        g.whole[k] = direct ? (real *)place_of_gradient(job, k, row, s->first) : s->out[k];
        g.rest[k] = s->rest_out[k];
    }
    return g;
}

static void clear_gradients(const fl_distance_job *job, const struct distance_scratch *s, const struct gradient_piece *g) {
    for (int k = 0; k < job->vectors; k++) {
        memset(g->whole[k], 0, (size_t)s->lanes * sizeof(real));
        memset(g->rest[k], 0, FL_LANES * sizeof(real));
    }
}

static void scatter(char *to, ptrdiff_t stride, const real *g, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) memcpy(to + i * stride, &g[i], sizeof(real));
}

static void end_gradients(const fl_distance_job *job, ptrdiff_t row, const struct distance_scratch *s,
                          const struct gradient_piece *g) {
    for (int k = 0; k < job->vectors; k++) {
        char *to = place_of_gradient(job, k, row, s->first);
        const ptrdiff_t stride = job->grad_stride[k];
        if ((char *)g->whole[k] != to) scatter(to, stride, g->whole[k], s->lanes);
        scatter(to + s->lanes * stride, stride, g->rest[k], s->left);
    }
}

#endif
