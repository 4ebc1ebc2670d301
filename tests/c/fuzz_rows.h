/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_rows.h: draws jobs of rows of classes: cross entropy, probabilities, margins, their labels, tokens. */
#ifndef FUZZ_ROWS_H
#define FUZZ_ROWS_H

#include "fuzz_job.h"

static const int LABEL_TYPES[] = {FL_INT8, FL_INT16, FL_INT32, FL_INT64, FL_UINT8, FL_UINT16, FL_UINT32, FL_UINT64};

static int64_t any_label(struct source *s, ptrdiff_t classes, int hostile) {
    static const int64_t odd[] = {-1, -2, -100, 127, 128, 255, 256, 32767, 65535, INT32_MAX, INT32_MIN, (int64_t)1 << 32,
                                  (int64_t)1 << 40, INT64_MAX, INT64_MIN, INT64_MIN + 1, INT64_MAX - 1};
    const uint64_t x = any(s);
    if (!hostile || x % 64) return (int64_t)((x >> 8) % (uint64_t)classes);
    return x & 64 ? classes + (int64_t)(x >> 60) - 2 : odd[(x >> 8) % (sizeof odd / sizeof odd[0])];
}

/* Labels in some integer type, which may cut them off: what they are then goes to `read`. */
static void labels(struct source *s, fl_operand *op, int ndim, const ptrdiff_t *shape, ptrdiff_t classes, int hostile,
                   int64_t *read, ptrdiff_t size) {
    const int dtype = LABEL_TYPES[pick(s, 8)], swapped = fl_itemsize(dtype) > 1 && chance(s, 15);
    const ptrdiff_t item = fl_itemsize(dtype);
    ptrdiff_t strides[FL_MAX_DIMS], index[FL_MAX_DIMS];
    char *data = array(s, ndim, shape, strides, dtype, swapped, 0, any_layout(s), TAME);
    for (ptrdiff_t i = 0; i < size; i++) {
        const int64_t label = any_label(s, classes, hostile);
        char bytes[8], *p = data;
        memcpy(bytes, &label, 8);
        uint64_t raw = 0;
        memcpy(&raw, bytes, (size_t)item);
        const int unused = 64 - 8 * (int)item;
        const int is_signed = dtype < FL_UINT8;
        read[i] = is_signed ? (int64_t)(raw << unused) >> unused : (int64_t)raw;
        if (dtype == FL_UINT64 && raw > INT64_MAX) read[i] = INT64_MIN;
        if (swapped) reverse(bytes, item);
        for (ptrdiff_t k = ndim - 1, rest = i; k >= 0; k--) index[k] = rest % shape[k], rest /= shape[k];
        for (int k = 0; k < ndim; k++) p += index[k] * strides[k];
        memcpy(p, bytes, (size_t)item);
    }
    fl_operand_init(op, data, dtype, swapped, ndim, shape, strides);
}

/* An array of `outer` x `wide` x `inner`, as an operand over the positions and a stride from class to class. */
static ptrdiff_t by_class(struct source *s, fl_operand *op, const fl_row_job *r, ptrdiff_t wide, int dtype, int values) {
    const ptrdiff_t shape[3] = {r->positions / r->inner, wide, r->inner};
    const int swapped = fl_itemsize(dtype) > 1 && chance(s, 15);
    ptrdiff_t strides[3];
    char *data = array(s, 3, shape, strides, dtype, swapped, 0, any_layout(s), values);
    fl_operand_init(op, data, dtype, swapped, 2, (const ptrdiff_t[]){shape[0], shape[2]},
                    (const ptrdiff_t[]){strides[0], strides[2]});
    return strides[1];
}

static void draw_logits(struct source *s, fl_row_job *r) {
    r->classes = ONE_OF(s, 1, 2, 3, 5, 10, 15, 16, 17, 31, 32, 33, 40, 41, 64, 65, 100, 300, 1030);
    r->inner = ONE_OF(s, 1, 1, 1, 2, 7, 17, 40);
    const ptrdiff_t most = 6000 / (r->classes * r->inner);
    r->positions = r->inner * (1 + pick(s, most < 1 ? 1 : most > 200 ? 200 : most));
    r->gamma = -1;
    r->scale = 1.0 / (double)ONE_OF(s, 1, 1, 3, 1000);
    r->want = FL_VALUE;
    r->class_stride = by_class(s, &r->logits, r, r->classes, real_or_any(s, 1), job.values);
}

