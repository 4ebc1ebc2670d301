# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: matrix products.

cdef enum:
    CACHE_LINE = 64
    PANEL_BYTES = 2 << 20  # of columns that are packed at a time, but a tile of columns at least: more would leave the caches
    TILES_OF_THREAD = 4  # at least, where there are columns enough
    STEPS_OF_ELEMENT = 32  # multiplications that take as long as an element of a loss, for `run`


cpdef object lines(Py_ssize_t size, cnp.dtype dtype):
    """An empty array that begins with a cache line."""
    cdef Py_ssize_t itemsize = dtype.itemsize, more = CACHE_LINE // itemsize
    cdef cnp.ndarray a = np.empty(size + more, dtype)
    cdef size_t past = <size_t>cnp.PyArray_DATA(a) % CACHE_LINE
    cdef Py_ssize_t begin = (CACHE_LINE - past) % CACHE_LINE // itemsize
    return a[begin:begin + size]


cdef int steps_of(cnp.ndarray a, int axis, Py_ssize_t *apart, Py_ssize_t *along) except -1:
    """In reals, from one to the next of the vectors that lie along this axis of a matrix, and along one."""
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(a)
    along[0] = cnp.PyArray_STRIDES(a)[axis] // size if cnp.PyArray_DIMS(a)[axis] > 1 else 1
    apart[0] = cnp.PyArray_STRIDES(a)[1 - axis] // size if cnp.PyArray_DIMS(a)[1 - axis] > 1 else 1
    if along[0] != 1 and apart[0] != 1:
        raise ValueError("a matrix of a product is contiguous along neither axis")
    return 0


cdef int multiply(const fl_kernels *table, fl_product_job *job) except -1:
    """Each thread has columns of its own, the same that it has packed where they are, and some tiles of them, so that
    none waits long for the last. A quarter of a tile's columns at least; those of a single row are not parted further, for
    memory is read from end to end."""
    cdef Py_ssize_t across = blocks(job.rows, table.product_rows), panels = blocks(job.columns, table.product_panel)
    cdef Py_ssize_t most = table.product_columns // table.product_panel, threads = 1
    cdef Py_ssize_t least = max(1, most // 4), each, columns
    cdef double work = <double>job.rows * job.columns * job.depth / STEPS_OF_ELEMENT
    cdef fl_fold fold
    if work >= 2 * SERIAL_ELEMENTS:
        threads = thread_limit()
    each = min(most, max(least, blocks(panels, threads)))
    while job.rows > 1 and each > least and across * blocks(panels, each) < TILES_OF_THREAD * threads:
        each = max(least, each // 2)
    job.tile_panels = each
    columns = min(job.columns, each * table.product_panel)
    work = <double>min(job.rows, table.product_rows) * columns * job.depth / STEPS_OF_ELEMENT
    if work > SERIAL_ELEMENTS:  # long slices: a thread goes on with the columns that it has packed
        work = max(SERIAL_ELEMENTS + 1, work / 8)
    return run(table.product, job, across * blocks(panels, each), max(1, <Py_ssize_t>work), &fold, NULL, table)


cdef int multiply_packed(const fl_kernels *table, fl_product_job *job, cnp.dtype dtype) except -1:
    """Some columns after the other: packed, then multiplied."""
    cdef Py_ssize_t columns = job.columns, tile = table.product_columns, first, pieces = blocks(job.depth, table.product_depth)
    cdef Py_ssize_t fit = PANEL_BYTES // (job.depth * table.real_size * tile), step = min(columns, max(1, fit) * tile)
    cdef cnp.ndarray panels = lines(blocks(step, table.product_panel) * table.product_panel * job.depth, dtype)
    cdef const char *b = <const char *>job.b
    cdef char *out = <char *>job.out
    cdef fl_fold fold
    job.panels = cnp.PyArray_DATA(panels)
    for first in range(0, columns, step):
        job.columns = min(step, columns - first)
        job.b, job.out = b + first * job.b_apart * table.real_size, out + first * table.real_size
        run(table.pack_product, job, blocks(job.columns, table.product_panel) * pieces,
            table.product_panel * min(job.depth, table.product_depth), &fold, NULL, table)
        multiply(table, job)
    return 0


def product(cnp.ndarray a, cnp.ndarray b, cnp.ndarray out, bint add=False):
    """out = a @ b, or out += a @ b. Native aligned floats of one dtype; a and b contiguous along one axis, out along
    rows."""
    cdef const fl_kernels *table = fl_table(cnp.PyArray_ITEMSIZE(a))
    cdef fl_product_job job
    cdef Py_ssize_t out_along
    memset(&job, 0, sizeof(fl_product_job))
    job.rows, job.depth, job.columns = cnp.PyArray_DIMS(a)[0], cnp.PyArray_DIMS(a)[1], cnp.PyArray_DIMS(b)[1]
    job.a, job.b, job.out = cnp.PyArray_DATA(a), cnp.PyArray_DATA(b), cnp.PyArray_DATA(out)
    steps_of(a, 1, &job.a_apart, &job.a_along)
    steps_of(b, 0, &job.b_apart, &job.b_along)
    steps_of(out, 1, &job.out_apart, &out_along)
    if ((out_along != 1 and job.rows > 0) or cnp.PyArray_DIMS(b)[0] != job.depth or cnp.PyArray_DIMS(out)[0] != job.rows
            or cnp.PyArray_DIMS(out)[1] != job.columns):
        raise ValueError(f"a product of {np.shape(a)} and {np.shape(b)} does not go into rows of {np.shape(out)}")
    job.add = add
    if job.depth == 0 and not add:
        out[...] = 0
    elif job.depth > 0 and job.rows > 0 and job.columns > 0:
        if job.rows > table.product_rows:
            multiply_packed(table, &job, a.dtype)
        else:
            multiply(table, &job)  # each column meets one tile only: nothing is gained by packing it beforehand
