/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_actions.h: draws jobs of policies and of action values. */
#ifndef FUZZ_ACTIONS_H
#define FUZZ_ACTIONS_H

#include "fuzz_rows.h"

static void draw_policy(struct source *s) {
    fl_row_job *r = &job.rows;
    static int64_t read[1 << 16];
    draw_logits(s, r);
    const ptrdiff_t where[2] = {r->positions / r->inner, r->inner};
    if (chance(s, 25)) operand(s, &r->mask, 2, where, FL_BOOL, 4, TAME);
    r->holds = chance(s, 40) ? FL_LOG_PROBABILITIES : FL_LOGITS;
    r->every_label = 1;
    labels(s, &r->target, 2, where, r->classes, chance(s, 30), read, r->positions);
    operand(s, &r->advantage, 2, where, real_or_any(s, 1), 4, job.values);
    r->entropy = chance(s, 50) ? 0 : 0.25;
    if (chance(s, 50)) r->value = reals(r->positions);
    if (chance(s, 60)) draw_row_gradient(s, r, where);
    job.size = r->positions * r->classes;
}

/* Rows like those of `given`. */
static void alike(struct source *s, fl_row_job *rows, const fl_row_job *given) {
    *rows = *given;
    rows->class_stride = by_class(s, &rows->logits, rows, rows->classes, real_or_any(s, 1), job.values);
}

static void draw_actions(struct source *s) {
    fl_action_job *a = &job.action;
    fl_row_job *r = &a->rows;
    static fl_row_job next, judge;
    static int64_t read[1 << 16];
    draw_logits(s, r);
    const ptrdiff_t where[2] = {r->positions / r->inner, r->inner};
    alike(s, &next, r);
    if (chance(s, 40)) alike(s, &judge, r), a->judge = &judge;
    a->next = &next;
    r->every_label = 1;
    labels(s, &r->target, 2, where, r->classes, chance(s, 30), read, r->positions);
    if (chance(s, 25)) operand(s, &r->mask, 2, where, FL_BOOL, 4, TAME);
    operand(s, &a->reward, 2, where, real_or_any(s, 1), 4, job.values);
    if (chance(s, 50)) operand(s, &a->done, 2, where, FL_BOOL, 4, TAME);
    if (chance(s, 30)) operand(s, &a->weight, 2, where, real_or_any(s, 1), 4, UNIT_VALUES);
    a->discount = (double)pick(s, 9) / 8, a->delta = (double)ONE_OF(s, 0, 1, 2) / 2;
    if (chance(s, 50)) r->value = reals(r->positions);
    if (chance(s, 60)) draw_row_gradient(s, r, where);
    job.size = r->positions * r->classes;
}

#endif
