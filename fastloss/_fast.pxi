# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: which arrays go straight to C, in every topic: contiguous ones of one shape.

cdef enum:
    OTHER = 0
    MEAN = 1
    SUM = 2
    NONE = 3

cdef extern from "float.h":
    double DBL_MAX

cdef extern from "math.h":
    double NAN

_backend = None   # the ContextVar of `_config`
_general_elementwise = None


def _connect(backend, general_elementwise):
    """`_call` hands over what the fast path falls back to."""
    global _backend, _general_elementwise
    _backend = backend
    _general_elementwise = general_elementwise


cdef inline int reduction_code(reduction):
    if type(reduction) is not str:
        return OTHER
    return MEAN if reduction == "mean" else SUM if reduction == "sum" else NONE if reduction == "none" else OTHER


cdef inline bint is_plain(object x) noexcept:
    """A plain, contiguous, aligned, native float32 or float64 array that holds something."""
    if type(x) is not cnp.ndarray:
        return False
    cdef cnp.ndarray a = <cnp.ndarray>x
    cdef int kind = cnp.PyArray_TYPE(a)
    return (kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE) and cnp.PyArray_ISCARRAY_RO(a) and cnp.PyArray_SIZE(a) > 0


cdef inline bint is_floating(object x) noexcept:
    """The same, or of float16."""
    if type(x) is not cnp.ndarray:
        return False
    cdef cnp.ndarray a = <cnp.ndarray>x
    return is_plain(x) or (cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT16 and cnp.PyArray_ISCARRAY_RO(a) and cnp.PyArray_SIZE(a) > 0)


cdef inline bint same_layout(object x, object y) noexcept:
    if not is_plain(y):
        return False
    cdef cnp.ndarray a = <cnp.ndarray>x, b = <cnp.ndarray>y
    return cnp.PyArray_TYPE(a) == cnp.PyArray_TYPE(b) and cnp.PyArray_SAMESHAPE(a, b)


cdef inline bint goes_along(object x, object y) noexcept:
    """Whether y is contiguous, of x's shape, and does not change the working type: of x's dtype, integer or bool."""
    if type(y) is not cnp.ndarray:
        return False
    cdef cnp.ndarray a = <cnp.ndarray>x, b = <cnp.ndarray>y
    cdef int kind = cnp.PyArray_TYPE(b)
    return ((kind == cnp.PyArray_TYPE(a) or kind == cnp.NPY_BOOL or kind == cnp.NPY_UINT8 or kind == cnp.NPY_INT32
             or kind == cnp.NPY_INT64) and cnp.PyArray_ISCARRAY_RO(b) and cnp.PyArray_SAMESHAPE(a, b))


cdef inline bint is_mask(object x, object mask) noexcept:
    return goes_along(x, mask) and cnp.PyArray_TYPE(<cnp.ndarray>mask) == cnp.NPY_BOOL


cdef inline int direct_dtype(int kind) noexcept:
    return (FL_FLOAT32 if kind == cnp.NPY_FLOAT else FL_FLOAT64 if kind == cnp.NPY_DOUBLE else
            FL_FLOAT16 if kind == cnp.NPY_FLOAT16 else FL_BOOL if kind == cnp.NPY_BOOL else
            FL_UINT8 if kind == cnp.NPY_UINT8 else FL_INT32 if kind == cnp.NPY_INT32 else FL_INT64)


cdef inline void direct(fl_operand *op, cnp.ndarray a) noexcept:
    op.data = <const char *>cnp.PyArray_DATA(a)
    op.dtype = direct_dtype(cnp.PyArray_TYPE(a))
    op.swapped = 0
    op.ndim = 1
    op.shape[0] = cnp.PyArray_SIZE(a)
    op.strides[0] = cnp.PyArray_ITEMSIZE(a)


cdef inline bint overlap(object x, object y) noexcept:
    """Whether two contiguous arrays share memory."""
    cdef char *a = <char *>cnp.PyArray_DATA(<cnp.ndarray>x)
    cdef char *b = <char *>cnp.PyArray_DATA(<cnp.ndarray>y)
    return a < b + cnp.PyArray_NBYTES(<cnp.ndarray>y) and b < a + cnp.PyArray_NBYTES(<cnp.ndarray>x)


cdef inline bint takes_gradient(object grad_out, object return_grad, object x, object y) noexcept:
    """Whether this grad_out (None: a fresh array) is one that the fast path may write."""
    if grad_out is None:
        return True
    return (return_grad is True and same_layout(x, grad_out) and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>grad_out)
            and not overlap(grad_out, x) and not overlap(grad_out, y))


cdef inline bint apart(object out, tuple operands, object weight, object mask) noexcept:
    """Whether this output (None: a fresh array) is one that the fast path may write beside these inputs."""
    cdef Py_ssize_t k
    if out is None:
        return True
    if not same_layout(operands[0], out) or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out):
        return False
    for k in range(len(operands)):
        if overlap(out, operands[k]):
            return False
    return (weight is None or not overlap(out, weight)) and (mask is None or not overlap(out, mask))


cdef inline bint gradients_apart(object given, tuple operands, object weight, object mask) noexcept:
    """The same of one array for a gradient, or of a tuple of them, which must not overlap each other either."""
    cdef Py_ssize_t k, j
    if type(given) is not tuple:
        return apart(given, operands, weight, mask)
    cdef tuple several = <tuple>given
    for k in range(len(several)):
        if several[k] is None or not apart(several[k], operands, weight, mask):
            return False
        for j in range(k):
            if overlap(several[j], several[k]):
                return False
    return True


cdef inline bint one_for_each(object grad_out, object return_grad, tuple operands, object target) noexcept:
    """Whether these (None: fresh ones) are the gradients of all operands, an array or a tuple of them as there are one
    or several, and such as the fast path may write."""
    cdef Py_ssize_t n = len(operands)
    if grad_out is None:
        return True
    return (return_grad is True and (n == 1 if type(grad_out) is not tuple else n > 1 and len(<tuple>grad_out) == n)
            and gradients_apart(grad_out, operands, target, None))


cdef inline object empty_like(cnp.ndarray x):
    return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)


cdef inline int working_size(cnp.ndarray x) noexcept:
    """Bytes of a number in which losses of these are computed: float16 in float32."""
    return 8 if cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE else 4


cdef inline object empty_working(cnp.ndarray x):
    return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x),
                             cnp.NPY_DOUBLE if working_size(x) == 8 else cnp.NPY_FLOAT, 0)


cdef inline bint native_backend():
    return get_value(_backend) == "native"


cdef inline bint all_alike(tuple operands) noexcept:
    """Plain arrays of one shape, at least 1-D, the first one floating and the others of its dtype or integer."""
    cdef Py_ssize_t k
    if not is_floating(operands[0]) or cnp.PyArray_NDIM(<cnp.ndarray>operands[0]) == 0:
        return False
    for k in range(1, len(operands)):
        if not goes_along(operands[0], operands[k]):
            return False
    return True


cdef inline bint usual_outputs(tuple operands, weight, mask, return_grad, grad_out, return_hess, hess_out) noexcept:
    """Whether the derivatives asked for, and the arrays given for them, are such as the fast path writes."""
    if return_grad is not True:
        return return_grad is False and return_hess is False and grad_out is None and hess_out is None
    if return_hess is not True and not (return_hess is False and hess_out is None):
        return False
    return (gradients_apart(grad_out, operands, weight, mask) and apart(hess_out, operands, weight, mask)
            and (grad_out is None or hess_out is None
                 or (type(grad_out) is not tuple and not overlap(grad_out, hess_out))))
