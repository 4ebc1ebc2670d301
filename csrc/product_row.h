/* SPDX-License-Identifier: BSD-3-Clause */
/* product_row.h: a single row times a matrix. Memory decides: nothing of the matrix is packed, each line of it is read
 * once, and what comes next is asked for ahead where the processor would not see it. */
#ifndef FL_PRODUCT_ROW_H
#define FL_PRODUCT_ROW_H

#include "panels.h"

/* ---- a matrix whose columns are contiguous ------------------------------------------------------------------------ */

/* A row's product with REALS vectors so far: the sum of its pieces of the depth, and of the one that is begun. */
struct chain {
    reals out, sum;
    int add; /* out holds something */
};

FL_INLINE void end_piece(struct chain *c) {
    c->out = c->add ? c->out + c->sum : c->sum;
    c->sum = (reals){0};
    c->add = 1;
}

/* n steps, at most REALS, of which the first is the i-th. */
FL_INLINE void add_steps(struct chain *c, const real *row, const reals *x, ptrdiff_t i, ptrdiff_t n) {
    const ptrdiff_t end = PRODUCT_DEPTH - i % PRODUCT_DEPTH;
#pragma GCC unroll 16
    for (int k = 0; k < REALS; k++) {
        if (k == n) break;
        c->sum = v_fma(row[i + k] - (reals){0}, x[k], c->sum);
        if (k + 1 == end) end_piece(c);
    }
}

/* Steps until a register's place in memory begins, from where on no square takes parts of two cache lines of a vector; 0
 * where the vectors differ in that, or are fewer. (NumPy's large arrays begin 16 bytes behind a line.) */
FL_INLINE ptrdiff_t steps_before(const struct strip *s) {
    const size_t past = (uintptr_t)s->from % sizeof(reals);
    if (s->vectors < REALS || s->apart % REALS) return 0;
    return (ptrdiff_t)((sizeof(reals) - past) % sizeof(reals) / sizeof(real));
}

/* out's part below REALS columns from the c-th on. Their squares are multiplied as they are, never packed. */
static void product_row(const fl_product_job *job, const real *row, const struct tile_part *t, ptrdiff_t c) {
    const struct strip s = columns_of(job, c, t->d);
    real *to = (real *)job->out + t->r0 * job->out_apart + c;
    const size_t bytes = (size_t)at_most(t->end - c, REALS) * sizeof(real);
    struct chain chain = {.add = job->add || t->d > 0};
    reals x[REALS];
    if (chain.add) memcpy(&chain.out, to, bytes);
    ptrdiff_t i = at_most(t->steps, steps_before(&s));
    if (i > 0) {
        load_edge(x, &s, 0, 0, i);
        add_steps(&chain, row, x, 0, i);
    }
    if (s.vectors >= REALS)
        for (; i + REALS <= t->steps; i += REALS) {
            v_load_square(x, s.from + i, s.apart);
#pragma GCC unroll 16
            for (int v = 0; v < REALS; v++) __builtin_prefetch(s.from + (REALS + v) * s.apart + i, 0, 2);
            add_steps(&chain, row, x, i, REALS);
        }
    for (; i < t->steps; i += REALS) {
        const ptrdiff_t n = at_most(t->steps - i, REALS);
        load_edge(x, &s, 0, i, n);
        add_steps(&chain, row, x, i, n);
    }
    if (t->steps % PRODUCT_DEPTH) end_piece(&chain);
    memcpy(to, &chain.out, bytes);
}

/* ---- a matrix whose rows are contiguous ------------------------------------------------------------------------------ */

/* sum[n] += row[steps] times rows of b, which are `along` reals apart. */
FL_INLINE void add_rows(real *restrict sum, const real *row, const real *b, ptrdiff_t along, ptrdiff_t steps, ptrdiff_t n) {
    const real *restrict b0 = b, *restrict b1 = b + along, *restrict b2 = b1 + along, *restrict b3 = b2 + along;
    ptrdiff_t i = 0;
    for (; i + 4 <= steps; i += 4, b0 += 4 * along, b1 += 4 * along, b2 += 4 * along, b3 += 4 * along) {
        FL_INDEPENDENT
        for (ptrdiff_t c = 0; c < n; c++) {
            const real half = r_fma(row[i + 1], b1[c], r_fma(row[i], b0[c], sum[c]));
            sum[c] = r_fma(row[i + 3], b3[c], r_fma(row[i + 2], b2[c], half));
        }
    }
    for (; i < steps; i++, b0 += along) {
        FL_INDEPENDENT
        for (ptrdiff_t c = 0; c < n; c++) sum[c] = r_fma(row[i], b0[c], sum[c]);
    }
}

/* A tile of out, by pieces of the depth. Sums lie as b does to cache lines, so that neither's registers cross them. */
static void product_row_across(const fl_product_job *job, struct product_scratch *s, const struct tile_part *t) {
    const ptrdiff_t n = t->end - t->c0, along = job->b_along;
    const ptrdiff_t past = (ptrdiff_t)((uintptr_t)columns_of(job, t->c0, t->d).from % 64 / sizeof(real));
    const ptrdiff_t head = at_most(n, past ? 64 / (ptrdiff_t)sizeof(real) - past : 0);
    real *restrict sum = s->columns + past, *restrict to = (real *)job->out + t->r0 * job->out_apart + t->c0;
    for (ptrdiff_t d = 0; d < t->steps; d += PRODUCT_DEPTH) {
        const ptrdiff_t steps = at_most(t->steps - d, PRODUCT_DEPTH);
        const real *b = columns_of(job, t->c0, t->d + d).from;
        memset(sum, 0, (size_t)n * sizeof(real));
        add_rows(sum, s->rows + d, b, along, steps, head);
        add_rows(sum + head, s->rows + d, b + head, along, steps, n - head);
        const int add = job->add || t->d + d > 0;
        FL_INDEPENDENT
        for (ptrdiff_t c = 0; c < n; c++) to[c] = add ? to[c] + sum[c] : sum[c];
    }
}

/* A tile of a single row, of which as many steps are copied as there is room for. */
static void product_single(const fl_product_job *job, struct product_scratch *s, struct tile_part *t) {
    enum { SPAN = P_ROOM / PRODUCT_DEPTH * PRODUCT_DEPTH };
    for (t->d = 0; t->d < job->depth; t->d += SPAN) {
        const real *from = (const real *)job->a + t->r0 * job->a_apart + t->d * job->a_along;
        t->steps = at_most(job->depth - t->d, SPAN);
        for (ptrdiff_t i = 0; i < t->steps; i++) s->rows[i] = from[i * job->a_along];
        if (job->b_along == 1)
            for (ptrdiff_t c = t->c0; c < t->end; c += REALS) product_row(job, s->rows, t, c);
        else
            product_row_across(job, s, t);
    }
}
_Static_assert(P_TILE_PANELS * P_COLUMNS + 64 <= PRODUCT_DEPTH * P_COLUMNS, "a panel holds a tile's sums");

#endif
