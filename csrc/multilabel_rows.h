/* SPDX-License-Identifier: BSD-3-Clause */
/* multilabel_rows.h: the part of multilabel.h that takes one row after the other, some positives at a time against tiles
 * of classes. */
#ifndef FL_MULTILABEL_ROWS_H
#define FL_MULTILABEL_ROWS_H

/* hinge() of finite numbers, or of x at -inf: a maximum of integers is one instruction where there is one. */
FL_INLINE real finite_hinge(real x, real base) {
#if FL_REAL == 64 && defined(__SSE2__) && !defined(__AVX2__)
    return r_max(R(0.0), x + base);
#else
    const ireal h = r_bits(x + base);
    return r_from_bits(h > 0 ? h : 0);
#endif
}

/* 1 where finite_hinge is above 0: the sign of its negative. 0 - base, unlike -base, is never -0, so that 0 has no sign. */
FL_INLINE ureal finite_step(real x, real base) {
    return (ureal)r_bits((R(0.0) - base) - x) >> (8 * sizeof(real) - 1);
}

/* Whether all x[n] are below inf, and none is nan. */
static int tile_below_inf(const real *restrict x, ptrdiff_t n) {
    real lane[FL_LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            const real bounded = r_max(R(-1.0), x[i + l]);
            lane[l] += bounded - bounded;
        }
    int finite = 1;
    for (int l = 0; l < FL_LANES; l++) finite &= lane[l] == 0;
    return finite;
}

/* Lanes of the sum of the hinges of k positives with all others[n], everything finite. */
FL_INLINE void hinges(double *restrict lane, const real *restrict others, ptrdiff_t n, const real *restrict base,
                      const int k) {
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            real sum = finite_hinge(others[i + l], base[0]);
            for (int j = 1; j < k; j++) sum += finite_hinge(others[i + l], base[j]);
            lane[l] += (double)sum;
        }
}

/* Derivatives of the same: gained[n] grows by how many of the k hinges of each class are above 0, lost[k] is how many of
 * each positive are. */
FL_INLINE void steps(ureal *restrict gained, ureal *restrict lost, const real *restrict others, ptrdiff_t n,
                     const real *restrict base, const int k) {
    ureal lane[TOGETHER][FL_LANES] = {{0}};
    for (ptrdiff_t i = 0; i < n; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) {
            ureal sum = gained[i + l];
            for (int j = 0; j < k; j++) {
                const ureal step = finite_step(others[i + l], base[j]);
                lane[j][l] += step;
                sum += step;
            }
            gained[i + l] = sum;
        }
    for (int j = 0; j < k; j++) {
        ureal sum = 0;
        for (int l = 0; l < FL_LANES; l++) sum += lane[j][l];
        lost[j] = sum;
    }
}

#define FL_STAMP_TOGETHER(k)                                                                                          \
    static void tile_hinges_##k(double *restrict lane, const real *restrict others, ptrdiff_t n,                      \
                                const real *restrict base) {                                                          \
        hinges(lane, others, n, base, k);                                                                             \
    }                                                                                                                 \
    static void tile_steps_##k(ureal *restrict gained, ureal *restrict lost, const real *restrict others, ptrdiff_t n, \
                               const real *restrict base) {                                                           \
        steps(gained, lost, others, n, base, k);                                                                      \
    }
FL_STAMP_TOGETHER(1)
FL_STAMP_TOGETHER(2)
FL_STAMP_TOGETHER(3)
FL_STAMP_TOGETHER(4)

static double sum_hinges(const real *others, ptrdiff_t n, const real *base, ptrdiff_t positives) {
    static void (*const together[])(double *restrict, const real *restrict, ptrdiff_t, const real *restrict) = {
        tile_hinges_1, tile_hinges_2, tile_hinges_3, tile_hinges_4};
    double lane[FL_LANES] = {0};
    for (ptrdiff_t k = 0; k < positives; k += TOGETHER) {
        const ptrdiff_t left = positives - k, some = left < TOGETHER ? left : TOGETHER;
        together[some - 1](lane, others, n, base + k);
    }
    return fold_lanes(lane);
}

static void count_steps(ureal *gained, ureal *lost, const real *others, ptrdiff_t n, const real *base,
                        ptrdiff_t positives) {
    static void (*const together[])(ureal *restrict, ureal *restrict, const real *restrict, ptrdiff_t,
                                    const real *restrict) = {tile_steps_1, tile_steps_2, tile_steps_3, tile_steps_4};
    for (ptrdiff_t k = 0; k < positives; k += TOGETHER) {
        const ptrdiff_t left = positives - k, some = left < TOGETHER ? left : TOGETHER;
        together[some - 1](gained, lost + k, others, n, base + k);
    }
}

