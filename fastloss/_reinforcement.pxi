# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: scans over trajectories and rows of action values, over checked operands.

cdef extern from "fastloss.h" nogil:
    enum:
        FL_SCAN_COLUMNS
    ctypedef struct fl_scan_job:
        Py_ssize_t steps
        Py_ssize_t columns
        Py_ssize_t horizon
        Py_ssize_t span
        Py_ssize_t spans
        fl_operand reward
        fl_operand value
        fl_operand next
        fl_operand done
        fl_operand cut
        Py_ssize_t reward_stride
        Py_ssize_t value_stride
        Py_ssize_t next_stride
        Py_ssize_t done_stride
        Py_ssize_t cut_stride
        int next_each
        fl_operand advantage
        fl_operand target
        Py_ssize_t advantage_stride
        Py_ssize_t target_stride
        double discount
        double trace
    ctypedef struct fl_action_job:
        fl_row_job rows
        const fl_row_job *next
        const fl_row_job *judge
        fl_operand reward
        fl_operand done
        fl_operand weight
        double discount
        double delta


cdef enum:
    LEAST_SPAN = 64  # steps


cdef Py_ssize_t fill_steps(fl_operand *op, a, int axis, int ndim, const Py_ssize_t *dims) except? -1:
    """Describe the first step of an array over steps and trajectories, or none; returns the stride of the steps."""
    op.data = NULL
    if a is None:
        return 0
    fill(op, a, ndim, dims, axis)
    return cnp.PyArray_STRIDES(<cnp.ndarray>a)[axis]


def run_scan(int real_size, int axis, cnp.ndarray reward, value, next_value, done, cut, advantage, target,
             Py_ssize_t horizon, double discount, double trace):
    """One scan over checked arrays of one shape, `axis` that of the steps; next_value may lack it. advantage and target:
    arrays to write; horizon: 0 for advantages, else the steps of a return."""
    cdef const fl_kernels *table = fl_table(real_size)
    cdef fl_scan_job job
    cdef fl_fold fold
    cdef Py_ssize_t dims[FL_MAX_DIMS]
    cdef Py_ssize_t work
    cdef int k, ndim = 0
    job.steps = cnp.PyArray_DIMS(reward)[axis]
    job.columns = 1
    for k in range(cnp.PyArray_NDIM(reward)):
        if k != axis:
            dims[ndim] = cnp.PyArray_DIMS(reward)[k]
            job.columns *= dims[ndim]
            ndim += 1
    if job.steps == 0 or job.columns == 0:
        return
    job.horizon, job.discount, job.trace = horizon, discount, trace
    job.reward_stride = fill_steps(&job.reward, reward, axis, ndim, dims)
    job.value_stride = fill_steps(&job.value, value, axis, ndim, dims)
    job.done_stride = fill_steps(&job.done, done, axis, ndim, dims)
    job.cut_stride = fill_steps(&job.cut, cut, axis, ndim, dims)
    job.advantage_stride = fill_steps(&job.advantage, advantage, axis, ndim, dims)
    job.target_stride = fill_steps(&job.target, target, axis, ndim, dims)
    job.next_each = cnp.PyArray_NDIM(<cnp.ndarray>next_value) == cnp.PyArray_NDIM(reward)
    job.next_stride = 0
    if job.next_each:
        job.next_stride = fill_steps(&job.next, next_value, axis, ndim, dims)
    else:
        fill(&job.next, next_value, ndim, dims, -1)
    # The first return of a span is summed from its own end, `horizon` steps behind it: few of many.
    job.span = max(LEAST_SPAN, 16 * horizon) if 0 < horizon < job.steps // 16 else job.steps
    job.spans = blocks(job.steps, job.span)
    work = FL_SCAN_COLUMNS * min(job.span, 1 << 20) * max(1, min(horizon, job.steps, 1 << 10))
    run(table.scan, &job, blocks(job.columns, FL_SCAN_COLUMNS) * job.spans, work, &fold, NULL, table)


def run_actions(given, bint labels_only):
    """One job over checked operands, a `_call_actions.ActionJob`. labels_only: only check labels and count rows. Returns
    (sum of values, rows that count, position of the first bad label or -1)."""
    cdef const fl_kernels *table = fl_table(given.real.itemsize)
    cdef fl_action_job job
    cdef fl_row_job next_rows, judge
    cdef fl_fold fold
    cdef Py_ssize_t dims[FL_MAX_DIMS]
    cdef Py_ssize_t block
    cdef int class_axis = given.axis
    cdef int ndim = describe_logits(&job.rows, given.q, class_axis, dims)
    if job.rows.positions == 0:
        return 0.0, 0.0, -1
    job.rows.every_label = 1
    fill(&job.rows.target, given.actions, ndim, dims, -1)
    fill_optional(&job.rows.mask, given.mask, ndim, dims)
    fill_optional(&job.rows.grad_output, given.grad_output, ndim, dims)
    job.rows.scale = given.scale
    block = table.row_block(&job.rows)
    if labels_only:
        run(table.row_labels, &job.rows, blocks(job.rows.positions, block), block, &fold, NULL, table)
        return 0.0, fl_fold_weight(&fold), fold.total.bad
    if given.value is not None:
        job.rows.value = cnp.PyArray_DATA(<cnp.ndarray>given.value)
    if given.grad is not None:
        job.rows.want |= FL_GRAD
        fill(&job.rows.grad, given.grad, ndim, dims, class_axis)
        job.rows.grad_class_stride = cnp.PyArray_STRIDES(<cnp.ndarray>given.grad)[class_axis]
    describe_logits(&next_rows, given.next_q, class_axis, dims)
    job.next = &next_rows
    job.judge = NULL
    if given.judge is not None:
        describe_logits(&judge, given.judge, class_axis, dims)
        job.judge = &judge
    fill(&job.reward, given.reward, ndim, dims, -1)
    fill_optional(&job.done, given.done, ndim, dims)
    fill_optional(&job.weight, given.weight, ndim, dims)
    job.discount, job.delta = given.discount, given.delta
    run(table.actions, &job, blocks(job.rows.positions, block), block * max(2 * job.rows.classes, 1), &fold, NULL, table)
    return fl_fold_sum(&fold), fl_fold_weight(&fold), fold.total.bad
