/* SPDX-License-Identifier: BSD-3-Clause */
/* scan.h: sums along trajectories, from the last step to the first: generalised advantage estimates and n-step returns.
 * A unit is a block of FL_SCAN_COLUMNS trajectories, of returns `span` steps of them; lanes run over trajectories, sums are
 * float64. What follows the end of an episode counts for nothing, whatever stands there. */
#ifndef FL_SCAN_H
#define FL_SCAN_H

#include "elementwise.h"

/* One step of a block, whole lanes. */
struct step {
    const real *reward, *value, *next, *done, *cut; /* done, cut: NULL where there is none */
};

struct scan_scratch {
    real reward[FL_SCAN_COLUMNS], done[FL_SCAN_COLUMNS], cut[FL_SCAN_COLUMNS], next[FL_SCAN_COLUMNS];
    real values[2][FL_SCAN_COLUMNS]; /* of this step and of the one behind it */
    real zero[FL_SCAN_COLUMNS], advantage[FL_SCAN_COLUMNS], target[FL_SCAN_COLUMNS];
    double sum[FL_SCAN_COLUMNS];
};

/* Returns read a step `horizon` times: the last KEPT_STEPS that were read stay converted. */
enum { KEPT_STEPS = sizeof(real) == 4 ? 16 : 8, RETURN_COLUMNS = 128 };

struct return_scratch {
    struct {
        real reward[RETURN_COLUMNS], done[RETURN_COLUMNS], cut[RETURN_COLUMNS], next[RETURN_COLUMNS];
    } kept[KEPT_STEPS];
    struct step step[KEPT_STEPS];
    ptrdiff_t number[KEPT_STEPS]; /* which step each is, or -1 */
    real zero[RETURN_COLUMNS], target[RETURN_COLUMNS];
    double sum[RETURN_COLUMNS];
};
_Static_assert(sizeof(struct return_scratch) <= FL_SCRATCH_BYTES, "the scratch holds the steps of some returns");
_Static_assert(sizeof(struct scan_scratch) <= FL_SCRATCH_BYTES, "the scratch holds a block of trajectories");

static const real *load_step(const fl_operand *op, ptrdiff_t stride, ptrdiff_t t, ptrdiff_t start, ptrdiff_t n,
                             real *scratch) {
    return fl_load_at(&kernels, op, t * stride, start, n, scratch);
}

/* n reals to step t of an output. */
static void store_step(const fl_operand *op, ptrdiff_t stride, ptrdiff_t t, ptrdiff_t start, ptrdiff_t n,
                       const real *from) {
    const ptrdiff_t apart = op->strides[op->ndim - 1];
    ptrdiff_t index[FL_MAX_DIMS];
    const char *run;
    fl_unravel(op, start, index);
    while (n > 0) {
        const ptrdiff_t length = fl_next_run(op, index, n, &run);
        char *to = (char *)run + t * stride;
        if (apart == sizeof(real))
            memcpy(to, from, (size_t)length * sizeof(real));
        else
            for (ptrdiff_t i = 0; i < length; i++) memcpy(to + i * apart, from + i, sizeof(real));
        from += length;
        n -= length;
    }
}

/* The value of the state behind step t: given for each step, or that of the next step, or of the end. */
static const real *next_value(const fl_scan_job *job, ptrdiff_t t, ptrdiff_t start, ptrdiff_t n, real *scratch) {
    if (job->next_each) return load_step(&job->next, job->next_stride, t, start, n, scratch);
    if (t == job->steps - 1) return fl_load(&kernels, &job->next, start, n, scratch);
    return load_step(&job->value, job->value_stride, t + 1, start, n, scratch);
}

static struct step load_scan(const fl_scan_job *job, ptrdiff_t t, ptrdiff_t start, ptrdiff_t n,
                             struct scan_scratch *s) {
    return (struct step){
        .reward = load_step(&job->reward, job->reward_stride, t, start, n, s->reward),
        .done = job->done.data ? load_step(&job->done, job->done_stride, t, start, n, s->done) : s->zero,
        .cut = job->cut.data ? load_step(&job->cut, job->cut_stride, t, start, n, s->cut) : s->zero,
    };
}

/* going_on x, where nothing of x is left if that is 0: it belongs to another episode. */
FL_INLINE double linked(double going_on, double x) { return going_on == 0 ? 0 : going_on * x; }

/* A = r + discount v' - v + discount trace A', and A + v. */
static void scan_advantage(struct scan_scratch *s, struct step in, ptrdiff_t n, double discount, double trace) {
    const real *restrict reward = in.reward, *restrict value = in.value, *restrict next = in.next;
    const real *restrict done = in.done, *restrict cut = in.cut;
    double *restrict sum = s->sum;
    real *restrict advantage = s->advantage, *restrict target = s->target;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const double going_on = 1 - (double)done[i], v = (double)value[i];
        const double delta = (double)reward[i] + discount * linked(going_on, (double)next[i]) - v;
        const double a = delta + discount * trace * linked(going_on * (1 - (double)cut[i]), sum[i]);
        sum[i] = a;
        advantage[i] = (real)a;
        target[i] = (real)(a + v);
    }
}

