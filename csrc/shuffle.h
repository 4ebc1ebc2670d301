/* SPDX-License-Identifier: BSD-3-Clause */
/* shuffle.h: elements of vectors in another order, for GCC before 12 too, which cannot change a vector's size so. */
#ifndef FL_SHUFFLE_H
#define FL_SHUFFLE_H

#include <stdint.h>
#include <string.h>

/* FL_SHUFFLE(a, b, ...): as many elements of a, then b, as one of them has.
 * FL_PART(type, x, first, ...): elements of x from the first on; all their indices are given. */
#if defined(__clang__) || __GNUC__ >= 12
#define FL_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define FL_PART(type, x, ...) __builtin_shufflevector(x, x, __VA_ARGS__)
#else
#define FL_SHUFFLE(a, b, ...)                                                                          \
    ({                                                                                                 \
        typedef __typeof__(__builtin_choose_expr(sizeof((a)[0]) == 4, (int32_t)0, (int64_t)0)) place_; \
        typedef place_ places_ __attribute__((vector_size(sizeof(a))));                                \
        __builtin_shuffle(a, b, (places_){__VA_ARGS__});                                               \
    })
#define FL_PART(type, x, first, ...)                                                                   \
    ({                                                                                                 \
        const __typeof__(x) whole_ = x;                                                                \
        type part_;                                                                                    \
        memcpy(&part_, (const char *)&whole_ + first * sizeof part_[0], sizeof part_);                 \
        part_;                                                                                         \
    })
#endif

#endif
