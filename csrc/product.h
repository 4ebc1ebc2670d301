/* SPDX-License-Identifier: BSD-3-Clause */
/* product.h: out = a b, or out += a b, for losses on a matrix product. A sum over the depth is one chain of fused
 * multiply-adds within PRODUCT_DEPTH steps, and those parts are added in order: the same bits whatever the threads, the
 * tiles and the width of registers, and whatever else is in the matrix. (The x86-64 baseline does not fuse.)
 *
 * A unit is a tile of out. Piece by piece of the depth its rows of a are packed in the scratch, P_ROWS rows abreast, and
 * meet b's columns, P_COLUMNS abreast, which are packed beforehand (pack_product) or, where each meets one tile only, on the
 * way. The sums of P_ROWS x P_COLUMNS stand in registers. Where that is one group of rows, many pieces of it are packed at
 * once, and each column goes through all of them before the next; the columns of a single row are not packed. */
#ifndef FL_PRODUCT_H
#define FL_PRODUCT_H

#include "reals.h"

enum {
#if defined(__AVX512F__)
    P_ROWS = 12,
    P_STEP = 4, /* rows that are computed are as many, or two or three times as many */
#elif defined(__AVX2__)
    P_ROWS = 6,
    P_STEP = 2,
#else
    P_ROWS = 4,
    P_STEP = 2,
#endif
    P_SIDE = 2, /* registers abreast */
    P_COLUMNS = P_SIDE * REALS,
    P_TILE_ROWS = 192 / sizeof(real),
    P_TILE_PANELS = 2048 / (P_COLUMNS * sizeof(real)),
    PRODUCT_DEPTH = 128
};
_Static_assert(P_TILE_ROWS % P_ROWS == 0, "a tile is whole groups of rows");

/* Panels: of a tile's rows, as many pieces of the depth as there is room for, and one of columns. A panel's last step may
 * reach behind it. */
enum { P_ROOM = FL_SCRATCH_BYTES / sizeof(real) - PRODUCT_DEPTH * P_COLUMNS - REALS };
struct product_scratch {
    real rows[P_ROOM + REALS];
    real columns[PRODUCT_DEPTH * P_COLUMNS] __attribute__((aligned(64)));
};
_Static_assert(sizeof(struct product_scratch) <= FL_SCRATCH_BYTES, "the scratch holds them");
_Static_assert(P_TILE_ROWS * PRODUCT_DEPTH <= P_ROOM, "a piece of a whole tile");

/* ---- packing ----------------------------------------------------------------------------------------------------- */

/* Vectors of a matrix, `vectors` of them: element i of vector v stands at from[v * apart + i * along]. */
struct strip {
    const real *from;
    ptrdiff_t apart, along, vectors;
};

/* n steps from `step` on, at most REALS, of REALS vectors that are contiguous, from the first on: the i-th step of each in
 * x[i]. What lacks is 0. */
FL_INLINE void load_square(reals *x, const struct strip *s, ptrdiff_t first, ptrdiff_t step, ptrdiff_t n) {
    real edge[REALS * REALS];
    const real *from = s->from + first * s->apart + step;
    ptrdiff_t apart = s->apart;
    if (n < REALS || s->vectors - first < REALS) {
        memset(edge, 0, sizeof edge);
        for (ptrdiff_t v = 0; v < REALS && v < s->vectors - first; v++)
            memcpy(edge + v * REALS, from + v * apart, (size_t)n * sizeof(real));
        from = edge;
        apart = REALS;
    }
#pragma GCC unroll 16
    for (int v = 0; v < REALS; v++) x[v] = v_load(from + v * apart);
    v_transpose(x);
}

/* The same into columns of a panel. */
FL_INLINE void pack_square(real *to, int width, const struct strip *s, ptrdiff_t first, ptrdiff_t step, ptrdiff_t n) {
    real edge[REALS * REALS];
    reals x[REALS];
    load_square(x, s, first, step, n);
    if (n == REALS) {
#pragma GCC unroll 16
        for (int i = 0; i < REALS; i++) v_store(to + i * width, x[i]);
        return;
    }
#pragma GCC unroll 16
    for (int i = 0; i < REALS; i++) v_store(edge + i * REALS, x[i]);
    for (ptrdiff_t i = 0; i < n; i++) v_store(to + i * width, v_load(edge + i * REALS));
}

/* to[depth][width]: at most `width` vectors, zeros in place of those that lack. Of a width that is not whole registers
 * the last reaches into the next step, which is written after it: the last registers first. */
FL_INLINE void pack_panel(real *to, int width, const struct strip *s, ptrdiff_t depth) {
    const ptrdiff_t n = at_most(s->vectors, width);
    if (s->along == 1 && s->apart != 1) {
        const struct strip own = {s->from, s->apart, 1, n};
        for (ptrdiff_t first = (width - 1) / REALS * REALS; first >= 0; first -= REALS)
            for (ptrdiff_t i = 0; i < depth; i += REALS)
                pack_square(to + i * width + first, width, &own, first, i, at_most(depth - i, REALS));
        return;
    }
    for (ptrdiff_t i = 0; i < depth; i++) {
        real *step = to + i * width;
        const real *from = s->from + i * s->along;
        if (n == width)
            memcpy(step, from, (size_t)width * sizeof(real));
        else
            for (int v = 0; v < width; v++) step[v] = v < n ? from[v * s->apart] : 0;
    }
}

FL_INLINE ptrdiff_t rounded_up(ptrdiff_t n, ptrdiff_t size) { return (n + size - 1) / size; } /* n / size */

