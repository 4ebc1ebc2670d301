# SPDX-License-Identifier: BSD-3-Clause
"""Mutants of tools/mutate.py that survived, were read, and change nothing that a test could see."""

# (file, what stands in the line, mutation) -> why no test can see it.
EQUIVALENT: dict[tuple[str, str, str], str] = {
    ("ctc.h", "s->exact = 1;", "1 -> 2"): "a truth value",
    ("ctc_fast.h", "if (s->front < w->low) s->front = w->low;", "< -> >="): (
        "no state before the front is without mass: the search finds the same front from wherever it starts"
    ),
    ("ctc_emissions.h", "y[k] = d < -0x1p50 && mass > 0 ? 1.0 : mass;", "0 -> 1"): (
        "at an exponent beyond 2^50, whose spacing is a quarter, a factor below sqrt(2) is rounding"
    ),
    ("vecmath.h", "const real bounded = x > V_EXP_MAX ? R_INFINITY : scaled;", "> -> >="): (
        "exp(89) and exp(710) overflow by themselves"
    ),
    ("cpus.c", "return quota > 0 && period > 0 ? (double)quota / (double)period : 0;", "> -> >="): (
        "a quota of 0 gives 0 either way"
    ),
    ("softmax_state.h", "for (ptrdiff_t k = n; k < lanes; k++) s->out[k] = 0;", "0 -> 1"): (
        "what the padding is multiplied with, before the next line sets it to 0"
    ),
    **dict.fromkeys(
        [("load.h", f"DO({dtype}, 1)", "1 -> 2") for dtype in ("FL_BOOL", "FL_INT8", "FL_UINT8")],
        "the size only chooses a loop: it is the stride in the one that multiplies by it",
    ),
    ("multilabel.h", "if (found < 0) {", "< -> <="): "the loop around it ends at 0",
}
