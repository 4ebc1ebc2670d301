/* SPDX-License-Identifier: BSD-3-Clause */
/* product.h: out = a b, or out += a b, for losses on a matrix product. A sum over the depth is one chain of fused
 * multiply-adds within PRODUCT_DEPTH steps, and those parts are added in order: the same bits whatever the threads, the
 * tiles and the width of registers, and whatever else is in the matrix. (The x86-64 baseline does not fuse.)
 *
 * A unit is a tile of out. Piece by piece of the depth its rows of a are packed in the scratch, P_ROWS rows abreast, and
 * meet b's columns, P_COLUMNS abreast, which are packed beforehand (pack_product) or, where each meets one tile only, on the
 * way. The sums of P_ROWS x P_COLUMNS stand in registers. Where that is one group of rows, many pieces of it are packed at
 * once, and each column goes through all of them before the next. A single row whose columns are not packed
 * beforehand packs none (product_row.h). */
#ifndef FL_PRODUCT_H
#define FL_PRODUCT_H

#include "product_row.h"

/* Part of out: P_ROWS x P_COLUMNS at most. */
struct patch {
    real *to;
    ptrdiff_t apart, rows, columns;
    int add;
};

FL_INLINE void put_edge(const struct patch *p, int n, reals (*sum)[P_SIDE]) {
    real edge[P_ROWS][P_COLUMNS];
#pragma GCC unroll 12
    for (int r = 0; r < n; r++)
        for (int h = 0; h < P_SIDE; h++) v_store(edge[r] + h * REALS, sum[r][h]);
    for (ptrdiff_t r = 0; r < p->rows; r++)
        for (ptrdiff_t c = 0; c < p->columns; c++)
            p->to[r * p->apart + c] = p->add ? p->to[r * p->apart + c] + edge[r][c] : edge[r][c];
}

/* Of rows[depth][P_ROWS] the first n, a constant, columns[depth][P_COLUMNS] */
FL_INLINE void product_of_rows(const struct patch *p, int n, const real *rows, const real *columns, ptrdiff_t depth) {
    reals sum[P_ROWS][P_SIDE] = {0};
    const int whole = p->rows >= n && p->columns >= P_COLUMNS;
    if (whole) {
#pragma GCC unroll 12
        for (int r = 0; r < n; r++)
            for (int h = 0; h < P_SIDE; h++) __builtin_prefetch(p->to + r * p->apart + h * REALS, 1);
    }
    for (ptrdiff_t i = 0; i < depth; i++, rows += P_ROWS, columns += P_COLUMNS) {
        reals b[P_SIDE];
        for (int h = 0; h < P_SIDE; h++) b[h] = v_load(columns + h * REALS);
#pragma GCC unroll 12
        for (int r = 0; r < n; r++) {
            const reals a = rows[r] - (reals){0};
            for (int h = 0; h < P_SIDE; h++) sum[r][h] = v_fma(a, b[h], sum[r][h]);
        }
    }
    if (!whole) {
        put_edge(p, n, sum);
        return;
    }
#pragma GCC unroll 12
    for (int r = 0; r < n; r++)
        for (int h = 0; h < P_SIDE; h++) {
            real *to = p->to + r * p->apart + h * REALS;
            v_store(to, p->add ? v_load(to) + sum[r][h] : sum[r][h]);
        }
}

static void product_patch(const struct patch *p, const real *rows, const real *columns, ptrdiff_t depth) {
    if (P_ROWS > 2 * P_STEP && p->rows > 2 * P_STEP)
        product_of_rows(p, P_ROWS, rows, columns, depth);
    else if (p->rows > P_STEP)
        product_of_rows(p, 2 * P_STEP, rows, columns, depth);
    else
        product_of_rows(p, P_STEP, rows, columns, depth);
}

/* A tile's rows of a from the r-th on, in groups of P_ROWS. */
static void pack_rows(real *to, const fl_product_job *job, ptrdiff_t r, ptrdiff_t d, ptrdiff_t depth) {
    const ptrdiff_t end = r + at_most(job->rows - r, P_TILE_ROWS);
    for (; r < end; r += P_ROWS, to += P_ROWS * depth) {
        const real *a = (const real *)job->a + r * job->a_apart + d * job->a_along;
        const struct strip s = {a, job->a_apart, job->a_along, job->rows - r};
        pack_panel(to, P_ROWS, &s, depth);
    }
}

/* out's part below one panel of columns, from the c-th on, piece by piece. */
FL_INLINE void product_panel(const fl_product_job *job, struct product_scratch *s, const struct tile_part *t, ptrdiff_t c) {
    const real *rows = s->rows;
    for (ptrdiff_t d = t->d; d < t->d + t->steps; d += PRODUCT_DEPTH) {
        const ptrdiff_t depth = at_most(t->d + t->steps - d, PRODUCT_DEPTH);
        const real *columns = s->columns;
        if (job->panels) {
            columns = (const real *)job->panels + c * job->depth + d * P_COLUMNS;
        } else {
            const struct strip strip = columns_of(job, c, d);
            pack_panel(s->columns, P_COLUMNS, &strip, depth);
        }
        for (ptrdiff_t r = 0; r < t->rows; r += P_ROWS, rows += P_ROWS * depth) {
            real *to = (real *)job->out + (t->r0 + r) * job->out_apart + c;
            const struct patch p = {to, job->out_apart, at_most(t->rows - r, P_ROWS), at_most(t->end - c, P_COLUMNS),
                                    job->add || d > 0};
            product_patch(&p, rows, columns, depth);
        }
    }
}

static void product_tile(const void *arg, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const fl_product_job *job = arg;
    struct product_scratch *s = (struct product_scratch *)scratch;
    const ptrdiff_t across = rounded_up(job->rows, P_TILE_ROWS);
    struct tile_part t = {.r0 = unit % across * P_TILE_ROWS, .c0 = unit / across * job->tile_panels * P_COLUMNS};
    t.rows = at_most(job->rows - t.r0, P_TILE_ROWS);
    t.end = t.c0 + at_most(job->columns - t.c0, job->tile_panels * P_COLUMNS);
    const ptrdiff_t piece = rounded_up(t.rows, P_ROWS) * P_ROWS * PRODUCT_DEPTH;
    /* Few rows wait for b; where its columns are contiguous they are read from end to end. More rows than one group gain
     * nothing by that. */
    const int along = !job->panels && job->b_along == 1 && t.rows <= P_ROWS;
    const ptrdiff_t span = along ? P_ROOM / piece * PRODUCT_DEPTH : PRODUCT_DEPTH;
    (void)out;
    if (!job->panels && t.rows == 1) {
        product_single(job, s, &t);
        return;
    }
    for (t.d = 0; t.d < job->depth; t.d += span) {
        real *rows = s->rows;
        t.steps = at_most(job->depth - t.d, span);
        for (ptrdiff_t d = 0; d < t.steps; d += PRODUCT_DEPTH, rows += piece)
            pack_rows(rows, job, t.r0, t.d + d, at_most(t.steps - d, PRODUCT_DEPTH));
        for (ptrdiff_t c = t.c0; c < t.end; c += P_COLUMNS) product_panel(job, s, &t, c);
    }
}

#endif