static void draw_row_gradient(struct source *s, fl_row_job *r, const ptrdiff_t *where) {
    r->want |= FL_GRAD;
    const ptrdiff_t strides[2] = {r->classes * r->inner * job.real_size, job.real_size};
    fl_operand_init(&r->grad, reals(r->positions * r->classes), job.real, 0, 2, where, strides);
    r->grad_class_stride = r->inner * job.real_size;
    if (chance(s, 30)) operand(s, &r->grad_output, 2, where, real_or_any(s, 1), 4, job.values);
}

/* Which positions a mask leaves; native rows of bools. */
static int is_counted(const fl_row_job *r, ptrdiff_t p) {
    ptrdiff_t index[FL_MAX_DIMS];
    const char *at;
    if (!r->mask.data) return 1;
    fl_unravel(&r->mask, p, index);
    fl_next_run(&r->mask, index, 1, &at);
    return *at != 0;
}

/* The merged axes of an operand of outer x slots x inner labels taken apart again: strides, by two places. */
static void strides_of(const fl_operand *all, const ptrdiff_t *shape, ptrdiff_t *strides) {
    const ptrdiff_t step[3] = {shape[1] * shape[2], shape[2], 1};
    for (int k = 0; k < 3; k++) {
        ptrdiff_t index[FL_MAX_DIMS];
        const char *at;
        strides[k] = 0;
        if (shape[k] == 1) continue;
        fl_unravel(all, step[k], index);
        fl_next_run(all, index, 1, &at);
        strides[k] = at - all->data;
    }
}

/* Lists of labels that end at -1, or bools by class. */
static void draw_lists(struct source *s, fl_row_job *r, const ptrdiff_t *where) {
    static int64_t read[1 << 16];
    const int bools = chance(s, 30);
    r->slots = bools ? r->classes : 1 + pick(s, r->classes);
    const ptrdiff_t shape[3] = {where[0], r->slots, r->inner};
    if (bools)
        r->slot_stride = by_class(s, &r->target, r, r->slots, FL_BOOL, TAME);
    else {
        fl_operand all;
        ptrdiff_t strides[3];
        labels(s, &all, 3, shape, r->classes, chance(s, 30), read, r->positions * r->slots);
        strides_of(&all, shape, strides);
        fl_operand_init(&r->target, all.data, all.dtype, all.swapped, 2, where,
                        (const ptrdiff_t[]){strides[0], strides[2]});
        r->slot_stride = strides[1];
    }
    for (ptrdiff_t p = 0; p < r->positions; p++) {
        if (!is_counted(r, p)) continue;
        job.counted += 1;
        for (ptrdiff_t k = 0; !bools && k < r->slots && job.bad == -1; k++) {
            const int64_t label = read[(p / r->inner * r->slots + k) * r->inner + p % r->inner];
            if (label == -1) break;
            if (label < 0 || label >= r->classes) job.bad = p * r->slots + k;
        }
    }
}

/* One label a position; how many count, and the first that is none. */
static void draw_labels(struct source *s, fl_row_job *r, const ptrdiff_t *where) {
    static int64_t read[1 << 16];
    labels(s, &r->target, 2, where, r->classes, chance(s, 40), read, r->positions);
    for (ptrdiff_t p = 0; p < r->positions; p++) {
        if (!is_counted(r, p) || (!r->every_label && read[p] == r->ignore_index)) continue;
        if (read[p] >= 0 && read[p] < r->classes)
            job.counted += 1;
        else if (job.bad == -1)
            job.bad = p;
    }
}

static void draw_class_weight(struct source *s, fl_row_job *r) {
    char *weight = memory((size_t)(r->classes * job.real_size), 0);
    for (ptrdiff_t c = 0; c < r->classes; c++)
        encode(weight + c * job.real_size, job.real, 0, number(s, job.values == TAME ? UNIT_VALUES : job.values));
    r->class_weight = weight;
    job.counted = -1;
}

