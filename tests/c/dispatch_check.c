/* SPDX-License-Identifier: BSD-3-Clause */
/* dispatch_check.c: csrc/dispatch.c on processors that do not exist: one that has just what a level asks for, and for
 * each feature of it one that lacks only that. Prints "ok", or each wrong answer, with exit status 1. */
#include <cpuid.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "fastloss.h"

const fl_kernels fl_kernels_baseline_32, fl_kernels_baseline_64, fl_kernels_avx2_32, fl_kernels_avx2_64;
const fl_kernels fl_kernels_avx512_32, fl_kernels_avx512_64;

enum { LEAF1_ECX, LEAF7_EBX, EXT1_ECX, XCR0, WORDS };

/* The processor at hand: its words, and whether it knows the leaves beyond the first. */
static unsigned word[WORDS];
static int knows[WORDS];
static int saved_was_read; /* by xgetbv */

static int fake_cpuid(unsigned leaf, unsigned *a, unsigned *b, unsigned *c, unsigned *d) {
    const int which = leaf == 1 ? LEAF1_ECX : EXT1_ECX;
    *a = *b = *d = 0;
    *c = word[which];
    return knows[which];
}

static int fake_cpuid_count(unsigned leaf, unsigned part, unsigned *a, unsigned *b, unsigned *c, unsigned *d) {
    *a = *c = *d = 0;
    *b = leaf == 7 && part == 0 ? word[LEAF7_EBX] : 0;
    return knows[LEAF7_EBX];
}

static unsigned fake_saved_registers(void) {
    saved_was_read = 1;
    return word[XCR0];
}

#define __get_cpuid fake_cpuid
#define __get_cpuid_count fake_cpuid_count
#define __asm__
#define volatile(...) low = high = fake_saved_registers() /* what stands behind __asm__ */
#include "dispatch.c"
#undef volatile
#undef __asm__

/* The levels of the x86-64 psABI, table 3.1, and what the system must save. */
static const struct {
    int level, word, bit;
    const char *name;
} features[] = {
    {2, LEAF1_ECX, 0, "sse3"},      {2, LEAF1_ECX, 9, "ssse3"},     {2, LEAF1_ECX, 13, "cmpxchg16b"},
    {2, LEAF1_ECX, 19, "sse4.1"},   {2, LEAF1_ECX, 20, "sse4.2"},   {2, LEAF1_ECX, 23, "popcnt"},
    {2, EXT1_ECX, 0, "lahf"},       {3, LEAF1_ECX, 12, "fma"},      {3, LEAF1_ECX, 22, "movbe"},
    {3, LEAF1_ECX, 27, "osxsave"},  {3, LEAF1_ECX, 28, "avx"},      {3, LEAF1_ECX, 29, "f16c"},
    {3, LEAF7_EBX, 3, "bmi1"},      {3, LEAF7_EBX, 5, "avx2"},      {3, LEAF7_EBX, 8, "bmi2"},
    {3, EXT1_ECX, 5, "lzcnt"},      {3, XCR0, 1, "xmm saved"},      {3, XCR0, 2, "ymm saved"},
    {4, LEAF7_EBX, 16, "avx512f"},  {4, LEAF7_EBX, 17, "avx512dq"}, {4, LEAF7_EBX, 28, "avx512cd"},
    {4, LEAF7_EBX, 30, "avx512bw"}, {4, LEAF7_EBX, 31, "avx512vl"}, {4, XCR0, 5, "masks saved"},
    {4, XCR0, 6, "zmm saved"},      {4, XCR0, 7, "zmm16-31 saved"},
};
enum { FEATURES = sizeof features / sizeof features[0] };

static int wrong;

#ifdef FL_HAVE_AVX2
enum { HAVE_AVX2 = 1 };
#else
enum { HAVE_AVX2 = 0 };
#endif
#ifdef FL_HAVE_AVX512
enum { HAVE_AVX512 = 1 };
#else
enum { HAVE_AVX512 = 0 };
#endif

/* Whether what runs here is just what the level allows, of what was built: 1 nothing, 3 AVX2, 4 AVX-512 too. */
static void expect(int level, const char *what) {
    const char *best = level >= 4 && HAVE_AVX512 ? "avx512" : level >= 3 && HAVE_AVX2 ? "avx2" : "baseline";
    const int fine = fl_isa_supported(0) && fl_isa_supported(1) == (level >= 3) && fl_isa_supported(2) == (level >= 4) &&
                     fl_isa_choose("avx2") == (!HAVE_AVX2 ? -2 : level >= 3 ? 0 : -3) &&
                     fl_isa_choose("avx512") == (!HAVE_AVX512 ? -2 : level >= 4 ? 0 : -3) && fl_isa_choose(NULL) == 0 &&
                     strcmp(fl_isa_chosen(), best) == 0;
    if (!fine) printf("%s: not level %d; best: %s\n", what, level, fl_isa_chosen()), wrong = 1;
}

/* A processor that has what levels up to `level` ask for, but for the features of `without`. */
static void pretend(int level, int without) {
    memset(word, 0, sizeof word);
    for (int i = 0; i < WORDS; i++) knows[i] = 1;
    for (int i = 0; i < FEATURES; i++)
        if (features[i].level <= level && i != without) word[features[i].word] |= 1u << features[i].bit;
}

int main(void) {
    if (strcmp(fl_isa_chosen(), "baseline")) puts("not the plainest at first"), wrong = 1;
    for (int level = 1; level <= 4; level++) {
        pretend(level, -1);
        expect(level, "just its features");
    }
    for (int i = 0; i < FEATURES; i++) {
        pretend(4, i);
        expect(features[i].level > 3 ? 3 : 1, features[i].name);
        saved_was_read = 0;
        fl_isa_supported(1);
        const int may = strcmp(features[i].name, "osxsave") != 0;
        if (saved_was_read != may) printf("%s: xgetbv is an illegal instruction\n", features[i].name), wrong = 1;
    }
    for (int i = 0; i < XCR0; i++) { /* a leaf that the processor does not know says nothing */
        pretend(4, -1);
        knows[i] = 0;
        expect(1, "no such leaf");
    }
    memset(word, 0xff, sizeof word);
    for (int i = 0; i < WORDS; i++) knows[i] = 1;
    expect(4, "everything");
    if (fl_isa_choose("sse") != -1 || fl_isa_name(3) || fl_isa_name(-1) || fl_isa_compiled(3) || fl_isa_supported(-1))
        puts("a rung that is not there"), wrong = 1;
    const fl_kernels *real32 = HAVE_AVX512 ? &fl_kernels_avx512_32 : HAVE_AVX2 ? &fl_kernels_avx2_32 : &fl_kernels_baseline_32;
    const fl_kernels *real64 = HAVE_AVX512 ? &fl_kernels_avx512_64 : HAVE_AVX2 ? &fl_kernels_avx2_64 : &fl_kernels_baseline_64;
    if (fl_table(4) != real32 || fl_table(8) != real64) puts("another table"), wrong = 1;
    if (!wrong) puts("ok");
    return wrong;
}
