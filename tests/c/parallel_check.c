/* SPDX-License-Identifier: BSD-3-Clause */
/* parallel_check.c: the scheduler alone, without Python. Built by test_threads.py with each backend of parallel.c, one
 * of them under ThreadSanitizer. Prints a line per failed check and exits with 1, or prints "ok BACKEND". */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fastloss.h"

enum { UNITS = 1009 }; /* a prime: no thread count divides it */

static const int THREADS[] = {1, 2, 3, 7, 16};
enum { N_THREADS = sizeof THREADS / sizeof THREADS[0] };

static int failures;

static void check(int ok, const char *what, long a, long b) {
    if (!ok) {
        printf("FAILED: %s (%ld, %ld)\n", what, a, b);
        failures++;
    }
}

/* The job: a table of values, one per unit, and what the function saw. */
typedef struct {
    const double *value;
    const char *bad; /* NULL, or 1 where the unit has an offender */
    int *calls;      /* how often each unit ran */
    int *misplaced;  /* per unit: 1 if the scratch or the partial came wrong */
} table;

static void look_up(const void *job, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const table *t = job;
    t->calls[unit]++;
    t->misplaced[unit] = (uintptr_t)scratch % 64 != 0 || out->sum != 0 || out->weight != 0 || out->bad != -1;
    /* Write to the scratch from end to end and read it again: another thread's hands in it would show. */
    for (int i = 0; i < FL_SCRATCH_BYTES; i += 64) {
        scratch[i] = (char)(unit & 127);
    }
    for (int i = 0; i < FL_SCRATCH_BYTES; i += 64) {
        t->misplaced[unit] |= scratch[i] != (char)(unit & 127);
    }
    out->sum = t->value[unit];
    out->weight = t->value[unit] * 0.5;
    if (t->bad != NULL && t->bad[unit]) {
        out->bad = 1000 * unit;
        out->bad_operand = (int)(unit % 3);
    }
}

static double values[UNITS];
static char bad[UNITS];
static int calls[UNITS], misplaced[UNITS];
static fl_partial partials[UNITS];
static const table TABLE = {values, bad, calls, misplaced};

static void fill(void) {
    uint64_t state = 12345;
    for (int i = 0; i < UNITS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values[i] = ldexp((double)(int64_t)state, -50 + (int)(state >> 59)); /* signs mixed, magnitudes wide apart */
        bad[i] = 0;
    }
}

static fl_fold run(ptrdiff_t first, ptrdiff_t last, ptrdiff_t grain, int threads) {
    fl_fold fold;
    fl_fold_init(&fold);
    memset(calls, 0, sizeof calls);
    memset(misplaced, 0, sizeof misplaced);
    fl_parallel_for(first, last, grain, threads, look_up, &TABLE, partials, &fold);
    return fold;
}

