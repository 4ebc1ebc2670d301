/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_job.h: the job at hand, what it writes, and the report of a fault. */
#ifndef FUZZ_JOB_H
#define FUZZ_JOB_H

#include "fuzz_memory.h"

enum { ELEMENTWISE, CROSS_ENTROPY, PROBABILITIES, ROW_LABELS, MULTI_MARGIN, MULTILABEL, MULTILABEL_LABELS, CTC, TOKENS,
       LINEAR, BOX, BOX_MATRIX, DISTANCE, MINING, DIRECTIONS, SCAN, POLICY, ACTIONS, OVERLAP, LOVASZ, PRODUCT, KINDS };
static const char *const kind_name[KINDS] = {
    "elementwise", "cross_entropy", "probabilities", "row_labels", "multi_margin", "multilabel_margin",
    "multilabel_labels", "ctc", "tokens", "linear_row", "box", "box_matrix", "distance", "mining", "directions", "scan",
    "policy", "actions", "overlap", "lovasz", "product"};

enum { MAX_OUTPUTS = 8, MAX_ISAS = 4, MAX_UNITS = 4096 };

/* An array that a job writes; what each ISA wrote is kept. */
struct output {
    char *at, *found[MAX_ISAS];
    ptrdiff_t size;
    int real_size; /* 4, 8; 0: integers */
    char first;    /* byte that it is filled with before a run */
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
        fl_product_job product;
        fl_scan_job scan;
        fl_action_job action;
        fl_overlap_job overlap;
    };
    fl_row_job other;
    struct output outputs[MAX_OUTPUTS];
    int n_outputs;
    ptrdiff_t groups;           /* of overlaps */
    int packed;                 /* the columns of a product are packed beforehand */
    ptrdiff_t units, size, bad; /* bad: the first offender that a plain loop finds, -1, or -2: it was not asked */
    double counted;             /* rows that count, or -1 */
    fl_partial found[MAX_ISAS];
} job;

static const char *isas[MAX_ISAS];
static int n_isas;
static uint64_t digest[MAX_ISAS][KINDS];
static long n_jobs, jobs_of[KINDS];

/* Tell what the job was and what each ISA made of it, and end. */
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

/* An array that the job writes: `size` numbers of `real_size` bytes, or integers of 8. */
static void *output(ptrdiff_t size, int real_size, char first) {
    struct output *o = &job.outputs[job.n_outputs++];
    const ptrdiff_t item = real_size ? real_size : 8;
    *o = (struct output){memory((size_t)(size * item), 0), {NULL}, size * item, real_size, first};
    for (int i = 0; i < n_isas; i++) o->found[i] = memory((size_t)o->size, 0);
    return o->at;
}

static void *reals(ptrdiff_t size) { return output(size, job.real_size, (char)0xa5); }

/* An input of n numbers between 0 and 1. */
static double *doubles(struct source *s, ptrdiff_t n) {
    double *x = (double *)(void *)memory((size_t)n * sizeof(double), 0);
    for (ptrdiff_t i = 0; i < n; i++) x[i] = number(s, UNIT_VALUES);
    return x;
}

static ptrdiff_t one_of(struct source *s, const ptrdiff_t *list, size_t bytes) {
    return list[pick(s, (ptrdiff_t)(bytes / sizeof *list))];
}
#define ONE_OF(s, ...) one_of(s, (const ptrdiff_t[]){__VA_ARGS__}, sizeof(const ptrdiff_t[]){__VA_ARGS__})

/* A dtype: mostly that of the job, else any, or any of floating point. */
static int real_or_any(struct source *s, int floats_only) {
    if (chance(s, 60)) return job.real;
    return floats_only ? FL_FLOAT16 + (int)pick(s, 4) : (int)pick(s, FL_N_DTYPES);
}

#endif
