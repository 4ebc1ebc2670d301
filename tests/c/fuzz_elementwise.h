/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_elementwise.h: draws jobs of elementwise losses. */
#ifndef FUZZ_ELEMENTWISE_H
#define FUZZ_ELEMENTWISE_H

#include "fuzz_job.h"

static void staged(fl_operand *acc, void **stage, int ndim, const ptrdiff_t *shape, int spread) {
    ptrdiff_t strides[FL_MAX_DIMS], stride = 8, size = 1;
    for (int k = ndim - 1; k >= 0; k--) {
        strides[k] = spread >> k & 1 ? 0 : stride;
        if (strides[k]) stride *= shape[k], size *= shape[k];
    }
    fl_operand_init(acc, output(size, 8, 0), FL_FLOAT64, 0, ndim, shape, strides);
    *stage = memory((size_t)(32 * FL_BLOCK * job.real_size), 0);
}

static void draw_elementwise(struct source *s, const fl_kernels *table) {
    fl_elementwise_job *e = &job.elementwise;
    const int ndim = 1 + (int)pick(s, 4);
    ptrdiff_t shape[4];
    e->loss = (int)pick(s, table->n_losses);
    const fl_loss_info *info = &table->losses[e->loss];
    e->size = 1;
    for (int k = 0; k < ndim; k++)
        e->size *= shape[k] = k ? ONE_OF(s, 1, 2, 3, 5, 16) : ONE_OF(s, 1, 2, 7, 15, 16, 17, 33, 64, 300, 513, 1025, 4100);
    for (int k = 0; k < info->n_operands; k++) {
        const int spreads = chance(s, 20) ? 16 : 0;
        operand(s, &e->in[k], ndim, shape, real_or_any(s, 0), spreads, job.values);
    }
    if (chance(s, 25)) operand(s, &e->weight, ndim, shape, real_or_any(s, 0), 16, job.values);
    if (chance(s, 25)) operand(s, &e->mask, ndim, shape, FL_BOOL, 16, TAME);
    if (chance(s, 25)) operand(s, &e->grad_output, ndim, shape, real_or_any(s, 1), 16, job.values);
    for (int k = 0; k < info->n_params; k++) e->param[k] = (double)ONE_OF(s, 1, 2, 3, 4, 6, 8) / 4;
    e->scale = 1.0 / (double)ONE_OF(s, 1, 1, 3, 1000);
    const int hess = info->n_predictions == 1 && chance(s, 20);
    const int gradient = info->n_predictions > 0 && (hess || chance(s, 60));
    e->want = FL_VALUE | (gradient ? FL_GRAD : 0) | (hess ? FL_HESS : 0);
    const ptrdiff_t kind = pick(s, 4);
    if (kind == 0) e->value = reals(e->size);
    if (kind == 1) staged(&e->value_acc, &e->value_stage, ndim, shape, (int)pick(s, 16));
    for (int k = 0; gradient && k < info->n_predictions; k++)
        if (chance(s, 25))
            staged(&e->grad_acc[k], &e->stage[k], ndim, shape, (int)pick(s, 16));
        else
            e->grad[k] = reals(e->size);
    if (hess) e->hess = reals(e->size);
    e->stream = (int)(e->size & 1); /* no draw of its own: the jobs of a seed stay what they were */
    job.units = (e->size + FL_BLOCK - 1) / FL_BLOCK;
    job.size = e->size;
}

#endif