static int same_bits(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

static void check_determinism(void) {
    fill();
    const fl_fold one = run(0, UNITS, 1, 1);
    for (int i = 0; i < N_THREADS; i++) {
        for (ptrdiff_t grain = 0; grain <= UNITS + 1; grain = grain ? grain * 9 : 1) {
            const fl_fold f = run(0, UNITS, grain, THREADS[i]);
            check(same_bits(fl_fold_sum(&one), fl_fold_sum(&f)), "sum depends on threads, grain", THREADS[i], grain);
            check(same_bits(fl_fold_weight(&one), fl_fold_weight(&f)), "weight depends on", THREADS[i], grain);
            for (int u = 0; u < UNITS; u++) {
                check(calls[u] == 1, "unit did not run once", u, calls[u]);
                check(!misplaced[u], "scratch or partial misplaced", u, THREADS[i]);
            }
        }
    }
    const fl_fold many = run(0, UNITS, 1, 5000); /* more than are ever started */
    check(same_bits(fl_fold_sum(&one), fl_fold_sum(&many)), "5000 threads", 0, 0);
    /* Few units: around the number of threads and of chunks. */
    for (int n = 0; n <= 70; n++) {
        const fl_fold a = run(7, 7 + n, 1, 1), b = run(7, 7 + n, 1, 4);
        int ran = 0;
        for (int u = 0; u < UNITS; u++) {
            ran += calls[u];
            check(calls[u] == (u >= 7 && u < 7 + n), "wrong unit ran", u, n);
        }
        check(ran == n && same_bits(fl_fold_sum(&a), fl_fold_sum(&b)), "short range", n, ran);
    }
}

/* A long call comes in slices: the fold must not notice. */
static void check_slices(void) {
    fill();
    const fl_fold whole = run(0, UNITS, 1, 2);
    fl_fold sliced;
    fl_fold_init(&sliced);
    for (ptrdiff_t first = 0; first < UNITS; first += 250) {
        const ptrdiff_t last = first + 250 < UNITS ? first + 250 : UNITS;
        fl_parallel_for(first, last, 1, 2, look_up, &TABLE, partials, &sliced);
    }
    check(same_bits(fl_fold_sum(&whole), fl_fold_sum(&sliced)), "slices change the sum", 0, 0);
}

static void check_offender(void) {
    fill();
    check(run(0, UNITS, 1, 3).total.bad == -1, "offender from nowhere", 0, 0);
    bad[UNITS - 1] = bad[701] = bad[700] = 1;
    for (int i = 0; i < N_THREADS; i++) {
        const fl_fold f = run(0, UNITS, 1, THREADS[i]);
        check(f.total.bad == 700000 && f.total.bad_operand == 700 % 3, "not the first offender", f.total.bad, i);
    }
    bad[0] = 1;
    check(run(0, UNITS, 1, 2).total.bad == 0, "offender at 0 missed", 0, 0);
    fill();
}

static void check_compensation(void) {
    for (int i = 0; i < UNITS; i++) {
        values[i] = 0.1;
    }
    const double sum = fl_fold_sum((fl_fold[]){run(0, UNITS, 1, 2)});
    check(fabs(sum - UNITS * 0.1) <= 3e-14, "0.1 many times", 0, 0); /* half an ulp: 7e-15; a plain sum: 1e-12 */
    values[0] = 1;
    values[1] = 1e100; /* larger than the sum so far: Kahan's own formula loses the 1 */
    values[2] = 1;
    values[3] = -1e100;
    const fl_fold f = run(0, 4, 1, 2);
    check(fl_fold_sum(&f) == 2 && fl_fold_weight(&f) == 1, "1 + 1e100 + 1 - 1e100", 0, 0);
    fill();
}

static void check_non_finite(void) {
    const double inf = INFINITY;
    const struct {
        double a, b, want;
    } cases[] = {
        {inf, 1, inf},     {-inf, 1, -inf},         {inf, inf, inf},       {inf, -inf, NAN},
        {NAN, 1, NAN},     {1e308, 1e308, inf},     {-1e308, -1e308, -inf}, {NAN, inf, NAN},
        {1e308, -inf, -inf}, {inf, -1e308, inf},
    };
    for (int i = 0; i < (int)(sizeof cases / sizeof cases[0]); i++) {
        for (int threads = 1; threads <= 3; threads++) {
            fill();
            for (int u = 0; u < UNITS; u++) {
                values[u] = fmod(values[u], 1.0);
            }
            values[100] = cases[i].a;
            values[1000] = cases[i].b;
            const fl_fold f = run(0, UNITS, 1, threads);
            const double sum = fl_fold_sum(&f);
            check(isnan(cases[i].want) ? isnan(sum) : sum == cases[i].want, "non-finite sum", i, threads);
        }
    }
    fill();
}

/* A unit that itself calls fl_parallel_for: it must come back with the right bits, having run on its own thread. */
typedef struct {
    double want;
    int *wrong, *inside;
} outer;

typedef struct {
    pthread_t owner;
    int *strangers; /* per unit: 1 if another thread ran it */
} inner;

static void look_who_runs(const void *job, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const inner *i = job;
    (void)scratch;
    i->strangers[unit] = !pthread_equal(i->owner, pthread_self());
    out->sum = values[unit];
}

static void call_inside(const void *job, ptrdiff_t unit, char *scratch, fl_partial *out) {
    const outer *o = job;
    int strangers[64] = {0};
    fl_partial own[64];
    fl_fold fold;
    (void)scratch;
    fl_fold_init(&fold);
    o->inside[unit] = fl_runtime_max_threads();
    fl_parallel_for(0, 64, 1, 8, look_who_runs, &(inner){pthread_self(), strangers}, own, &fold);
    o->wrong[unit] = !same_bits(fl_fold_sum(&fold), o->want);
    for (int i = 0; i < 64; i++) {
        o->wrong[unit] |= strangers[i];
    }
    out->sum = 1;
}

static void check_nested(void) {
    fill();
    int wrong[16] = {0}, inside[16] = {0};
    const fl_fold alone = run(0, 64, 1, 1);
    const outer o = {fl_fold_sum(&alone), wrong, inside};
    fl_fold fold;
    fl_fold_init(&fold);
    fl_parallel_for(0, 16, 1, 4, call_inside, &o, partials, &fold);
    check(fl_fold_sum(&fold) == 16, "nested calls lost", 0, 0);
    for (int i = 0; i < 16; i++) {
        check(!wrong[i], "nested call: bits or thread", i, 0);
        check(inside[i] == 1, "a nested call may use threads", i, inside[i]);
    }
}

/* A child of a process whose threads have run, and the child's own child. */
static int in_child(int depth) {
    fill();
    const fl_fold f = run(0, UNITS, 1, 4), one = run(0, UNITS, 1, 1);
    check(same_bits(fl_fold_sum(&f), fl_fold_sum(&one)), "sum in a child", depth, 0);
    check(fl_is_forked_child() == 1, "child not noticed", depth, 0);
    check(fl_runtime_max_threads() == 1, "a child may use threads", depth, 0);
    return failures;
}

static void check_fork(int depth) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        alarm(getenv("FASTLOSS_PLANT") ? 2 : 60); /* the defect that we look for is a child that hangs */
        in_child(depth);
        if (depth > 0) {
            check_fork(depth - 1);
        }
        fflush(stdout);
        _exit(failures != 0);
    }
    int status = 0;
    check(child > 0 && waitpid(child, &status, 0) == child, "fork", depth, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child failed or hung", depth, status);
}

int main(void) {
    fl_install_fork_guard();
    fl_install_fork_guard();
    check(fl_runtime_max_threads() >= 1, "no threads", fl_runtime_max_threads(), 0);
    check_determinism();
    check_slices();
    check_offender();
    check_compensation();
    check_non_finite();
    check_nested();
    check_fork(1);
    check(fl_is_forked_child() == 0, "the parent took itself for a child", 0, 0);
    const fl_fold f = run(0, UNITS, 1, 4), one = run(0, UNITS, 1, 1);
    check(same_bits(fl_fold_sum(&f), fl_fold_sum(&one)), "sum after fork", 0, 0);
    if (failures == 0) {
        printf("ok %s\n", fl_parallel_backend());
    }
    return failures != 0;
}