/* One positive against others[n] where something is nan or infinite. */
static double any_hinges(const real *others, ptrdiff_t n, real base) {
    double sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) sum += (double)hinge(others[i], base);
    return sum;
}

static real any_steps(real *gained, const real *others, ptrdiff_t n, real base) {
    real lost = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        const real step = hinge_step(hinge(others[i], base));
        gained[i] += step;
        lost += step;
    }
    return lost;
}

/* A count below 2^31 (2^52) as a real: the double has no conversion of its own before AVX-512. */
FL_INLINE real real_of_count(ureal n) {
#if FL_REAL == 32
    return (real)(ireal)n;
#else
    return r_from_bits((ireal)(n | (ureal)0x4330000000000000)) - R(0x1p52);
#endif
}

static void tile_add_counts(real *restrict gained, const ureal *restrict count, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) gained[i] += real_of_count(count[i]);
}

/* n reals of one stride to another. */
static void copy_reals(char *to, ptrdiff_t to_stride, const char *from, ptrdiff_t from_stride, ptrdiff_t n) {
    if (to_stride == sizeof(real) && from_stride == sizeof(real)) {
        memcpy(to, from, (size_t)n * sizeof(real));
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++) memcpy(to + i * to_stride, from + i * from_stride, sizeof(real));
}

/* Classes c...c + n of the gradient of a row, in memory and in s->gained. */
static void fetch_gained(const fl_row_job *job, const char *to, ptrdiff_t c, ptrdiff_t n, struct multilabel_scratch *s) {
    copy_reals((char *)s->gained, sizeof(real), to + c * job->grad_class_stride, job->grad_class_stride, n);
    tile_clear_padding(s->gained, n);
}

static void put_gained(const fl_row_job *job, char *to, ptrdiff_t c, ptrdiff_t n, const struct multilabel_scratch *s) {
    copy_reals(to + c * job->grad_class_stride, job->grad_class_stride, (const char *)s->gained, sizeof(real), n);
}

static void put_zeros(const fl_row_job *job, char *to) {
    const real zero = 0;
    if (job->grad_class_stride == sizeof(real))
        memset(to, 0, (size_t)job->classes * sizeof(real));
    else
        copy_reals(to, job->grad_class_stride, (const char *)&zero, 0, job->classes);
}

/* Take what the last positives lost from the gradient: from s->gained, which holds classes c...c + n, or from memory. */
static void take_lost(const fl_row_job *job, char *to, ptrdiff_t c, ptrdiff_t n, ptrdiff_t positives,
                      struct multilabel_scratch *s) {
    for (ptrdiff_t k = 0; k < positives; k++) {
        const ptrdiff_t inside = s->label[k] - c;
        real *g = inside >= 0 && inside < n ? &s->gained[inside] : (real *)(to + s->label[k] * job->grad_class_stride);
        *g -= s->lost[k];
    }
}

/* The positives in s->label against s->others[n], classes c... of the row: sum of their hinges; derivatives to s->lost and
 * s->gained or s->gained_count, if wanted. finite: s->others are. */
static double meet(const fl_row_job *job, const char *row, ptrdiff_t positives, ptrdiff_t n, int finite, int gradient,
                   struct multilabel_scratch *s) {
    for (ptrdiff_t k = 0; k < positives; k++) {
        s->base[k] = (real)job->margin - logit_at(job, row, s->label[k]);
        finite &= s->base[k] - s->base[k] == 0;
    }
    double sum = 0;
    if (finite) {
        sum = sum_hinges(s->others, n, s->base, positives);
        if (gradient) count_steps(s->gained_count, s->lost_count, s->others, n, s->base, positives);
        for (ptrdiff_t k = 0; gradient && k < positives; k++) s->lost[k] = real_of_count(s->lost_count[k]);
        return sum;
    }
    for (ptrdiff_t k = 0; k < positives; k++) {
        sum += any_hinges(s->others, n, s->base[k]);
        if (gradient) s->lost[k] = any_steps(s->gained, s->others, n, s->base[k]);
    }
    return sum;
}

/* Put -inf in place of the positives in s->others, classes c...c + n. Their number; fewer than POSITIVES still stand in
 * s->label. -1 for a bad label. */
