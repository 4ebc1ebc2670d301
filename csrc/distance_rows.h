/* SPDX-License-Identifier: BSD-3-Clause */
/* distance_rows.h: what the pairs of a block's rows measure. Rows that may be read where they stand are summed one after
 * the other and finished together, lanes over rows; the bits are those of single rows. */
#ifndef FL_DISTANCE_ROWS_H
#define FL_DISTANCE_ROWS_H

#include "distance_gradient.h"

static void set_pairs(const fl_distance_job *job, struct distance_scratch *s) {
    static const int x[MAX_PAIRS] = {0, 0, 1}, y[MAX_PAIRS] = {1, 2, 2};
    s->pairs = job->vectors == 2 ? 1 : job->swap ? 3 : 2;
    for (int k = 0; k < s->pairs; k++) {
        s->pair[k].x = x[k];
        s->pair[k].y = y[k];
    }
}

static int stands_in_place(const fl_distance_job *job, const struct distance_scratch *s) {
    int all = 1;
    for (int k = 0; k < job->vectors; k++) all &= s->in_place[k];
    return all;
}

static ptrdiff_t whole_features(const fl_distance_job *job) { return job->features & -(ptrdiff_t)FL_LANES; }

FL_INLINE const real *features_of(const struct distance_scratch *s, int k, ptrdiff_t r) {
    return (const real *)s->run[k][r];
}

static void begin_rest(const fl_distance_job *job, struct distance_scratch *s) {
    s->left = job->features % FL_LANES;
    for (int k = 0; k < job->vectors; k++) tile_clear_padding(s->rest[k], s->left);
}

FL_INLINE void load_rest(const fl_distance_job *job, struct distance_scratch *s, int k, ptrdiff_t r) {
    memcpy(s->rest[k], features_of(s, k, r) + whole_features(job), (size_t)s->left * sizeof(real));
}

/* The features beyond whole lanes, `left` of them: masked loads, where the ISA has them; the padding adds nothing. */
FL_INLINE void add_rest_squares(double *restrict lane, const real *restrict x, const real *restrict y, ptrdiff_t left,
                                real eps) {
    const ireal behind = (ireal)left;
    FL_INDEPENDENT
    for (ireal l = 0; l < FL_LANES; l++) {
        const real square = l < behind ? one_square(x[l], y[l], eps) : R(0.0);
        lane[l] += (double)square;
    }
}

/* ---- Euclidean: the sums of squares become norms ---------------------------------------------------------------- */

/* rest: whether there are features beyond whole lanes. Without, sums stay in registers. */
FL_INLINE void squares_of_rows(const fl_distance_job *job, struct distance_scratch *s, struct pair *p, ptrdiff_t n,
                               int rest) {
    for (ptrdiff_t r = 0; r < n; r++) {
        double lane[FL_LANES] = {0};
        const real *x = features_of(s, p->x, r), *y = features_of(s, p->y, r);
        add_squares(lane, x, &y, 1, whole_features(job), (real)job->eps, 1);
        if (rest) add_rest_squares(lane, x + whole_features(job), y + whole_features(job), s->left, (real)job->eps);
        p->value[r] = fold_lanes(lane);
    }
}

static void rows_squares(const fl_distance_job *job, struct distance_scratch *s, struct pair *p, ptrdiff_t n) {
    if (s->left)
        squares_of_rows(job, s, p, n, 1);
    else
        squares_of_rows(job, s, p, n, 0);
}

/* The same of anchor and positive, and of anchor and negative, in one pass. */
FL_INLINE void two_squares_of_rows(const fl_distance_job *job, struct distance_scratch *s, ptrdiff_t n, int rest,
                                   int far) {
    for (ptrdiff_t r = 0; r < n; r++) {
        double lane[2 * FL_LANES] = {0};
        const real *others[2] = {features_of(s, 1, r), features_of(s, 2, r)};
        add_squares(lane, features_of(s, 0, r), others, 2, whole_features(job), (real)job->eps, far);
        for (int k = 0; rest && k < 2; k++)
            add_rest_squares(lane + k * FL_LANES, features_of(s, 0, r) + whole_features(job),
                             others[k] + whole_features(job), s->left, (real)job->eps);
        s->pair[0].value[r] = fold_lanes(lane);
        s->pair[1].value[r] = fold_lanes(lane + FL_LANES);
    }
}

static void rows_two_squares(const fl_distance_job *job, struct distance_scratch *s, ptrdiff_t n) {
    if (s->left)
        two_squares_of_rows(job, s, n, 1, 1);
    else if (job->far)
        two_squares_of_rows(job, s, n, 0, 1);
    else
        two_squares_of_rows(job, s, n, 0, 0);
}

/* How many of n sums have lost nothing to underflow or overflow; padded to whole lanes. */
static ptrdiff_t rows_sound(const double *restrict sum, ptrdiff_t n) {
    double lane[FL_LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++)
            lane[l] += sum[i + l] > SQUARES_LEAST ? sum[i + l] < SQUARES_MOST ? 1.0 : 0.0 : 0.0;
    return (ptrdiff_t)fold_lanes(lane);
}

