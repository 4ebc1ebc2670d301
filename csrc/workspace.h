/* SPDX-License-Identifier: BSD-3-Clause */
/* workspace.h: memory that the caller has made, one piece for each thread, and a flag for each piece. */
#ifndef FL_WORKSPACE_H
#define FL_WORKSPACE_H

/* The number of a piece that no other thread has. */
static int claim_workspace(int *taken, int pieces) {
    for (int i = 0;; i = i + 1 < pieces ? i + 1 : 0)
        if (!__atomic_exchange_n(&taken[i], 1, __ATOMIC_ACQUIRE)) return i;
}

static void release_workspace(int *taken, int piece) { __atomic_store_n(&taken[piece], 0, __ATOMIC_RELEASE); }

#endif