/* G = r + discount G', G' being v' at a cut. */
FL_INLINE void scan_return_lanes(double *restrict sum, struct step in, ptrdiff_t n, double discount, int cuts) {
    const real *restrict reward = in.reward, *restrict next = in.next, *restrict done = in.done, *restrict cut = in.cut;
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const double behind = !cuts || cut[i] == 0 ? sum[i] : (double)next[i], going_on = 1 - (double)done[i];
        sum[i] = (double)reward[i] + discount * linked(going_on, behind);
    }
}

static void scan_return(double *restrict sum, struct step in, ptrdiff_t n, double discount) {
    scan_return_lanes(sum, in, n, discount, 0);
}
static void scan_return_cut(double *restrict sum, struct step in, ptrdiff_t n, double discount) {
    scan_return_lanes(sum, in, n, discount, 1);
}

static void round_sums(const double *restrict sum, real *restrict to, ptrdiff_t n) {
    n &= -(ptrdiff_t)FL_LANES;
    FL_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) to[i] = (real)sum[i];
}

static void advantage_block(const fl_scan_job *job, ptrdiff_t start, ptrdiff_t n, struct scan_scratch *s) {
    for (ptrdiff_t t = job->steps - 1; t >= 0; t--) {
        struct step in = load_scan(job, t, start, n, s);
        in.next = next_value(job, t, start, n, s->next);
        in.value = load_step(&job->value, job->value_stride, t, start, n, s->values[t & 1]);
        scan_advantage(s, in, whole_lanes(n), job->discount, job->trace);
        store_step(&job->advantage, job->advantage_stride, t, start, n, s->advantage);
        store_step(&job->target, job->target_stride, t, start, n, s->target);
    }
}

static struct step return_step(const fl_scan_job *job, ptrdiff_t t, ptrdiff_t start, ptrdiff_t n,
                               struct return_scratch *s) {
    const ptrdiff_t k = t % KEPT_STEPS;
    if (s->number[k] == t) return s->step[k];
    s->number[k] = t;
    s->step[k] = (struct step){
        .reward = load_step(&job->reward, job->reward_stride, t, start, n, s->kept[k].reward),
        .done = job->done.data ? load_step(&job->done, job->done_stride, t, start, n, s->kept[k].done) : s->zero,
        .cut = job->cut.data ? load_step(&job->cut, job->cut_stride, t, start, n, s->kept[k].cut) : s->zero,
        .next = job->cut.data ? next_value(job, t, start, n, s->kept[k].next) : s->zero,
    };
    return s->step[k];
}

/* Returns of n columns and the steps first... < last. Each is summed from its own end: a difference of two sums would
 * lose digits, and cannot cross an episode's end. */
static void return_columns(const fl_scan_job *job, ptrdiff_t start, ptrdiff_t n, ptrdiff_t first, ptrdiff_t last,
                           struct return_scratch *s) {
    const ptrdiff_t lanes = whole_lanes(n);
    for (ptrdiff_t k = 0; k < KEPT_STEPS; k++) s->number[k] = -1;
    for (ptrdiff_t t = last - 1; t >= first; t--) {
        const ptrdiff_t left = job->steps - t, end = t + (job->horizon < left ? job->horizon : left);
        const ptrdiff_t again = left <= job->horizon && t < last - 1 ? t + 1 : end; /* all behind t is summed */
        if (again == end) {
            const real *v = next_value(job, end - 1, start, n, s->target);
            for (ptrdiff_t i = 0; i < lanes; i++) s->sum[i] = (double)v[i];
        }
        for (ptrdiff_t k = again - 1; k >= t; k--)
            (job->cut.data ? scan_return_cut : scan_return)(s->sum, return_step(job, k, start, n, s), lanes,
                                                            job->discount);
        round_sums(s->sum, s->target, lanes);
        store_step(&job->target, job->target_stride, t, start, n, s->target);
    }
}

static void return_block(const fl_scan_job *job, ptrdiff_t start, ptrdiff_t n, ptrdiff_t first,
                         struct return_scratch *s) {
    const ptrdiff_t last = job->steps - first < job->span ? job->steps : first + job->span;
    for (ptrdiff_t i = 0; i < RETURN_COLUMNS; i++) s->zero[i] = 0;
    for (ptrdiff_t at = 0; at < n; at += RETURN_COLUMNS)
        return_columns(job, start + at, n - at < RETURN_COLUMNS ? n - at : RETURN_COLUMNS, first, last, s);
}

static void scan_block(const void *arg, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const fl_scan_job *job = arg;
    struct scan_scratch *s = (struct scan_scratch *)scratch;
    const ptrdiff_t start = unit / job->spans * FL_SCAN_COLUMNS, left = job->columns - start;
    const ptrdiff_t n = left < FL_SCAN_COLUMNS ? left : FL_SCAN_COLUMNS;
    (void)out;
    if (job->horizon > 0) {
        return_block(job, start, n, unit % job->spans * job->span, (struct return_scratch *)scratch);
        return;
    }
    for (ptrdiff_t i = 0; i < FL_SCAN_COLUMNS; i++) s->zero[i] = 0, s->sum[i] = 0;
    advantage_block(job, start, n, s);
}

#endif
