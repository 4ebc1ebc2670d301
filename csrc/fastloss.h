/* SPDX-License-Identifier: BSD-3-Clause */
/* fastloss.h: the C face. Operands, jobs, the kernel table of one (ISA x real), and the two entrances: choose a table
 * (dispatch.c) and run a job in blocks (parallel.c). Plain C11; kernels are serial, pure, allocate nothing and call no
 * libm. */
#ifndef FASTLOSS_H
#define FASTLOSS_H

#include <stddef.h>
#include <stdint.h>

enum {
    FL_LANES = 16,        /* every kernel works on whole groups of this many elements: loops have no tails */
    FL_TILE_BYTES = 4096, /* one operand's share of the L1 scratch: 1024 floats or 512 doubles */
    FL_BLOCK = 4096,      /* elements per block, the unit of work and of the ordered fold, however many threads */
    FL_SCRATCH_BYTES = 15 * FL_TILE_BYTES,
    FL_BOX_BYTES = FL_TILE_BYTES / 2, /* of one coordinate of a block of boxes */
    FL_BOX_ROWS = 8,                  /* of all pairs, boxes of `input` that meet a block of `target` at a time */
    FL_MAX_DIMS = 64,
    FL_SCAN_COLUMNS = 256, /* trajectories per block of a scan */
    FL_MAX_OPERANDS = 4,
    FL_MAX_PREDICTIONS = 4,
    FL_MAX_PARAMS = 4
};

typedef enum {
    FL_BOOL, FL_INT8, FL_INT16, FL_INT32, FL_INT64, FL_UINT8, FL_UINT16, FL_UINT32, FL_UINT64,
    FL_FLOAT16, FL_BFLOAT16, FL_FLOAT32, FL_FLOAT64,
    FL_N_DTYPES
} fl_dtype;

/* What a job has to deliver; combined as a mask. */
enum { FL_VALUE = 1, FL_GRAD = 2, FL_HESS = 4 };

/* What the first operand of a row loss holds. */
enum { FL_LOGITS, FL_PROBABILITIES, FL_LOG_PROBABILITIES };

/* A typed, strided, read-only view of user memory in the logical (C) order of the job's space. Axes that are broadcast
 * have stride 0. Built by fl_operand_init, which merges axes, so that native contiguous memory has ndim 1. */
typedef struct {
    const char *data; /* NULL: operand absent */
    int dtype;        /* fl_dtype */
    int swapped;      /* other byte order than this machine's */
    int ndim;
    ptrdiff_t shape[FL_MAX_DIMS];
    ptrdiff_t strides[FL_MAX_DIMS]; /* bytes */
} fl_operand;

/* What one block reports; folded in block order. */
typedef struct {
    double sum;      /* of the (weighted, unmasked) values */
    double weight;   /* of the positions that count: row losses' class weights */
    ptrdiff_t bad;   /* logical index of the first offender of the block, or -1 */
    int bad_operand; /* which operand it stands in; of a row loss: 0 the input, 1 the target */
} fl_partial;

/* One call of an elementwise loss over `size` elements. */
typedef struct {
    int loss; /* row of elementwise.def */
    int want;
    ptrdiff_t size;
    fl_operand in[FL_MAX_OPERANDS];
    fl_operand weight, mask, grad_output; /* optional: multiply all; leave out; multiply derivatives */
    double param[FL_MAX_PARAMS];
    double scale;                   /* of the gradients and of hess: 1, 1 / count, 1 / sum of weights */
    void *value;                    /* `size` reals for reduction "none", else NULL (or value_acc) */
    void *grad[FL_MAX_PREDICTIONS]; /* `size` reals each, or NULL where grad_acc is present */
    void *hess;                     /* `size` reals, with the gradients, or NULL */
    /* A gradient whose operand was broadcast, or a value that is summed over an axis: the running slice writes FL_BLOCK
     * reals per block to a stage, from where fold_stages adds them in block order to `*_acc`, float64 in the operand's
     * own shape, or in the value's. */
    fl_operand grad_acc[FL_MAX_PREDICTIONS], value_acc;
    void *stage[FL_MAX_PREDICTIONS], *value_stage;
    ptrdiff_t stage_first; /* block that stands first on the stages */
    int stream;            /* outputs pass the caches by: they would not stay there */
} fl_elementwise_job;

/* One call of a row loss. A position is one row of classes; `positions` = outer * inner of them, in logical order. All
 * operands are views over the positions; class c of a position lies class_stride * c bytes behind its first class. */
