/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_run.h: runs the job at hand on one ISA and keeps what it wrote. */
#ifndef FUZZ_RUN_H
#define FUZZ_RUN_H

#include "fuzz_tiles.h"

static fl_unit_fn entry_of(const fl_kernels *table) {
    switch (job.kind) {
    case ELEMENTWISE: return table->elementwise;
    case CROSS_ENTROPY: return table->cross_entropy;
    case PROBABILITIES: return table->probabilities;
    case ROW_LABELS: return table->row_labels;
    case MULTI_MARGIN: return table->multi_margin;
    case MULTILABEL: return table->multilabel_margin;
    case MULTILABEL_LABELS: return table->multilabel_labels;
    case CTC: return table->ctc;
    case TOKENS: return table->tokens;
    case LINEAR: return table->linear_row;
    case BOX: return table->box;
    case BOX_MATRIX: return table->box_matrix;
    case DISTANCE: return table->distance;
    case MINING: return table->mine_row;
    case DIRECTIONS: return table->direction_row;
    case PRODUCT: return table->product;
    case SCAN: return table->scan;
    case POLICY: return table->policy;
    case ACTIONS: return table->actions;
    default: return table->overlap_sums;
    }
}

static void hash(int isa, const void *data, ptrdiff_t size) {
    for (ptrdiff_t i = 0; i < size; i++) digest[isa][job.kind] = (digest[isa][job.kind] ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
}

/* Which NaN it is is the compiler's choice: all are one. */
static void keep_outputs(int isa) {
    for (int k = 0; k < job.n_outputs; k++) {
        struct output *o = &job.outputs[k];
        memcpy(o->found[isa], o->at, (size_t)o->size);
        for (ptrdiff_t i = 0; i < o->size && o->real_size == 4; i += 4) {
            float x;
            memcpy(&x, o->found[isa] + i, 4);
            if (x != x) memset(o->found[isa] + i, 0xff, 4);
        }
        for (ptrdiff_t i = 0; i < o->size && o->real_size == 8; i += 8) {
            double x;
            memcpy(&x, o->found[isa] + i, 8);
            if (x != x) memset(o->found[isa] + i, 0xff, 8);
        }
    }
}

/* What follows the sums of overlaps, unless they found an offender. */
static void after_sums(const fl_kernels *table, fl_partial *partials, fl_fold *fold) {
    const fl_overlap_job *o = &job.overlap;
    const int gradient = o->rows.grad.data != NULL;
    if (job.kind == LOVASZ)
        for (ptrdiff_t unit = 0; unit < job.groups * o->rows.classes; unit++)
            fl_parallel_for(unit, unit + 1, 1, 1, table->lovasz_class, o, partials, fold);
    const fl_unit_fn fn = job.kind == OVERLAP ? table->overlap_gradient : o->max ? table->lovasz_chain : NULL;
    for (ptrdiff_t unit = 0; gradient && fn && fold->total.bad < 0 && unit < job.units; unit++)
        fl_parallel_for(unit, unit + 1, 1, 1, fn, o, partials, fold);
}

/* Columns of the second matrix packed, as this ISA has them, if they are to be. */
static void pack_columns(const fl_kernels *table, fl_partial *partials, fl_fold *fold) {
    fl_product_job *p = &job.product;
    const ptrdiff_t panels = (p->columns + table->product_panel - 1) / table->product_panel;
    const ptrdiff_t pieces = (p->depth + table->product_depth - 1) / table->product_depth;
    if (job.packed) p->panels = memory((size_t)(panels * table->product_panel * p->depth * job.real_size), 0);
    for (ptrdiff_t unit = 0; job.packed && unit < panels * pieces; unit++)
        fl_parallel_for(unit, unit + 1, 1, 1, table->pack_product, p, partials, fold);
}

static void run_on(int isa, struct source s) {
    static fl_partial partials[MAX_UNITS];
    if (fl_isa_choose(isas[isa]) != 0) abort();
    const fl_kernels *table = fl_table(job.real_size);
    fl_fold fold;
    for (int k = 0; k < job.n_outputs; k++) {
        const struct output *o = &job.outputs[k];
        memset(o->at, o->first, (size_t)o->size);
    }
    if (job.kind == LINEAR) refill_tile(s);
    if ((job.kind >= CROSS_ENTROPY && job.kind <= MULTILABEL_LABELS) || job.kind == POLICY || job.kind == ACTIONS) {
        const ptrdiff_t block = table->row_block(&job.rows); /* of actions too: their rows stand first */
        job.units = (job.rows.positions + block - 1) / block;
    }
    if (job.kind == TOKENS) {
        const ptrdiff_t block = table->row_block(&job.tokens.rows);
        job.units = (job.tokens.rows.positions + block - 1) / block;
    }
    if (job.kind == DISTANCE) {
        const ptrdiff_t block = table->distance_block(&job.distance);
        job.units = (job.distance.rows + block - 1) / block;
    }
    if (job.kind == CTC) {
        const ptrdiff_t size = table->ctc_workspace(&job.ctc);
        char *space = memory((size_t)size + 63, 0);
        job.ctc.workspace = space + (-(uintptr_t)space & 63);
        job.ctc.workspace_bytes = size;
    }
    if (job.kind == LOVASZ) {
        const ptrdiff_t size = table->lovasz_workspace(&job.overlap);
        char *space = memory((size_t)size + 63, 0);
        job.overlap.workspace = space + (-(uintptr_t)space & 63);
        job.overlap.workspace_bytes = size;
    }
    fl_fold_init(&fold);
    if (job.kind == PRODUCT) {
        pack_columns(table, partials, &fold);
        const ptrdiff_t most = table->product_columns / table->product_panel;
        job.product.tile_panels = 1 + job.product.depth % most; /* any will do */
        const ptrdiff_t columns = job.product.tile_panels * table->product_panel;
        job.units = ((job.product.rows + table->product_rows - 1) / table->product_rows) *
                    ((job.product.columns + columns - 1) / columns);
    }
    for (ptrdiff_t first = 0; first < job.units; first += 32) {
        const ptrdiff_t last = first + 32 < job.units ? first + 32 : job.units;
        job.elementwise.stage_first = job.kind == ELEMENTWISE ? first : job.elementwise.stage_first;
        fl_parallel_for(first, last, 1, 1, entry_of(table), &job.elementwise, partials, &fold);
        if (job.kind == ELEMENTWISE) table->fold_stages(&job.elementwise, first, last);
    }
    if ((job.kind == OVERLAP || job.kind == LOVASZ) && fold.total.bad < 0) after_sums(table, partials, &fold);
    job.found[isa] = fold.total;
    job.found[isa].sum = fl_fold_sum(&fold);
    job.found[isa].weight = fl_fold_weight(&fold);
    keep_outputs(isa);
    check_canaries();
}

#endif
