/* SPDX-License-Identifier: BSD-3-Clause */
/* multilabel.h: hinges between every positive class of a row and every other one, in one of two ways:
 *   rows     one row after the other, some positives at a time against tiles of classes
 *   columns  few classes: lanes run over positions, every class against every other
 * The rows' cost is the number of positives times the number of classes / lanes. */
#ifndef FL_MULTILABEL_H
#define FL_MULTILABEL_H

#include "margin.h"

enum {
    POSITIVES = 64,     /* of a row at a time */
    TOGETHER = 4,       /* of these in one pass over the classes */
    FEW_LABELS = 16,    /* classes at most that are done in columns */
    FEW_ROWS = MAX_ROWS / 2 /* positions of these at a time */
};

struct multilabel_scratch {
    int64_t label[POSITIVES];   /* checked */
    real base[POSITIVES];       /* margin - x[label] */
    real lost[POSITIVES];       /* how many hinges each takes part in */
    ureal lost_count[POSITIVES]; /* the same, as it is counted */
    real value[MAX_ROWS], factor[MAX_ROWS], mask[MAX_ROWS];
    union {
        struct {
            real others[FL_TILE]; /* the row, with -inf in place of the positives: they cost nothing */
            real gained[FL_TILE]; /* how many hinges each class takes part in */
            ureal gained_count[FL_TILE];
        };
        struct { /* class by class */
            real few_others[FEW_LABELS + 1][FEW_ROWS], few_base[FEW_LABELS][FEW_ROWS];
            real times[FEW_LABELS][FEW_ROWS]; /* how often the class is named as positive */
            real few_gained[FEW_LABELS][FEW_ROWS];
            double sum[FEW_ROWS];
        };
    };
};
_Static_assert(sizeof(struct multilabel_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a block of labels");

/* ---- labels ------------------------------------------------------------------------------------------------------- */

/* The next positives of a row, from slot *at of its target on, which moves behind them: their number. 0: there are no
 * more; -1: slot *at holds no class. The list ends at its first -1, or with the slots. Each label is read once, compared,
 * and only then used. */
static ptrdiff_t next_listed(const fl_row_job *job, const char *target, ptrdiff_t *at, struct multilabel_scratch *s) {
    const ptrdiff_t left = job->slots - *at, n = left < POSITIVES ? left : POSITIVES;
    fl_load_label_run(&job->target, target + *at * job->slot_stride, job->slot_stride, n, s->label);
    for (ptrdiff_t k = 0; k < n; k++) {
        if ((uint64_t)s->label[k] < (uint64_t)job->classes) continue;
        const int ends = s->label[k] == -1;
        *at = ends ? job->slots : *at + k;
        return ends ? k : -1;
    }
    *at += n;
    return n;
}

/* The same of a row of bools: the places of what is true. */
static ptrdiff_t next_true(const fl_row_job *job, const char *target, ptrdiff_t *at, struct multilabel_scratch *s) {
    ptrdiff_t found = 0, c = *at;
    while (c < job->slots && found < POSITIVES) {
        uint64_t eight = 1;
        if (job->slot_stride == 1 && job->slots - c >= 8) memcpy(&eight, target + c, sizeof eight);
        if (eight == 0) {
            c += 8;
            continue;
        }
        s->label[found] = c;
        found += target[c * job->slot_stride] != 0;
        c++;
    }
    *at = c;
    return found;
}

static ptrdiff_t next_positives(const fl_row_job *job, const char *target, ptrdiff_t *at,
                                struct multilabel_scratch *s) {
    return job->target.dtype == FL_BOOL ? next_true(job, target, at, s) : next_listed(job, target, at, s);
}

/* The slot of a list's first label that is no class, or -1. */
static ptrdiff_t bad_slot(const fl_row_job *job, const char *target, struct multilabel_scratch *s) {
    ptrdiff_t at = 0, found = 1;
    while (found > 0) found = next_positives(job, target, &at, s);
    return found < 0 ? at : -1;
}

/* What is bad is told as the position times the slots, plus the slot (0 if another thread has mended it meanwhile). */
static void tell_bad(const fl_row_job *job, ptrdiff_t p, struct multilabel_scratch *s, fl_partial *out) {
    const ptrdiff_t bad = bad_slot(job, position(&job->target, p), s);
    out->bad = p * job->slots + (bad < 0 ? 0 : bad);
}

/* Which positions count, as reals. */
static const real *load_counted(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, real *scratch) {
    if (job->mask.data) return fl_load(&kernels, &job->mask, start, n, scratch);
    for (ptrdiff_t r = 0; r < whole_lanes(n); r++) scratch[r] = 1;
    return scratch;
}

#include "multilabel_rows.h"

/* ---- columns: lanes over positions -------------------------------------------------------------------------------- */

/* s->times of n positions that count, whole lanes; whether all labels were good. */
static int count_labels(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, const real *counted,
                        struct multilabel_scratch *s, fl_partial *out) {
    for (ptrdiff_t c = 0; c < job->classes; c++) memset(s->times[c], 0, (size_t)whole_lanes(n) * sizeof(real));
    for (ptrdiff_t r = 0; r < n; r++) {
        if (counted[r] == 0) continue;
        const char *target = position(&job->target, start + r);
        for (ptrdiff_t at = 0, found; (found = next_positives(job, target, &at, s)) != 0;) {
            if (found < 0) {
                tell_bad(job, start + r, s, out);
                return 0;
            }
            for (ptrdiff_t k = 0; k < found; k++) s->times[s->label[k]][r] += 1;
        }
        out->weight += 1;
    }
    return 1;
}

static void column_split(real *restrict others, real *restrict base, const real *restrict x, const real *restrict times,
                         real margin, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        base[r] = margin - x[r];
        others[r] = times[r] > 0 ? -R_INFINITY : x[r];
    }
}

/* sum[n] grows by the hinges of one class, as often as it is named, with two others. */
static void column_hinges(double *restrict sum, const real *restrict times, const real *restrict base,
                          const real *restrict other0, const real *restrict other1, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real both = (hinge(other0[r], base[r]) + hinge(other1[r], base[r])) * times[r];
        sum[r] += (double)(times[r] > 0 ? both : R(0.0));
    }
}

