/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_overlap.h: draws jobs of masks: overlaps and Lovasz losses. */
#ifndef FUZZ_OVERLAP_H
#define FUZZ_OVERLAP_H

#include "fuzz_rows.h"

/* Sums, then gradients by them; or, of Lovasz losses, sorted errors and the chain through the softmax. */
static void draw_overlap(struct source *s) {
    fl_overlap_job *o = &job.overlap;
    fl_row_job *r = &o->rows;
    static int64_t read[1 << 16];
    static int taken;
    draw_logits(s, r);
    const ptrdiff_t where[2] = {r->positions / r->inner, r->inner};
    const int masks = chance(s, 50), given = chance(s, 30);
    o->group_size = chance(s, 50) ? r->inner : r->positions;
    job.groups = r->positions / o->group_size;
    o->unit = ONE_OF(s, 512, 4096);
    o->units = (o->group_size + o->unit - 1) / o->unit;
    o->hinge = job.kind == LOVASZ && masks;
    r->holds = given && !o->hinge ? FL_PROBABILITIES : FL_LOGITS;
    if (r->holds == FL_PROBABILITIES) r->class_stride = by_class(s, &r->logits, r, r->classes, real_or_any(s, 1), UNIT_VALUES);
    r->ignore_index = any_label(s, r->classes, 1);
    if (chance(s, 25)) operand(s, &r->mask, 2, where, FL_BOOL, 4, TAME);
    if (masks) {
        o->hard = job.kind == LOVASZ || chance(s, 30);
        r->distribution_stride = by_class(s, &r->distribution, r, r->classes, o->hard ? FL_BOOL : real_or_any(s, 1), UNIT_VALUES);
    } else {
        labels(s, &r->target, 2, where, r->classes, chance(s, 30), read, r->positions);
        if (r->holds == FL_LOGITS) o->max = reals(r->positions), o->inverse = reals(r->positions);
    }
    o->sums = output(job.groups * o->units * r->classes * FL_OVERLAP_SUMS, 8, 0);
    o->slopes = doubles(s, 2 * job.groups * r->classes);
    if (job.kind == LOVASZ) {
        char *wanted = memory((size_t)(job.groups * r->classes), 0);
        for (ptrdiff_t k = 0; k < job.groups * r->classes; k++) wanted[k] = (any(s) >> 60) < 12;
        o->wanted = wanted;
        o->losses = output(job.groups * r->classes, 8, 0);
        o->workspace_taken = &taken, o->workspaces = 1, taken = 0;
    }
    if (chance(s, 60)) draw_row_gradient(s, r, where);
    r->grad_output.data = NULL;
    job.units = job.groups * o->units;
    job.size = r->positions * r->classes;
}

#endif
