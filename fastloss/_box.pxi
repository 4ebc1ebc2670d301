# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: boxes. One unit of work is a block of pairs, or a block of the matrix of all pairs.

cdef enum:
    BOX_COST = 8  # what a pair costs, in elements of run(); of all pairs, 1


cdef int describe_boxes(fl_operand *op, Py_ssize_t *stride, cnp.ndarray a, Py_ssize_t *dims) except -1:
    """Boxes on the last axis of `a`; `dims` becomes the shape of the positions. Returns how many axes these have."""
    cdef int axis, last = cnp.PyArray_NDIM(a) - 1
    for axis in range(last):
        dims[axis] = cnp.PyArray_DIMS(a)[axis]
    fill(op, a, last, dims, last)
    stride[0] = cnp.PyArray_STRIDES(a)[last]
    return last


def run_boxes(int kind, bint centers, int real_size, cnp.ndarray input, cnp.ndarray target, mask, grad_output,
              double eps, double scale, value, grad):
    """Matched pairs of checked operands (..., 4) of one shape. value, grad: contiguous arrays to write, or None.
    Returns (sum of the values, number of pairs that count)."""
    cdef const fl_kernels *table = fl_table(real_size)
    cdef fl_box_job job
    cdef fl_fold fold
    cdef Py_ssize_t dims[FL_MAX_DIMS]
    cdef Py_ssize_t block = FL_BOX_BYTES // real_size
    cdef int ndim, axis
    memset(&job, 0, sizeof(fl_box_job))
    ndim = describe_boxes(&job.input, &job.input_stride, input, dims)
    describe_boxes(&job.target, &job.target_stride, target, dims)
    job.kind = kind
    job.centers = centers
    job.positions = 1
    for axis in range(ndim):
        job.positions *= dims[axis]
    if job.positions == 0:
        return 0.0, 0.0
    fill_optional(&job.mask, mask, ndim, dims)
    fill_optional(&job.grad_output, grad_output, ndim, dims)
    job.eps = eps
    job.scale = scale
    job.value = cnp.PyArray_DATA(<cnp.ndarray>value) if value is not None else NULL
    job.grad = cnp.PyArray_DATA(<cnp.ndarray>grad) if grad is not None else NULL
    run(table.box, &job, blocks(job.positions, block), block * BOX_COST, &fold, NULL, table)
    return fl_fold_sum(&fold), fl_fold_weight(&fold)


def run_box_matrix(bint centers, cnp.ndarray boxes1, cnp.ndarray boxes2, cnp.ndarray value):
    """All pairs of checked operands (N, 4) and (M, 4) to the contiguous array `value`, (N, M)."""
    cdef const fl_kernels *table = fl_table(cnp.PyArray_ITEMSIZE(value))
    cdef fl_box_job job
    cdef fl_fold fold
    cdef Py_ssize_t dims[FL_MAX_DIMS]
    cdef Py_ssize_t block = FL_BOX_BYTES // cnp.PyArray_ITEMSIZE(value), units
    memset(&job, 0, sizeof(fl_box_job))
    describe_boxes(&job.input, &job.input_stride, boxes1, dims)
    describe_boxes(&job.target, &job.target_stride, boxes2, dims)
    job.centers = centers
    job.positions = cnp.PyArray_DIMS(boxes1)[0]
    job.columns = cnp.PyArray_DIMS(boxes2)[0]
    if job.positions == 0 or job.columns == 0:
        return
    job.value = cnp.PyArray_DATA(value)
    units = blocks(job.positions, FL_BOX_ROWS) * blocks(job.columns, block)
    run(table.box_matrix, &job, units, FL_BOX_ROWS * block, &fold, NULL, table)
