# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: the tiles of losses on a matrix product, and what their rows amount to.

cdef extern from "fastloss.h" nogil:
    enum:
        FL_LINEAR_ROWS
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
    ctypedef struct fl_linear_rows_job:
        int want
        Py_ssize_t rows
        const int64_t *label
        const double *max
        const double *rest
        const double *ones
        const double *target_logit
        const double *distance
        const double *mass
        const double *picked
        const double *share
        const double *factor
        double *value
        double *inverse
        double *at_target
        double *dense_factor


cdef enum:
    ELEMENTS_OF_ROW = 16  # of a loss, which take as long as finishing a row does, for `run`


cdef inline double *doubles(cnp.ndarray a, Py_ssize_t row=0) noexcept:
    """A row of a contiguous array of float64."""
    return <double *>cnp.PyArray_DATA(a) + row * cnp.PyArray_DIMS(a)[cnp.PyArray_NDIM(a) - 1]


def run_tile(cnp.ndarray tile, Py_ssize_t classes, Py_ssize_t first, bias, cnp.ndarray label, dense, cnp.ndarray state,
             gradient):
    """One tile of a linear loss: fold its logits into `state` (max, rest, ones, target_logit, distance, mass: rows of
    an array of float64), or, given `gradient` (of linear_factors), make them gradients in place. tile: rows that are
    contiguous, with room for whole lanes; bias and dense: contiguous, padded likewise, or None."""
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
    job.max, job.rest, job.ones = doubles(state, 0), doubles(state, 1), doubles(state, 2)
    job.target_logit, job.distance, job.mass = doubles(state, 3), doubles(state, 4), doubles(state, 5)
    job.inverse = job.at_target = job.dense_factor = NULL
    if gradient is not None:
        job.inverse, job.at_target = doubles(gradient, 0), doubles(gradient, 1)
        job.dense_factor = doubles(gradient, 2)
    run(table.linear_row, &job, job.rows, max(1, classes), &fold, NULL, table)


cdef object finish_rows(int want, cnp.ndarray label, cnp.ndarray state, cnp.ndarray picked, cnp.ndarray share, factor,
                        cnp.ndarray out):
    cdef const fl_kernels *table = fl_table(sizeof(double))
    cdef fl_linear_rows_job job
    cdef fl_fold fold
    job.want = want
    job.rows = cnp.PyArray_DIMS(label)[0]
    job.label = <const int64_t *>cnp.PyArray_DATA(label)
    job.max, job.rest, job.ones = doubles(state, 0), doubles(state, 1), doubles(state, 2)
    job.target_logit, job.distance, job.mass = doubles(state, 3), doubles(state, 4), doubles(state, 5)
    job.picked, job.share = doubles(picked), doubles(share)
    job.factor = doubles(factor) if factor is not None else NULL
    job.value = job.inverse = job.at_target = job.dense_factor = NULL
    if want == FL_VALUE:
        job.value = doubles(out)
    else:
        job.inverse, job.at_target, job.dense_factor = doubles(out, 0), doubles(out, 1), doubles(out, 2)
    run(table.linear_rows, &job, blocks(job.rows, FL_LINEAR_ROWS), FL_LINEAR_ROWS * ELEMENTS_OF_ROW, &fold, NULL, table)
    return out


def linear_values(cnp.ndarray label, cnp.ndarray state, cnp.ndarray picked, cnp.ndarray share):
    """Losses of rows, whose states are those of all tiles. All but the labels: contiguous arrays of float64."""
    return finish_rows(FL_VALUE, label, state, picked, share, None, np.empty(cnp.PyArray_DIMS(label)[0]))


def linear_factors(cnp.ndarray label, cnp.ndarray state, cnp.ndarray picked, cnp.ndarray share, cnp.ndarray factor):
    """Rows inverse, at_target and dense_factor of the logits' gradient: factors of exp(x - max); all of it at the label;
    of q."""
    return finish_rows(FL_GRAD, label, state, picked, share, factor, np.empty((3, cnp.PyArray_DIMS(label)[0])))
