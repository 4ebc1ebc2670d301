# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: losses on pairs and triplets of vectors.

_vector_losses = {"pair": FL_PAIR, "triplet": FL_TRIPLET, "cosine_embedding": FL_COSINE_EMBEDDING,
                  "contrastive": FL_CONTRASTIVE}
_metrics = {"euclidean": FL_EUCLIDEAN, "sqeuclidean": FL_SQUARED, "manhattan": FL_MANHATTAN, "chebyshev": FL_CHEBYSHEV,
            "minkowski": FL_MINKOWSKI, "cosine": FL_COSINE_DISTANCE, "similarity": FL_COSINE,
            "shifted_similarity": FL_SHIFTED_COSINE}


cdef int run_vector_job(const fl_kernels *table, fl_distance_job *job, fl_fold *fold, bint fresh) except -1:
    """fresh: gradients are arrays of ours."""
    cdef Py_ssize_t block = table.distance_block(job)
    cdef double bytes = <double>job.rows * job.features * table.real_size
    job.far = job.vectors * bytes > fl_kept_bytes(1)
    job.stream = job.want & FL_GRAD and outgrows_caches(2 * job.vectors * bytes, bytes, fresh)
    run(table.distance, job, blocks(job.rows, block), block * max(job.features, 1) * job.vectors, fold, NULL, table)
    return 0


cdef int options_of_vectors(fl_distance_job *job, given) except -1:
    """Options, and no operands yet."""
    memset(job, 0, sizeof(fl_distance_job))
    job.want = FL_VALUE
    job.loss, job.metric = _vector_losses[given.loss], _metrics[given.metric]
    job.p, job.eps, job.margin, job.swap = given.p, given.eps, given.margin, given.swap
    job.scale = given.scale
    return 0


def run_vectors(given):
    """One job over checked operands, a `_call_distance.VectorJob`: vectors and gradients are of one shape, features last.
    Returns (sum of values, row of the first target outside its domain or -1)."""
    cdef const fl_kernels *table = fl_table(given.real.itemsize)
    cdef fl_distance_job job
    cdef fl_fold fold
    cdef Py_ssize_t dims[FL_MAX_DIMS]
    cdef cnp.ndarray first = given.vectors[0], a
    cdef int k, axis, ndim = cnp.PyArray_NDIM(first) - 1
    options_of_vectors(&job, given)
    job.vectors = len(given.vectors)
    job.features = cnp.PyArray_DIMS(first)[ndim]
    job.rows = 1
    for axis in range(ndim):
        dims[axis] = cnp.PyArray_DIMS(first)[axis]
        job.rows *= dims[axis]
    if job.rows == 0:
        return 0.0, -1
    for k in range(job.vectors):
        a = given.vectors[k]
        fill(&job.in_[k], a, ndim, dims, ndim)
        job.feature_stride[k] = cnp.PyArray_STRIDES(a)[ndim]
        if given.grads is not None:
            job.want |= FL_GRAD
            a = given.grads[k]
            fill(&job.grad[k], a, ndim, dims, ndim)
            job.grad_stride[k] = cnp.PyArray_STRIDES(a)[ndim]
    fill_optional(&job.target, given.target, ndim, dims)
    fill_optional(&job.mask, given.mask, ndim, dims)
    fill_optional(&job.grad_output, given.grad_output, ndim, dims)
    if given.value is not None:
        job.value = cnp.PyArray_DATA(<cnp.ndarray>given.value)
    run_vector_job(table, &job, &fold, False)
    return fl_fold_sum(&fold), fold.total.bad


