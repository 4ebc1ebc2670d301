/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_jobs.h: draws one job, runs it on every ISA, compares what they did. */
#ifndef FUZZ_JOBS_H
#define FUZZ_JOBS_H

#include "fuzz_actions.h"
#include "fuzz_compare.h"
#include "fuzz_elementwise.h"
#include "fuzz_overlap.h"
#include "fuzz_rows.h"
#include "fuzz_sequences.h"
#include "fuzz_vectors.h"

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
    case PRODUCT: draw_product(s); break;
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
