# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: token quantities over checked operands.

cdef extern from "fastloss.h" nogil:
    enum:
        FL_LOG_PROB
        FL_LOGSUMEXP
        FL_ENTROPY
        FL_TOPK
        FL_DIVERGENCE
    ctypedef struct fl_token_job:
        fl_row_job rows
        int kind
        const fl_row_job *other
        Py_ssize_t k
        int64_t *index

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
