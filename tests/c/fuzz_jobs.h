/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_jobs.h: draws one job, runs it on every ISA, compares what they did. */
#ifndef FUZZ_JOBS_H
#define FUZZ_JOBS_H

#include "fuzz_memory.h"

enum { ELEMENTWISE, CROSS_ENTROPY, PROBABILITIES, ROW_LABELS, MULTI_MARGIN, MULTILABEL, MULTILABEL_LABELS, CTC, TOKENS,
       LINEAR, BOX, BOX_MATRIX, DISTANCE, MINING, DIRECTIONS, SCAN, POLICY,
       ACTIONS, OVERLAP, LOVASZ, KINDS };
static const char *const kind_name[KINDS] = {
    "elementwise", "cross_entropy", "probabilities", "row_labels", "multi_margin", "multilabel_margin",
    "multilabel_labels", "ctc", "tokens", "linear_row", "box", "box_matrix", "distance", "mining", "directions", "scan",
    "policy", "actions", "overlap", "lovasz"};

enum { MAX_OUTPUTS = 8, MAX_ISAS = 4, MAX_UNITS = 4096 };

/* An array that a job writes; what each ISA wrote is kept. */
struct output {
    char *at, *found[MAX_ISAS];
    ptrdiff_t size;
    int real_size;  /* 4, 8; 0: integers */
    char first;     /* byte that it is filled with before a run */
};

/* The job at hand. */
static struct job {
    int kind, real_size, real, values; /* real: the dtype */
    union {
        fl_elementwise_job elementwise;
        fl_row_job rows;
        fl_token_job tokens;
        fl_ctc_job ctc;
        fl_tile_job tile;
        fl_box_job box;
        fl_distance_job distance;
        fl_mining_job mining;
        fl_direction_job direction;
        fl_scan_job scan;
        fl_action_job action;
        fl_overlap_job overlap;
    };
    fl_row_job other;
    struct output outputs[MAX_OUTPUTS];
    int n_outputs;
    ptrdiff_t groups;           /* of overlaps */
    ptrdiff_t units, size, bad; /* bad: the first offender that a plain loop finds, -1, or -2: it was not asked */
    double counted, worth;      /* rows that count, or -1; what sums may reach */
    fl_partial found[MAX_ISAS];
} job;

static const char *isas[MAX_ISAS];
static int n_isas;
static uint64_t digest[MAX_ISAS][KINDS];
static long n_jobs, jobs_of[KINDS];

static void fault(const char *what) {
    fprintf(stderr, "%s: %s, float%d, values %d, %td units, size %td", what, kind_name[job.kind], 8 * job.real_size,
            job.values, job.units, job.size);
    if (job.kind == ELEMENTWISE) fprintf(stderr, ", loss %d, want %d", job.elementwise.loss, job.elementwise.want);
    if (job.kind >= CROSS_ENTROPY && job.kind <= MULTILABEL_LABELS)
        fprintf(stderr, ", %td x %td classes, inner %td, want %d, smoothing %g, gamma %g, z %g, power %d",
                job.rows.positions, job.rows.classes, job.rows.inner, job.rows.want, job.rows.smoothing,
                job.rows.gamma, job.rows.z_loss, job.rows.power);
    if (job.kind == TOKENS)
        fprintf(stderr, ", kind %d, %td x %td", job.tokens.kind, job.tokens.rows.positions, job.tokens.rows.classes);
    if (job.kind == CTC)
        fprintf(stderr, ", T %td, N %td, C %td, logits %d, exact %d, gradient %d", job.ctc.frames, job.ctc.samples,
                job.ctc.classes, job.ctc.from_logits, job.ctc.exact, job.ctc.grad != NULL);
    fprintf(stderr, "\n");
    for (int i = 0; i < n_isas; i++)
        fprintf(stderr, "%s: sum %.17g, weight %.17g, bad %td of operand %d\n", isas[i], job.found[i].sum,
                job.found[i].weight, job.found[i].bad, job.found[i].bad_operand);
    abort();
}

