# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: elementwise losses. One unit of work is a block of elements.

cdef int passes_caches(const fl_elementwise_job *job, const fl_kernels *table, bint fresh) except -1:
    """Whether a job's gradients are better stored past the caches."""
    cdef const fl_loss_info *loss = &table.losses[job.loss]
    cdef double bytes = <double>job.size * table.real_size
    return job.want & FL_GRAD and outgrows_caches(bytes * (loss.n_operands + loss.n_predictions), bytes, fresh)


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


# ---- the common case -------------------------------------------------------------------------------------------------

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
