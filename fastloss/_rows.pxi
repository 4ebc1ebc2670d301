# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: losses of a row of logits and its label, or labels. One unit of work is a block of rows.

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


# ---- the common case -------------------------------------------------------------------------------------------------

_general_softmax = None
_general_multi_margin = None
_general_multilabel_margin = None


def _connect_rows(general_softmax, general_multi_margin, general_multilabel_margin):
    """`_call_rows` hands over what the fast path falls back to."""
    global _general_softmax, _general_multi_margin, _general_multilabel_margin
    _general_softmax = general_softmax
    _general_multi_margin = general_multi_margin
    _general_multilabel_margin = general_multilabel_margin


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
