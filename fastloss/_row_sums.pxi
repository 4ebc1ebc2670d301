# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: losses that are a function of a sum over each row. Sums of some rows, then their gradients, while
# they are in cache.

cdef extern from "fastloss.h":
    enum:
        FL_ROW_PIECE

cdef extern from "math.h" nogil:
    double log(double)
    double sqrt(double)
    bint isfinite(double)

_general_row_sums = None


def _connect_row_sums(general_row_sums):
    """`_call_row_sums` hands over what the fast path falls back to."""
    global _general_row_sums
    _general_row_sums = general_row_sums


cdef enum:
    CHUNK_ROWS = 1 << 18
    CHUNK_ELEMENTS = 1 << 20  # whose gradients follow

cdef enum:  # as in `_call_row_sums`
    RENYI = 0
    PENALTY = 1
    PENALTY_ABOVE = 2


cdef struct row_outcome:
    double loss
    double slope


cdef row_outcome of_row_sum(int outer, double p, double s) noexcept nogil:
    """A loss and its derivative by the sum; that is 0 where the sum is 0 or not finite, but nan where it is nan."""
    cdef row_outcome found
    cdef double norm, beyond
    cdef bint usable = s != s or (isfinite(s) and s != 0)
    if outer == RENYI:  # log(s) / (p - 1)
        found.loss = log(s) / (p - 1)
        found.slope = 1 / (s * (p - 1)) if usable else 0.0
        return found
    norm = sqrt(2 * s)  # of half squares
    beyond = norm - p
    if outer == PENALTY_ABOVE and beyond < 0:
        beyond = 0
    found.loss = beyond * beyond
    found.slope = 2 * beyond / norm if usable else 0.0
    return found


