/* SPDX-License-Identifier: BSD-3-Clause */
/* parallel.c: the only file that knows OpenMP. Cuts a job into units, runs them on threads and folds what they report
 * in unit order, so that neither the number of threads nor their timing shows in a result.
 *
 * Three backends, chosen when this file is compiled:
 *   openmp    -fopenmp      the one that ships
 *   pthreads  -DFL_PTHREADS threads created and joined per call: slow, but ThreadSanitizer understands it (it flags
 *                           GCC's OpenMP library itself)
 *   serial    neither */
#include <math.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "fastloss.h"

#if defined(FL_PTHREADS)
#define BACKEND "pthreads"
#elif defined(_OPENMP)
#include <omp.h>
#define BACKEND "openmp"
#else
#define BACKEND "serial"
#endif

enum {
    MAX_THREADS = 1024,  /* a larger request is a slip, and the OpenMP library ends the process if it cannot serve it */
    MAX_SPANS = 64,      /* more threads than this share spans */
    CHUNKS_PER_SPAN = 16 /* the others wait for a slow thread's last chunk */
};

/* A contiguous range of units: one thread's share, on a cache line of its own. */
typedef struct {
    alignas(64) atomic_ptrdiff_t next; /* first unit that nobody has taken */
    ptrdiff_t end;
} span;

/* One call of fl_parallel_for, shared by its threads. */
typedef struct {
    ptrdiff_t first, chunk;
    fl_unit_fn fn;
    const void *job;
    fl_partial *partials;
    span *spans;
    int n_spans;
} work;

/* What each thread does: work through its own span, chunk by chunk, then through what the others have left of theirs.
 * Fixed spans keep a thread on the units of which its cache may still hold the last call's data (1.4 times faster on
 * 128 k elements than one common counter); taking over keeps a thread that is robbed of its CPU from holding up the
 * rest. Not inlined: the scratch belongs on this frame only. */
static __attribute__((noinline)) void run_units(work *w, int thread) {
    alignas(64) char scratch[FL_SCRATCH_BYTES];
    for (int i = 0; i < w->n_spans; i++) {
        span *s = &w->spans[(thread + i) % w->n_spans];
        for (;;) {
            const ptrdiff_t begin = atomic_fetch_add_explicit(&s->next, w->chunk, memory_order_relaxed);
            if (begin >= s->end) {
                break;
            }
            const ptrdiff_t end = s->end - begin < w->chunk ? s->end : begin + w->chunk;
            for (ptrdiff_t unit = begin; unit < end; unit++) {
                fl_partial mine = {.bad = -1};
                w->fn(w->job, unit, scratch, &mine);
                w->partials[unit - w->first] = mine;
                if (fl_planted("race")) w->partials[0].bad_operand = 0;
            }
        }
    }
#if defined(__SSE2__)
    __builtin_ia32_sfence(); /* what stream.h has stored is seen before what follows */
#endif
}

/* Fork: only the calling thread lives on in the child, and the OpenMP library would wait there for the others for ever.
 * So a child is serial, and so are its children. */
static atomic_int forked_child;
static pthread_once_t guard_once = PTHREAD_ONCE_INIT;

static void mark_child(void) {
    atomic_store_explicit(&forked_child, !fl_planted("fork"), memory_order_relaxed);
}

static void install_guard(void) {
    if (pthread_atfork(NULL, NULL, mark_child) != 0) {
        mark_child(); /* out of memory: we could not tell a child from its parent, so stay serial everywhere */
    }
}

void fl_install_fork_guard(void) {
    pthread_once(&guard_once, install_guard);
}

int fl_is_forked_child(void) {
    return atomic_load_explicit(&forked_child, memory_order_relaxed);
}

/* The backends: inside_parallel() and run_on_threads(w, n) for n >= 2. */
#if defined(FL_PTHREADS)

static _Thread_local int on_a_thread_of_ours;

static int inside_parallel(void) {
    return on_a_thread_of_ours;
}

typedef struct {
    pthread_t id;
    work *w;
    int number;
} helper;

static void *helper_main(void *arg) {
    const helper *h = arg;
    on_a_thread_of_ours = 1;
    run_units(h->w, h->number);
    return NULL;
}

static void run_on_threads(work *w, int n) {
    helper helpers[MAX_THREADS];
    int started = 0;
    while (started < n - 1) {
        helper *h = &helpers[started];
        h->w = w;
        h->number = started + 1;
        if (pthread_create(&h->id, NULL, helper_main, h) != 0) {
            break; /* no harm: the others take over its span */
        }
        started++;
    }
    on_a_thread_of_ours = 1;
    run_units(w, 0);
    on_a_thread_of_ours = 0;
    while (started > 0) {
        pthread_join(helpers[--started].id, NULL);
    }
}

