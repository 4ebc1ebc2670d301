/* SPDX-License-Identifier: BSD-3-Clause */
/* stream.h: stores that pass the caches by, for outputs that would not stay there. An ordinary store first reads the line
 * that it is going to overwrite; these do not, which takes a third off what a gradient beyond the caches costs. No plain
 * C has them, hence the intrinsics. fl_parallel_for orders them before whatever follows. */
#ifndef FL_STREAM_H
#define FL_STREAM_H

#include "tile.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { STREAM_BYTES = 64 };
FL_INLINE void stream_packet(char *to, const char *from) {
    _mm512_stream_ps((void *)to, _mm512_loadu_ps((const void *)from));
}
#elif defined(__AVX__)
enum { STREAM_BYTES = 32 };
FL_INLINE void stream_packet(char *to, const char *from) {
    _mm256_stream_ps((void *)to, _mm256_loadu_ps((const void *)from));
}
#elif defined(__SSE2__)
enum { STREAM_BYTES = 16 };
FL_INLINE void stream_packet(char *to, const char *from) { _mm_stream_ps((void *)to, _mm_loadu_ps((const void *)from)); }
#else
enum { STREAM_BYTES = 16 };
FL_INLINE void stream_packet(char *to, const char *from) { memcpy(to, from, STREAM_BYTES); }
#endif

enum { STREAM_LINE = 64, STREAM_LAG = 4 * FL_GROUP };

/* Reals of `to` before its first whole line of the cache. */
FL_INLINE ptrdiff_t stream_head(const real *to) {
    return (ptrdiff_t)(-(uintptr_t)to % STREAM_LINE / sizeof(real));
}

/* Whole lines: n reals from tile to `to`, which starts a line. */
FL_INLINE void stream_lines(real *to, const real *tile, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n * (ptrdiff_t)sizeof(real); i += STREAM_BYTES)
        stream_packet((char *)to + i, (const char *)tile + i);
}

/* n reals of a tile from i on are done: sends off as many that lie so far behind that their own stores are over. */
FL_INLINE void stream_behind(real *to, const real *tile, ptrdiff_t i, ptrdiff_t n) {
    const ptrdiff_t at = i - STREAM_LAG + stream_head(to);
    if (i >= STREAM_LAG) stream_lines(to + at, tile + at, n);
}

/* All of a tile's n reals but those that stream_behind has sent off, `behind` of them: lines as lines, both ends, which
 * share a line with what stands beside them, by plain stores. */
static void stream_rest(real *to, const real *tile, ptrdiff_t n, ptrdiff_t behind) {
    const ptrdiff_t before = stream_head(to), head = before < n ? before : n, done = head + behind;
    const ptrdiff_t lines = (n - done) & -(ptrdiff_t)(STREAM_LINE / sizeof(real)), end = done + lines;
    memcpy(to, tile, (size_t)head * sizeof(real));
    stream_lines(to + done, tile + done, lines);
    memcpy(to + end, tile + end, (size_t)(n - end) * sizeof(real));
}

#endif
