# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: contiguous arrays of one shape straight to C.

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
_general_softmax = None
_general_multi_margin = None
_general_multilabel_margin = None


def _connect(backend, general_elementwise):
    """`_call` hands over what the fast path falls back to."""
    global _backend, _general_elementwise
    _backend = backend
    _general_elementwise = general_elementwise


def _connect_rows(general_softmax, general_multi_margin, general_multilabel_margin):
    """The same of `_call_rows`."""
    global _general_softmax, _general_multi_margin, _general_multilabel_margin
    _general_softmax = general_softmax
    _general_multi_margin = general_multi_margin
    _general_multilabel_margin = general_multilabel_margin


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


def elementwise(spec, tuple operands, tuple params, reduction, return_grad, weight, mask, grad_output, out, grad_out,
                return_hess=False, hess_out=None):
    """An elementwise loss: contiguous arrays of one shape straight to C."""
    cdef int kind = reduction_code(reduction)
    if (kind != OTHER and (grad_output is None or (type(grad_output) is float and return_grad is True))
            and out is None and all_alike(operands)
            and (weight is None or goes_along(operands[0], weight)) and (mask is None or is_mask(operands[0], mask))
            and usual_outputs(operands, weight, mask, return_grad, grad_out, return_hess, hess_out)
            and not (spec.per_sample and (kind != MEAN or mask is not None))
            and not (spec.summed and (kind == NONE or mask is not None)) and native_backend()):
        found = fast_elementwise(spec, operands, params, kind, weight, mask, return_grad, grad_out, return_hess,
                                 hess_out, 1.0 if grad_output is None else grad_output)
        if found is not None:
            return found
    return _general_elementwise(spec, operands, params, reduction, return_grad, weight, mask, grad_output, out, grad_out,
                                return_hess, hess_out)


cdef int _identity = losses()["identity"][0]


cdef double total_of(const fl_kernels *table, object a, object mask) except? -1:
    """Sum of `a` where the mask, if there is one, is True."""
    cdef fl_elementwise_job job
    cdef fl_fold fold
    job.loss = _identity
    job.want = FL_VALUE
    job.size = cnp.PyArray_SIZE(<cnp.ndarray>a)
    direct(&job.in_[0], <cnp.ndarray>a)
    job.weight.data = job.mask.data = NULL
    if mask is not None:
        direct(&job.mask, <cnp.ndarray>mask)
    job.scale = 1.0
    job.value = job.value_stage = job.hess = NULL
    job.stream = 0
    run(table.elementwise, &job, blocks(job.size, FL_BLOCK), FL_BLOCK, &fold, NULL, table)
    return fl_fold_sum(&fold)


