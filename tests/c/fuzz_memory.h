/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_memory.h: where the numbers of a random job come from, and memory of exactly the size that it may touch. */
#ifndef FUZZ_MEMORY_H
#define FUZZ_MEMORY_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastloss.h"

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

struct source {
    const uint8_t *data;
    size_t left;
    uint64_t state;
};

static uint64_t any(struct source *s) { /* xorshift64* */
    s->state ^= s->state >> 12, s->state ^= s->state << 25, s->state ^= s->state >> 27;
    return s->state * 0x2545f4914f6cdd1du;
}

/* A number below `limit`, from the next byte of the input while there is one. */
static ptrdiff_t pick(struct source *s, ptrdiff_t limit) {
    if (s->left == 0) return (ptrdiff_t)(any(s) >> 33) % limit;
    s->left--;
    return (ptrdiff_t)*s->data++ % limit;
}

static int chance(struct source *s, int percent) { return pick(s, 100) < percent; }

enum { TAME, UNIT_VALUES, WILD }; /* -6 to 6 in steps of 1/64, so that kinks are met exactly; above 0, below 1; anything */

static double number(struct source *s, int values) {
    static const double odd[] = {0,       -0.0,      1,       -1,    INFINITY, -INFINITY, NAN,     1e-310, 1e300,  -1e300,
                                 3.4e38, -3.4e38, 1.2e-38, 1e-45, 88.8,     -104,      709.8, -745.2,  0x1p31, -0x1p63};
    const uint64_t x = any(s);
    if (values == UNIT_VALUES) return (double)(1 + (x >> 40) % 127) / 128;
    if (values == TAME || x % 3 == 0) return (double)(int64_t)((x >> 40) % 769) / 64 - 6;
    if (x % 3 == 1) return odd[(x >> 20) % (sizeof odd / sizeof odd[0])];
    return ldexp((double)(int64_t)any(s), (int)((x >> 20) % 200) - 160);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

enum { CANARY = 64, MAX_BLOCKS = 64 };

static struct {
    char *start;
    size_t size;
} blocks[MAX_BLOCKS];
static int n_blocks;

static void fault(const char *what);

/* Exactly `size` bytes, aligned for doubles but for `shift`; canaries around them unless a sanitizer watches. */
static char *memory(size_t size, size_t shift) {
#ifdef __SANITIZE_ADDRESS__
    const size_t canary = 0;
#else
    const size_t canary = CANARY;
#endif
    char *start = malloc(size + shift + 2 * canary);
    if (!start || n_blocks == MAX_BLOCKS) abort();
    memset(start, 0xa5, size + shift + 2 * canary);
    blocks[n_blocks].start = start;
    blocks[n_blocks++].size = canary ? size + shift : 0;
    return start + canary + shift;
}

static void check_canaries(void) {
    for (int i = 0; i < n_blocks; i++)
        for (size_t k = 0; blocks[i].size && k < CANARY; k++)
            if (blocks[i].start[k] != (char)0xa5 || blocks[i].start[CANARY + blocks[i].size + k] != (char)0xa5)
                fault("a write outside of an array");
}

static void free_all(void) {
    while (n_blocks > 0) free(blocks[--n_blocks].start);
}

/* ---- operands ---------------------------------------------------------------------------------------------------- */

static void reverse(char *p, ptrdiff_t size) {
    for (ptrdiff_t i = 0; i < size / 2; i++) {
        const char kept = p[i];
        p[i] = p[size - 1 - i], p[size - 1 - i] = kept;
    }
}

static int64_t as_integer(double x, double low, double high) {
    return x >= low && x <= high ? (int64_t)x : x > high ? (int64_t)high : x < low ? (int64_t)low : 0;
}

/* One number as an element of a dtype, cut off where it does not fit. Infinities of 16 bits are what is too large. */
static void encode(char *p, int dtype, int swapped, double x) {
    const ptrdiff_t size = fl_itemsize(dtype);
    const float f = (float)x;
    uint32_t bits;
    uint16_t half;
    int64_t whole;
    memcpy(&bits, &f, 4);
    switch (dtype) {
    case FL_FLOAT64: memcpy(p, &x, 8); break;
    case FL_FLOAT32: memcpy(p, &f, 4); break;
    case FL_BFLOAT16: half = (uint16_t)(bits >> 16), memcpy(p, &half, 2); break;
    case FL_FLOAT16:
        half = (uint16_t)(bits >> 16 & 0x8000);
        if (fabs(x) >= 0x1p-14 && fabs(x) < 65504) half |= (uint16_t)((bits >> 13) - (112u << 10)) & 0x7fff;
        if (!(fabs(x) < 65504)) half |= x == x ? 0x7c00 : 0x7e00;
        memcpy(p, &half, 2);
        break;
    case FL_BOOL: *p = x > 0; break;
    default: /* little-endian, as every machine that this runs on */
        whole = as_integer(x, dtype >= FL_UINT8 ? 0 : -0x1p62, 0x1p62);
        if (size < 8) {
            const int64_t top = ((int64_t)1 << (8 * size - (dtype < FL_UINT8))) - 1, low = dtype < FL_UINT8 ? -top - 1 : 0;
            whole = whole > top ? top : whole < low ? low : whole;
        }
        memcpy(p, &whole, (size_t)size);
    }
    if (swapped) reverse(p, size);
}

/* How an array lies: a gap behind each element of the last axis, all axes backwards, off its alignment by one byte. */
struct layout {
    int gap, backwards, shift;
};

static struct layout any_layout(struct source *s) {
    const ptrdiff_t kind = pick(s, 8);
    return (struct layout){kind == 1 || kind == 2, kind == 2 || kind == 3, kind == 4};
}

/* An array in its own memory. `bytes[k]` is the stride of axis k, 0 where `spread` has bit k: broadcast. Its elements are
 * those of the memory, which is full of numbers: gaps too. */
static char *array(struct source *s, int ndim, const ptrdiff_t *shape, ptrdiff_t *strides, int dtype, int swapped,
                   int spread, struct layout how, int values) {
    const ptrdiff_t size = fl_itemsize(dtype);
    ptrdiff_t stride = size * (how.gap ? 2 : 1), extent = size;
    for (int k = ndim - 1; k >= 0; k--) {
        strides[k] = spread >> k & 1 ? 0 : how.backwards ? -stride : stride;
        if (strides[k] == 0) continue;
        extent += (shape[k] - 1) * stride;
        stride *= shape[k];
    }
    char *data = memory((size_t)extent, (size_t)how.shift);
    for (ptrdiff_t i = 0; i + size <= extent; i += size) encode(data + i, dtype, swapped, number(s, values));
    return how.backwards ? data + extent - size : data;
}

/* `spreads`: any of so many sets of axes is broadcast; 0: none. Callers draw from the source once in an argument list at
 * most: the order in which arguments are evaluated is the compiler's choice. */
static void operand(struct source *s, fl_operand *op, int ndim, const ptrdiff_t *shape, int dtype, int spreads, int values) {
    ptrdiff_t strides[FL_MAX_DIMS];
    const int spread = spreads ? (int)pick(s, spreads) : 0, swapped = fl_itemsize(dtype) > 1 && chance(s, 15);
    const struct layout how = any_layout(s);
    char *data = array(s, ndim, shape, strides, dtype, swapped, spread, how, values);
    fl_operand_init(op, data, dtype, swapped, ndim, shape, strides);
}

#endif