typedef struct {
    int want;
    ptrdiff_t positions, classes, inner;
    fl_operand logits;
    ptrdiff_t class_stride;
    fl_operand target; /* integers */
    fl_operand mask, grad_output;
    const void *class_weight; /* `classes` reals, or NULL */
    int64_t ignore_index;
    double scale;
    void *value;             /* `positions` reals, or NULL */
    fl_operand grad;         /* where the gradient goes, laid out like logits, or absent */
    ptrdiff_t grad_class_stride;
    int every_label; /* no label is left out: there is no ignore_index */
    /* softmax losses */
    int holds;                     /* FL_LOGITS, FL_PROBABILITIES or FL_LOG_PROBABILITIES */
    fl_operand distribution;       /* where target.data is NULL: a target probability per class, as logits is laid out */
    ptrdiff_t distribution_stride; /* from class to class */
    double smoothing;              /* part of the target that is spread evenly over all classes, 0 to 1 */
    double z_loss;                 /* factor of the squared log-sum-exp */
    double gamma;                  /* exponent of the focal loss; negative: no focal loss */
    /* margin losses */
    double margin;
    int power;                    /* of the hinges: 1 or 2 */
    ptrdiff_t slots, slot_stride; /* of the list of labels, or row of bools, of one position */
    /* policy gradient */
    fl_operand advantage; /* factor of each position's own cost */
    double entropy;       /* factor of the entropy that is taken off */
} fl_row_job;

/* One call of a temporal difference over rows of action values, whose label is the action taken. */
typedef struct {
    fl_row_job rows;         /* values of this state, labels, mask, outputs */
    const fl_row_job *next;  /* values of the next state, of as many positions */
    const fl_row_job *judge; /* scores by which the next action is chosen, of next's shape; NULL: those of next */
    fl_operand reward, done, weight; /* per position; done, weight: or absent */
    double discount, delta;          /* delta: of the Huber loss; 0: squares */
} fl_action_job;

/* One scan over `steps` steps of `columns` trajectories. Operands and outputs are views over the trajectories; step t lies
 * t of its strides behind the first one. */
typedef struct {
    ptrdiff_t steps, columns, horizon; /* horizon: steps that a return sums, or 0: advantages */
    ptrdiff_t span, spans;             /* a unit's steps, all of them for advantages, and how many units that makes */
    fl_operand reward, value, next, done, cut; /* done: the step ended its episode; cut: the scan ends, the episode not */
    ptrdiff_t reward_stride, value_stride, next_stride, done_stride, cut_stride;
    int next_each; /* next has a value for each step; else one, for the state behind the last step */
    fl_operand advantage, target; /* outputs: reals; returns have no advantage */
    ptrdiff_t advantage_stride, target_stride;
    double discount, trace;
} fl_scan_job;

/* One call of CTC. A unit is one sequence: order[unit] is its sample. A log-probability stands frame_stride * t +
 * sample_stride * n + class_stride * c bytes behind log_probs.data (its shape and strides are not used). */
typedef struct {
    int want;
    int from_logits;   /* log_probs holds logits: the log-softmax is part of the loss */
    int zero_infinity; /* an infinite loss counts as 0 */
    int per_label;     /* "mean": each loss is divided by its number of labels, at least 1 */
    int exact;         /* for tests: the exact recursion for every sequence */
    ptrdiff_t frames, samples, classes;
    int64_t blank;
    fl_operand log_probs;
    ptrdiff_t frame_stride, sample_stride, class_stride;
    fl_operand target;             /* labels; those of sample n start at logical index target_starts[n] */
    const int64_t *target_starts;
    const int64_t *target_lengths; /* at least 0 */
    const int64_t *input_lengths;  /* 0 to frames */
    const int64_t *order;          /* a permutation of the samples, the most work first */
    fl_operand grad_output;        /* one number per sample, or absent */
    double scale;
    void *value;                   /* `samples` reals, or NULL */
    void *grad;                    /* contiguous reals in the shape (frames, samples, classes), or NULL */
    int grad_is_zero;              /* fresh memory: what stays 0 need not be written */
    char *workspace;               /* one for each thread, 64-byte aligned, workspace_bytes apart */
    ptrdiff_t workspace_bytes;
    int *workspace_taken;          /* flags, one for each */
    int workspaces;
    int *stopped;                  /* set once `interrupted`, which is asked now and then in long sequences, says so: */
    int (*interrupted)(void);      /* results are void then */
} fl_ctc_job;
/* What is asked of rows of logits, without gradients. */
enum { FL_LOG_PROB, FL_LOGSUMEXP, FL_ENTROPY, FL_TOPK, FL_DIVERGENCE };
typedef struct {
    fl_row_job rows; /* logits, mask, value; target for FL_LOG_PROB only (else its data is NULL); no more */
    int kind;
    const fl_row_job *other; /* FL_DIVERGENCE: logits of the second distribution, of the same shape */
    ptrdiff_t k;             /* FL_TOPK: value and index hold k entries per position */
    int64_t *index;
} fl_token_job;

