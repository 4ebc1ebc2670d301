/* SPDX-License-Identifier: BSD-3-Clause */
/* dispatch.c: which kernels run here. Compiled for the plainest processor only, since it runs before we know more. */
#include <stdatomic.h>
#include <string.h>

#include "fastloss.h"

static int always(void) {
    return 1;
}

#if defined(__x86_64__)
#include <cpuid.h>

/* Bits of CPUID, by leaf and register (Intel SDM volume 2, CPUID; the levels: x86-64 psABI, table 3.1). */
enum {
    LEAF1_ECX_V2 = 1 << 0 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23, /* sse3 ssse3 cx16 sse4.1 sse4.2 popcnt */
    LEAF1_ECX_V3 = LEAF1_ECX_V2 | 1 << 12 | 1 << 22 | 1 << 28 | 1 << 29,    /* fma movbe avx f16c */
    LEAF1_ECX_OSXSAVE = 1 << 27,                                           /* xgetbv may be executed */
    LEAF7_EBX_V3 = 1 << 3 | 1 << 5 | 1 << 8,                               /* bmi1 avx2 bmi2 */
    EXT1_ECX_V3 = 1 << 0 | 1 << 5,                                         /* lahf lzcnt */
    XCR0_YMM = 0x06,                                                       /* the system saves xmm and ymm */
    XCR0_ZMM = 0xe6                                                        /* and the masks and both halves of zmm */
};
static const unsigned LEAF7_EBX_V4 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* avx512 f dq cd bw vl */

static int has(unsigned word, unsigned bits) {
    return (word & bits) == bits;
}

static unsigned cpuid_1_ecx(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) ? c : 0;
}

static unsigned cpuid_7_ebx(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) ? b : 0;
}

static unsigned cpuid_ext1_ecx(void) {
    unsigned a, b, c, d;
    return __get_cpuid(0x80000001u, &a, &b, &c, &d) ? c : 0;
}

/* Registers that the operating system saves on a context switch: without that the processor's word is worth nothing. */
static unsigned saved_registers(void) {
    unsigned low, high;
    if (!has(cpuid_1_ecx(), LEAF1_ECX_OSXSAVE)) {
        return 0;
    }
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int runs_v3(void) {
    return has(saved_registers(), XCR0_YMM) && has(cpuid_1_ecx(), LEAF1_ECX_V3) && has(cpuid_7_ebx(), LEAF7_EBX_V3) &&
           has(cpuid_ext1_ecx(), EXT1_ECX_V3);
}

static int runs_v4(void) {
    return runs_v3() && has(saved_registers(), XCR0_ZMM) && has(cpuid_7_ebx(), LEAF7_EBX_V4);
}
#endif

/* The kernel objects that setup.py compiled into this build. */
#define DECLARE(isa) extern const fl_kernels fl_kernels_##isa##_32, fl_kernels_##isa##_64
#define COMPILED(isa) &fl_kernels_##isa##_32, &fl_kernels_##isa##_64
#define LEFT_OUT NULL, NULL

#if defined(__aarch64__)
#define NAME_OF_PLAINEST "neon"
#define PLAINEST COMPILED(neon)
DECLARE(neon);
#else
#define NAME_OF_PLAINEST "baseline"
#define PLAINEST COMPILED(baseline)
DECLARE(baseline);
#endif

#ifdef FL_HAVE_AVX2
#define AVX2 COMPILED(avx2)
DECLARE(avx2);
#else
#define AVX2 LEFT_OUT
#endif

#ifdef FL_HAVE_AVX512
#define AVX512 COMPILED(avx512)
DECLARE(avx512);
#else
#define AVX512 LEFT_OUT
#endif

/* The ladder: each rung is better than the one before it, and the first runs on every processor of its kind. */
static const struct {
    const char *name;
    const fl_kernels *real32, *real64; /* NULL: left out of this build */
    int (*supported)(void);
} ladder[] = {
    {NAME_OF_PLAINEST, PLAINEST, always},
#if defined(__x86_64__)
    {"avx2", AVX2, runs_v3},
    {"avx512", AVX512, runs_v4},
#endif
};

enum { RUNGS = sizeof ladder / sizeof ladder[0] };

static atomic_int chosen; /* the plainest until fl_isa_choose has run */

static int on_ladder(int i) {
    return i >= 0 && i < RUNGS;
}

static int find(const char *name) {
    for (int i = 0; i < RUNGS; i++) {
        if (strcmp(ladder[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static int best(void) {
    int i = RUNGS - 1;
    while (i > 0 && !(fl_isa_compiled(i) && fl_isa_supported(i))) {
        i--;
    }
    return i;
}

const char *fl_isa_name(int i) {
    return on_ladder(i) ? ladder[i].name : NULL;
}

int fl_isa_compiled(int i) {
    return on_ladder(i) && ladder[i].real32 != NULL;
}

int fl_isa_supported(int i) {
    return on_ladder(i) && ladder[i].supported();
}

int fl_isa_choose(const char *name) {
    const int i = name ? find(name) : best();
    if (i < 0) {
        return -1;
    }
    if (!fl_isa_compiled(i)) {
        return -2;
    }
    if (!fl_isa_supported(i)) {
        return -3;
    }
    atomic_store(&chosen, i);
    return 0;
}

const char *fl_isa_chosen(void) {
    return ladder[atomic_load_explicit(&chosen, memory_order_relaxed)].name;
}

const fl_kernels *fl_table(int real_size) {
    const int i = atomic_load_explicit(&chosen, memory_order_relaxed);
    return real_size == 4 ? ladder[i].real32 : ladder[i].real64;
}