static void *output(ptrdiff_t size, int real_size, char first) {
    struct output *o = &job.outputs[job.n_outputs++];
    const ptrdiff_t item = real_size ? real_size : 8;
    *o = (struct output){memory((size_t)(size * item), 0), {NULL}, size * item, real_size, first, NULL};
    for (int i = 0; i < n_isas; i++) o->found[i] = memory((size_t)o->size, 0);
    return o->at;
}

static void *reals(ptrdiff_t size) { return output(size, job.real_size, (char)0xa5); }

static ptrdiff_t one_of(struct source *s, const ptrdiff_t *list, size_t bytes) {
    return list[pick(s, (ptrdiff_t)(bytes / sizeof *list))];
}
#define ONE_OF(s, ...) one_of(s, (const ptrdiff_t[]){__VA_ARGS__}, sizeof(const ptrdiff_t[]){__VA_ARGS__})

static int real_or_any(struct source *s, int floats_only) {
    if (chance(s, 60)) return job.real;
    return floats_only ? FL_FLOAT16 + (int)pick(s, 4) : (int)pick(s, FL_N_DTYPES);
}

/* ---- elementwise ------------------------------------------------------------------------------------------------- */

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

/* ---- rows of classes --------------------------------------------------------------------------------------------- */

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

static void draw_rows(struct source *s) {
    fl_row_job *r = &job.rows;
    draw_logits(s, r);
    const ptrdiff_t where[2] = {r->positions / r->inner, r->inner};
    const int lists = job.kind == MULTILABEL || job.kind == MULTILABEL_LABELS, margin = lists || job.kind == MULTI_MARGIN;
    static int64_t read[1 << 16];
    if (chance(s, 25)) operand(s, &r->mask, 2, where, FL_BOOL, 4, TAME);
    r->every_label = lists || chance(s, 50);
    r->ignore_index = any_label(s, r->classes, 1);
    r->holds = job.kind == PROBABILITIES ? 1 + (int)pick(s, 2) : FL_LOGITS;
    job.counted = 0;
    if (lists) {
        const int bools = chance(s, 30);
        r->slots = bools ? r->classes : 1 + pick(s, r->classes);
        const ptrdiff_t shape[3] = {where[0], r->slots, r->inner};
        if (bools)
            r->slot_stride = by_class(s, &r->target, r, r->slots, FL_BOOL, TAME);
        else {
            fl_operand all;
            labels(s, &all, 3, shape, r->classes, chance(s, 30), read, r->positions * r->slots);
            /* labels() merged axes: take the strides apart again by two places */
            ptrdiff_t index[FL_MAX_DIMS], strides[3] = {0, 0, 0};
            const char *at;
            for (int k = 0; k < 3; k++) {
                const ptrdiff_t step = k == 0 ? r->slots * r->inner : k == 1 ? r->inner : 1;
                if (shape[k] == 1) continue;
                fl_unravel(&all, step, index);
                fl_next_run(&all, index, 1, &at);
                strides[k] = at - all.data;
            }
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
    } else if (!margin && job.kind != ROW_LABELS && r->holds != FL_LOG_PROBABILITIES && chance(s, 30)) {
        r->distribution_stride = by_class(s, &r->distribution, r, r->classes, real_or_any(s, 1),
                                          job.values == TAME ? UNIT_VALUES : job.values);
        for (ptrdiff_t p = 0; p < r->positions; p++) job.counted += is_counted(r, p);
    } else {
        labels(s, &r->target, 2, where, r->classes, chance(s, 40), read, r->positions);
        for (ptrdiff_t p = 0; p < r->positions; p++) {
            if (!is_counted(r, p) || (!r->every_label && read[p] == r->ignore_index)) continue;
            if (read[p] >= 0 && read[p] < r->classes)
                job.counted += 1;
            else if (job.bad == -1)
                job.bad = p;
        }
    }
    if (job.kind == PROBABILITIES) job.bad = -2; /* what is no probability may come first */
    if (!lists && chance(s, 30)) {
        char *weight = memory((size_t)(r->classes * job.real_size), 0);
        for (ptrdiff_t c = 0; c < r->classes; c++)
            encode(weight + c * job.real_size, job.real, 0, number(s, job.values == TAME ? UNIT_VALUES : job.values));
        r->class_weight = weight;
        job.counted = -1;
    }
    const ptrdiff_t kind = pick(s, 4);
    if (job.kind == CROSS_ENTROPY && kind == 0 && r->target.data) r->gamma = (double)ONE_OF(s, 0, 1, 2, 3) / 2;
    if (job.kind == PROBABILITIES && kind == 0 && r->target.data && r->holds == FL_PROBABILITIES)
        r->gamma = (double)ONE_OF(s, 0, 1, 2, 3) / 2;
    if ((job.kind == CROSS_ENTROPY || r->holds == FL_PROBABILITIES) && kind == 1) r->smoothing = (double)ONE_OF(s, 1, 2, 4) / 4;
    if (job.kind == CROSS_ENTROPY && (kind == 2 || chance(s, 10)) && r->gamma < 0) r->z_loss = 0.125;
    r->power = 1 + (int)pick(s, 2);
    r->margin = (double)ONE_OF(s, 0, 1, 2, 8) / 2;
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
    static int64_t read[1 << 16];
    t->kind = (int)pick(s, 5);
    if (t->kind == FL_TOPK) {
        t->k = 1 + pick(s, t->rows.classes);
        t->index = output(t->rows.positions * t->k, 0, (char)0xa5);
    } else if (chance(s, 30))
        operand(s, &t->rows.mask, 2, where, FL_BOOL, 4, TAME);
    if (t->kind == FL_TOPK || chance(s, 60)) t->rows.value = reals(t->rows.positions * (t->kind == FL_TOPK ? t->k : 1));
    if (t->kind == FL_LOG_PROB) {
        t->rows.ignore_index = any_label(s, t->rows.classes, 1);
        labels(s, &t->rows.target, 2, where, t->rows.classes, chance(s, 40), read, t->rows.positions);
        job.counted = 0;
        for (ptrdiff_t p = 0; p < t->rows.positions; p++) {
            if (!is_counted(&t->rows, p) || read[p] == t->rows.ignore_index) continue;
            if (read[p] >= 0 && read[p] < t->rows.classes)
                job.counted += 1;
            else if (job.bad == -1)
                job.bad = p;
        }
    }
    if (t->kind == FL_DIVERGENCE) {
        job.other = t->rows;
        job.other.class_stride =
            by_class(s, &job.other.logits, &job.other, t->rows.classes, real_or_any(s, 1), job.values);
        t->other = &job.other;
    }
    job.size = t->rows.positions * t->rows.classes;
}

/* ---- sequences, tiles -------------------------------------------------------------------------------------------- */

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

static double *doubles(struct source *s, ptrdiff_t n, int zero) {
    double *x = (double *)(void *)memory((size_t)n * sizeof(double), 0);
    for (ptrdiff_t i = 0; i < n; i++) x[i] = zero ? 0 : number(s, UNIT_VALUES);
    return x;
}

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
    for (int k = 0; k < 6; k++) *state[k] = t->want == FL_VALUE ? output(t->rows, 8, 0) : doubles(s, t->rows, 0);
    t->inverse = doubles(s, t->rows, 0), t->at_target = doubles(s, t->rows, 0), t->dense_factor = doubles(s, t->rows, 0);
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

#include "fuzz_vectors.h"

/* ---- one run on one ISA -------------------------------------------------------------------------------------------- */

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

/* ---- comparison --------------------------------------------------------------------------------------------------- */

static int same(double a, double b) { return a == b || (a != a && b != b); }

static int near(double a, double b, double scale) {
    const double most = (job.real_size == 4 ? 1e-3 : 1e-9) * (1 + scale);
    return same(a, b) || fabs(a - b) <= most || !isfinite(scale);
}

static double element(const struct output *o, int isa, ptrdiff_t i) {
    float f;
    double d;
    memcpy(&f, o->found[isa] + i * o->real_size, 4);
    if (o->real_size == 4) return f;
    memcpy(&d, o->found[isa] + i * o->real_size, 8);
    return d;
}

static void compare_near(int isa) {
    for (int k = 0; k < job.n_outputs; k++) {
        const struct output *o = &job.outputs[k];
        double largest = 0;
        for (ptrdiff_t i = 0; o->real_size && i < o->size / o->real_size; i++) {
            const double x = fabs(element(o, 0, i));
            largest = x > largest ? x : largest;
        }
        for (ptrdiff_t i = 0; o->real_size && i < o->size / o->real_size; i++)
            if (!near(element(o, 0, i), element(o, isa, i), o->real_size == 8 && job.real_size == 4 ? largest * 10 : largest))
                fault("the baseline is far off");
    }
}

static void compare_equal(int a, int b) {
    const fl_partial *x = &job.found[a], *y = &job.found[b];
    if (!same(x->sum, y->sum) || !same(x->weight, y->weight)) fault("other sums");
    for (int k = 0; k < job.n_outputs; k++)
        if (memcmp(job.outputs[k].found[a], job.outputs[k].found[b], (size_t)job.outputs[k].size)) fault("other bits");
}

static void compare(void) {
    int first_fused = 0;
    while (first_fused < n_isas && strcmp(isas[first_fused], "baseline") == 0) first_fused++;
    for (int i = 0; i < n_isas; i++) {
        if (job.found[i].bad != job.found[0].bad || (job.found[i].bad >= 0 && job.found[i].bad_operand != job.found[0].bad_operand))
            fault("another first offender");
        if (job.bad != -2 && job.found[i].bad != job.bad) fault("not the first bad label");
        if (job.found[i].bad >= 0) continue; /* results are void */
        if (job.counted >= 0 && job.kind != CTC && job.found[i].weight != job.counted) fault("another number of rows");
        if (i > first_fused) compare_equal(first_fused, i);
        if (first_fused > 0 && i == first_fused && job.values != WILD && job.kind != LOVASZ) /* ranks may change */
            compare_near(i);
        for (int k = 0; k < job.n_outputs; k++) hash(i, job.outputs[k].found[i], job.outputs[k].size);
        if (job.found[i].sum == job.found[i].sum) hash(i, &job.found[i].sum, sizeof(double));
    }
}

/* With FUZZ_TRACE in the environment: what each job gave, to find the first that differs between two machines. */
static void trace(void) {
    if (!getenv("FUZZ_TRACE")) return;
    printf("%ld %s float%d values %d", n_jobs, kind_name[job.kind], 8 * job.real_size, job.values);
    if (job.kind == ELEMENTWISE) printf(" loss %d want %d", job.elementwise.loss, job.elementwise.want);
    printf(" sum %.17g", job.found[n_isas > 1].sum);
    printf(" %016llx\n", (unsigned long long)digest[n_isas > 1][job.kind]);
}

static void find_isas(void) {
    for (int i = 0; fl_isa_name(i); i++)
        if (fl_isa_compiled(i) && fl_isa_supported(i)) isas[n_isas++] = fl_isa_name(i);
}

static void one_job(struct source *s) {
    if (n_isas == 0) find_isas();
    memset(&job, 0, sizeof job);
    job.bad = -1;
    job.counted = -1;
    job.kind = (int)pick(s, KINDS);
    job.real_size = chance(s, 60) ? 4 : fl_table(8)->real_size; /* 4: a build without float64 */
    job.real = job.real_size == 4 ? FL_FLOAT32 : FL_FLOAT64;
    job.values = (int)ONE_OF(s, TAME, UNIT_VALUES, WILD);
    n_jobs++;
    jobs_of[job.kind]++;
    switch (job.kind) {
    case ELEMENTWISE: job.bad = -2, draw_elementwise(s, fl_table(job.real_size)); break;
    case CTC: draw_ctc(s); break;
    case TOKENS: draw_tokens(s); break;
    case LINEAR: draw_linear(s); break;
    case BOX:
    case BOX_MATRIX: draw_boxes(s); break;
    case DISTANCE: job.bad = -2, draw_distance(s); break;
    case MINING: draw_mining(s); break;
    case DIRECTIONS: draw_directions(s); break;
    case SCAN: draw_scan(s); break;
    case POLICY: job.bad = -2, draw_policy(s); break;
    case ACTIONS: job.bad = -2, draw_actions(s); break;
    case OVERLAP:
    case LOVASZ: job.bad = -2, draw_overlap(s); break;
    default: draw_rows(s);
    }
    for (int i = 0; i < n_isas; i++) run_on(i, *s);
    compare();
    trace();
}

#endif
