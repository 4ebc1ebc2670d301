/* SPDX-License-Identifier: BSD-3-Clause */
/* panels.h: the tiles of a matrix product, and vectors of a matrix packed side by side, the same step of each together. */
#ifndef FL_PANELS_H
#define FL_PANELS_H

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

/* Vectors of a matrix, `vectors` of them: element i of vector v stands at from[v * apart + i * along]. */
struct strip {
    const real *from;
    ptrdiff_t apart, along, vectors;
};

/* n steps from `step` on, at most REALS, of REALS vectors that are contiguous, from the first on: the i-th step of each in
 * x[i]. What lacks is 0. Apart, so that its loops take no register from whole squares. */
static __attribute__((noinline)) void load_edge(reals *x, const struct strip *s, ptrdiff_t first, ptrdiff_t step,
                                                ptrdiff_t n) {
    real edge[REALS * REALS] = {0};
    const real *from = s->from + first * s->apart + step;
    for (ptrdiff_t v = 0; v < REALS && v < s->vectors - first; v++)
        memcpy(edge + v * REALS, from + v * s->apart, (size_t)n * sizeof(real));
    v_load_square(x, edge, REALS);
}

/* The same into columns of a panel. */
FL_INLINE void pack_square(real *to, int width, const struct strip *s, ptrdiff_t first, ptrdiff_t step, ptrdiff_t n) {
    reals x[REALS];
    if (n == REALS && s->vectors - first >= REALS) {
        v_load_square(x, s->from + first * s->apart + step, s->apart);
#pragma GCC unroll 16
        for (int i = 0; i < REALS; i++) v_store(to + i * width, x[i]);
        return;
    }
    load_edge(x, s, first, step, n);
    for (ptrdiff_t i = 0; i < n; i++) v_store(to + i * width, x[i]);
}

/* to[depth][width]: at most `width` vectors, zeros in place of those that lack. Of a width that is not whole registers
 * the last reaches into the next step, which is written after it: the last registers first. What it brings there are the
 * vectors that follow: to leave them out would make an edge of every square. */
FL_INLINE void pack_panel(real *to, int width, const struct strip *s, ptrdiff_t depth) {
    const ptrdiff_t n = at_most(s->vectors, width);
    if (s->along == 1 && s->apart != 1) {
        for (ptrdiff_t first = (width - 1) / REALS * REALS; first >= 0; first -= REALS)
            for (ptrdiff_t i = 0; i < depth; i += REALS)
                pack_square(to + i * width + first, width, s, first, i, at_most(depth - i, REALS));
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

/* Of a tile, rows from r0 on and columns from c0 to `end`, the `steps` of the depth from d on for which its rows are packed. */
struct tile_part {
    ptrdiff_t r0, rows, c0, end, d, steps;
};

#endif
