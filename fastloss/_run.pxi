# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: a job's units on the threads, in slices.

cdef enum:
    STACK_PARTIALS = 64
    MAX_SLICE = 4096      # units; bounds the partials (and, times FL_BLOCK reals, nothing else)
    STAGE_BLOCKS = 32     # blocks that are staged before they are folded
    SERIAL_ELEMENTS = 16384  # below this a thread is not worth starting
cdef double SLICE_SECONDS = 0.1

_thread_limit = None


cdef int thread_limit() except -1:
    global _thread_limit
    if _thread_limit is None:
        from ._threads import thread_limit as found
        _thread_limit = found
    return _thread_limit()


cdef inline Py_ssize_t blocks(Py_ssize_t size, Py_ssize_t block) noexcept nogil:
    """How many blocks; the sum size + block could overflow."""
    return size // block + (size % block != 0)


cdef double now() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <double>t.tv_sec + 1e-9 * <double>t.tv_nsec


cdef Py_ssize_t next_slice(Py_ssize_t units, double seconds, int threads) noexcept nogil:
    """Units of the next slice, so that it takes about SLICE_SECONDS; one for each thread at least."""
    cdef double wanted = <double>units * 8 if seconds <= SLICE_SECONDS / 8 else <double>units * SLICE_SECONDS / seconds
    return threads if wanted < threads else MAX_SLICE if wanted > MAX_SLICE else <Py_ssize_t>wanted


cdef enum:
    FRESH_PAGES = 32 << 20  # bytes; malloc takes a larger array's pages from the system, which has just cleared them


cdef int outgrows_caches(double all_bytes, double output_bytes, bint fresh) except -1:
    """Whether outputs would not stay in the caches beside all that a job reads and writes, so that they are better stored
    past them. fresh: they are arrays of ours. Pages that the system has just cleared are in the caches."""
    if all_bytes < 2.0 * fl_core_cache() or (fresh and output_bytes >= FRESH_PAGES):
        return 0
    return all_bytes > fl_kept_bytes(thread_limit())


cdef int run(fl_unit_fn fn, const void *job, Py_ssize_t units, Py_ssize_t unit_size, fl_fold *fold,
             fl_elementwise_job *staged, const fl_kernels *table) except -1:
    """Run all units of a job in slices, between which pending signals are honoured. unit_size: elements per unit.
    staged: the job again if it has something to fold after each slice, else NULL."""
    return run_on(fn, job, units, unit_size, fold, staged, table, 1 << 30)


cdef int run_on(fl_unit_fn fn, const void *job, Py_ssize_t units, Py_ssize_t unit_size, fl_fold *fold,
                fl_elementwise_job *staged, const fl_kernels *table, int most) except -1:
    """The same on at most so many threads."""
    cdef fl_partial few[STACK_PARTIALS]
    cdef fl_partial *partials = few
    cdef Py_ssize_t first = 0, last, size
    cdef Py_ssize_t grain = (SERIAL_ELEMENTS + unit_size - 1) // unit_size
    cdef Py_ssize_t limit = STAGE_BLOCKS if staged != NULL else MAX_SLICE
    cdef int threads
    cdef double start
    fl_fold_init(fold)
    if units == 1 and staged == NULL and unit_size <= SERIAL_ELEMENTS:  # microseconds: giving up the GIL costs as much
        fl_parallel_for(0, 1, grain, 1, fn, job, partials, fold)
        return 0
    threads = min(most, thread_limit()) if units >= 2 * grain else 1
    if units > STACK_PARTIALS:
        partials = <fl_partial *>malloc(<size_t>min(units, limit) * sizeof(fl_partial))
        if partials == NULL:
            raise MemoryError()
    size = min(limit, max(threads, (1 << 22) // unit_size))
    try:
        while first < units:
            last = min(units, first + size)
            with nogil:
                start = now()
                if staged != NULL:
                    staged.stage_first = first
                fl_parallel_for(first, last, grain, threads, fn, job, partials, fold)
                if staged != NULL:
                    table.fold_stages(staged, first, last)
                size = min(limit, next_slice(last - first, now() - start, threads))
            first = last
            if first < units:
                PyErr_CheckSignals()
    finally:
        if partials != few:
            free(partials)
    return 0