def mine(cnp.ndarray products, cnp.ndarray vectors, cnp.ndarray square, cnp.ndarray label, Py_ssize_t first,
         double largest_square, double bound, cnp.ndarray positive, cnp.ndarray negative):
    """Hardest positives and negatives of the anchors first, first + 1, ...: indices into `vectors`, or -1. products:
    (anchors, whole lanes of vectors); vectors, square and label: padded to whole lanes; all contiguous."""
    cdef const fl_kernels *table = fl_table(cnp.PyArray_ITEMSIZE(products))
    cdef fl_mining_job job
    cdef fl_fold fold
    job.rows = cnp.PyArray_DIMS(products)[0]
    job.first = first
    job.count = cnp.PyArray_DIMS(vectors)[0]
    job.features = cnp.PyArray_DIMS(vectors)[1]
    job.products = cnp.PyArray_DATA(products)
    job.vectors = cnp.PyArray_DATA(vectors)
    job.square = cnp.PyArray_DATA(square)
    job.label = cnp.PyArray_DATA(label)
    job.largest_square, job.bound = largest_square, bound
    job.positive = <int64_t *>cnp.PyArray_DATA(positive)
    job.negative = <int64_t *>cnp.PyArray_DATA(negative)
    run(table.mine_row, &job, job.rows, job.count, &fold, NULL, table)


def directions(cnp.ndarray vectors, double factor, double least, gradient, cnp.ndarray out):
    """factor times the vectors over their lengths, at least `least`; or, given the gradient by that, the gradient by the
    vectors. All arrays contiguous, of one shape and dtype, padded with zeros to whole lanes."""
    cdef const fl_kernels *table = fl_table(cnp.PyArray_ITEMSIZE(vectors))
    cdef fl_direction_job job
    cdef fl_fold fold
    job.want = FL_VALUE if gradient is None else FL_GRAD
    job.features = cnp.PyArray_DIMS(vectors)[1]
    job.vectors = cnp.PyArray_DATA(vectors)
    job.gradient = NULL if gradient is None else cnp.PyArray_DATA(<cnp.ndarray>gradient)
    job.factor, job.least = factor, least
    job.out = cnp.PyArray_DATA(out)
    run(table.direction_row, &job, cnp.PyArray_DIMS(vectors)[0], max(1, job.features), &fold, NULL, table)


# ---- the common case -------------------------------------------------------------------------------------------------

_general_vectors = None


def _connect_vectors(general_vectors):
    """`_call_distance` hands over what the fast path falls back to."""
    global _general_vectors
    _general_vectors = general_vectors


cdef bint alike_vectors(tuple operands) noexcept:
    """Plain arrays of one shape and dtype, (D,) or more."""
    cdef Py_ssize_t k
    if not is_plain(operands[0]) or cnp.PyArray_NDIM(<cnp.ndarray>operands[0]) == 0:
        return False
    for k in range(1, len(operands)):
        if not same_layout(operands[0], operands[k]):
            return False
    return True


cdef bint one_per_row(object target, cnp.ndarray vectors) noexcept:
    """None, or a contiguous array of numbers or bools in the vectors' leading shape."""
    cdef int axis
    if target is None:
        return True
    if type(target) is not cnp.ndarray:
        return False
    cdef cnp.ndarray t = <cnp.ndarray>target
    if not (is_plain_labels(t) or is_plain(t) or (cnp.PyArray_TYPE(t) == cnp.NPY_BOOL and cnp.PyArray_ISCARRAY_RO(t))):
        return False
    if cnp.PyArray_NDIM(t) != cnp.PyArray_NDIM(vectors) - 1:
        return False
    for axis in range(cnp.PyArray_NDIM(t)):
        if cnp.PyArray_DIMS(t)[axis] != cnp.PyArray_DIMS(vectors)[axis]:
            return False
    return True