/* Columns of b from the c-th on, steps from the d-th on. */
FL_INLINE struct strip columns_of(const fl_product_job *job, ptrdiff_t c, ptrdiff_t d) {
    const real *b = job->b;
    return (struct strip){b + c * job->b_apart + d * job->b_along, job->b_apart, job->b_along, job->columns - c};
}

/* A unit is a piece of the depth of a panel. */
static void pack_product(const void *arg, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const fl_product_job *job = arg;
    const ptrdiff_t pieces = rounded_up(job->depth, PRODUCT_DEPTH), panel = unit / pieces;
    const ptrdiff_t d = unit % pieces * PRODUCT_DEPTH;
    const struct strip s = columns_of(job, panel * P_COLUMNS, d);
    (void)scratch, (void)out;
    pack_panel((real *)job->panels + (panel * job->depth + d) * P_COLUMNS, P_COLUMNS, &s,
               at_most(job->depth - d, PRODUCT_DEPTH));
}

/* ---- the product ------------------------------------------------------------------------------------------------- */

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
    for (ptrdiff_t i = 0; i < depth; i++, rows += P_ROWS, columns += P_COLUMNS) {
        reals b[P_SIDE];
        for (int h = 0; h < P_SIDE; h++) b[h] = v_load(columns + h * REALS);
#pragma GCC unroll 12
        for (int r = 0; r < n; r++) {
            const reals a = rows[r] - (reals){0};
            for (int h = 0; h < P_SIDE; h++) sum[r][h] = v_fma(a, b[h], sum[r][h]);
        }
    }
    if (p->rows < n || p->columns < P_COLUMNS) {
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

/* Of a tile, rows from r0 on and columns from c0 to `end`, the `steps` of the depth from d on for which its rows are packed. */
struct tile_part {
    ptrdiff_t r0, rows, c0, end, d, steps;
};

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

/* A piece of the depth of a single row, rows[depth][P_ROWS], and of REALS contiguous vectors: their squares are
 * multiplied as they are, never packed. Those of the next vectors are asked for ahead. */
FL_INLINE reals row_by_squares(const real *rows, const struct strip *s, ptrdiff_t step, ptrdiff_t depth) {
    reals sum = {0}, x[REALS];
    for (ptrdiff_t i = 0; i < depth; i += REALS, rows += REALS * P_ROWS) {
        const ptrdiff_t n = at_most(depth - i, REALS);
        if (n < REALS) {
            real edge[REALS * REALS];
            pack_square(edge, REALS, s, 0, step + i, n);
            for (ptrdiff_t k = 0; k < n; k++) sum = v_fma(rows[k * P_ROWS] - (reals){0}, v_load(edge + k * REALS), sum);
            break;
        }
        load_square(x, s, 0, step + i, REALS);
#pragma GCC unroll 16
        for (int v = 0; v < REALS; v++) __builtin_prefetch(s->from + (REALS + v) * s->apart + step + i);
#pragma GCC unroll 16
        for (int k = 0; k < REALS; k++) sum = v_fma(rows[k * P_ROWS] - (reals){0}, x[k], sum);
    }
    return sum;
}

/* The same of all that is packed, below REALS columns from the c-th on. */
static void product_row(const fl_product_job *job, const real *rows, const struct tile_part *t, ptrdiff_t c) {
    const struct strip s = columns_of(job, c, t->d);
    real *to = (real *)job->out + t->r0 * job->out_apart + c;
    const size_t bytes = (size_t)at_most(t->end - c, REALS) * sizeof(real);
    reals out = {0};
    if (job->add || t->d > 0) memcpy(&out, to, bytes);
    for (ptrdiff_t d = 0; d < t->steps; d += PRODUCT_DEPTH, rows += PRODUCT_DEPTH * P_ROWS) {
        const reals sum = row_by_squares(rows, &s, d, at_most(t->steps - d, PRODUCT_DEPTH));
        out = job->add || t->d + d > 0 ? out + sum : sum;
    }
    memcpy(to, &out, bytes);
}

static void product_tile(const void *arg, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const fl_product_job *job = arg;
    struct product_scratch *s = (struct product_scratch *)scratch;
    const ptrdiff_t across = rounded_up(job->rows, P_TILE_ROWS);
    struct tile_part t = {.r0 = unit % across * P_TILE_ROWS, .c0 = unit / across * P_TILE_PANELS * P_COLUMNS};
    t.rows = at_most(job->rows - t.r0, P_TILE_ROWS);
    t.end = t.c0 + at_most(job->columns - t.c0, P_TILE_PANELS * P_COLUMNS);
    const ptrdiff_t piece = rounded_up(t.rows, P_ROWS) * P_ROWS * PRODUCT_DEPTH;
    /* Few rows wait for b; where its columns are contiguous they are read from end to end. More rows than one group gain
     * nothing by that. */
    const int along = !job->panels && job->b_along == 1 && t.rows <= P_ROWS;
    const ptrdiff_t span = along ? P_ROOM / piece * PRODUCT_DEPTH : PRODUCT_DEPTH;
    (void)out;
    for (t.d = 0; t.d < job->depth; t.d += span) {
        real *rows = s->rows;
        t.steps = at_most(job->depth - t.d, span);
        for (ptrdiff_t d = 0; d < t.steps; d += PRODUCT_DEPTH, rows += piece)
            pack_rows(rows, job, t.r0, t.d + d, at_most(t.steps - d, PRODUCT_DEPTH));
        if (along && t.rows == 1)
            for (ptrdiff_t c = t.c0; c < t.end; c += REALS) product_row(job, s->rows, &t, c);
        else
            for (ptrdiff_t c = t.c0; c < t.end; c += P_COLUMNS) product_panel(job, s, &t, c);
    }
}

#endif