/* The derivatives of one pair of classes: what one gains the other loses. */
static void column_steps(real *restrict gained, real *restrict lost, const real *restrict times,
                         const real *restrict base, const real *restrict other, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) {
        const real step = hinge_step(hinge(other[r], base[r])) * times[r];
        const real counted = times[r] > 0 ? step : R(0.0);
        gained[r] += counted;
        lost[r] -= counted;
    }
}

static void columns_hinges(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, struct multilabel_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(n), classes = job->classes;
    for (ptrdiff_t c = 0; c < classes; c++) {
        const real *x = load_column(job, c, start, n, s->few_gained[0]);
        column_split(s->few_others[c], s->few_base[c], x, s->times[c], (real)job->margin, lanes);
    }
    for (ptrdiff_t r = 0; r < lanes; r++) s->few_others[classes][r] = -R_INFINITY; /* partner of an odd last class */
    memset(s->sum, 0, (size_t)lanes * sizeof(double));
    for (ptrdiff_t j = 0; j < classes; j++)
        for (ptrdiff_t i = 0; i < classes; i += 2)
            column_hinges(s->sum, s->times[j], s->few_base[j], s->few_others[i], s->few_others[i + 1], lanes);
}

static void columns_steps(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, const real *factor,
                          struct multilabel_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(n);
    memset(s->few_gained, 0, (size_t)job->classes * sizeof s->few_gained[0]);
    for (ptrdiff_t j = 0; j < job->classes; j++)
        for (ptrdiff_t i = 0; i < job->classes; i++)
            if (i != j)
                column_steps(s->few_gained[i], s->few_gained[j], s->times[j], s->few_base[j], s->few_others[i], lanes);
    for (ptrdiff_t c = 0; c < job->classes; c++) {
        tile_multiply(s->few_gained[c], factor, lanes);
        store_column(job, c, start, n, s->few_gained[c]);
    }
}

/* As multilabel_rows. */
static int multilabel_columns(const fl_row_job *job, ptrdiff_t start, ptrdiff_t n, const real *counted,
                              struct multilabel_scratch *s, fl_partial *out) {
    for (ptrdiff_t r = 0; r < n; r += FEW_ROWS) {
        const ptrdiff_t some = n - r < FEW_ROWS ? n - r : FEW_ROWS;
        if (!count_labels(job, start + r, some, counted + r, s, out)) return 0;
        columns_hinges(job, start + r, some, s);
        for (ptrdiff_t i = 0; i < some; i++) s->value[r + i] = (real)(s->sum[i] / (double)job->classes);
        if (job->want & FL_GRAD) columns_steps(job, start + r, some, s->factor + r, s);
    }
    return 1;
}

/* ---- both --------------------------------------------------------------------------------------------------------- */

static void finish_factor(real *restrict factor, const real *restrict grad_output, ptrdiff_t n, double scale) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t r = 0; r < n; r++) factor[r] = (real)(scale * (double)grad_output[r]);
}

static void multilabel_margin_block(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_row_job *job = arg;
    struct multilabel_scratch *s = (struct multilabel_scratch *)scratch;
    const ptrdiff_t size = row_block(job), start = block * size;
    const ptrdiff_t n = job->positions - start < size ? job->positions - start : size, lanes = whole_lanes(n);
    const int few = job->classes <= FEW_LABELS;
    if (job->want & FL_GRAD)
        finish_factor(s->factor, load_grad_output(job, start, n, s->value), lanes, job->scale / (double)job->classes);
    const real *counted = load_counted(job, start, n, s->mask);
    if (!(few ? multilabel_columns : multilabel_rows)(job, start, n, counted, s, out)) return;
    tile_clear_padding(s->value, n);
    if (job->value) memcpy((real *)job->value + start, s->value, (size_t)n * sizeof(real));
    out->sum += tile_sum_wide(s->value, lanes);
}

/* Check the labels of a block's rows and count them. */
static void multilabel_labels(const void *arg, ptrdiff_t block, char *scratch, fl_partial *out) {
    const fl_row_job *job = arg;
    struct multilabel_scratch *s = (struct multilabel_scratch *)scratch;
    const ptrdiff_t size = row_block(job), start = block * size;
    const ptrdiff_t n = job->positions - start < size ? job->positions - start : size;
    const real *counted = load_counted(job, start, n, s->mask);
    for (ptrdiff_t r = 0; r < n; r++) {
        if (counted[r] == 0) continue;
        out->weight += 1;
        if (job->target.dtype == FL_BOOL) continue;
        const ptrdiff_t bad = bad_slot(job, position(&job->target, start + r), s);
        if (bad < 0) continue;
        out->bad = (start + r) * job->slots + bad;
        return;
    }
}

#endif