/* How two vectors are measured, and what a loss makes of it. */
enum {
    FL_EUCLIDEAN, FL_SQUARED, FL_MANHATTAN, FL_CHEBYSHEV, FL_MINKOWSKI, /* of x - y + eps */
    FL_COSINE_DISTANCE, FL_COSINE, FL_SHIFTED_COSINE /* norms at least eps; or 1e-12 added to their squares */
};
enum { FL_PAIR, FL_TRIPLET, FL_COSINE_EMBEDDING, FL_CONTRASTIVE };

/* One call of a loss on pairs or triplets of vectors. Operands are views over the rows; feature f of vector k stands
 * feature_stride[k] * f bytes behind its first. */
typedef struct {
    int want, loss, metric;
    int vectors; /* 2, or 3: anchor, positive, negative */
    int swap;    /* the negative's distance is that to the nearer of the two others */
    ptrdiff_t rows, features;
    fl_operand in[3];
    ptrdiff_t feature_stride[3];
    fl_operand target; /* cosine embedding: 1 or -1; contrastive: 0 to 1 */
    fl_operand mask, grad_output;
    double p, eps, margin;
    double scale;
    void *value;        /* `rows` reals, or NULL */
    fl_operand grad[3]; /* laid out like the vectors, or absent */
    ptrdiff_t grad_stride[3];
    int far;    /* vectors come from beyond the caches, so that they are asked for ahead of their use */
    int stream; /* gradients pass the caches by: they would not stay there */
} fl_distance_job;

/* Hardest positives and negatives of `rows` anchors, the first of which is vector `first` of `count`. */
typedef struct {
    ptrdiff_t rows, first, count, features; /* features: whole lanes, padded with zeros */
    const void *products; /* rows x whole lanes of `count` reals: anchor times vector */
    const void *vectors;  /* count x features reals, contiguous */
    const void *square;   /* whole lanes of `count` reals: squared lengths */
    const void *label;    /* as many integers of the size of a real; the padding's is nobody's */
    double largest_square, bound; /* bound: of a squared distance's error, relative to the squared lengths */
    int64_t *positive, *negative; /* rows: index, or -1 where there is none */
} fl_mining_job;

/* out = a b, or out += a b: rows x depth times depth x columns. A step along a row or column of an operand and one to the
 * next, in reals; one of the two is 1. */
typedef struct {
    ptrdiff_t rows, columns, depth;
    ptrdiff_t tile_panels; /* panels of columns of a tile, product_columns / product_panel at most */
    const void *a, *b;
    ptrdiff_t a_apart, a_along; /* from row to row, along a row */
    ptrdiff_t b_apart, b_along; /* from column to column, along a column */
    void *panels;               /* b once packed: columns in whole panels, `depth` reals of each; or NULL: as needed */
    void *out;
    ptrdiff_t out_apart;        /* from row to row; a row is contiguous */
    int add;
} fl_product_job;

/* Vectors over their lengths (FL_VALUE), or the gradient by the vectors from that by their directions (FL_GRAD). */
typedef struct {
    int want;
    ptrdiff_t features;   /* whole lanes, padded with zeros; so are all rows here, contiguous reals */
    const void *vectors;
    const void *gradient; /* by the directions times the factor; NULL for these themselves */
    double factor, least; /* least: length by which a vector is divided at least */
    void *out;
} fl_direction_job;

enum { FL_LEFT_OUT = -2 }; /* in place of a label: the row does not count */

/* One tile of the product of a linear loss: `rows` x `classes` logits in our own buffer, rows `stride` reals apart. The
 * state of the rows stands outside, since it outlives the tile. */
