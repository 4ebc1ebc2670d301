# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: CTC. One unit of work is one sequence; the most work comes first.

cdef enum:
    ALIGNMENT = 64      # of each thread's workspace
    FRAME_COST = 48     # what a frame costs beside its labels, in elements of run()
    LABEL_COST = 3
    FEW_SEQUENCES = 64

cdef struct sequence:
    int64_t sample
    double cost


cdef int by_cost(const void *a, const void *b) noexcept nogil:
    """Decreasing cost, equal ones in their own order."""
    cdef const sequence *x = <const sequence *>a
    cdef const sequence *y = <const sequence *>b
    if x.cost != y.cost:
        return -1 if x.cost > y.cost else 1
    return -1 if x.sample < y.sample else 1


cdef Py_ssize_t sort_sequences(const fl_ctc_job *job, sequence *sequences, int64_t *order) noexcept nogil:
    """Fills `order`; returns the mean cost, in elements of run()."""
    cdef double total = 0, frame = FRAME_COST + (job.classes if job.from_logits else 0)
    cdef bint sorted_already = True
    cdef Py_ssize_t n
    for n in range(job.samples):
        sequences[n].sample = n
        sequences[n].cost = <double>job.input_lengths[n] * (frame + LABEL_COST * <double>job.target_lengths[n])
        total += sequences[n].cost
        sorted_already = sorted_already and (n == 0 or sequences[n].cost <= sequences[n - 1].cost)
    if not sorted_already:
        qsort(sequences, <size_t>job.samples, sizeof(sequence), by_cost)
    for n in range(job.samples):
        order[n] = sequences[n].sample
    total = total / <double>job.samples * (3 if job.want & FL_GRAD else 1)
    return 1 if total < 1 else <Py_ssize_t>min(total, 1e15)


cdef double last_asked = 0
_interrupt = None  # what a signal's handler has raised while a sequence ran


cdef int ask_handlers() noexcept with gil:
    global _interrupt
    try:
        PyErr_CheckSignals()
    except BaseException as raised:
        _interrupt = raised
        return 1
    return 0


cdef int interrupted() noexcept nogil:
    """Honours signals within a sequence, about as often as run() does between its slices."""
    global last_asked
    cdef double time = now()
    if time - last_asked < SLICE_SECONDS:
        return 0
    last_asked = time
    return ask_handlers()


cdef int run_sequences(const fl_kernels *table, fl_ctc_job *job, fl_fold *fold) except -1:
    """Order the samples, give each thread a workspace, run."""
    global _interrupt
    cdef int stopped = 0
    cdef Py_ssize_t count = job.samples, cost, bytes = table.ctc_workspace(job), number, n
    cdef size_t order_bytes = <size_t>count * sizeof(int64_t), size
    cdef char *memory
    if bytes < 0:
        raise MemoryError("CTC: one sequence's workspace is larger than any memory")
    memory = <char *>malloc(order_bytes + <size_t>count * sizeof(sequence))
    if memory == NULL:
        raise MemoryError()
    job.order = <int64_t *>memory
    job.workspace_taken = NULL
    try:
        cost = sort_sequences(job, <sequence *>(memory + order_bytes), <int64_t *>memory)
        number = 1
        if count > 1 and <double>cost * <double>count >= 2.0 * SERIAL_ELEMENTS:
            number = min(count, <Py_ssize_t>thread_limit())
        bytes = (bytes + ALIGNMENT - 1) & -ALIGNMENT
        size = <size_t>number * (<size_t>bytes + sizeof(int)) + 2 * ALIGNMENT
        if <double>number * <double>bytes > 4e18:
            raise MemoryError()
        job.workspace_taken = <int *>malloc(size)
        if job.workspace_taken == NULL:
            raise MemoryError()
        for n in range(number):
            job.workspace_taken[n] = 0
        job.workspaces = <int>number
        job.workspace_bytes = bytes
        job.workspace = <char *>((<size_t>(job.workspace_taken + number) + ALIGNMENT - 1) & ~<size_t>(ALIGNMENT - 1))
        job.stopped = &stopped
        job.interrupted = interrupted
        run(table.ctc, job, count, cost, fold, NULL, table)
    finally:
        free(job.workspace_taken)
        free(memory)
    if stopped:
        raised, _interrupt = _interrupt, None
        raise raised
    return 0


