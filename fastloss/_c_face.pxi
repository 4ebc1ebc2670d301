# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: what it takes from Python, NumPy, the system and fastloss.h.

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object, int *) except? -1

cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *, cnp.dtype, object)

cdef extern from "time.h" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int clock_gettime(int, timespec *)

cdef extern from "fastloss.h" nogil:
    enum:
        FL_BLOCK
        FL_BOX_BYTES
        FL_BOX_ROWS
        FL_OVERLAP_SUMS
        FL_MAX_DIMS
        FL_MAX_OPERANDS
        FL_MAX_PREDICTIONS
        FL_MAX_PARAMS
        FL_VALUE
        FL_GRAD
        FL_HESS
        FL_LOGITS
        FL_PROBABILITIES
    ctypedef enum fl_dtype:
        FL_BOOL, FL_INT8, FL_INT16, FL_INT32, FL_INT64, FL_UINT8, FL_UINT16, FL_UINT32, FL_UINT64
        FL_FLOAT16, FL_BFLOAT16, FL_FLOAT32, FL_FLOAT64
    ctypedef struct fl_operand:
        const char *data
        int dtype
        int swapped
        int ndim
        Py_ssize_t *shape
        Py_ssize_t *strides
    ctypedef struct fl_partial:
        double sum
        double weight
        Py_ssize_t bad
        int bad_operand
    ctypedef struct fl_elementwise_job:
        int loss
        int want
        Py_ssize_t size
        fl_operand *in_ "in"
        fl_operand weight
        fl_operand mask
        fl_operand grad_output
        double *param
        double scale
        void *value
        void **grad
        void *hess
        fl_operand *grad_acc
        fl_operand value_acc
        void **stage
        void *value_stage
        Py_ssize_t stage_first
        int stream
    ctypedef struct fl_row_job:
        int want
        Py_ssize_t positions
        Py_ssize_t classes
        Py_ssize_t inner
        fl_operand logits
        Py_ssize_t class_stride
        fl_operand target
        fl_operand mask
        fl_operand grad_output
        const void *class_weight
        int64_t ignore_index
        double scale
        void *value
        fl_operand grad
        Py_ssize_t grad_class_stride
        int every_label
        int holds
        fl_operand distribution
        Py_ssize_t distribution_stride
        double smoothing
        double z_loss
        double gamma
        double margin
        int power
        Py_ssize_t slots
        Py_ssize_t slot_stride
        fl_operand advantage
        double entropy
    ctypedef struct fl_ctc_job:
        int want
        int from_logits
        int zero_infinity
        int per_label
        int exact
        Py_ssize_t frames
        Py_ssize_t samples
        Py_ssize_t classes
        int64_t blank
        fl_operand log_probs
        Py_ssize_t frame_stride
        Py_ssize_t sample_stride
        Py_ssize_t class_stride
        fl_operand target
        const int64_t *target_starts
        const int64_t *target_lengths
        const int64_t *input_lengths
        const int64_t *order
        fl_operand grad_output
        double scale
        void *value
        void *grad
        int grad_is_zero
        char *workspace
        Py_ssize_t workspace_bytes
        int *workspace_taken
        int workspaces
        int *stopped
        int (*interrupted)() noexcept nogil
    ctypedef struct fl_box_job:
        int kind
        int centers
        Py_ssize_t positions
        Py_ssize_t columns
        fl_operand input
        fl_operand target
        Py_ssize_t input_stride
        Py_ssize_t target_stride
        fl_operand mask
        fl_operand grad_output
        double eps
        double scale
        void *value
        void *grad
    enum:
        FL_PAIR
        FL_TRIPLET
        FL_COSINE_EMBEDDING
        FL_CONTRASTIVE
    enum:
        FL_EUCLIDEAN
        FL_SQUARED
        FL_MANHATTAN
        FL_CHEBYSHEV
        FL_MINKOWSKI
        FL_COSINE_DISTANCE
        FL_COSINE
        FL_SHIFTED_COSINE
    ctypedef struct fl_distance_job:
        int want
        int loss
        int metric
        int vectors
        int swap
        Py_ssize_t rows
        Py_ssize_t features
        fl_operand *in_ "in"
        Py_ssize_t *feature_stride
        fl_operand target
        fl_operand mask
        fl_operand grad_output
        double p
        double eps
        double margin
        double scale
        void *value
        fl_operand *grad
        Py_ssize_t *grad_stride
        int far
        int stream
    ctypedef struct fl_mining_job:
        Py_ssize_t rows
        Py_ssize_t first
        Py_ssize_t count
        Py_ssize_t features
        const void *products
        const void *vectors
        const void *square
        const void *label
        double largest_square
        double bound
        int64_t *positive
        int64_t *negative
    ctypedef struct fl_product_job:
        Py_ssize_t rows
        Py_ssize_t columns
        Py_ssize_t depth
        Py_ssize_t tile_panels
        const void *a
        const void *b
        Py_ssize_t a_apart
        Py_ssize_t a_along
        Py_ssize_t b_apart
        Py_ssize_t b_along
        void *panels
        void *out
        Py_ssize_t out_apart
        int add
    ctypedef struct fl_direction_job:
        int want
        Py_ssize_t features
        const void *vectors
        const void *gradient
        double factor
        double least
        void *out
    ctypedef struct fl_row_sum_job:
        fl_elementwise_job each
        Py_ssize_t row
        Py_ssize_t rows
        Py_ssize_t pieces
        Py_ssize_t first
        Py_ssize_t count
        const char *counts
        double *sums
        const double *factors
    ctypedef struct fl_overlap_job:
        fl_row_job rows
        Py_ssize_t group_size
        Py_ssize_t unit
        Py_ssize_t units
        int hard
        double *sums
        const double *slopes
        void *max
        void *inverse
        int hinge
        const char *wanted
        double *losses
        char *workspace
        Py_ssize_t workspace_bytes
        int *workspace_taken
        int workspaces
    ctypedef struct fl_loss_info:
        const char *name
        int n_operands
        int n_predictions
        int n_params
    ctypedef void (*fl_unit_fn)(const void *, Py_ssize_t, char *, fl_partial *) noexcept nogil
    ctypedef struct fl_kernels:
        const char *isa
        int real_size
        int n_losses
        const fl_loss_info *losses
        fl_unit_fn elementwise
        void (*fold_stages)(const fl_elementwise_job *, Py_ssize_t, Py_ssize_t) noexcept nogil
        fl_unit_fn row_sums
        fl_unit_fn row_gradients
        Py_ssize_t (*row_block)(const fl_row_job *) noexcept nogil
        fl_unit_fn cross_entropy
        fl_unit_fn probabilities
        fl_unit_fn row_labels
        fl_unit_fn multi_margin
        fl_unit_fn multilabel_margin
        fl_unit_fn multilabel_labels
        Py_ssize_t (*ctc_workspace)(const fl_ctc_job *) noexcept nogil
        fl_unit_fn ctc
        fl_unit_fn tokens
        fl_unit_fn policy
        fl_unit_fn actions
        fl_unit_fn scan
        fl_unit_fn linear_row
        fl_unit_fn linear_rows
        fl_unit_fn box
        fl_unit_fn box_matrix
        Py_ssize_t (*distance_block)(const fl_distance_job *) noexcept nogil
        fl_unit_fn distance
        fl_unit_fn mine_row
        fl_unit_fn direction_row
        int product_rows
        int product_panel
        int product_columns
        int product_depth
        fl_unit_fn pack_product
        fl_unit_fn product
        fl_unit_fn overlap_sums
        fl_unit_fn overlap_gradient
        Py_ssize_t (*lovasz_workspace)(const fl_overlap_job *) noexcept nogil
        fl_unit_fn lovasz_class
        fl_unit_fn lovasz_chain
    ctypedef struct fl_fold:
        fl_partial total
    void fl_operand_init(fl_operand *, const void *, int, int, int, const Py_ssize_t *, const Py_ssize_t *)
    const char *fl_isa_name(int)
    int fl_isa_compiled(int)
    int fl_isa_supported(int)
    int fl_isa_choose(const char *)
    const char *fl_isa_chosen()
    const fl_kernels *fl_table(int)
    void fl_fold_init(fl_fold *)
    void fl_parallel_for(Py_ssize_t, Py_ssize_t, Py_ssize_t, int, fl_unit_fn, const void *, fl_partial *, fl_fold *)
    double fl_fold_sum(const fl_fold *)
    double fl_fold_weight(const fl_fold *)
    const char *c_parallel_backend "fl_parallel_backend"()
    int fl_runtime_max_threads()
    void fl_install_fork_guard()
    int fl_is_forked_child()
    int fl_affinity_cpus()
    double fl_cgroup_cpus(const char *)
    int fl_usable_cpus()
    Py_ssize_t fl_core_cache()
    double fl_kept_bytes(int threads)
