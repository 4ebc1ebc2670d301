# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: token quantities, and the tiles of linear losses, over checked operands.

cdef extern from "fastloss.h" nogil:
    enum:
        FL_LOG_PROB
        FL_LOGSUMEXP
        FL_ENTROPY
        FL_TOPK
        FL_DIVERGENCE
        FL_LEFT_OUT
    ctypedef struct fl_token_job:
        fl_row_job rows
        int kind
        const fl_row_job *other
        Py_ssize_t k
        int64_t *index
    ctypedef struct fl_tile_job:
        int want
        Py_ssize_t rows
        Py_ssize_t classes
        Py_ssize_t stride
        Py_ssize_t first
        void *logits
        const void *bias
        const int64_t *label
        const void *dense
        Py_ssize_t dense_stride
        double *max
        double *rest
        double *ones
        double *target_logit
        double *distance
        double *mass
        const double *inverse
        const double *at_target
        const double *dense_factor

_token_kinds = {"log_prob": FL_LOG_PROB, "logsumexp": FL_LOGSUMEXP, "entropy": FL_ENTROPY, "topk": FL_TOPK,
                "divergence": FL_DIVERGENCE}


def run_tokens(str kind, int real_size, cnp.ndarray logits, int class_axis, target, mask, int64_t ignore_index, value,
               other=None, index=None):
    """One token quantity over checked operands. value: contiguous array to write, or None; other: the second logits of
    "divergence"; index: int64 array that "topk" writes, shaped as `value`, with the k entries of a position last.
    Returns (sum of values, positions whose target counts, position of the first bad label or -1)."""
    cdef const fl_kernels *table = fl_table(real_size)
    cdef fl_token_job job
    cdef fl_row_job second
    cdef fl_fold fold
    cdef Py_ssize_t dims[FL_MAX_DIMS]
    cdef Py_ssize_t block
    cdef int ndim = describe_logits(&job.rows, logits, class_axis, dims)
    if job.rows.positions == 0:
        return 0.0, 0.0, -1
    job.kind = _token_kinds[kind]
    job.other = NULL
    job.index = NULL
    job.k = 0
    if other is not None:
        describe_logits(&second, other, class_axis, dims)
        job.other = &second
    fill_optional(&job.rows.target, target, ndim, dims)
    fill_optional(&job.rows.mask, mask, ndim, dims)
    job.rows.ignore_index = ignore_index
    if value is not None:
        job.rows.value = cnp.PyArray_DATA(<cnp.ndarray>value)
    if index is not None:
        job.index = <int64_t *>cnp.PyArray_DATA(<cnp.ndarray>index)
        job.k = cnp.PyArray_DIMS(<cnp.ndarray>index)[cnp.PyArray_NDIM(<cnp.ndarray>index) - 1]
    block = table.row_block(&job.rows)
    run(table.tokens, &job, blocks(job.rows.positions, block), block * max(job.rows.classes, 1), &fold, NULL, table)
    return fl_fold_sum(&fold), fl_fold_weight(&fold), fold.total.bad


cdef double *doubles(a):
    return NULL if a is None else <double *>cnp.PyArray_DATA(<cnp.ndarray>a)


def run_tile(cnp.ndarray tile, Py_ssize_t classes, Py_ssize_t first, bias, cnp.ndarray label, dense, state, gradient):
    """One tile of a linear loss: fold its logits into `state` (max, rest, ones, target_logit, distance, mass: float64
    arrays over rows), or, given `gradient` (inverse, at_target, dense_factor), make them gradients in place. tile: rows
    that are contiguous, with room for whole lanes; bias and dense: contiguous, padded likewise, or None."""
    cdef const fl_kernels *table = fl_table(cnp.PyArray_ITEMSIZE(tile))
    cdef fl_tile_job job
    cdef fl_fold fold
    job.want = FL_VALUE if gradient is None else FL_GRAD
    job.rows = cnp.PyArray_DIMS(tile)[0]
    job.stride = cnp.PyArray_STRIDES(tile)[0] // cnp.PyArray_ITEMSIZE(tile)
    job.classes = classes
    job.first = first
    job.logits = cnp.PyArray_DATA(tile)
    job.bias = cnp.PyArray_DATA(<cnp.ndarray>bias) if bias is not None else NULL
    job.label = <const int64_t *>cnp.PyArray_DATA(label)
    job.dense = cnp.PyArray_DATA(<cnp.ndarray>dense) if dense is not None else NULL
    job.dense_stride = 0
    if dense is not None and cnp.PyArray_NDIM(<cnp.ndarray>dense) == 2:
        job.dense_stride = cnp.PyArray_DIMS(<cnp.ndarray>dense)[1]
    job.max = doubles(state[0])
    job.rest = doubles(state[1])
    job.ones = doubles(state[2])
    job.target_logit = doubles(state[3])
    job.distance = doubles(state[4])
    job.mass = doubles(state[5])
    job.inverse = job.at_target = job.dense_factor = NULL
    if gradient is not None:
        job.inverse = doubles(gradient[0])
        job.at_target = doubles(gradient[1])
        job.dense_factor = doubles(gradient[2])
    run(table.linear_row, &job, job.rows, max(1, classes), &fold, NULL, table)