typedef struct {
    int want; /* FL_VALUE: fold the tile into the state; FL_GRAD: logits become gradients */
    ptrdiff_t rows, classes, stride, first; /* class `first` of the vocabulary stands first in the tile */
    void *logits;
    const void *bias;      /* `classes` reals, or NULL */
    const int64_t *label;  /* per row: in range; or below 0: none, FL_LEFT_OUT */
    const void *dense;     /* factors q of -log p: rows x classes, or one row of them (dense_stride 0); or NULL */
    ptrdiff_t dense_stride;
    double *max, *rest, *ones, *target_logit; /* per row, as in fold.h */
    double *distance, *mass;                  /* per row: sum of q (max - x), sum of q so far; only with `dense` */
    const double *inverse, *at_target, *dense_factor; /* gradient: exp(x - max) * inverse - dense_factor * q */
} fl_tile_job;

/* What the states of rows amount to, from all of their tiles: values, or the factors of their gradients. */
enum { FL_LINEAR_ROWS = 256 }; /* rows of a unit */
typedef struct {
    int want; /* FL_VALUE or FL_GRAD */
    ptrdiff_t rows;
    const int64_t *label;
    const double *max, *rest, *ones, *target_logit, *distance, *mass; /* as in fl_tile_job */
    const double *picked, *share; /* factors of -log p[label], and of the sum of q times -log p */
    const double *factor;         /* of the gradient */
    double *value;
    double *inverse, *at_target, *dense_factor; /* as in fl_tile_job */
} fl_linear_rows_job;

/* One call of a loss of matched pairs of boxes; or, with `columns` boxes in the target, of all pairs. Positions of input,
 * target, mask and grad_output are boxes; the four coordinates of a box lie *_stride bytes apart. */
enum { FL_IOU, FL_GIOU, FL_DIOU, FL_CIOU };
typedef struct {
    int kind;
    int centers; /* boxes are (cx, cy, w, h), else (x1, y1, x2, y2) */
    ptrdiff_t positions, columns;
    fl_operand input, target;
    ptrdiff_t input_stride, target_stride;
    fl_operand mask, grad_output;
    double eps, scale;
    void *value; /* `positions` reals, or NULL; of all pairs, positions x columns */
    void *grad;  /* positions x 4 reals, or NULL */
} fl_box_job;

/* Sums of an elementwise loss over rows of `row` elements, and gradients that have a factor per row. A unit is `rows`
 * rows, or one of `pieces` parts of FL_ROW_PIECE elements of a row that is longer. */
enum { FL_ROW_PIECE = 4 * FL_BLOCK };
typedef struct {
    fl_elementwise_job each; /* operands, parameters, gradients; its scale and want are set per row */
    ptrdiff_t row, rows, pieces;
    ptrdiff_t first, count; /* rows of this pass, of which `counts`, `sums` and `factors` are */
    const char *counts;     /* 0 where a row is left out; or NULL */
    double *sums;           /* per row and piece */
    const double *factors;  /* 0 where there is no gradient */
} fl_row_sum_job;

/* One call of a loss of overlapping masks. Of `rows` it takes logits, holds, mask, ignore_index, and where the gradient
 * goes; the truth is `target`, class indices, or `distribution`, a mask per class. Its positions are groups of group_size,
 * one after the other; each is cut into `units` runs of `unit` positions (the last is shorter). */
typedef struct {
    fl_row_job rows;
    ptrdiff_t group_size, unit, units;
    int hard;             /* masks hold 0 and 1, and nothing between */
    double *sums;         /* per unit of all groups and class: FL_OVERLAP_SUMS of overlap.h */
    const double *slopes; /* per group and class: derivatives by the sums `shared` and `predicted`; Lovasz: one factor */
    void *max, *inverse;  /* per position: largest logit, and inverse of the raised sum of exponentials; or NULL */
    /* Lovasz losses */
    int hinge;                /* of logits; else the errors of probabilities */
    const char *wanted;       /* per group and class: whether it counts */
    double *losses;           /* the same */
    char *workspace;          /* one for each thread, workspace_bytes apart */
    ptrdiff_t workspace_bytes;
    int *workspace_taken; /* flags, one for each */
    int workspaces;
} fl_overlap_job;
enum { FL_OVERLAP_SUMS = 4 };

typedef struct {
    const char *name;
    int n_operands, n_predictions, n_params;
} fl_loss_info;

