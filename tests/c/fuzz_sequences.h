/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_sequences.h: draws jobs of sequences: CTC, and scans over time. */
#ifndef FUZZ_SEQUENCES_H
#define FUZZ_SEQUENCES_H

#include "fuzz_rows.h"

static int never(void) { return 0; }

static void draw_ctc(struct source *s) {
    fl_ctc_job *c = &job.ctc;
    static int64_t read[1 << 16], numbers[4][8];
    static int taken, stopped_flag;
    c->want = FL_VALUE;
    c->frames = ONE_OF(s, 0, 1, 2, 9, 16, 17, 33, 70);
    c->samples = 1 + pick(s, 5);
    c->classes = ONE_OF(s, 1, 2, 3, 8, 17, 65);
    c->blank = pick(s, c->classes);
    c->from_logits = chance(s, 50);
    c->zero_infinity = chance(s, 30);
    c->per_label = chance(s, 30);
    c->exact = chance(s, 30);
    const ptrdiff_t shape[3] = {c->frames ? c->frames : 1, c->samples, c->classes};
    ptrdiff_t strides[3], total = 0;
    const int dtype = real_or_any(s, 1), swapped = fl_itemsize(dtype) > 1 && chance(s, 15);
    const char *data = array(s, 3, shape, strides, dtype, swapped, 0, any_layout(s), job.values);
    fl_operand_init(&c->log_probs, data, dtype, swapped, 3, shape, strides);
    c->frame_stride = strides[0], c->sample_stride = strides[1], c->class_stride = strides[2];
    for (ptrdiff_t n = 0; n < c->samples; n++) {
        numbers[0][n] = total;
        total += numbers[1][n] = ONE_OF(s, 0, 1, 2, 3, 8, 15, 16, 17, 30);
        numbers[2][n] = pick(s, c->frames + 1);
        numbers[3][n] = c->samples - 1 - n;
    }
    const ptrdiff_t all = total ? total : 1;
    labels(s, &c->target, 1, &all, c->classes, chance(s, 30), read, all);
    c->target_starts = numbers[0], c->target_lengths = numbers[1], c->input_lengths = numbers[2], c->order = numbers[3];
    for (ptrdiff_t u = 0; u < c->samples; u++)
        for (ptrdiff_t n = c->order[u], k = 0; k < numbers[1][n] && job.bad == -1; k++) {
            int64_t *label = &read[numbers[0][n] + k];
            if (*label < 0 || *label >= c->classes || *label == c->blank) job.bad = numbers[0][n] + k;
        }
    if (chance(s, 30)) operand(s, &c->grad_output, 1, &c->samples, real_or_any(s, 1), 0, job.values);
    c->scale = 1.0 / (double)ONE_OF(s, 1, 1, 3);
    if (chance(s, 50)) c->value = reals(c->samples);
    if (chance(s, 60)) {
        c->want |= FL_GRAD;
        c->grad_is_zero = chance(s, 50);
        c->grad = output(c->frames * c->samples * c->classes, job.real_size, c->grad_is_zero ? 0 : (char)0xa5);
    }
    taken = stopped_flag = 0;
    c->workspace_taken = &taken, c->workspaces = 1;
    c->stopped = &stopped_flag, c->interrupted = never;
    job.units = c->samples;
    job.size = c->frames * c->samples * c->classes;
}

/* steps x columns numbers, as an operand over the columns; the stride from step to step. */
static ptrdiff_t by_step(struct source *s, fl_operand *op, int dtype, int values) {
    const fl_scan_job *c = &job.scan;
    const ptrdiff_t shape[2] = {c->steps, c->columns};
    ptrdiff_t strides[2];
    char *data = array(s, 2, shape, strides, dtype, 0, 0, any_layout(s), values);
    fl_operand_init(op, data, dtype, 0, 1, &c->columns, &strides[1]);
    return strides[0];
}

static ptrdiff_t steps_out(fl_operand *op) {
    const ptrdiff_t item = job.real_size;
    fl_operand_init(op, reals(job.scan.steps * job.scan.columns), job.real, 0, 1, &job.scan.columns, &item);
    return job.scan.columns * item;
}

static void draw_scan(struct source *s) {
    fl_scan_job *c = &job.scan;
    c->steps = ONE_OF(s, 1, 2, 3, 9, 33, 100);
    c->columns = ONE_OF(s, 1, 2, 7, 15, 16, 17, 33, 255, 256, 257);
    if (c->steps * c->columns > 5000) c->steps = 5;
    c->horizon = ONE_OF(s, 0, 0, 1, 2, 5, 200);
    c->discount = (double)pick(s, 9) / 8, c->trace = (double)pick(s, 9) / 8;
    c->reward_stride = by_step(s, &c->reward, real_or_any(s, 1), job.values);
    c->value_stride = by_step(s, &c->value, real_or_any(s, 1), job.values);
    if (chance(s, 60)) c->done_stride = by_step(s, &c->done, FL_BOOL, TAME);
    if (chance(s, 40)) c->cut_stride = by_step(s, &c->cut, FL_BOOL, TAME);
    c->next_each = chance(s, 50);
    if (c->next_each)
        c->next_stride = by_step(s, &c->next, real_or_any(s, 1), job.values);
    else
        operand(s, &c->next, 1, &c->columns, real_or_any(s, 1), 0, job.values);
    if (c->horizon == 0) c->advantage_stride = steps_out(&c->advantage);
    c->target_stride = steps_out(&c->target);
    c->span = c->horizon > 0 ? ONE_OF(s, 1, 2, 7, 100) : c->steps;
    c->spans = (c->steps + c->span - 1) / c->span;
    job.units = (c->columns + FL_SCAN_COLUMNS - 1) / FL_SCAN_COLUMNS * c->spans;
    job.size = c->steps * c->columns;
}

#endif
