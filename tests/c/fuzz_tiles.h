/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_tiles.h: draws jobs of one tile of logits, for linear_cross_entropy. */
#ifndef FUZZ_TILES_H
#define FUZZ_TILES_H

#include "fuzz_job.h"

/* Gradients of one tile; or its fold, whose state is the output. */
static void draw_linear(struct source *s) {
    fl_tile_job *t = &job.tile;
    t->rows = 1 + pick(s, 9);
    t->classes = ONE_OF(s, 1, 2, 15, 16, 17, 100, 513, 1030);
    t->first = ONE_OF(s, 0, 5, 1000);
    t->stride = (t->classes + FL_LANES - 1) / FL_LANES * FL_LANES;
    t->want = chance(s, 50) ? FL_GRAD : FL_VALUE;
    const ptrdiff_t cells = t->rows * t->stride;
    t->logits = output(cells, job.real_size, 0);
    char *bias = chance(s, 50) ? memory((size_t)(t->stride * job.real_size), 0) : NULL;
    const ptrdiff_t kind = pick(s, 3), dense_size = kind == 1 ? cells : t->stride;
    char *dense = kind ? memory((size_t)(dense_size * job.real_size), 0) : NULL;
    for (ptrdiff_t i = 0; bias && i < t->stride; i++)
        encode(bias + i * job.real_size, job.real, 0, i < t->classes ? number(s, job.values) : 0);
    for (ptrdiff_t i = 0; dense && i < dense_size; i++)
        encode(dense + i * job.real_size, job.real, 0, i % t->stride < t->classes ? number(s, UNIT_VALUES) : 0);
    t->bias = bias, t->dense = dense, t->dense_stride = kind == 1 ? t->stride : 0;
    static int64_t label[16];
    for (ptrdiff_t r = 0; r < t->rows; r++)
        label[r] = chance(s, 10) ? FL_LEFT_OUT : chance(s, 10) ? -1 : (ptrdiff_t)(any(s) >> 8) % (t->first + 2 * t->classes);
    t->label = label;
    double **state[] = {&t->max, &t->rest, &t->ones, &t->target_logit, &t->distance, &t->mass};
    for (int k = 0; k < 6; k++) *state[k] = t->want == FL_VALUE ? output(t->rows, 8, 0) : doubles(s, t->rows);
    t->inverse = doubles(s, t->rows), t->at_target = doubles(s, t->rows), t->dense_factor = doubles(s, t->rows);
    job.units = t->rows;
    job.size = cells;
}

/* The tile is input and output: the same numbers before each run. */
static void refill_tile(struct source s) {
    fl_tile_job *t = &job.tile;
    for (ptrdiff_t i = 0; i < t->rows * t->stride; i++)
        encode((char *)t->logits + i * job.real_size, job.real, 0, number(&s, job.values));
    for (ptrdiff_t r = 0; r < t->rows && t->want == FL_VALUE; r++)
        t->max[r] = job.real_size == 4 ? -3.4028234663852886e38 : -1.7976931348623157e308;
}

#endif