#elif defined(_OPENMP)

static int inside_parallel(void) {
    return omp_in_parallel();
}

/* num_threads(n) binds this region only; OpenMP's own setting would bind the user's other libraries too. */
static void run_on_threads(work *w, int n) {
#pragma omp parallel num_threads(n) default(none) shared(w)
    run_units(w, omp_get_thread_num());
}

#else

static int inside_parallel(void) {
    return 0;
}

static void run_on_threads(work *w, int n) {
    (void)n;
    run_units(w, 0);
}

#endif

static int useful_threads(ptrdiff_t units, ptrdiff_t grain, int threads) {
    const ptrdiff_t worth = units / (grain > 1 ? grain : 1);
    ptrdiff_t n = threads < MAX_THREADS ? threads : MAX_THREADS;
    n = n < worth ? n : worth;
    if (n <= 1 || fl_is_forked_child() || inside_parallel()) {
        return 1;
    }
    return (int)n;
}

/* Neumaier's sum: `carry` gathers what each addition rounds away. Nonsense once the sum is not finite. */
static void add(double *sum, double *carry, double x) {
    const double s = *sum, t = s + x;
    *carry += fabs(s) >= fabs(x) ? (s - t) + x : (x - t) + s;
    *sum = t;
}

/* A sum that overflowed, or met an inf or a nan, stands as it is: its carry is inf - inf. */
static double total(double sum, double carry) {
    return isfinite(sum) ? sum + carry : sum;
}

void fl_fold_init(fl_fold *fold) {
    *fold = (fl_fold){.total = {.bad = -1}};
}

static void fold_one(fl_fold *fold, const fl_partial *p) {
    add(&fold->total.sum, &fold->carry, p->sum);
    add(&fold->total.weight, &fold->weight_carry, p->weight);
    if (fold->total.bad < 0 && p->bad >= 0) {
        fold->total.bad = p->bad;
        fold->total.bad_operand = p->bad_operand;
    }
}

double fl_fold_sum(const fl_fold *fold) {
    return total(fold->total.sum, fold->carry);
}

double fl_fold_weight(const fl_fold *fold) {
    return total(fold->total.weight, fold->weight_carry);
}

static void run_serially(ptrdiff_t first, ptrdiff_t last, fl_unit_fn fn, const void *job, fl_partial *partials) {
    span all = {.next = first, .end = last};
    work w = {first, last - first, fn, job, partials, &all, 1};
    run_units(&w, 0);
}

static void run_in_parallel(int n, ptrdiff_t first, ptrdiff_t last, fl_unit_fn fn, const void *job,
                            fl_partial *partials) {
    span spans[MAX_SPANS];
    const int n_spans = n < MAX_SPANS ? n : MAX_SPANS;
    const ptrdiff_t share = (last - first) / n_spans, rest = (last - first) % n_spans;
    ptrdiff_t begin = first;
    for (int i = 0; i < n_spans; i++) {
        atomic_init(&spans[i].next, begin);
        begin += share + (i < rest);
        spans[i].end = begin;
    }
    const ptrdiff_t chunk = share / CHUNKS_PER_SPAN;
    work w = {first, chunk > 1 ? chunk : 1, fn, job, partials, spans, n_spans};
    run_on_threads(&w, n);
}

void fl_parallel_for(ptrdiff_t first, ptrdiff_t last, ptrdiff_t grain, int threads, fl_unit_fn fn, const void *job,
                     fl_partial *partials, fl_fold *fold) {
    const ptrdiff_t units = last - first;
    if (units <= 0) {
        return;
    }
    const int n = useful_threads(units, grain, threads);
    if (n == 1) {
        run_serially(first, last, fn, job, partials);
    } else {
        run_in_parallel(n, first, last, fn, job, partials);
    }
    for (ptrdiff_t i = n > 1 && fl_planted("fold") ? 1 : 0; i < units; i++) {
        fold_one(fold, &partials[i]);
    }
}

const char *fl_parallel_backend(void) {
    return BACKEND;
}

int fl_runtime_max_threads(void) {
    if (fl_is_forked_child() || inside_parallel()) {
        return 1;
    }
#if defined(FL_PTHREADS)
    return fl_usable_cpus(); /* plain threads have no setting of their own */
#elif defined(_OPENMP)
    return omp_get_max_threads();
#else
    return 1;
#endif
}

/* A pinned thread sees only its own place in its affinity mask. */
int fl_runtime_bound_cpus(void) {
#if defined(_OPENMP) && !defined(FL_PTHREADS)
    return omp_get_proc_bind() != omp_proc_bind_false ? omp_get_num_procs() : 0;
#else
    return 0;
#endif
}
