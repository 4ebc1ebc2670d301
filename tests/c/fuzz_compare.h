/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_compare.h: compares what the ISAs made of the job at hand, and traces it. */
#ifndef FUZZ_COMPARE_H
#define FUZZ_COMPARE_H

#include "fuzz_run.h"

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

#endif