static void rows_roots(double *restrict v, ptrdiff_t n, int squared) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const double root = __builtin_sqrt(v[r]);
        v[r] = squared ? root * root : root;
    }
}

static void each_row(const fl_distance_job *job, struct distance_scratch *s, struct pair *p, ptrdiff_t n) {
    for (ptrdiff_t r = 0; r < n; r++) {
        begin_row(s, r);
        p->value[r] = measure(job, p, s);
    }
}

static void rows_norms(const fl_distance_job *job, struct distance_scratch *s, struct pair *p, ptrdiff_t n) {
    const ptrdiff_t lanes = whole_lanes(n);
    for (ptrdiff_t r = n; r < lanes; r++) p->value[r] = 1;
    if (rows_sound(p->value, lanes) == lanes)
        rows_roots(p->value, lanes, job->metric == FL_SQUARED);
    else
        each_row(job, s, p, n);
}

/* ---- cosine ----------------------------------------------------------------------------------------------------- */

/* Of WIDE rows k from `first` on, the last one again where there are no more. */
FL_INLINE ptrdiff_t row_of(ptrdiff_t first, int k, ptrdiff_t n) { return first + k < n ? first + k : n - 1; }

/* The three sums stand where the norms will. */
FL_INLINE void products_of_rows(const fl_distance_job *job, struct distance_scratch *s, struct pair *p, ptrdiff_t n,
                                int rest, int far) {
    for (ptrdiff_t first = 0; first < n; first += WIDE) {
        wide xy[WIDE], xx[WIDE], yy[WIDE];
        for (int k = 0; k < WIDE; k++) {
            const ptrdiff_t r = row_of(first, k, n);
            struct products sum = {{{0}}, {{0}}, {{0}}};
            add_products(&sum, features_of(s, p->x, r), features_of(s, p->y, r), whole_features(job), 1, 1,
                         far);
            if (rest) {
                load_rest(job, s, p->x, r);
                load_rest(job, s, p->y, r);
                add_products(&sum, s->rest[p->x], s->rest[p->y], FL_LANES, 1, 1, 0);
            }
            xy[k] = w_fold((const double *)sum.xy);
            xx[k] = w_fold((const double *)sum.xx);
            yy[k] = w_fold((const double *)sum.yy);
        }
        w_store(p->value + first, w_fold_rows(xy));
        w_store(p->norm_x + first, w_fold_rows(xx));
        w_store(p->norm_y + first, w_fold_rows(yy));
    }
}

static void rows_products(const fl_distance_job *job, struct distance_scratch *s, struct pair *p, ptrdiff_t n) {
    if (s->left)
        products_of_rows(job, s, p, n, 1, 1);
    else if (job->far)
        products_of_rows(job, s, p, n, 0, 1);
    else
        products_of_rows(job, s, p, n, 0, 0);
}

static void rows_turned(struct pair *restrict p, ptrdiff_t n, double eps, double added, int distance) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        p->up_x[r] = p->up_y[r] = 1;
        cosine_of_sums(p, r, p->value[r], p->norm_x[r], p->norm_y[r], eps, added);
        p->value[r] = distance ? 1 - p->value[r] : p->value[r];
    }
}

static void rows_cosines(const fl_distance_job *job, struct distance_scratch *s, struct pair *p, ptrdiff_t n) {
    int sound = 1;
    rows_products(job, s, p, n);
    for (ptrdiff_t r = n; r < whole_lanes(n); r++) p->value[r] = p->norm_x[r] = p->norm_y[r] = 1;
    for (ptrdiff_t r = 0; r < n; r++) sound &= holds_products(p->norm_x[r], p->norm_y[r]);
    if (sound)
        rows_turned(p, whole_lanes(n), least_norm(job), added_to_squares(job), job->metric == FL_COSINE_DISTANCE);
    else
        each_row(job, s, p, n);
}

/* ---- all pairs -------------------------------------------------------------------------------------------------- */

/* Rows that are converted: a piece of one is loaded once for all of its pairs. */
static void measure_one_by_one(const fl_distance_job *job, struct distance_scratch *s, ptrdiff_t n) {
    for (ptrdiff_t r = 0; r < n; r++) {
        begin_row(s, r);
        for (int k = 0; k < s->pairs; k++) s->pair[k].value[r] = measure(job, &s->pair[k], s);
    }
}

static void measure_rows(const fl_distance_job *job, struct distance_scratch *s, ptrdiff_t n) {
    set_pairs(job, s);
    if (!stands_in_place(job, s) || (job->metric > FL_SQUARED && job->metric < FL_COSINE_DISTANCE)) {
        measure_one_by_one(job, s, n);
        return;
    }
    begin_rest(job, s);
    if (job->metric > FL_SQUARED) {
        for (int k = 0; k < s->pairs; k++) rows_cosines(job, s, &s->pair[k], n);
    } else {
        const int together = s->pairs > 1 ? 2 : 0;
        if (together) rows_two_squares(job, s, n);
        for (int k = together; k < s->pairs; k++) rows_squares(job, s, &s->pair[k], n);
        for (int k = 0; k < s->pairs; k++) rows_norms(job, s, &s->pair[k], n);
    }
}

#endif
