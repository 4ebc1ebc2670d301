/* SPDX-License-Identifier: BSD-3-Clause */
/* squares.h: rows of a few reals to columns and back, SIDE classes of GROUP rows at a time, by shuffles of whole vectors;
 * one by one every real takes two instructions. The last square of a row covers classes of the one before again. */
#ifndef FL_SQUARES_H
#define FL_SQUARES_H

#include "shuffle.h"
#include "tile.h"

#if defined(__AVX__)
#include <immintrin.h>
#endif
#if defined(__AVX__) || FL_REAL == 64
enum { VECTOR_BYTES = 32 };
#else
enum { VECTOR_BYTES = 16 };
#endif
enum { SIDE = 4, GROUP = VECTOR_BYTES / sizeof(real) };
typedef real side_part __attribute__((vector_size(SIDE * sizeof(real)), aligned(1), may_alias));
typedef real group_part __attribute__((vector_size(VECTOR_BYTES), aligned(1), may_alias));

/* SIDE reals of a row, and of the row SIDE further where a group is of two squares. */
FL_INLINE void read_sides(group_part *x, const char *row, ptrdiff_t apart) {
#if defined(__AVX__) && FL_REAL == 32
    const side_part low = *(const side_part *)row, high = *(const side_part *)(row + SIDE * apart);
    *x = (group_part)_mm256_insertf128_ps(_mm256_castps128_ps256((__m128)low), (__m128)high, 1);
#else
    (void)apart;
    *x = *(const group_part *)row;
#endif
}

FL_INLINE void write_sides(char *row, ptrdiff_t apart, const group_part *x) {
#if defined(__AVX__) && FL_REAL == 32
    *(side_part *)row = (side_part)_mm256_castps256_ps128((__m256)*x);
    *(side_part *)(row + SIDE * apart) = (side_part)_mm256_extractf128_ps((__m256)*x, 1);
#else
    (void)apart;
    *(group_part *)row = *x;
#endif
}

/* Shuffles of one instruction each (SSE2 has none of four doubles: these become moves): LOW and HIGH interleave two
 * vectors, FIRST and SECOND pair what stands in their halves. */
#if defined(__AVX__) && FL_REAL == 32
#define FL_LOW(a, b) FL_SHUFFLE(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define FL_HIGH(a, b) FL_SHUFFLE(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define FL_FIRST(a, b) FL_SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define FL_SECOND(a, b) FL_SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#else
#define FL_FIRST(a, b) FL_SHUFFLE(a, b, 0, 1, 4, 5)
#define FL_SECOND(a, b) FL_SHUFFLE(a, b, 2, 3, 6, 7)
#if FL_REAL == 32
#define FL_LOW(a, b) FL_SHUFFLE(a, b, 0, 4, 1, 5)
#define FL_HIGH(a, b) FL_SHUFFLE(a, b, 2, 6, 3, 7)
#else
#define FL_LOW(a, b) FL_SHUFFLE(a, b, 0, 4, 2, 6)
#define FL_HIGH(a, b) FL_SHUFFLE(a, b, 1, 5, 3, 7)
#endif
#endif

/* Transpose each square of SIDE vectors. */
FL_INLINE void turn(group_part *x) {
    const group_part a = FL_LOW(x[0], x[1]), b = FL_HIGH(x[0], x[1]);
    const group_part c = FL_LOW(x[2], x[3]), d = FL_HIGH(x[2], x[3]);
    x[0] = FL_FIRST(a, c), x[3] = FL_SECOND(b, d);
#if FL_REAL == 32
    x[1] = FL_SECOND(a, c), x[2] = FL_FIRST(b, d);
#else
    x[1] = FL_FIRST(b, d), x[2] = FL_SECOND(a, c);
#endif
}

/* Where the square behind the one at class c begins: the last ends with the row. */
FL_INLINE ptrdiff_t next_square(ptrdiff_t c, ptrdiff_t classes) {
    const ptrdiff_t last = classes - SIDE;
    return c < last && c + SIDE > last ? last : c + SIDE;
}

/* n rows of `classes` reals (at least SIDE), `apart` bytes from one to the next, to columns[classes][wide]. */
static void rows_to_columns(real *columns, ptrdiff_t wide, const char *rows, ptrdiff_t apart, ptrdiff_t n,
                            ptrdiff_t classes) {
    const ptrdiff_t whole = n - n % GROUP;
    for (ptrdiff_t r = 0; r < whole; r += GROUP)
        for (ptrdiff_t c = 0; c < classes; c = next_square(c, classes)) {
            const char *from = rows + r * apart + c * (ptrdiff_t)sizeof(real);
            group_part x[SIDE];
            for (int k = 0; k < SIDE; k++) read_sides(x + k, from + k * apart, apart);
            turn(x);
            for (int k = 0; k < SIDE; k++) *(group_part *)(columns + (c + k) * wide + r) = x[k];
        }
    for (ptrdiff_t r = whole; r < n; r++)
        for (ptrdiff_t c = 0; c < classes; c++)
            memcpy(columns + c * wide + r, rows + r * apart + c * (ptrdiff_t)sizeof(real), sizeof(real));
}

static void columns_to_rows(char *rows, ptrdiff_t apart, const real *columns, ptrdiff_t wide, ptrdiff_t n,
                            ptrdiff_t classes) {
    const ptrdiff_t whole = n - n % GROUP;
    for (ptrdiff_t r = 0; r < whole; r += GROUP)
        for (ptrdiff_t c = 0; c < classes; c = next_square(c, classes)) {
            char *to = rows + r * apart + c * (ptrdiff_t)sizeof(real);
            group_part x[SIDE];
            for (int k = 0; k < SIDE; k++) x[k] = *(const group_part *)(columns + (c + k) * wide + r);
            turn(x);
            for (int k = 0; k < SIDE; k++) write_sides(to + k * apart, apart, x + k);
        }
    for (ptrdiff_t r = whole; r < n; r++)
        for (ptrdiff_t c = 0; c < classes; c++)
            memcpy(rows + r * apart + c * (ptrdiff_t)sizeof(real), columns + c * wide + r, sizeof(real));
}

#endif