/* The kernels of one (ISA x real); the only symbol that a kernel object exports. */
typedef struct {
    const char *isa;
    int real_size; /* 4 or 8 */
    int n_losses;
    const fl_loss_info *losses;
    void (*elementwise)(const void *job, ptrdiff_t block, char *scratch, fl_partial *);
    void (*fold_stages)(const fl_elementwise_job *, ptrdiff_t first, ptrdiff_t last); /* serial, in block order */
    void (*row_sums)(const void *job, ptrdiff_t unit, char *scratch, fl_partial *);      /* an fl_row_sum_job */
    void (*row_gradients)(const void *job, ptrdiff_t unit, char *scratch, fl_partial *); /* the same */
    ptrdiff_t (*row_block)(const fl_row_job *);                                         /* positions per block */
    void (*cross_entropy)(const void *job, ptrdiff_t block, char *scratch, fl_partial *); /* of logits; focal too */
    void (*probabilities)(const void *job, ptrdiff_t block, char *scratch, fl_partial *); /* the same of (log-)probabilities */
    void (*row_labels)(const void *job, ptrdiff_t block, char *scratch, fl_partial *); /* check labels, sum weights */
    void (*multi_margin)(const void *job, ptrdiff_t block, char *scratch, fl_partial *);
    void (*multilabel_margin)(const void *job, ptrdiff_t block, char *scratch, fl_partial *);
    void (*multilabel_labels)(const void *job, ptrdiff_t block, char *scratch, fl_partial *); /* check, count rows */
    ptrdiff_t (*ctc_workspace)(const fl_ctc_job *); /* bytes for one thread; -1: more than memory can hold */
    void (*ctc)(const void *job, ptrdiff_t unit, char *scratch, fl_partial *);
    void (*tokens)(const void *job, ptrdiff_t block, char *scratch, fl_partial *);
    void (*policy)(const void *job, ptrdiff_t block, char *scratch, fl_partial *);
    void (*actions)(const void *job, ptrdiff_t block, char *scratch, fl_partial *); /* an fl_action_job */
    void (*scan)(const void *job, ptrdiff_t block, char *scratch, fl_partial *);    /* FL_SCAN_COLUMNS trajectories */
    void (*linear_row)(const void *job, ptrdiff_t row, char *scratch, fl_partial *); /* one row of a tile */
    void (*linear_rows)(const void *job, ptrdiff_t unit, char *scratch, fl_partial *); /* of float64 only: states are */
    void (*box)(const void *job, ptrdiff_t block, char *scratch, fl_partial *);        /* FL_BOX_BYTES of pairs */
    void (*box_matrix)(const void *job, ptrdiff_t block, char *scratch, fl_partial *); /* FL_BOX_ROWS times as many */
    ptrdiff_t (*distance_block)(const fl_distance_job *);                                /* rows per block */
    void (*distance)(const void *job, ptrdiff_t block, char *scratch, fl_partial *);
    void (*mine_row)(const void *job, ptrdiff_t row, char *scratch, fl_partial *);
    void (*direction_row)(const void *job, ptrdiff_t row, char *scratch, fl_partial *);
    int product_rows, product_panel, product_columns, product_depth; /* rows of a tile; columns of a panel; at most of a tile */
    void (*pack_product)(const void *job, ptrdiff_t unit, char *scratch, fl_partial *); /* a piece of a panel's depth */
    void (*product)(const void *job, ptrdiff_t tile, char *scratch, fl_partial *);
    void (*overlap_sums)(const void *job, ptrdiff_t unit, char *scratch, fl_partial *);
    void (*overlap_gradient)(const void *job, ptrdiff_t unit, char *scratch, fl_partial *);
    ptrdiff_t (*lovasz_workspace)(const fl_overlap_job *); /* bytes for one thread */
    void (*lovasz_class)(const void *job, ptrdiff_t unit, char *scratch, fl_partial *); /* one class of one group */
    void (*lovasz_chain)(const void *job, ptrdiff_t unit, char *scratch, fl_partial *); /* through the softmax */
    /* n strided elements to reals, by byte order and dtype */
    void (*load[2][FL_N_DTYPES])(void *dst, const char *src, ptrdiff_t stride, ptrdiff_t n);
} fl_kernels;

/* Bugs that the tests' checkers must find, each switched on by its name in FASTLOSS_PLANT (tests/test_planted.py). Not
 * part of any build but theirs. */
#ifdef FL_PLANT
int fl_planted(const char *name);
#else
#define fl_planted(name) 0
#endif

