# SPDX-License-Identifier: BSD-3-Clause
# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, freethreading_compatible=True
"""The bridge from arrays to C. The common case is decided here at once; everything else goes to `_call`, which comes
back with checked operands (`run_elementwise`, `run_rows`). No maths."""

import os

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.contextvars cimport get_value
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memset

cnp.import_array()

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
        fl_unit_fn box
        fl_unit_fn box_matrix
        Py_ssize_t (*distance_block)(const fl_distance_job *) noexcept nogil
        fl_unit_fn distance
        fl_unit_fn mine_row
        fl_unit_fn direction_row
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


# ---- configuration ---------------------------------------------------------------------------------------------------

def isas():
    """name -> {"compiled": bool, "supported": bool}, the plainest one first."""
    found = {}
    cdef int i = 0
    while fl_isa_name(i) != NULL:
        found[fl_isa_name(i).decode()] = {"compiled": bool(fl_isa_compiled(i)), "supported": bool(fl_isa_supported(i))}
        i += 1
    return found


def chosen_isa():
    return fl_isa_chosen().decode()


def _choose_isa(name):
    cdef bytes wanted = name.encode(errors="replace") if name else b""
    cdef int status = fl_isa_choose(<const char *>wanted if name else NULL)
    reasons = {-1: "is not an instruction set that fastloss knows on this processor",
               -2: "was not compiled into this build", -3: "is not supported by this machine"}
    if status < 0:
        usable = [n for n, s in isas().items() if s["compiled"] and s["supported"]]
        raise ImportError(
            f"FASTLOSS_ISA={ascii(name).strip("'")} {reasons.get(status, 'cannot be used')}; usable here: {', '.join(usable)}")


_choose_isa(os.environ.get("FASTLOSS_ISA", "").strip().lower() or None)
fl_install_fork_guard()


def losses():
    """name -> (index, operands, predictions, parameters) of the elementwise rows."""
    cdef const fl_kernels *table = fl_table(4)
    return {table.losses[i].name.decode(): (i, table.losses[i].n_operands, table.losses[i].n_predictions,
                                            table.losses[i].n_params) for i in range(table.n_losses)}


def parallel_backend():
    return c_parallel_backend().decode()


def runtime_max_threads():
    return fl_runtime_max_threads()


def is_forked_child():
    return bool(fl_is_forked_child())


def affinity_cpus():
    return fl_affinity_cpus()


def cgroup_cpus(str root=""):
    return fl_cgroup_cpus(root.encode())


def usable_cpus():
    return fl_usable_cpus()


# ---- running jobs ----------------------------------------------------------------------------------------------------

cdef enum:
    STACK_PARTIALS = 64
    MAX_SLICE = 4096      # units; bounds the partials (and, times FL_BLOCK reals, nothing else)
    STAGE_BLOCKS = 32     # blocks that are staged before they are folded
    SERIAL_ELEMENTS = 16384  # below this a thread is not worth starting
cdef double SLICE_SECONDS = 0.1

_thread_limit = None


cdef int thread_limit() except -1:
    global _thread_limit
    if _thread_limit is None:
        from ._threads import thread_limit as found
        _thread_limit = found
    return _thread_limit()


cdef inline Py_ssize_t blocks(Py_ssize_t size, Py_ssize_t block) noexcept nogil:
    """How many blocks; the sum size + block could overflow."""
    return size // block + (size % block != 0)


cdef double now() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <double>t.tv_sec + 1e-9 * <double>t.tv_nsec


cdef Py_ssize_t next_slice(Py_ssize_t units, double seconds, int threads) noexcept nogil:
    """Units of the next slice, so that it takes about SLICE_SECONDS; one for each thread at least."""
    cdef double wanted = <double>units * 8 if seconds <= SLICE_SECONDS / 8 else <double>units * SLICE_SECONDS / seconds
    return threads if wanted < threads else MAX_SLICE if wanted > MAX_SLICE else <Py_ssize_t>wanted


cdef int run(fl_unit_fn fn, const void *job, Py_ssize_t units, Py_ssize_t unit_size, fl_fold *fold,
             fl_elementwise_job *staged, const fl_kernels *table) except -1:
    """Run all units of a job in slices, between which pending signals are honoured. unit_size: elements per unit.
    staged: the job again if it has something to fold after each slice, else NULL."""
    return run_on(fn, job, units, unit_size, fold, staged, table, 1 << 30)


cdef int run_on(fl_unit_fn fn, const void *job, Py_ssize_t units, Py_ssize_t unit_size, fl_fold *fold,
                fl_elementwise_job *staged, const fl_kernels *table, int most) except -1:
    """The same on at most so many threads."""
    cdef fl_partial few[STACK_PARTIALS]
    cdef fl_partial *partials = few
    cdef Py_ssize_t first = 0, last, size
    cdef Py_ssize_t grain = (SERIAL_ELEMENTS + unit_size - 1) // unit_size
    cdef Py_ssize_t limit = STAGE_BLOCKS if staged != NULL else MAX_SLICE
    cdef int threads
    cdef double start
    fl_fold_init(fold)
    if units == 1 and staged == NULL and unit_size <= SERIAL_ELEMENTS:  # microseconds: giving up the GIL costs as much
        fl_parallel_for(0, 1, grain, 1, fn, job, partials, fold)
        return 0
    threads = min(most, thread_limit()) if units >= 2 * grain else 1
    if units > STACK_PARTIALS:
        partials = <fl_partial *>malloc(<size_t>min(units, limit) * sizeof(fl_partial))
        if partials == NULL:
            raise MemoryError()
    size = min(limit, max(threads, (1 << 22) // unit_size))
    try:
        while first < units:
            last = min(units, first + size)
            with nogil:
                start = now()
                if staged != NULL:
                    staged.stage_first = first
                fl_parallel_for(first, last, grain, threads, fn, job, partials, fold)
                if staged != NULL:
                    table.fold_stages(staged, first, last)
                size = min(limit, next_slice(last - first, now() - start, threads))
            first = last
            if first < units:
                PyErr_CheckSignals()
    finally:
        if partials != few:
            free(partials)
    return 0


cdef enum:
    FRESH_PAGES = 32 << 20  # bytes; malloc takes a larger array's pages from the system, which has just cleared them


cdef int passes_caches(const fl_elementwise_job *job, const fl_kernels *table, bint fresh) except -1:
    """Whether a job's gradients are better stored past the caches, as they and the operands would not stay there.
    fresh: they are arrays of ours. Pages that the system has just cleared are in the caches."""
    cdef const fl_loss_info *loss = &table.losses[job.loss]
    cdef double bytes = <double>job.size * table.real_size, all = bytes * (loss.n_operands + loss.n_predictions)
    if not job.want & FL_GRAD or all < 2.0 * fl_core_cache() or (fresh and bytes >= FRESH_PAGES):
        return 0
    return all > 2.0 * fl_core_cache() * thread_limit()


cdef int dtype_code(cnp.ndarray a) noexcept:
    """`_arrays` has let only these pass; what NumPy itself does not know is ml_dtypes' bfloat16."""
    cdef cnp.dtype dtype = a.dtype
    cdef char kind = dtype.kind
    cdef int size = cnp.PyArray_ITEMSIZE(a)
    cdef int log = 0 if size == 1 else 1 if size == 2 else 2 if size == 4 else 3
    if kind == c"b":
        return FL_BOOL
    if kind == c"i":
        return FL_INT8 + log
    if kind == c"u":
        return FL_UINT8 + log
    if size == 2:
        return FL_FLOAT16 if cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT16 else FL_BFLOAT16
    return FL_FLOAT32 if size == 4 else FL_FLOAT64


cdef int fill(fl_operand *op, cnp.ndarray a, int ndim, const Py_ssize_t *shape, int skip) except -1:
    """Describe `a`, less its axis `skip` (-1: none), broadcast to `shape` (already checked)."""
    cdef Py_ssize_t strides[FL_MAX_DIMS]
    cdef int axis = cnp.PyArray_NDIM(a) - 1, to
    for to in range(ndim - 1, -1, -1):
        if axis == skip:
            axis -= 1
        if axis >= 0:
            strides[to] = cnp.PyArray_STRIDES(a)[axis] if cnp.PyArray_DIMS(a)[axis] != 1 else 0
        else:
            strides[to] = 0
        axis -= 1
    fl_operand_init(op, cnp.PyArray_DATA(a), dtype_code(a), cnp.PyArray_ISBYTESWAPPED(a), ndim, shape, strides)
    return 0


cdef int fill_optional(fl_operand *op, a, int ndim, const Py_ssize_t *shape) except -1:
    op.data = NULL
    if a is not None:
        fill(op, a, ndim, shape, -1)
    return 0


cdef object float64(double x):
    return PyArray_Scalar(&x, _float64, None)


cdef cnp.dtype _float64 = np.dtype(np.float64)


cdef void *new_stage(list stages, Py_ssize_t units, int real_size) except NULL:
    """Memory for the blocks of a slice; it lives as long as the list."""
    stage = np.empty(min(units, STAGE_BLOCKS) * FL_BLOCK * real_size, np.uint8)
    stages.append(stage)
    return cnp.PyArray_DATA(<cnp.ndarray>stage)


def run_elementwise(int index, int real_size, tuple shape, tuple operands, tuple params, weight, mask, grad_output,
                    double scale, value, tuple grads, tuple grad_accs, hess=None, value_acc=None):
    """One elementwise job over checked operands. value, grads, hess: contiguous arrays to write, or None.
    grad_accs: per prediction None, or the float64 array that its broadcast operand's gradient is added to.
    value_acc: None, or the float64 array, size-1 axes where it is summed, that values are added to.
    Returns (sum of values unless `value` takes them, first offender or -1, its operand)."""
    cdef const fl_kernels *table = fl_table(real_size)
    cdef fl_elementwise_job job
    cdef fl_fold fold
    cdef Py_ssize_t dims[FL_MAX_DIMS]
    cdef int ndim = len(shape), k
    cdef bint staged = False
    cdef Py_ssize_t units
    job.size = 1
    for k in range(ndim):
        dims[k] = shape[k]
        job.size *= dims[k]
    if job.size == 0:
        return 0.0, -1, 0
    units = blocks(job.size, FL_BLOCK)
    job.loss = index
    job.want = FL_VALUE | (FL_GRAD if grads is not None else 0) | (FL_HESS if hess is not None else 0)
    for k in range(len(operands)):
        fill(&job.in_[k], operands[k], ndim, dims, -1)
    for k in range(len(params)):
        job.param[k] = params[k]
    fill_optional(&job.weight, weight, ndim, dims)
    fill_optional(&job.mask, mask, ndim, dims)
    fill_optional(&job.grad_output, grad_output, ndim, dims)
    job.scale = scale
    job.value = cnp.PyArray_DATA(<cnp.ndarray>value) if value is not None else NULL
    job.hess = cnp.PyArray_DATA(<cnp.ndarray>hess) if hess is not None else NULL
    stages = []  # keeps the buffers alive
    job.value_stage = NULL
    fill_optional(&job.value_acc, value_acc, ndim, dims)
    if value_acc is not None:
        staged = True
        job.value_stage = new_stage(stages, units, real_size)
    for k in range(FL_MAX_PREDICTIONS):
        job.grad[k] = NULL
        job.stage[k] = NULL
        job.grad_acc[k].data = NULL
        if grads is None or k >= len(grads):
            continue
        if grads[k] is not None:
            job.grad[k] = cnp.PyArray_DATA(<cnp.ndarray>grads[k])
            continue
        staged = True
        fill(&job.grad_acc[k], grad_accs[k], ndim, dims, -1)
        job.stage[k] = new_stage(stages, units, real_size)
    job.stream = 0
    if not staged:
        job.stream = passes_caches(&job, table, False)
    run(table.elementwise, &job, units, FL_BLOCK, &fold, &job if staged else NULL, table)
    return fl_fold_sum(&fold), fold.total.bad, fold.total.bad_operand


cdef enum:  # as in `_call_rows`
    CROSS_ENTROPY = 0
    PROBABILITIES = 1
    MULTI_MARGIN = 2
    MULTILABEL_MARGIN = 3
    POLICY = 4


cdef int describe_logits(fl_row_job *job, cnp.ndarray logits, int class_axis, Py_ssize_t *dims) except -1:
    """Positions and logits of a job that asks for the value and nothing else yet; `dims` becomes the shape of the
    positions. Returns how many axes these have. class_axis: that behind the last one if there is one class only."""
    cdef int axis, ndim = 0
    memset(job, 0, sizeof(fl_row_job))  # every operand absent, every option off
    job.gamma = -1.0
    job.scale = 1.0
    job.want = FL_VALUE
    job.positions = job.inner = job.classes = 1
    job.class_stride = cnp.PyArray_ITEMSIZE(logits)
    if class_axis < cnp.PyArray_NDIM(logits):
        job.classes = cnp.PyArray_DIMS(logits)[class_axis]
        job.class_stride = cnp.PyArray_STRIDES(logits)[class_axis]
    for axis in range(cnp.PyArray_NDIM(logits)):
        if axis == class_axis:
            continue
        dims[ndim] = cnp.PyArray_DIMS(logits)[axis]
        job.positions *= dims[ndim]
        if axis > class_axis:
            job.inner *= dims[ndim]
        ndim += 1
    fill(&job.logits, logits, ndim, dims, class_axis)
    return ndim


def run_rows(given, bint labels_only):
    """One job over checked operands, a `_call_rows.RowJob`. labels_only: no loss, only check labels and sum weights.
    Returns (sum of values, sum of weights, first offender or -1, its operand): the offender's position, or where
    several labels stand at a position its place among all."""
    cdef const fl_kernels *table = fl_table(given.real.itemsize)
    cdef cnp.ndarray logits = given.logits
    cdef int class_axis = given.axis, code = given.loss.code
    cdef fl_row_job job
    cdef fl_fold fold
    cdef Py_ssize_t dims[FL_MAX_DIMS]
    cdef int ndim = describe_logits(&job, logits, class_axis, dims)
    if job.positions == 0:
        return 0.0, 0.0, -1, 0
    value, grad, labels, distribution = given.value, given.grad, given.labels, given.distribution
    if grad is not None:
        job.want |= FL_GRAD
    if code == MULTILABEL_MARGIN:
        fill(&job.target, labels, ndim, dims, class_axis)
        job.slots = cnp.PyArray_DIMS(<cnp.ndarray>labels)[class_axis]
        job.slot_stride = cnp.PyArray_STRIDES(<cnp.ndarray>labels)[class_axis]
    else:
        fill_optional(&job.target, labels, ndim, dims)
    if distribution is not None:
        fill(&job.distribution, distribution, ndim, dims, class_axis)
        job.distribution_stride = cnp.PyArray_STRIDES(<cnp.ndarray>distribution)[class_axis]
    fill_optional(&job.mask, given.mask, ndim, dims)
    fill_optional(&job.grad_output, given.grad_output, ndim, dims)
    if given.class_weight is not None and not (labels_only and code == MULTI_MARGIN):
        job.class_weight = cnp.PyArray_DATA(<cnp.ndarray>given.class_weight)  # that mean divides by the positions
    job.every_label = given.ignore_index is None
    job.ignore_index = 0 if given.ignore_index is None else <int64_t>given.ignore_index
    job.holds, job.smoothing, job.z_loss = given.loss.holds, given.smoothing, given.z_loss
    job.gamma = -1.0 if given.gamma is None else given.gamma
    job.power, job.margin = given.power, given.margin
    job.entropy = given.entropy
    fill_optional(&job.advantage, given.advantage, ndim, dims)
    job.scale = given.scale
    job.value = cnp.PyArray_DATA(<cnp.ndarray>value) if value is not None else NULL
    if grad is not None:
        fill(&job.grad, grad, ndim, dims, class_axis)
        job.grad_class_stride = cnp.PyArray_STRIDES(<cnp.ndarray>grad)[class_axis]
    run_row_job(table, code, &job, labels_only, &fold)
    return fl_fold_sum(&fold), fl_fold_weight(&fold), fold.total.bad, fold.total.bad_operand


cdef int run_row_job(const fl_kernels *table, int code, fl_row_job *job, bint labels_only, fl_fold *fold) except -1:
    cdef Py_ssize_t block = table.row_block(job), cost = 1 if labels_only else max(job.classes, 1)
    cdef fl_unit_fn fn = table.row_labels
    if code == MULTILABEL_MARGIN:  # a few positives meet each class; their number is not known yet
        fn = table.multilabel_labels if labels_only else table.multilabel_margin
        cost = max(job.classes, 1) * (1 if labels_only else 8)
    elif not labels_only:
        fn = (table.cross_entropy if code == CROSS_ENTROPY else table.probabilities if code == PROBABILITIES
              else table.policy if code == POLICY else table.multi_margin)
    run(fn, job, blocks(job.positions, block), block * cost, fold, NULL, table)
    return 0


include "_tokens.pxi"
include "_reinforcement.pxi"
include "_fast.pxi"
include "_ctc.pxi"
include "_box.pxi"
include "_distance.pxi"
include "_overlap.pxi"
include "_overlap_fast.pxi"
include "_row_sums.pxi"
