/* SPDX-License-Identifier: BSD-3-Clause */
/* caches.c: how much data the caches keep from one call to the next. */
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "fastloss.h"

/* Level 2. */
static long core_cache(void) {
#if defined(_SC_LEVEL2_CACHE_SIZE)
    const long found = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return found > 0 ? found : 1 << 20;
#else
    return 1 << 20;
#endif
}

/* Level 3, whose size the C library gives for all that a processor has, Linux for the one which a core uses. Not all of it is
 * ours, for other cores have their data there: half of it, with AVX-512 three quarters of AMD's, which takes what falls out
 * of level 2 and gives it back about as fast, but on Zen 3, where more was lost. Large ones of Intel's servers are far
 * away and everybody's: outputs that came back from 300 MB cost more than those that had gone to memory. Measured, mean
 * squared errors with gradients, two threads: on Zen 3 (32 MB) 12 MB in all took 1.2 times as long past the caches, 24 MB
 * 0.8 times; on Zen 5 (32 MB) 17 MB 1.5 times, 24 MB 1.3 times; on Ice Lake (48 MB) 12 MB 1.24 times, 24 MB 1.06 times, 36 MB
 * 0.95 times. */
enum { FAR_KILOBYTES = 64 << 10 };

static long near_cache(void) {
    long kilobytes = 0, quarters = 2;
#if defined(__x86_64__) && defined(__linux__)
    __builtin_cpu_init();
    const int amd = __builtin_cpu_is("amd");
    if (amd && __builtin_cpu_supports("avx512f")) {
        quarters = 3;
    }
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "re");
    if (f != NULL) {
        const int fields = fscanf(f, "%8ldK", &kilobytes);
        fclose(f);
        if (fields != 1 || (!amd && kilobytes > FAR_KILOBYTES)) {
            return 0;
        }
    }
#endif
    return kilobytes * 256 * quarters;
}

static long once(atomic_long *cached, long (*read)(void)) {
    long bytes = atomic_load_explicit(cached, memory_order_relaxed);
    if (bytes < 0) {
        bytes = read();
        atomic_store_explicit(cached, bytes, memory_order_relaxed);
    }
    return bytes;
}

ptrdiff_t fl_core_cache(void) {
    static atomic_long cached = -1;
    return once(&cached, core_cache);
}

double fl_kept_bytes(int threads) {
    static atomic_long cached = -1;
    const double own = 2.0 * (double)fl_core_cache() * threads, near = (double)once(&cached, near_cache);
    return own > near ? own : near;
}