def run_ctc(int real_size, cnp.ndarray log_probs, cnp.ndarray targets, cnp.ndarray target_starts,
            cnp.ndarray target_lengths, cnp.ndarray input_lengths, int64_t blank, bint from_logits, bint zero_infinity,
            bint per_label, grad_output, double scale, value, grad, bint grad_is_zero, bint exact=False):
    """One CTC job over checked operands: log_probs (T, N, C); int64 starts and lengths (N,), private to the call.
    value, grad: contiguous arrays to write, or None. exact: the exact recursion for every sequence.
    Returns (sum of the losses, each divided by its labels if `per_label`; index of the first bad label or -1)."""
    cdef const fl_kernels *table = fl_table(real_size)
    cdef fl_ctc_job job
    cdef fl_fold fold
    job.want = FL_VALUE | (FL_GRAD if grad is not None else 0)
    job.from_logits = from_logits
    job.zero_infinity = zero_infinity
    job.per_label = per_label
    job.exact = exact
    job.frames = cnp.PyArray_DIMS(log_probs)[0]
    job.samples = cnp.PyArray_DIMS(log_probs)[1]
    job.classes = cnp.PyArray_DIMS(log_probs)[2]
    job.blank = blank
    fill(&job.log_probs, log_probs, 3, <const Py_ssize_t *>cnp.PyArray_DIMS(log_probs), -1)
    job.frame_stride = cnp.PyArray_STRIDES(log_probs)[0]
    job.sample_stride = cnp.PyArray_STRIDES(log_probs)[1]
    job.class_stride = cnp.PyArray_STRIDES(log_probs)[2]
    fill(&job.target, targets, cnp.PyArray_NDIM(targets), <const Py_ssize_t *>cnp.PyArray_DIMS(targets), -1)
    job.target_starts = <const int64_t *>cnp.PyArray_DATA(target_starts)
    job.target_lengths = <const int64_t *>cnp.PyArray_DATA(target_lengths)
    job.input_lengths = <const int64_t *>cnp.PyArray_DATA(input_lengths)
    fill_optional(&job.grad_output, grad_output, 1, &job.samples)
    job.scale = scale
    job.value = cnp.PyArray_DATA(<cnp.ndarray>value) if value is not None else NULL
    job.grad = cnp.PyArray_DATA(<cnp.ndarray>grad) if grad is not None else NULL
    job.grad_is_zero = grad_is_zero
    if job.samples == 0:
        return 0.0, -1
    run_sequences(table, &job, &fold)
    return fl_fold_sum(&fold), fold.total.bad


# ---- the common case -------------------------------------------------------------------------------------------------

_general_ctc = None


def _connect_ctc(general_ctc):
    """`_call_ctc` hands over what the fast path falls back to."""
    global _general_ctc
    _general_ctc = general_ctc


cdef bint read_lengths(object x, Py_ssize_t samples, int64_t most, int64_t *to):
    """One length in [0, most] per sample, from a tuple, a list or a plain array; False if it is anything else."""
    cdef Py_ssize_t n
    cdef const char *data
    cdef cnp.ndarray a
    if type(x) is tuple or type(x) is list:
        if len(x) != samples:
            return False
        for n in range(samples):
            if not fits_int64(x[n]):
                return False
            to[n] = x[n]
    else:
        if not is_plain_labels(x):
            return False
        a = <cnp.ndarray>x
        if cnp.PyArray_NDIM(a) != 1 or cnp.PyArray_DIMS(a)[0] != samples:
            return False
        data = <const char *>cnp.PyArray_DATA(a)
        if cnp.PyArray_TYPE(a) == cnp.NPY_INT64:
            for n in range(samples):
                to[n] = (<const int64_t *>data)[n]
        else:
            for n in range(samples):
                to[n] = (<const int32_t *>data)[n]
    for n in range(samples):
        if to[n] < 0 or to[n] > most:
            return False
    return True


cdef bint good_labels(const fl_ctc_job *job) noexcept:
    """Whether all labels are in range, before a caller's array is written."""
    cdef Py_ssize_t n, k, place
    cdef int64_t label
    for n in range(job.samples):
        for k in range(job.target_lengths[n]):
            place = job.target_starts[n] + k
            label = ((<const int64_t *>job.target.data)[place] if job.target.dtype == FL_INT64
                     else (<const int32_t *>job.target.data)[place])
            if label < 0 or label >= job.classes or label == job.blank:
                return False
    return True


