/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_kernels.c: random jobs for every entry of the kernel table, on every ISA that this machine runs.
 *
 * An input is a string of bytes, from which dimensions, dtypes, layouts, options, labels and values are drawn; where it
 * ends, a generator that it seeds goes on. fuzz_memory.h makes arrays of exactly the size that they need
 * (AddressSanitizer sees one element too many; without it, canaries see a write), fuzz_job.h holds the job at hand, a
 * file for each group of kernels draws it (fuzz_elementwise.h, fuzz_rows.h, fuzz_sequences.h, fuzz_tiles.h,
 * fuzz_vectors.h, fuzz_actions.h, fuzz_overlap.h), fuzz_run.h runs it on each ISA, fuzz_compare.h judges, and
 * fuzz_jobs.h is the way from the first to the last. Then
 *   - what was written, what was counted and the first offender are equal on all ISAs with fused multiply-add, bit for
 *     bit, and near that on the baseline where the values are tame;
 *   - the first bad label and the number of rows that count are those that a plain loop finds.
 * A fault prints the job and aborts.
 *
 * With Clang's -fsanitize=fuzzer this is a target of libFuzzer. Else it has a main of its own:
 *     fuzz_kernels RUNS SEED    that many random inputs
 *     fuzz_kernels FILE...      each file as one input
 * It prints, for each kind of job, how many there were and a digest of their results on each ISA. */
#include "fuzz_jobs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct source source = {data, size, 0x9e3779b97f4a7c15u};
    for (size_t i = 0; i < size; i++) source.state = (source.state ^ data[i]) * 0x100000001b3u;
    source.state |= 1;
    one_job(&source);
    free_all();
    return 0;
}

#ifndef FUZZ_TARGET
static void one_file(const char *path) {
    static uint8_t data[1 << 16];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(2);
    }
    const size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
}

static void random_inputs(long runs, uint64_t seed) {
    struct source bytes = {NULL, 0, seed * 2 + 0x9e3779b97f4a7c15u};
    for (int i = 0; i < 9; i++) any(&bytes);
    for (long run = 0; run < runs; run++) {
        uint8_t data[48];
        for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(any(&bytes) >> 24);
        LLVMFuzzerTestOneInput(data, sizeof data);
    }
}

int main(int argc, char **argv) {
    if (argc == 3 && argv[1][0] >= '0' && argv[1][0] <= '9')
        random_inputs(atol(argv[1]), strtoull(argv[2], NULL, 10));
    else
        for (int i = 1; i < argc; i++) one_file(argv[i]);
    printf("%ld jobs\n", n_jobs);
    for (int kind = 0; kind < KINDS; kind++) {
        printf("%s %ld", kind_name[kind], jobs_of[kind]);
        for (int i = 0; i < n_isas; i++) printf(" %s=%016llx", isas[i], (unsigned long long)digest[i][kind]);
        printf("\n");
    }
    return 0;
}
#endif