cdef class RowSums:
    """One checked job over rows."""
    cdef fl_row_sum_job job
    cdef const fl_kernels *table
    cdef Py_ssize_t all_rows
    cdef int outer
    cdef double parameter
    cdef double factor
    cdef const char *counts  # per row, or NULL
    cdef const double *incoming  # the same
    cdef char *value           # of the working type, or NULL
    cdef double total
    cdef double carry

    cdef int prepare(self, int index, int real_size, tuple params, Py_ssize_t row, Py_ssize_t rows) except -1:
        cdef fl_elementwise_job *each = &self.job.each
        cdef int k
        memset(&self.job, 0, sizeof(fl_row_sum_job))
        self.table = fl_table(real_size)
        self.counts = NULL
        self.incoming = NULL
        self.value = NULL
        self.factor = 1.0
        self.all_rows = rows
        each.loss = index
        each.want = FL_VALUE
        each.size = row * rows
        each.scale = 1.0
        for k in range(len(params)):
            each.param[k] = params[k]
        self.job.row = row
        self.job.pieces = max(1, blocks(row, FL_ROW_PIECE))
        self.job.rows = max(1, FL_BLOCK // row) if row > 0 else FL_BLOCK
        return 0

    cdef int run_pass(self, fl_unit_fn fn, fl_fold *fold) except -1:
        cdef Py_ssize_t units = blocks(self.job.count, self.job.rows) * self.job.pieces
        cdef Py_ssize_t size = min(self.job.row, FL_ROW_PIECE) * self.job.rows
        run(fn, &self.job, units, max(size, 1), fold, NULL, self.table)
        return 0

    cdef int run(self, fl_fold *fold) except -1:
        """All rows; an offender ends it."""
        cdef Py_ssize_t step = min(self.all_rows, CHUNK_ROWS), first, r, k
        cdef double *memory
        cdef double *factors
        cdef bint grads = self.job.each.grad[0] != NULL
        cdef double sum
        cdef row_outcome found
        fl_fold_init(fold)
        if grads:
            step = min(step, max(1, CHUNK_ELEMENTS // max(self.job.row, 1)))
        memory = <double *>malloc(<size_t>max(step * (self.job.pieces + 1), 1) * sizeof(double))
        if memory == NULL:
            raise MemoryError()
        self.job.sums = memory
        factors = memory + step * self.job.pieces
        self.job.factors = factors
        self.total = self.carry = 0
        try:
            for first in range(0, self.all_rows, max(step, 1)):
                self.job.first = first
                self.job.count = min(step, self.all_rows - first)
                self.job.counts = <const char *>NULL if self.counts == NULL else self.counts + first
                self.run_pass(self.table.row_sums, fold)
                if fold.total.bad >= 0:
                    return 0
                for r in range(self.job.count):
                    sum = 0
                    for k in range(self.job.pieces):
                        sum += memory[r * self.job.pieces + k]
                    found = of_row_sum(self.outer, self.parameter, sum)
                    if self.job.counts != NULL and not self.job.counts[r]:
                        found.loss = found.slope = 0
                    factors[r] = found.slope * self.factor
                    if self.incoming != NULL and factors[r] != 0:
                        factors[r] *= self.incoming[first + r]
                    self.add(found.loss)
                    self.store(first + r, found.loss)
                if grads:
                    self.run_pass(self.table.row_gradients, fold)
                    if fold.total.bad >= 0:  # changed since
                        return 0
        finally:
            free(memory)
        return 0

    cdef inline void add(self, double x) noexcept nogil:
        """As fl_fold adds."""
        cdef double s = self.total, t = s + x
        self.carry += (s - t) + x if (s if s >= 0 else -s) >= (x if x >= 0 else -x) else (x - t) + s
        self.total = t

    cdef inline double sum_of_losses(self) noexcept nogil:
        return self.total + self.carry if isfinite(self.total) else self.total

    cdef inline void store(self, Py_ssize_t r, double loss) noexcept nogil:
        if self.value == NULL:
            return
        if self.table.real_size == 4:
            (<float *>self.value)[r] = <float>loss
        else:
            (<double *>self.value)[r] = loss


def run_row_sums(int index, int real_size, tuple params, int outer, double parameter, tuple shape, tuple operands,
                 Py_ssize_t row, Py_ssize_t count, counted, incoming, double factor, value, grads):
    """One job over checked operands, `count` rows of `row` elements. counted (bool), incoming (float64) and value:
    contiguous, one per row, or None; grads: contiguous arrays of the operands' shape, or None. Returns (sum of losses,
    first offender or -1, its operand)."""
    cdef RowSums rows = RowSums.__new__(RowSums)
    cdef fl_fold fold
    cdef Py_ssize_t dims[FL_MAX_DIMS]
    cdef int ndim = len(shape), k
    for k in range(ndim):
        dims[k] = shape[k]
    rows.prepare(index, real_size, params, row, count)
    rows.outer, rows.parameter, rows.factor = outer, parameter, factor
    for k in range(len(operands)):
        fill(&rows.job.each.in_[k], operands[k], ndim, dims, -1)
    if counted is not None:
        rows.counts = <const char *>cnp.PyArray_DATA(<cnp.ndarray>counted)
    if incoming is not None:
        rows.incoming = <const double *>cnp.PyArray_DATA(<cnp.ndarray>incoming)
    if value is not None:
        rows.value = <char *>cnp.PyArray_DATA(<cnp.ndarray>value)
    if grads is not None:
        for k in range(len(grads)):
            rows.job.each.grad[k] = cnp.PyArray_DATA(<cnp.ndarray>grads[k])
    rows.run(&fold)
    return rows.sum_of_losses(), fold.total.bad, fold.total.bad_operand


def row_sums(spec, tuple operands, tuple params, int outer, double parameter, bint whole_samples, reduction, mask,
             return_grad, grad_output, out, grad_out):
    """A function of each row's sum: contiguous arrays of one shape straight to C."""
    cdef int kind = reduction_code(reduction)
    if ((kind == MEAN or kind == SUM) and mask is None and out is None
            and (grad_output is None or (type(grad_output) is float and return_grad is True))
            and (return_grad is False or return_grad is True) and is_plain(operands[0])
            and cnp.PyArray_NDIM(<cnp.ndarray>operands[0]) > 1
            and (len(operands) == 1 or same_layout(operands[0], operands[1]))
            and one_for_each(grad_out, return_grad, operands, None) and native_backend()):
        found = fast_row_sums(spec.index, operands, params, outer, parameter, whole_samples, kind, return_grad, grad_out,
                              1.0 if grad_output is None else grad_output)
        if found is not None:
            return found
    return _general_row_sums(spec, operands, params, outer, parameter, whole_samples, reduction, mask, return_grad,
                             grad_output, out, grad_out)


cdef object fast_row_sums(int index, tuple operands, tuple params, int outer, double parameter, bint whole_samples,
                          int kind, bint return_grad, grad, double factor):
    """None: an operand leaves its domain; the general path says where."""
    cdef cnp.ndarray x = <cnp.ndarray>operands[0]
    cdef RowSums rows = RowSums.__new__(RowSums)
    cdef Py_ssize_t size = cnp.PyArray_SIZE(x), count
    cdef fl_fold fold
    cdef int k
    cdef tuple grads = () if grad is None else grad if type(grad) is tuple else (grad,)
    count = cnp.PyArray_DIMS(x)[0] if whole_samples else size // cnp.PyArray_DIMS(x)[cnp.PyArray_NDIM(x) - 1]
    rows.prepare(index, cnp.PyArray_ITEMSIZE(x), params, size // count, count)
    rows.outer, rows.parameter = outer, parameter
    rows.factor = 1.0 / <double>count * factor if kind == MEAN else factor
    for k in range(len(operands)):
        direct(&rows.job.each.in_[k], <cnp.ndarray>operands[k])
        if return_grad:
            if grad is None:
                grads += (empty_like(x),)
            rows.job.each.grad[k] = cnp.PyArray_DATA(<cnp.ndarray>grads[k])
    rows.run(&fold)
    if fold.total.bad >= 0:
        return None
    value = float64(rows.sum_of_losses() / <double>count if kind == MEAN else rows.sum_of_losses())
    if not return_grad:
        return value
    return value, grads[0] if len(grads) == 1 else grads