static ptrdiff_t leave_others(const fl_row_job *job, const char *target, ptrdiff_t c, ptrdiff_t n,
                              struct multilabel_scratch *s) {
    ptrdiff_t all = 0, found;
    for (ptrdiff_t at = 0; (found = next_positives(job, target, &at, s)) > 0; all += found)
        for (ptrdiff_t k = 0; k < found; k++)
            if (s->label[k] >= c && s->label[k] < c + n) s->others[s->label[k] - c] = -R_INFINITY;
    return found < 0 ? -1 : all;
}

/* *sum grows by the hinges of a tile of classes c...c + n with all positives of the row. The gradient gathers as whole
 * numbers, so that the order in which they are added does not show: in s->gained, and of other tiles in memory at `to`.
 * Returns 0, or -1 for a bad label. */
static int multilabel_tile(const fl_row_job *job, const char *row, const char *target, char *to, ptrdiff_t c,
                           ptrdiff_t n, double *sum, struct multilabel_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(n);
    const real *x = load_row(job, row + c * job->class_stride, n, s->others);
    const int finite = tile_below_inf(x, lanes);
    if (x != s->others) memcpy(s->others, x, (size_t)lanes * sizeof(real));
    const ptrdiff_t all = leave_others(job, target, c, n, s);
    if (all < 0) return -1;
    if (to) memset(s->gained_count, 0, (size_t)lanes * sizeof(ureal));
    if (all < POSITIVES) {
        *sum += meet(job, row, all, lanes, finite, to != NULL, s);
        if (to) take_lost(job, to, c, n, all, s);
    } else
        for (ptrdiff_t at = 0, found; (found = next_positives(job, target, &at, s)) != 0;) {
            if (found < 0) return -1;
            *sum += meet(job, row, found, lanes, finite, to != NULL, s);
            if (to) take_lost(job, to, c, n, found, s);
        }
    if (to) tile_add_counts(s->gained, s->gained_count, lanes);
    return 0;
}

/* A row of one tile. */
static int multilabel_short_row(const fl_row_job *job, const char *row, const char *target, char *to, real factor,
                                double *sum, struct multilabel_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(job->classes);
    if (to) memset(s->gained, 0, (size_t)lanes * sizeof(real));
    if (multilabel_tile(job, row, target, to, 0, job->classes, sum, s) < 0) return -1;
    if (!to) return 0;
    tile_scale(s->gained, factor, lanes);
    put_gained(job, to, 0, job->classes, s);
    return 0;
}

/* A row of several: the gradient is complete, and can be scaled, after the last tile. */
static int multilabel_long_row(const fl_row_job *job, const char *row, const char *target, char *to, real factor,
                               double *sum, struct multilabel_scratch *s) {
    if (to) put_zeros(job, to);
    for (ptrdiff_t c = 0; c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = job->classes - c < FL_TILE ? job->classes - c : FL_TILE;
        if (to) fetch_gained(job, to, c, n, s);
        if (multilabel_tile(job, row, target, to, c, n, sum, s) < 0) return -1;
        if (to) put_gained(job, to, c, n, s);
    }
    for (ptrdiff_t c = 0; to && c < job->classes; c += FL_TILE) {
        const ptrdiff_t n = job->classes - c < FL_TILE ? job->classes - c : FL_TILE;
        fetch_gained(job, to, c, n, s);
        tile_scale(s->gained, factor, whole_lanes(n));
        put_gained(job, to, c, n, s);
    }
    return 0;
}

/* Values and gradients of n positions; whether all labels were good. */
static int multilabel_rows(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, const real *counted,
                           struct multilabel_scratch *s, fl_partial *out) {
    for (ptrdiff_t r = 0; r < n; r++) {
        const char *row = position(&job->logits, start + r), *target = position(&job->target, start + r);
        char *to = job->want & FL_GRAD ? (char *)position(&job->grad, start + r) : NULL;
        double sum = 0;
        s->value[r] = 0;
        if (counted[r] == 0) {
            if (to) put_zeros(job, to);
            continue;
        }
        if ((job->classes <= FL_TILE ? multilabel_short_row : multilabel_long_row)(job, row, target, to, s->factor[r],
                                                                                  &sum, s) < 0) {
            tell_bad(job, start + r, s, out);
            return 0;
        }
        s->value[r] = (real)(sum / (double)job->classes);
        out->weight += 1;
    }
    return 1;
}

#endif
