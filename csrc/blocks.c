/* SPDX-License-Identifier: BSD-3-Clause */
/* blocks.c: the operand loader. Any dtype and stride becomes a contiguous tile of reals: the user's own memory where it
 * already is that, else scratch. No copy is ever larger than a tile. */
#include "fastloss.h"

#include <string.h>

#ifdef FL_PLANT
#include <stdlib.h>
int fl_planted(const char *name) {
    const char *wanted = getenv("FASTLOSS_PLANT");
    return wanted && strcmp(wanted, name) == 0;
}
#endif

ptrdiff_t fl_itemsize(int dtype) {
    static const unsigned char size[FL_N_DTYPES] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8};
    return size[dtype];
}

void fl_operand_init(fl_operand *op, const void *data, int dtype, int swapped, int ndim, const ptrdiff_t *shape,
                     const ptrdiff_t *strides) {
    op->data = data;
    op->dtype = dtype;
    op->swapped = swapped;
    op->ndim = 0;
    for (int axis = 0; axis < ndim; axis++) {
        if (shape[axis] == 1) continue;
        const int last = op->ndim - 1;
        if (last >= 0 && op->strides[last] == strides[axis] * shape[axis]) {
            op->shape[last] *= shape[axis];
            op->strides[last] = strides[axis];
        } else {
            op->shape[op->ndim] = shape[axis];
            op->strides[op->ndim++] = strides[axis];
        }
    }
    if (op->ndim == 0) { /* one element: contiguous, so that it passes through like any other native memory */
        op->ndim = 1;
        op->shape[0] = 1;
        op->strides[0] = fl_itemsize(dtype);
    }
}

void fl_unravel(const fl_operand *op, ptrdiff_t start, ptrdiff_t *index) {
    for (int axis = op->ndim - 1; axis > 0; axis--) {
        index[axis] = start % op->shape[axis];
        start /= op->shape[axis];
    }
    index[0] = start;
}

ptrdiff_t fl_next_run(const fl_operand *op, ptrdiff_t *index, ptrdiff_t n, const char **run) {
    const int inner = op->ndim - 1;
    const char *p = op->data;
    for (int axis = 0; axis <= inner; axis++) p += index[axis] * op->strides[axis];
    *run = p;
    const ptrdiff_t left = op->shape[inner] - index[inner];
    if (n < left) {
        index[inner] += n;
        return n;
    }
    index[inner] = 0;
    for (int axis = inner - 1; axis >= 0; axis--) {
        if (++index[axis] < op->shape[axis] || axis == 0) break;
        index[axis] = 0;
    }
    return left;
}

static int passes_through(const fl_kernels *k, const fl_operand *op, const char *run, ptrdiff_t stride, ptrdiff_t n) {
    return (n % FL_LANES == 0 || fl_planted("tail")) && stride == k->real_size && (uintptr_t)run % (uintptr_t)k->real_size == 0 &&
           op->dtype == (k->real_size == 4 ? FL_FLOAT32 : FL_FLOAT64) && !op->swapped;
}

int fl_is_native(const fl_kernels *k, const fl_operand *op) {
    return op->ndim == 1 && passes_through(k, op, op->data, op->strides[0], FL_LANES);
}

static void pad_lanes(void *reals, ptrdiff_t n, ptrdiff_t size) {
    if (size == 4)
        for (ptrdiff_t i = n; i % FL_LANES; i++) ((float *)reals)[i] = ((float *)reals)[n - 1];
    else
        for (ptrdiff_t i = n; i % FL_LANES; i++) ((double *)reals)[i] = ((double *)reals)[n - 1];
}

const void *fl_load_run(const fl_kernels *k, const fl_operand *op, const char *run, ptrdiff_t stride, ptrdiff_t n,
                        void *scratch) {
    if (passes_through(k, op, run, stride, n)) return run;
    k->load[op->swapped][op->dtype](scratch, run, stride, n);
    pad_lanes(scratch, n, k->real_size);
    return scratch;
}

const void *fl_load_at(const fl_kernels *k, const fl_operand *op, ptrdiff_t offset, ptrdiff_t start, ptrdiff_t n,
                       void *scratch) {
    const ptrdiff_t stride = op->strides[op->ndim - 1];
    ptrdiff_t index[FL_MAX_DIMS];
    const char *run;
    fl_unravel(op, start, index);
    ptrdiff_t length = fl_next_run(op, index, n, &run);
    if (length == n) return fl_load_run(k, op, run + offset, stride, n, scratch);
    char *dst = scratch;
    for (ptrdiff_t left = n;;) {
        k->load[op->swapped][op->dtype](dst, run + offset, stride, length);
        dst += length * k->real_size;
        left -= length;
        if (left == 0) break;
        length = fl_next_run(op, index, left, &run);
    }
    pad_lanes(scratch, n, k->real_size);
    return scratch;
}

const void *fl_load(const fl_kernels *k, const fl_operand *op, ptrdiff_t start, ptrdiff_t n, void *scratch) {
    return fl_load_at(k, op, 0, start, n, scratch);
}

static uint64_t read_integer(const char *p, ptrdiff_t size, int swapped) {
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (size) { /* a copy of constant size is one load */
    case 1: return (unsigned char)*p;
    case 2: memcpy(&two, p, 2); return swapped ? __builtin_bswap16(two) : two;
    case 4: memcpy(&four, p, 4); return swapped ? __builtin_bswap32(four) : four;
    default: memcpy(&eight, p, 8); return swapped ? __builtin_bswap64(eight) : eight;
    }
}

static int64_t read_label(const char *p, int dtype, int swapped) {
    const uint64_t raw = read_integer(p, fl_itemsize(dtype), swapped);
    switch (dtype) {
    case FL_INT8: return (int8_t)raw;
    case FL_INT16: return (int16_t)raw;
    case FL_INT32: return (int32_t)raw;
    case FL_UINT64: return raw > INT64_MAX ? INT64_MIN : (int64_t)raw;
    default: return (int64_t)raw;
    }
}

void fl_load_label_run(const fl_operand *op, const char *run, ptrdiff_t stride, ptrdiff_t n, int64_t *dst) {
    if (op->dtype == FL_INT64 && stride == (ptrdiff_t)sizeof(int64_t) && !op->swapped) {
        memcpy(dst, run, (size_t)n * sizeof(int64_t));
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++) dst[i] = read_label(run + i * stride, op->dtype, op->swapped);
}

void fl_load_labels(const fl_operand *op, ptrdiff_t start, ptrdiff_t n, int64_t *dst) {
    ptrdiff_t index[FL_MAX_DIMS];
    const char *run;
    fl_unravel(op, start, index);
    while (n > 0) {
        const ptrdiff_t length = fl_next_run(op, index, n, &run);
        fl_load_label_run(op, run, op->strides[op->ndim - 1], length, dst);
        dst += length;
        n -= length;
    }
}
