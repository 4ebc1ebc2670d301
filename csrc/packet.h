/* SPDX-License-Identifier: BSD-3-Clause */
/* packet.h: exp of what is at most 0 for sums of many terms, where it is most of the work: softmax and its relatives. Eight
 * powers of two in a register, looked up by a permutation, spare a third of the polynomial. No compiler makes such a
 * permutation of plain C, so these loops are written by registers: a packet is as many floats as one holds, and one real
 * where there is no permutation, for the compiler to vectorise as ever. */
#ifndef FL_PACKET_H
#define FL_PACKET_H

#include "tile.h"
#include "vecmath.h"

#if FL_REAL == 32 && (defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__)))
#include <immintrin.h>
#define P_TABLE
#ifdef __AVX512F__
enum { PACKET = 16 };
#else
enum { PACKET = 8 };
#endif
typedef float packet __attribute__((vector_size(4 * PACKET)));
typedef int32_t ipacket __attribute__((vector_size(4 * PACKET)));
typedef uint32_t upacket __attribute__((vector_size(4 * PACKET)));
#else
enum { PACKET = 1 };
typedef real packet;
typedef ireal ipacket;
#endif

/* ---- what differs between the ISAs ------------------------------------------------------------------------------- */

#if defined(P_TABLE) && defined(__AVX512F__)
FL_INLINE packet p_fma(packet a, packet b, packet c) { return (packet)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
FL_INLINE packet p_pick(packet table, packet index) {
    return (packet)_mm512_permutexvar_ps((__m512i)index, (__m512)table);
}
FL_INLINE ipacket p_or(ipacket a, ipacket b, ipacket c) {
    return (ipacket)_mm512_ternarylogic_epi32((__m512i)a, (__m512i)b, (__m512i)c, 0xfe);
}
FL_INLINE packet p_min(packet a, packet b) { return (packet)_mm512_min_ps((__m512)a, (__m512)b); } /* as r_min */
/* a b + c, but 0 where x > most */
FL_INLINE packet p_fma_to(packet x, packet most, packet a, packet b, packet c) {
    const __mmask16 counts = _mm512_cmp_ps_mask((__m512)x, (__m512)most, _CMP_NGT_UQ);
    return (packet)_mm512_maskz_fmadd_ps(counts, (__m512)a, (__m512)b, (__m512)c);
}
/* Bit k where a[k] == b[k]. */
FL_INLINE unsigned p_equal_bits(packet a, packet b) {
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_EQ_OQ);
}
FL_INLINE void p_add(double *sum, packet x) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256((__m512)x));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)x, 1));
    _mm512_storeu_pd(sum, _mm512_add_pd(_mm512_loadu_pd(sum), low));
    _mm512_storeu_pd(sum + 8, _mm512_add_pd(_mm512_loadu_pd(sum + 8), high));
}
#elif defined(P_TABLE)
FL_INLINE packet p_fma(packet a, packet b, packet c) { return (packet)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
FL_INLINE packet p_pick(packet table, packet index) {
    return (packet)_mm256_permutevar8x32_ps((__m256)table, (__m256i)index);
}
FL_INLINE ipacket p_or(ipacket a, ipacket b, ipacket c) { return a | b | c; }
FL_INLINE packet p_min(packet a, packet b) { return (packet)_mm256_min_ps((__m256)a, (__m256)b); }
FL_INLINE packet p_fma_to(packet x, packet most, packet a, packet b, packet c) {
    const __m256 counts = _mm256_cmp_ps((__m256)x, (__m256)most, _CMP_NGT_UQ);
    return (packet)_mm256_and_ps(counts, (__m256)p_fma(a, b, c));
}
FL_INLINE unsigned p_equal_bits(packet a, packet b) {
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_EQ_OQ));
}
FL_INLINE void p_add(double *sum, packet x) {
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x, 1));
    _mm256_storeu_pd(sum, _mm256_add_pd(_mm256_loadu_pd(sum), low));
    _mm256_storeu_pd(sum + 4, _mm256_add_pd(_mm256_loadu_pd(sum + 4), high));
}
#else
FL_INLINE ipacket p_or(ipacket a, ipacket b, ipacket c) { return a | b | c; }
FL_INLINE packet p_min(packet a, packet b) { return r_min(a, b); }
FL_INLINE void p_add(double *sum, packet x) { *sum += (double)x; }
#endif

/* ---- packets of several reals, and of one ------------------------------------------------------------------------ */

/* P_INDEPENDENT and P_ONE_STEP stand before loops by packets, as FL_INDEPENDENT and FL_ONE_STEP before others: packets of
 * several reals are vectors already. */