def ctc_loss(log_probs, targets, input_lengths, target_lengths, *, blank, reduction, zero_infinity, from_logits,
             return_grad, grad_output, out, grad_out):
    """Contiguous (T, N, C) without grad_output or out, plain labels and lengths: straight to C."""
    cdef int kind = reduction_code(reduction)
    cdef bint fast = (kind != OTHER and grad_output is None and out is None
                      and (return_grad is False or return_grad is True)
                      and (zero_infinity is False or zero_infinity is True)
                      and (from_logits is False or from_logits is True)
                      and fits_int64(blank) and is_plain(log_probs) and cnp.PyArray_NDIM(<cnp.ndarray>log_probs) == 3
                      and is_plain_labels(targets) and takes_gradient(grad_out, return_grad, log_probs, targets)
                      and native_backend())
    if fast:
        found = fast_ctc(<cnp.ndarray>log_probs, <cnp.ndarray>targets, input_lengths, target_lengths, blank, kind,
                         zero_infinity, from_logits, return_grad, grad_out)
        if found is not None:
            return found
    return _general_ctc(log_probs, targets, input_lengths, target_lengths, blank=blank, reduction=reduction,
                        zero_infinity=zero_infinity, from_logits=from_logits, return_grad=return_grad,
                        grad_output=grad_output, out=out, grad_out=grad_out)


cdef object fast_ctc(cnp.ndarray x, cnp.ndarray targets, object input_lengths, object target_lengths, int64_t blank,
                     int kind, bint zero_infinity, bint from_logits, bint return_grad, object grad):
    """None: something is wrong, or not plain; the general path says what."""
    cdef const fl_kernels *table = fl_table(cnp.PyArray_ITEMSIZE(x))
    cdef fl_ctc_job job
    cdef fl_fold fold
    cdef int64_t few[3 * FEW_SEQUENCES]
    cdef int64_t *numbers = few
    cdef Py_ssize_t n
    job.want = FL_VALUE | (FL_GRAD if return_grad else 0)
    job.from_logits = from_logits
    job.zero_infinity = zero_infinity
    job.per_label = kind == MEAN
    job.exact = False
    job.frames = cnp.PyArray_DIMS(x)[0]
    job.samples = cnp.PyArray_DIMS(x)[1]
    job.classes = cnp.PyArray_DIMS(x)[2]
    job.blank = blank
    if blank < 0 or blank >= job.classes or job.classes > 2147483647:
        return None
    direct(&job.log_probs, x)
    job.class_stride = cnp.PyArray_ITEMSIZE(x)
    job.sample_stride = job.classes * job.class_stride
    job.frame_stride = job.samples * job.sample_stride
    direct(&job.target, targets)
    job.target.dtype = FL_INT64 if cnp.PyArray_TYPE(targets) == cnp.NPY_INT64 else FL_INT32
    job.grad_output.data = NULL
    job.scale = 1.0 / <double>job.samples if kind == MEAN else 1.0
    job.value = job.grad = NULL
    job.grad_is_zero = grad is None
    cdef Py_ssize_t width = cnp.PyArray_DIMS(targets)[1] if cnp.PyArray_NDIM(targets) == 2 else job.target.shape[0]
    cdef bint padded = cnp.PyArray_NDIM(targets) == 2
    cdef int64_t total = 0
    if padded and cnp.PyArray_DIMS(targets)[0] != job.samples or cnp.PyArray_NDIM(targets) > 2:
        return None
    if job.samples > FEW_SEQUENCES:
        numbers = <int64_t *>malloc(3 * <size_t>job.samples * sizeof(int64_t))
        if numbers == NULL:
            raise MemoryError()
    try:
        job.input_lengths = numbers
        job.target_lengths = numbers + job.samples
        job.target_starts = numbers + 2 * job.samples
        if not (read_lengths(input_lengths, job.samples, job.frames, numbers)
                and read_lengths(target_lengths, job.samples, width, numbers + job.samples)):
            return None
        for n in range(job.samples):
            numbers[2 * job.samples + n] = n * width if padded else total
            total += numbers[job.samples + n]
            if not padded and total > width:
                return None
        if not padded and total != width:
            return None
        if grad is not None and not good_labels(&job):
            return None
        value = None
        if kind == NONE:
            value = cnp.PyArray_EMPTY(1, <cnp.npy_intp *>&job.samples, cnp.PyArray_TYPE(x), 0)
            job.value = cnp.PyArray_DATA(<cnp.ndarray>value)
        if return_grad:
            if grad is None:
                grad = cnp.PyArray_ZEROS(3, cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)
            job.grad = cnp.PyArray_DATA(<cnp.ndarray>grad)
        run_sequences(table, &job, &fold)
    finally:
        if numbers != few:
            free(numbers)
    if fold.total.bad >= 0:
        return None
    if kind != NONE:
        value = float64(fl_fold_sum(&fold) / <double>job.samples if kind == MEAN else fl_fold_sum(&fold))
    return (value, grad) if return_grad else value
