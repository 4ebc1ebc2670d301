# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: arrays, already checked, as operands of C.

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