static void draw_row_options(struct source *s, fl_row_job *r) {
    const int crossed = job.kind == CROSS_ENTROPY;
    const ptrdiff_t kind = pick(s, 4);
    if (crossed && kind == 0 && r->target.data) r->gamma = (double)ONE_OF(s, 0, 1, 2, 3) / 2;
    if (job.kind == PROBABILITIES && kind == 0 && r->target.data && r->holds == FL_PROBABILITIES)
        r->gamma = (double)ONE_OF(s, 0, 1, 2, 3) / 2;
    if ((crossed || r->holds == FL_PROBABILITIES) && kind == 1) r->smoothing = (double)ONE_OF(s, 1, 2, 4) / 4;
    if (crossed && (kind == 2 || chance(s, 10)) && r->gamma < 0) r->z_loss = 0.125;
    r->power = 1 + (int)pick(s, 2);
    r->margin = (double)ONE_OF(s, 0, 1, 2, 8) / 2;
}

static void draw_rows(struct source *s) {
    fl_row_job *r = &job.rows;
    draw_logits(s, r);
    const ptrdiff_t where[2] = {r->positions / r->inner, r->inner};
    const int lists = job.kind == MULTILABEL || job.kind == MULTILABEL_LABELS, margin = lists || job.kind == MULTI_MARGIN;
    if (chance(s, 25)) operand(s, &r->mask, 2, where, FL_BOOL, 4, TAME);
    r->every_label = lists || chance(s, 50);
    r->ignore_index = any_label(s, r->classes, 1);
    r->holds = job.kind == PROBABILITIES ? 1 + (int)pick(s, 2) : FL_LOGITS;
    job.counted = 0;
    if (lists)
        draw_lists(s, r, where);
    else if (!margin && job.kind != ROW_LABELS && r->holds != FL_LOG_PROBABILITIES && chance(s, 30)) {
        r->distribution_stride = by_class(s, &r->distribution, r, r->classes, real_or_any(s, 1),
                                          job.values == TAME ? UNIT_VALUES : job.values);
        for (ptrdiff_t p = 0; p < r->positions; p++) job.counted += is_counted(r, p);
    } else
        draw_labels(s, r, where);
    if (job.kind == PROBABILITIES) job.bad = -2; /* what is no probability may come first */
    if (!lists && chance(s, 30)) draw_class_weight(s, r);
    draw_row_options(s, r);
    if (job.kind != ROW_LABELS && job.kind != MULTILABEL_LABELS) {
        if (chance(s, 50)) r->value = reals(r->positions);
        if (chance(s, 60)) draw_row_gradient(s, r, where);
    }
    job.size = r->positions * r->classes;
}

static void draw_tokens(struct source *s) {
    fl_token_job *t = &job.tokens;
    draw_logits(s, &t->rows);
    const ptrdiff_t where[2] = {t->rows.positions / t->rows.inner, t->rows.inner};
    t->kind = (int)pick(s, 5);
    if (t->kind == FL_TOPK) {
        t->k = 1 + pick(s, t->rows.classes);
        t->index = output(t->rows.positions * t->k, 0, (char)0xa5);
    } else if (chance(s, 30))
        operand(s, &t->rows.mask, 2, where, FL_BOOL, 4, TAME);
    if (t->kind == FL_TOPK || chance(s, 60)) t->rows.value = reals(t->rows.positions * (t->kind == FL_TOPK ? t->k : 1));
    if (t->kind == FL_LOG_PROB) {
        t->rows.ignore_index = any_label(s, t->rows.classes, 1);
        job.counted = 0;
        draw_labels(s, &t->rows, where);
    }
    if (t->kind == FL_DIVERGENCE) {
        job.other = t->rows;
        job.other.class_stride =
            by_class(s, &job.other.logits, &job.other, t->rows.classes, real_or_any(s, 1), job.values);
        t->other = &job.other;
    }
    job.size = t->rows.positions * t->rows.classes;
}

#endif