#ifdef P_TABLE
#define P_INDEPENDENT
#define P_ONE_STEP
FL_INLINE packet p_load(const real *from) { packet x; memcpy(&x, from, sizeof x); return x; }
FL_INLINE void p_store(real *to, packet x) { memcpy(to, &x, sizeof x); }
FL_INLINE ipacket p_load_bits(const ireal *from) { ipacket x; memcpy(&x, from, sizeof x); return x; }
FL_INLINE void p_store_bits(ireal *to, ipacket x) { memcpy(to, &x, sizeof x); }
FL_INLINE ipacket p_bits(packet x) { return (ipacket)x; }
FL_INLINE packet p_from_bits(ipacket bits) { return (packet)bits; }
FL_INLINE packet p_all(real x) { return x - (packet){0}; }
FL_INLINE ipacket p_equal(ipacket a, ireal b) { return a == b - (ipacket){0}; }
FL_INLINE void p_add_carrying(double *sum, double *carry, packet x) { p_add(sum, x); (void)carry; }

/* Bits of 2^(j/8), j = 0 ... 7, twice, less those of 1 and less j where the shift below leaves it. */
#define P_EIGHTHS 0x0, -0x46a3e, -0x7c810, -0xa0129, -0xafb0d, -0xa98d6, -0x8bb03, -0x53f39
FL_INLINE packet p_eighths(void) {
    const ireal bits[16] = {P_EIGHTHS, P_EIGHTHS};
    return p_from_bits(p_load_bits(bits));
}

/* 2^V_RAISE exp(-d), d >= 0: exp(-d) = 2^(n/8) exp(r), n = -round(8 d / ln 2), |r| <= ln(2) / 16, exp(r) = 1 + (r + r^2 q(r))
 * to 2^-32.4 (a degree less would do for one of them, but sums of many would be off by 1e-8). n ln 2 / 8 in one part leaves
 * r off by 2.8e-9 d, less than the rounding of d. In all 0.94 ulp, and that (all 2^32 inputs). */
FL_INLINE packet p_exp_down(packet d) {
    const packet magic = p_all((real)(3 << 22) + 8 * (127 + V_RAISE));
    const packet shifted = p_fma(d, p_all(-8 * V_LOG2E), magic), n = shifted - magic, r = p_fma(n, p_all(-V_LN2 / 8), -d);
    const upacket place = (upacket)shifted << 20, power = place + (upacket)p_pick(p_eighths(), shifted);
    const packet q = p_fma(p_fma(r, p_all(R(0x1.555556p-5)), p_all(R(0x1.555c6ap-3))), r, p_all(R(0.5)));
    const packet grown = p_fma(q, r, p_all(1)) * r;
    return p_fma_to(d, p_all(-V_EXP_MIN), (packet)power, grown, (packet)power);
}
/* 2^V_RAISE exp(x - top), x <= top */
FL_INLINE packet p_exp_below(packet x, packet top) { return p_exp_down(top - x); }
#else
#define P_INDEPENDENT FL_INDEPENDENT
#define P_ONE_STEP FL_ONE_STEP
FL_INLINE packet p_load(const real *from) { return *from; }
FL_INLINE void p_store(real *to, packet x) { *to = x; }
FL_INLINE ipacket p_load_bits(const ireal *from) { return *from; }
FL_INLINE void p_store_bits(ireal *to, ipacket x) { *to = x; }
FL_INLINE ipacket p_bits(packet x) { return r_bits(x); }
FL_INLINE packet p_from_bits(ipacket bits) { return r_from_bits(bits); }
FL_INLINE packet p_all(real x) { return x; }
FL_INLINE ipacket p_equal(ipacket a, ireal b) { return -(ireal)(a == b); }
FL_INLINE void p_add_carrying(double *sum, double *carry, packet x) { add_carrying(sum, carry, (double)x); }
FL_INLINE packet p_exp_down(packet d) { return r_exp_raised(-d); }
FL_INLINE packet p_exp_below(packet x, packet top) { return r_exp_raised(x - top); }
#endif

/* Index of the first of x[FL_GROUP] that equals one of `all`, or -1. */
FL_INLINE int p_find(const real *x, packet all) {
#ifdef P_TABLE
    unsigned found = 0;
    for (int l = 0; l < FL_GROUP; l += PACKET) found |= p_equal_bits(p_load(x + l), all);
    for (int l = 0; found && l < FL_GROUP; l += PACKET) {
        const unsigned equal = p_equal_bits(p_load(x + l), all);
        if (equal) return l + __builtin_ctz(equal);
    }
#else
    ireal lane[FL_LANES] = {0}, found = 0;
    for (int i = 0; i < FL_GROUP; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) lane[l] |= -(ireal)(x[i + l] == all);
    for (int l = 0; l < FL_LANES; l++) found |= lane[l];
    for (int l = 0; found && l < FL_GROUP; l++)
        if (x[l] == all) return l;
#endif
    return -1;
}

/* a where the mask is all ones, b where it is 0. */
FL_INLINE packet p_where(ipacket mask, packet a, packet b) {
    return p_from_bits((p_bits(a) & mask) | (p_bits(b) & ~mask));
}
FL_INLINE ipacket p_negative(ipacket a) { return a >> (8 * (int)sizeof(ireal) - 1); }

#endif