def vectors(loss, measure, tuple operands, tuple names, target, double margin, bint swap, int axis, reduction, mask,
            return_grad, grad_output, out, grad_out, bint keepdim=False):
    """Contiguous vectors of one shape and dtype straight to C."""
    cdef int kind = reduction_code(reduction)
    if (kind != OTHER and axis == -1 and not keepdim and mask is None and grad_output is None and out is None
            and (return_grad is True or return_grad is False) and alike_vectors(operands)
            and one_per_row(target, <cnp.ndarray>operands[0])
            and one_for_each(grad_out, return_grad, operands, target)
            and native_backend()):
        found = fast_vectors(loss, measure, operands, target, margin, swap, kind, return_grad, grad_out)
        if found is not None:
            return found
    return _general_vectors(loss, measure, operands, names, target, margin, swap, axis, reduction, mask, return_grad,
                            grad_output, out, grad_out, keepdim)


cdef inline void rows_of(fl_operand *op, cnp.ndarray a, Py_ssize_t rows, Py_ssize_t features) noexcept:
    direct(op, a)
    op.shape[0] = rows
    op.strides[0] = features * cnp.PyArray_ITEMSIZE(a)


cdef int set_measure(fl_distance_job *job, measure, int real_size) except -1:
    """As `Measure.rounded` does it."""
    cdef float p = measure.p, eps = measure.eps
    job.p = p if real_size == 4 else <double>measure.p
    job.eps = eps if real_size == 4 else <double>measure.eps
    job.metric = _metrics[measure.metric]
    if job.metric == FL_MINKOWSKI:
        job.metric = (FL_EUCLIDEAN if job.p == 2.0 else FL_MANHATTAN if job.p == 1.0 else
                      FL_CHEBYSHEV if job.p > DBL_MAX else FL_MINKOWSKI)
    return 0


cdef object fast_vectors(loss, measure, tuple operands, target, double margin, bint swap, int kind, bint return_grad,
                         grads):
    """None: a target is outside its domain; the general path says which."""
    cdef cnp.ndarray x = <cnp.ndarray>operands[0]
    cdef const fl_kernels *table = fl_table(cnp.PyArray_ITEMSIZE(x))
    cdef fl_distance_job job
    cdef fl_fold fold
    cdef int k
    cdef bint fresh = grads is None
    cdef object value = None
    memset(&job, 0, sizeof(fl_distance_job))
    job.want = FL_VALUE | (FL_GRAD if return_grad else 0)
    job.loss = _vector_losses[loss]
    set_measure(&job, measure, cnp.PyArray_ITEMSIZE(x))
    job.margin, job.swap = margin, swap
    job.vectors = len(operands)
    job.features = cnp.PyArray_DIMS(x)[cnp.PyArray_NDIM(x) - 1]
    job.rows = cnp.PyArray_SIZE(x) // job.features
    for k in range(job.vectors):
        rows_of(&job.in_[k], <cnp.ndarray>operands[k], job.rows, job.features)
        job.feature_stride[k] = cnp.PyArray_ITEMSIZE(x)
    if target is not None:
        direct(&job.target, <cnp.ndarray>target)
        job.target.dtype = dtype_code(<cnp.ndarray>target)
    if kind == NONE:
        value = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x) - 1, cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)
        job.value = cnp.PyArray_DATA(<cnp.ndarray>value)
    if return_grad:
        if fresh:
            grads = tuple([empty_like(x) for k in range(job.vectors)])
        for k in range(job.vectors):
            rows_of(&job.grad[k], <cnp.ndarray>grads[k], job.rows, job.features)
            job.grad_stride[k] = cnp.PyArray_ITEMSIZE(x)
    # From here on nothing is read from the arrays' shapes: another thread may change them.
    job.scale = 1.0 / <double>job.rows if kind == MEAN else 1.0
    run_vector_job(table, &job, &fold, fresh)
    if fold.total.bad >= 0:
        return None
    if kind == MEAN:
        value = float64(fl_fold_sum(&fold) / <double>job.rows)
    elif kind == SUM:
        value = float64(fl_fold_sum(&fold))
    elif cnp.PyArray_NDIM(<cnp.ndarray>value) == 0:
        value = value[()]
    return (value, grads) if return_grad else value
