/* SPDX-License-Identifier: BSD-3-Clause */
/* unsigned_sums.h: sums of floats without a sign in float64, lane by lane, with the bits that any other way has, but
 * quicker. Two shifts, or a mask and one, put a float's bits into a double's places, where they mean 2^-896 times its value,
 * subnormals included; to convert floats, a register has to be taken apart across its halves, which takes longer (on a Zen
 * 3; other processors were not measured). Every step is rounded as the sum's own would be. A sign, an infinity and NaN are
 * 2^-768 or more there, as 2^128 is, and sums of numbers without a sign do not fall: one below that has met none of these.
 * For registers of 32 and 64 bytes: those of 16 are converted as quickly. */
#ifndef FL_UNSIGNED_SUMS_H
#define FL_UNSIGNED_SUMS_H

#include "wide.h"

/* Every other number of two registers, from the first or the second on; and back. */
#if defined(__AVX512F__)
FL_INLINE wide w_even(wide a, wide b) { return FL_SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14); }
FL_INLINE wide w_odd(wide a, wide b) { return FL_SHUFFLE(a, b, 1, 3, 5, 7, 9, 11, 13, 15); }
FL_INLINE wide w_first(wide even, wide odd) { return FL_SHUFFLE(even, odd, 0, 8, 1, 9, 2, 10, 3, 11); }
FL_INLINE wide w_second(wide even, wide odd) { return FL_SHUFFLE(even, odd, 4, 12, 5, 13, 6, 14, 7, 15); }
#elif defined(__AVX2__)
FL_INLINE wide w_even(wide a, wide b) { return FL_SHUFFLE(a, b, 0, 2, 4, 6); }
FL_INLINE wide w_odd(wide a, wide b) { return FL_SHUFFLE(a, b, 1, 3, 5, 7); }
FL_INLINE wide w_first(wide even, wide odd) { return FL_SHUFFLE(even, odd, 0, 4, 1, 5); }
FL_INLINE wide w_second(wide even, wide odd) { return FL_SHUFFLE(even, odd, 2, 6, 3, 7); }
#else
FL_INLINE wide w_even(wide a, wide b) { return FL_SHUFFLE(a, b, 0, 2); }
FL_INLINE wide w_odd(wide a, wide b) { return FL_SHUFFLE(a, b, 1, 3); }
FL_INLINE wide w_first(wide even, wide odd) { return FL_SHUFFLE(even, odd, 0, 2); }
FL_INLINE wide w_second(wide even, wide odd) { return FL_SHUFFLE(even, odd, 1, 3); }
#endif

/* Where it is worth it. */
#if FL_REAL == 32 && defined(__AVX2__)
#define FL_UNSIGNED_SUMS
#endif

enum { PAIRS = FL_LANES / (2 * WIDE) }; /* registers of floats */

struct unsigned_sums {
    wide even[PAIRS], odd[PAIRS]; /* of each register's numbers */
};

typedef uint64_t wide_bits __attribute__((vector_size(sizeof(wide))));

FL_INLINE struct unsigned_sums unsigned_start(const double *lane) {
    struct unsigned_sums sums;
    for (int r = 0; r < PAIRS; r++, lane += 2 * WIDE) {
        const wide a = w_read(lane), b = w_read(lane + WIDE);
        sums.even[r] = w_even(a, b) * 0x1p-896;
        sums.odd[r] = w_odd(a, b) * 0x1p-896;
    }
    return sums;
}

/* v[FL_LANES] */
FL_INLINE void unsigned_add(struct unsigned_sums *sums, const real *v) {
    for (int r = 0; r < PAIRS; r++) {
        wide_bits two;
        memcpy(&two, v + 2 * WIDE * r, sizeof two);
        sums->even[r] += (wide)(two << 32 >> 3);
        sums->odd[r] += (wide)((two & ~(uint64_t)UINT32_MAX) >> 3);
    }
}

/* The sums to lane[], which holds what they started from; or 0, and lane[] as it was, where one does not stay below, or
 * where they started from one with a sign, which such a sum would keep. */
FL_INLINE int unsigned_end(const struct unsigned_sums *sums, double *lane) {
    const uint64_t most = ((uint64_t)255 << 52) - 1; /* the bits of what stands before 2^-768 */
    wide_bits over = {0};
    uint64_t any = 0;
    for (int k = 0; k < WIDES; k++) over |= (wide_bits)w_read(lane + k * WIDE);
    for (int r = 0; r < PAIRS; r++) over |= (most - (wide_bits)sums->even[r]) | (most - (wide_bits)sums->odd[r]);
    for (int k = 0; k < WIDE; k++) any |= over[k];
    if (any >> 63) return 0;
    for (int r = 0; r < PAIRS; r++, lane += 2 * WIDE) {
        w_store(lane, w_first(sums->even[r], sums->odd[r]) * 0x1p896);
        w_store(lane + WIDE, w_second(sums->even[r], sums->odd[r]) * 0x1p896);
    }
    return 1;
}

#endif