/* blocks.c */
/* Describe user memory; shape and strides are those of the job's space (stride 0 = broadcast). Merges axes. */
void fl_operand_init(fl_operand *op, const void *data, int dtype, int swapped, int ndim, const ptrdiff_t *shape,
                     const ptrdiff_t *strides);
/* n elements from logical index `start` as reals: the user's own memory where it already is that and n is a multiple of
 * FL_LANES, else `scratch`, filled by conversion and padded to whole lanes by repeating the last element. */
const void *fl_load(const fl_kernels *k, const fl_operand *op, ptrdiff_t start, ptrdiff_t n, void *scratch);
/* The same, `offset` bytes behind the operand's data: one class of a row loss. */
const void *fl_load_at(const fl_kernels *k, const fl_operand *op, ptrdiff_t offset, ptrdiff_t start, ptrdiff_t n,
                       void *scratch);
/* Whether fl_load gives the user's own memory for any whole lanes. */
int fl_is_native(const fl_kernels *k, const fl_operand *op);
/* n elements at `run` with one stride; only dtype and byte order are taken from op. */
const void *fl_load_run(const fl_kernels *k, const fl_operand *op, const char *run, ptrdiff_t stride, ptrdiff_t n,
                        void *scratch);
/* n integer labels as int64; unsigned values beyond int64 become INT64_MIN. */
void fl_load_labels(const fl_operand *op, ptrdiff_t start, ptrdiff_t n, int64_t *dst);
/* The same for n labels at `run` with one stride; only dtype and byte order are taken from op. */
void fl_load_label_run(const fl_operand *op, const char *run, ptrdiff_t stride, ptrdiff_t n, int64_t *dst);
/* The next run of at most n elements with one stride (op->strides[ndim - 1]): returns its length, sets *run to its
 * first element, moves `index` behind it. */
ptrdiff_t fl_next_run(const fl_operand *op, ptrdiff_t *index, ptrdiff_t n, const char **run);
void fl_unravel(const fl_operand *op, ptrdiff_t start, ptrdiff_t *index);
ptrdiff_t fl_itemsize(int dtype);

/* dispatch.c */
/* "baseline", "avx2", ...: compiled here / runnable on this processor; NULL-terminated walks by index. */
const char *fl_isa_name(int i);
int fl_isa_compiled(int i);
int fl_isa_supported(int i);
/* Choose by name, or the best one for NULL. 0, or -1: unknown name, -2: not compiled, -3: this machine lacks it. */
int fl_isa_choose(const char *name);
const char *fl_isa_chosen(void);
const fl_kernels *fl_table(int real_size); /* of the chosen ISA */

/* parallel.c: the only file that knows OpenMP */
typedef void (*fl_unit_fn)(const void *job, ptrdiff_t unit, char *scratch, fl_partial *out);
typedef struct {
    fl_partial total; /* in unit order; `bad` is the first offender */
    double carry;     /* compensation of the running sum */
    double weight_carry;
} fl_fold;
void fl_fold_init(fl_fold *);
/* Run units [first, last) of a job on at most `threads` threads, at least `grain` units each, and fold their partials in
 * unit order onto `fold`. `partials` is workspace for last - first entries. */
void fl_parallel_for(ptrdiff_t first, ptrdiff_t last, ptrdiff_t grain, int threads, fl_unit_fn fn, const void *job,
                     fl_partial *partials, fl_fold *fold);
double fl_fold_sum(const fl_fold *);
double fl_fold_weight(const fl_fold *);
const char *fl_parallel_backend(void); /* "openmp", "pthreads", "serial" */
int fl_runtime_max_threads(void);      /* omp_get_max_threads() now; 1 if serial, in a parallel region or forked */
int fl_runtime_bound_cpus(void);       /* CPUs of the process if OpenMP has pinned threads (OMP_PROC_BIND), else 0 */
void fl_install_fork_guard(void);      /* pthread_atfork: children run serially */
int fl_is_forked_child(void);

/* cpus.c */
/* CPUs this process may use: affinity and cgroup quota (v1, v2, nested). root: "" or a mock file system's root. */
int fl_affinity_cpus(void);
double fl_cgroup_cpus(const char *root); /* quota / period of the tightest group, or 0 if there is none */
int fl_usable_cpus(void);                /* both, at least 1; read once */

/* caches.c */
ptrdiff_t fl_core_cache(void);     /* bytes of a core's own last cache, level 2; a guess where nobody says */
double fl_kept_bytes(int threads); /* arrays of more bytes in all do not stay in the caches from call to call */

#endif
