# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: losses on pairs and triplets of vectors.

_vector_losses = {"pair": FL_PAIR, "triplet": FL_TRIPLET, "cosine_embedding": FL_COSINE_EMBEDDING,
                  "contrastive": FL_CONTRASTIVE}
_metrics = {"euclidean": FL_EUCLIDEAN, "sqeuclidean": FL_SQUARED, "manhattan": FL_MANHATTAN, "chebyshev": FL_CHEBYSHEV,
            "minkowski": FL_MINKOWSKI, "cosine": FL_COSINE_DISTANCE, "similarity": FL_COSINE,
            "shifted_similarity": FL_SHIFTED_COSINE}


cdef int run_vector_job(const fl_kernels *table, fl_distance_job *job, fl_fold *fold) except -1:
    cdef Py_ssize_t block = table.distance_block(job)
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
    run_vector_job(table, &job, &fold)
    return fl_fold_sum(&fold), fold.total.bad


def mine(cnp.ndarray products, cnp.ndarray vectors, cnp.ndarray square, cnp.ndarray label, Py_ssize_t first,
         double largest_square, double bound, cnp.ndarray positive, cnp.ndarray negative):
    """Hardest positives and negatives of the anchors first, first + 1, ...: indices into `vectors`, or -1. products:
    (anchors, whole lanes of vectors), overwritten; vectors, square and label: padded to whole lanes; all contiguous."""
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
    run(table.mine_row, &job, job.rows, cnp.PyArray_DIMS(products)[1], &fold, NULL, table)
