/* SPDX-License-Identifier: BSD-3-Clause */
/* failing_malloc.c: a library to preload, with allocations that fail once when told to, in the thread that told them:
 * malloc called from a range of code (the extension's), and the data of NumPy arrays, whose handler (NEP 49) this gives.
 * NumPy's and Python's other allocations are theirs: some of them end the process. For glibc. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

void *__libc_malloc(size_t);

static _Thread_local long left;    /* allocations until the one that fails; 0: none will */
static _Thread_local long counted; /* since fail_after was called */
static uintptr_t first, last;

/* The n-th allocation from now on fails; 0: none. */
void fail_after(long n) {
    left = n;
    counted = 0;
}

long allocations(void) { return counted; }

void watch(uintptr_t from, uintptr_t to) {
    first = from;
    last = to;
}

static int fails(void) {
    counted++;
    return left > 0 && --left == 0;
}

void *malloc(size_t size) {
    const uintptr_t caller = (uintptr_t)__builtin_return_address(0);
    if (caller < first || caller >= last || !fails()) return __libc_malloc(size);
    errno = ENOMEM;
    return NULL;
}

static void *data_malloc(void *context, size_t size) {
    (void)context;
    return fails() ? NULL : malloc(size);
}

static void *data_calloc(void *context, size_t n, size_t size) {
    (void)context;
    return fails() ? NULL : calloc(n, size);
}

static void *data_realloc(void *context, void *old, size_t size) {
    (void)context;
    return fails() ? NULL : realloc(old, size);
}

static void data_free(void *context, void *memory, size_t size) {
    (void)context;
    (void)size;
    free(memory);
}

struct handler { /* PyDataMem_Handler */
    char name[127];
    uint8_t version;
    void *context;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *, size_t);
} handler = {"failing", 1, NULL, data_malloc, data_calloc, data_realloc, data_free};