cdef object fast_elementwise(spec, tuple operands, tuple params, int kind, weight, mask, bint return_grad, grad,
                             bint return_hess, hess, double factor):
    """None: an operand leaves its domain, or nothing counts; the general path says what then."""
    cdef cnp.ndarray x = <cnp.ndarray>operands[0]
    cdef const fl_kernels *table = fl_table(working_size(x))
    cdef fl_elementwise_job job
    cdef fl_fold fold
    cdef double denominator
    cdef int k, index = spec.index, predictions = table.losses[index].n_predictions
    cdef Py_ssize_t last = cnp.PyArray_DIMS(x)[cnp.PyArray_NDIM(x) - 1]
    cdef object value = None
    cdef tuple grads = ()
    cdef bint fresh = grad is None
    if grad is not None:
        grads = <tuple>grad if type(grad) is tuple else (grad,)
        if len(grads) != predictions or (type(grad) is tuple and predictions == 1):
            return None
    job.loss = index
    job.size = cnp.PyArray_SIZE(x)
    for k in range(len(operands)):
        direct(&job.in_[k], <cnp.ndarray>operands[k])
    for k in range(len(params)):
        job.param[k] = params[k]
    job.weight.data = job.mask.data = job.grad_output.data = NULL
    if weight is not None:
        direct(&job.weight, <cnp.ndarray>weight)
    if mask is not None:
        direct(&job.mask, <cnp.ndarray>mask)
    job.want = FL_VALUE
    job.value = job.value_stage = job.hess = NULL
    for k in range(FL_MAX_PREDICTIONS):
        job.grad[k] = NULL
        job.grad_acc[k].data = NULL
    if kind == NONE:
        value = empty_working(x)
        job.value = cnp.PyArray_DATA(<cnp.ndarray>value)
    if return_grad:
        job.want |= FL_GRAD
        for k in range(predictions):
            if fresh:
                grads += (empty_working(x),)
            job.grad[k] = cnp.PyArray_DATA(<cnp.ndarray>grads[k])
    if return_hess:
        hess = empty_working(x) if hess is None else hess
        job.want |= FL_HESS
        job.hess = cnp.PyArray_DATA(<cnp.ndarray>hess)
    # From here on nothing is read from the arrays' shapes: another thread may change them.
    denominator = <double>(job.size // last if spec.summed else job.size) if kind == MEAN else 1.0
    if kind == MEAN and weight is not None and spec.weighted_mean:
        denominator = total_of(table, weight, mask)
    elif kind == MEAN and mask is not None:
        denominator = total_of(table, mask, None)
    if denominator == 0:
        return None
    job.scale = factor / denominator
    job.stream = passes_caches(&job, table, fresh)
    run(table.elementwise, &job, blocks(job.size, FL_BLOCK), FL_BLOCK, &fold, NULL, table)
    if fold.total.bad >= 0:
        return None
    if kind != NONE:
        value = float64(fl_fold_sum(&fold) / denominator)
    if not return_grad:
        return value
    grad = grads[0] if predictions == 1 else grads
    return (value, grad, hess) if return_hess else (value, grad)


cdef inline bint fits_int64(object x):
    cdef int overflow = 0
    if type(x) is not int:
        return False
    PyLong_AsLongLongAndOverflow(x, &overflow)
    return overflow == 0


cdef inline bint is_plain_labels(object x) noexcept:
    if type(x) is not cnp.ndarray:
        return False
    cdef cnp.ndarray a = <cnp.ndarray>x
    return cnp.PyArray_ISCARRAY_RO(a) and (cnp.PyArray_TYPE(a) == cnp.NPY_INT64 or cnp.PyArray_TYPE(a) == cnp.NPY_INT32)


cdef inline bint is_plain_vector(object x, int kind, Py_ssize_t size) noexcept:
    """None, or a plain, contiguous, aligned, native 1-D array of this type and size."""
    if x is None:
        return True
    if type(x) is not cnp.ndarray:
        return False
    cdef cnp.ndarray a = <cnp.ndarray>x
    return (cnp.PyArray_TYPE(a) == kind and cnp.PyArray_ISCARRAY_RO(a) and cnp.PyArray_NDIM(a) == 1
            and cnp.PyArray_DIMS(a)[0] == size)


cdef inline bint is_parameter(object x, double largest) noexcept:
    """A float from 0 to `largest`."""
    return type(x) is float and 0.0 <= <double>x <= largest


cdef inline bint plain_rows(object input, object target, object weight, object mask, object class_axis) noexcept:
    """(N, C) contiguous logits with labels; weights and mask, if any, likewise plain."""
    if not (is_plain(input) and is_plain_labels(target) and type(class_axis) is int
            and (class_axis == 1 or class_axis == -1)):
        return False
    cdef cnp.ndarray x = <cnp.ndarray>input, t = <cnp.ndarray>target
    return (cnp.PyArray_NDIM(x) == 2 and cnp.PyArray_NDIM(t) == 1
            and cnp.PyArray_DIMS(x)[0] == cnp.PyArray_DIMS(t)[0] and cnp.PyArray_DIMS(x)[1] < 2147483647
            and is_plain_vector(weight, cnp.PyArray_TYPE(x), cnp.PyArray_DIMS(x)[1])
            and is_plain_vector(mask, cnp.NPY_BOOL, cnp.PyArray_DIMS(x)[0]))


def softmax(loss, input, target, weight, ignore_index, reduction, class_axis, mask, return_grad, grad_output, out,
            grad_out, label_smoothing, z_loss, gamma):
    """Cross entropy and its relatives: (N, C) contiguous input with labels straight to C."""
    cdef int holds = loss.holds
    cdef int kind = reduction_code(reduction)
    cdef bint fast = (kind != OTHER and grad_output is None and out is None
                      and (return_grad is False or return_grad is True) and fits_int64(ignore_index)
                      and is_parameter(label_smoothing, 1.0) and is_parameter(z_loss, DBL_MAX)
                      and (gamma is None or is_parameter(gamma, DBL_MAX))
                      and (holds == FL_LOGITS or <double>z_loss == 0.0)
                      and plain_rows(input, target, weight, mask, class_axis)
                      and takes_gradient(grad_out, return_grad, input, target)
                      and (grad_out is None or weight is None or not overlap(grad_out, weight))
                      and (grad_out is None or mask is None or not overlap(grad_out, mask)) and native_backend())
    cdef fl_row_job job
    if fast:
        job.holds = holds
        job.smoothing, job.z_loss = label_smoothing, z_loss
        job.gamma = -1.0 if gamma is None else gamma
        job.every_label = 0
        job.ignore_index = ignore_index
        found = fast_rows(&job, CROSS_ENTROPY if holds == FL_LOGITS else PROBABILITIES, <cnp.ndarray>input,
                          <cnp.ndarray>target, weight, mask, kind, return_grad, grad_out)
        if found is not None:
            return found
    return _general_softmax(loss, input, target, weight, ignore_index, reduction, class_axis, mask, return_grad,
                            grad_output, out, grad_out, label_smoothing, z_loss, gamma)


def multi_margin(input, target, weight, p, margin, reduction, class_axis, mask, return_grad, grad_output, out,
                 grad_out):
    """Multi-class hinge loss: (N, C) contiguous input with labels straight to C."""
    cdef int kind = reduction_code(reduction)
    cdef fl_row_job job
    if (kind != OTHER and weight is None and mask is None and grad_output is None and out is None
            and (return_grad is False or return_grad is True) and type(p) is int and (p == 1 or p == 2)
            and type(margin) is float and margin == margin and plain_rows(input, target, None, None, class_axis)
            and takes_gradient(grad_out, return_grad, input, target) and native_backend()):
        job.power, job.margin = p, margin
        found = fast_margin(&job, MULTI_MARGIN, <cnp.ndarray>input, <cnp.ndarray>target, kind, return_grad, grad_out)
        if found is not None:
            return found
    return _general_multi_margin(input, target, weight, p, margin, reduction, class_axis, mask, return_grad,
                                 grad_output, out, grad_out)


cdef inline bint plain_lists(object input, object target, object class_axis) noexcept:
    """(N, C) contiguous input with as many labels or bools."""
    if not (is_plain(input) and type(target) is cnp.ndarray and type(class_axis) is int
            and (class_axis == 1 or class_axis == -1)):
        return False
    cdef cnp.ndarray x = <cnp.ndarray>input, t = <cnp.ndarray>target
    return ((is_plain_labels(t) or (cnp.PyArray_TYPE(t) == cnp.NPY_BOOL and cnp.PyArray_ISCARRAY_RO(t)))
            and cnp.PyArray_NDIM(x) == 2 and cnp.PyArray_SAMESHAPE(x, t) and cnp.PyArray_DIMS(x)[1] < 2147483647)


def multilabel_margin(input, target, reduction, class_axis, mask, return_grad, grad_output, out, grad_out):
    """Multi-label hinge loss: (N, C) contiguous input with lists or bools straight to C."""
    cdef int kind = reduction_code(reduction)
    cdef fl_row_job job
    if (kind != OTHER and mask is None and grad_output is None and out is None
            and (return_grad is False or return_grad is True) and plain_lists(input, target, class_axis)
            and takes_gradient(grad_out, return_grad, input, target) and native_backend()):
        job.power, job.margin = 1, 1.0
        job.slots = cnp.PyArray_DIMS(<cnp.ndarray>target)[1]
        job.slot_stride = cnp.PyArray_ITEMSIZE(<cnp.ndarray>target)
        found = fast_margin(&job, MULTILABEL_MARGIN, <cnp.ndarray>input, <cnp.ndarray>target, kind, return_grad,
                            grad_out)
        if found is not None:
            return found
    return _general_multilabel_margin(input, target, reduction, class_axis, mask, return_grad, grad_output, out,
                                      grad_out)


cdef inline object fast_margin(fl_row_job *job, int code, cnp.ndarray x, cnp.ndarray target, int kind,
                               bint return_grad, grad):
    job.holds = FL_LOGITS
    job.smoothing, job.z_loss, job.gamma = 0.0, 0.0, -1.0
    job.every_label = 1
    job.ignore_index = 0
    return fast_rows(job, code, x, target, None, None, kind, return_grad, grad)


cdef object fast_rows(fl_row_job *job, int code, cnp.ndarray x, cnp.ndarray target, weight, mask, int kind,
                      bint return_grad, grad):
    """None: a label or a probability is bad; the general path says which. Labels are checked before a caller's array is
    written, and before probabilities, and weighed before a mean's gradient is."""
    cdef const fl_kernels *table = fl_table(cnp.PyArray_ITEMSIZE(x))
    cdef fl_fold fold
    cdef object value = None
    job.want = FL_VALUE
    job.positions = cnp.PyArray_DIMS(x)[0]
    job.classes = cnp.PyArray_DIMS(x)[1]
    job.inner = 1
    by_rows(&job.logits, x)
    job.class_stride = cnp.PyArray_ITEMSIZE(x)
    by_rows(&job.target, target)
    job.mask.data = job.grad_output.data = job.grad.data = job.distribution.data = NULL
    if mask is not None:
        direct(&job.mask, <cnp.ndarray>mask)
    job.class_weight = cnp.PyArray_DATA(<cnp.ndarray>weight) if weight is not None else NULL
    job.scale = 1.0
    job.value = NULL
    if kind == NONE:
        value = cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(target), cnp.PyArray_TYPE(x), 0)
        job.value = cnp.PyArray_DATA(<cnp.ndarray>value)
    cdef bint first_labels = return_grad and (kind == MEAN or grad is not None) or job.holds == FL_PROBABILITIES
    if return_grad:
        grad = empty_like(x) if grad is None else grad
        by_rows(&job.grad, <cnp.ndarray>grad)
        job.grad_class_stride = job.class_stride
    # From here on nothing is read from the arrays' shapes: another thread may change them.
    if first_labels:
        run_row_job(table, code, job, True, &fold)
        if fold.total.bad >= 0:
            return None
        if kind == MEAN:
            job.scale = 1.0 / fl_fold_weight(&fold) if fl_fold_weight(&fold) != 0 else 0.0
    if return_grad:
        job.want |= FL_GRAD
    run_row_job(table, code, job, False, &fold)
    if fold.total.bad >= 0:
        return None
    if kind == SUM:
        value = float64(fl_fold_sum(&fold))
    elif kind == MEAN:
        if fl_fold_weight(&fold) == 0:
            return None if fl_fold_sum(&fold) != 0 else (float64(NAN), grad) if return_grad else float64(NAN)
        value = float64(fl_fold_sum(&fold) / fl_fold_weight(&fold))
    return (value, grad) if return_grad else value


cdef inline void by_rows(fl_operand *op, cnp.ndarray a) noexcept:
    """The first classes of a contiguous (N, C) array."""
    direct(op, a)
    op.shape[0] = cnp.PyArray_DIMS(a)[0]
    op.strides[0] = cnp.PyArray_STRIDES(a)[0]
