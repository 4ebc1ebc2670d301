# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: overlaps of masks. One unit of work is a run of positions of one group (an image, or the batch); of
# the Lovasz losses, one class of one group.

cdef enum:
    OVERLAP_UNIT = 4096        # positions
    OVERLAP_BYTES = 4 << 20    # of all units' sums, unless the groups are many
    WORKSPACE_BYTES = 16 << 20  # of all threads' workspaces, unless one takes more
    SORT_COST = 32             # what a position costs, in elements of run()


cdef int describe_overlap(fl_overlap_job *job, given) except -1:
    """Everything but what a pass writes, of a `_call_overlap.OverlapJob`."""
    describe_masks(job, given.logits, given.axis, given.labels, given.masks, given.mask, given.grad, given.groups)
    job.rows.holds = given.holds
    job.rows.ignore_index = given.ignore_index
    job.hard = given.hard
    job.hinge = given.hinge
    if given.softmax is not None:
        job.max = cnp.PyArray_DATA(<cnp.ndarray>given.softmax[0])
        job.inverse = cnp.PyArray_DATA(<cnp.ndarray>given.softmax[1])
    return 0


cdef int describe_masks(fl_overlap_job *job, cnp.ndarray logits, int axis, labels, masks, mask, grad,
                        Py_ssize_t groups) except -1:
    """Arrays, and how they are cut into units. axis: that of the classes, or of binary masks the one behind the last."""
    cdef Py_ssize_t dims[FL_MAX_DIMS]
    cdef int ndim
    memset(job, 0, sizeof(fl_overlap_job))
    ndim = describe_logits(&job.rows, logits, axis, dims)
    fill_optional(&job.rows.target, labels, ndim, dims)
    if masks is not None:
        fill(&job.rows.distribution, masks, ndim, dims, axis)
        job.rows.distribution_stride = class_stride(masks, axis)
    fill_optional(&job.rows.mask, mask, ndim, dims)
    job.group_size = job.rows.positions // max(groups, 1)
    job.unit = OVERLAP_UNIT
    while job.unit < job.group_size and (groups * blocks(job.group_size, job.unit) * job.rows.classes
                                         * FL_OVERLAP_SUMS * <Py_ssize_t>sizeof(double) > OVERLAP_BYTES):
        job.unit *= 2
    job.units = blocks(job.group_size, job.unit)
    if grad is not None:
        fill(&job.rows.grad, grad, ndim, dims, axis)
        job.rows.grad_class_stride = class_stride(grad, axis)
    return 0


cdef inline Py_ssize_t class_stride(cnp.ndarray a, int axis) noexcept:
    return cnp.PyArray_STRIDES(a)[axis] if axis < cnp.PyArray_NDIM(a) else 0


cdef int run_overlap(fl_unit_fn fn, fl_overlap_job *job, Py_ssize_t groups, const fl_kernels *table,
                     fl_fold *fold) except -1:
    cdef Py_ssize_t size = min(job.unit, job.group_size) * max(job.rows.classes, 1) * 2
    run(fn, job, groups * job.units, size, fold, NULL, table)
    return 0


def overlap_sums(given):
    """Sums of a checked job: (groups, classes, 4) float64, as in overlap.h; first offender or -1, its operand: of class
    indices their position, of the input and of masks the place with the classes last."""
    cdef const fl_kernels *table = fl_table(given.real.itemsize)
    cdef fl_overlap_job job
    cdef fl_fold fold
    cdef Py_ssize_t groups = given.groups
    describe_overlap(&job, given)
    sums = np.zeros((groups, job.rows.classes, FL_OVERLAP_SUMS))
    if job.rows.positions == 0:
        return sums, -1, 0
    sum_units(&job, groups, <double *>cnp.PyArray_DATA(<cnp.ndarray>sums), table, &fold)
    return sums, fold.total.bad, fold.total.bad_operand


cdef int sum_units(fl_overlap_job *job, Py_ssize_t groups, double *sums, const fl_kernels *table, fl_fold *fold) except -1:
    """Sums (groups, classes, 4), of units that are added in their order."""
    cdef Py_ssize_t width = job.rows.classes * FL_OVERLAP_SUMS, group, unit, k
    cdef double *parts = sums if job.units == 1 else <double *>malloc(
        <size_t>(groups * job.units * width) * sizeof(double))
    if parts == NULL:
        raise MemoryError()
    job.sums = parts
    try:
        run_overlap(table.overlap_sums, job, groups, table, fold)
        if parts == sums:
            return 0
        for group in range(groups):
            for k in range(width):
                sums[group * width + k] = 0
            for unit in range(job.units):
                for k in range(width):
                    sums[group * width + k] += parts[(group * job.units + unit) * width + k]
    finally:
        if parts != sums:
            free(parts)
    return 0


def overlap_gradient(given, cnp.ndarray slopes):
    """The gradient from float64 slopes (groups, classes, 2). Returns the first label that is bad by now, or -1."""
    cdef const fl_kernels *table = fl_table(given.real.itemsize)
    cdef fl_overlap_job job
    cdef fl_fold fold
    describe_overlap(&job, given)
    if job.rows.positions == 0:
        return -1
    job.slopes = <const double *>cnp.PyArray_DATA(slopes)
    run_overlap(table.overlap_gradient, &job, given.groups, table, &fold)
    return fold.total.bad


def lovasz(given, cnp.ndarray wanted, cnp.ndarray factors):
    """Losses (groups, classes), float64, of those that are wanted (uint8), and the gradient times the float64 factors.
    Returns them and the first label that is bad by now, or -1."""
    cdef const fl_kernels *table = fl_table(given.real.itemsize)
    cdef fl_overlap_job job
    cdef fl_fold fold
    cdef Py_ssize_t groups = given.groups, units, bytes
    cdef int number, n
    describe_overlap(&job, given)
    losses = np.zeros((groups, job.rows.classes))
    units = groups * job.rows.classes
    if job.rows.positions == 0 or units == 0:
        return losses, -1
    job.wanted = <const char *>cnp.PyArray_DATA(wanted)
    job.slopes = <const double *>cnp.PyArray_DATA(factors)
    job.losses = <double *>cnp.PyArray_DATA(<cnp.ndarray>losses)
    bytes = (table.lovasz_workspace(&job) + ALIGNMENT - 1) & -ALIGNMENT
    number = <int>min(min(units, <Py_ssize_t>thread_limit()), max(1, WORKSPACE_BYTES // bytes))
    memory = np.empty(number * bytes + number * <Py_ssize_t>sizeof(int) + ALIGNMENT, np.uint8)
    job.workspace = <char *>((<size_t>cnp.PyArray_DATA(<cnp.ndarray>memory) + ALIGNMENT - 1) & ~<size_t>(ALIGNMENT - 1))
    job.workspace_bytes = bytes
    job.workspace_taken = <int *>(job.workspace + number * bytes)
    job.workspaces = number
    for n in range(number):
        job.workspace_taken[n] = 0
    run_on(table.lovasz_class, &job, units, max(job.group_size, 1) * SORT_COST, &fold, NULL, table, number)
    if fold.total.bad < 0 and job.rows.grad.data != NULL and job.max != NULL:
        run_overlap(table.lovasz_chain, &job, groups, table, &fold)
    return losses, fold.total.bad
