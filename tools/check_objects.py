# SPDX-License-Identifier: BSD-3-Clause
"""Check what the compiler made of csrc/kernels.c, from nm and objdump.

- Symbols: an object exports its one table and imports nothing but memcpy, memset, memmove and fl_* (blocks.c): no libm.
- ISA: no AVX instruction in a baseline object, no AVX-512 instruction in an AVX2 object.
- Warnings: -Wall -Wextra finds none.
- Loops: every innermost loop of a kernel is packed arithmetic in the ISA's widest registers, none of it scalar.
- Sums: short loops of AVX keep them in registers; from a place in memory each step would wait for the one before.

``python tools/check_objects.py`` compiles the kernels for each ISA and checks them; of object files given as arguments
it checks all but the loops, since there the compiler has inlined some; of those after `--plain`, which hold no kernels,
that they have no AVX; of the extension after `--linked` that it has as many AVX instructions as the objects, so none
elsewhere. ``--self-test`` shows that each check can fail.
Needs a C compiler (CC) and GNU binutils.
"""

import argparse
import functools
import os
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from flags import ISAS, kernel_flags

ROOT = Path(__file__).resolve().parent.parent
# Functions whose loops are hot. -fno-inline keeps each a function of its own (what is forced inline stays so).
HOT = re.compile(r"(map_|sum_value_|sum_grad_|tile_|column_|finish_|lanes_)\w+$")
# Hot functions that may have a scalar loop, or have no arithmetic to pack: name, or object and name -> why.
SCALAR_ALLOWED = {
    "tile_sum": "the last fold over lanes, once a tile",
    "tile_sum_wide": "the last fold over lanes, once a tile of row losses",
    "tile_max": "the last fold over lanes, once a tile",
    "tile_square_sum": "the last fold over lanes, once a tile",
    "baseline_64 tile_mask": "SSE2 has no mask of 64-bit lanes",
    "baseline_64 column_join": "SSE2 has no mask of 64-bit lanes",
    "baseline_64 tile_exp_sum": "SSE2 has no comparison of 64-bit labels (one group of a tile has one)",
    "avx512_32 lanes_exact_highest": "what Clang's unrolled loop leaves: 16 doubles, once a frame",
    "avx512_64 lanes_exact_highest": "what Clang's unrolled loop leaves: 16 doubles, once a frame",
    **{
        f"baseline_64 {name}": "SSE2 has no mask of 64-bit lanes"
        for name in ("tile_drop", "tile_cost", "tile_cost_slope", "column_cost")
    },
    **{
        f"baseline_64 {what}_{name}": "SSE2 has no mask of 64-bit lanes: GCC branches on selections"
        for what in ("map_value", "map_grad", "map_hess")
        for name in ("hinge_embedding", "kl_div_log", "poisson", "poisson_full", "poisson_rate", "poisson_rate_full")
    },
    **{f"baseline_64 {what}_hinge_embedding": "SSE2 has no mask of 64-bit lanes" for what in ("sum_value", "sum_grad")},
    **{
        f"baseline_{real} lanes_{name}": "without masks, selections become branches"
        for name in (
            "normalise",
            "exact_emissions",
            "exact_forward",
            "exact_backward",
            "exact_emit",
            "exact_emit_blank",
            "exact_highest",
        )
        for real in (32, 64)
    },
    **{
        f"baseline_64 {name}": "SSE2 has no comparison of 64-bit labels"
        for name in (
            "column_label",
            "column_mass",
            "column_gradient",
            "column_kept_gradient",
            "column_mass_gradient",
            "column_outside",
            "column_cost_slope",
            "finish_value_hard",
            "finish_value_soft",
            "finish_value_focal",
            "finish_cost",
            "finish_cost_focal",
            "finish_cost_log",
            "column_fold",
            "column_fold_moment",
            "finish_margins",
            "column_hinge",
            "column_slopes",
            "column_margin_gradient",
            "column_policy",
            "column_best",
            "finish_policy_logits",
            "finish_policy_log_probs",
            "finish_squared",
            "finish_huber",
        )
    },
    **{
        f"baseline_64 column_{name}": "SSE2 has no mask of 64-bit lanes, and no comparison of 64-bit labels"
        for name in (
            "exponent",
            "invert",
            "keep",
            "sums",
            "differ",
            "softmax_slope",
            "index_slope",
            "sigmoid",
            "choose",
            "mask_slope",
            "truths",
            "chain",
        )
    },
    **{
        f"baseline_64 lanes_{name}": "SSE2 has no mask of 64-bit lanes"
        for name in (
            "matrix",
            "matrix_centers",
            *(
                f"box_{k}{c}{g}"
                for k in ("iou", "giou", "diou", "ciou")
                for c in ("", "_centers")
                for g in ("", "_grad")
            ),
        )
    },
    "baseline_64 tile_distance": "SSE2 has no mask of 64-bit lanes",
    **{
        f"baseline_64 {name}": "SSE2 has no mask or comparison of 64-bit lanes"
        for name in (
            "tile_largest",
            "tile_pull_sign",
            "tile_pull_largest",
            "tile_pull_power",
            "tile_count_largest",
            "tile_extremes",
            "tile_candidates",
        )
    },
}
# The same for objects that Clang made.
CLANG_SCALAR_ALLOWED = {
    "finish_policy_logits": "an option is compared once per vector",
    "finish_policy_log_probs": "an option is compared once per vector",
    "tile_policy": "an option is compared once per vector",
    "tile_pull_power": "an option is compared once per vector",
}
# The same, and nothing packed, for objects that GCC 11 made.
OLD_GCC_ALLOWED = dict.fromkeys(
    (
        "lanes_written",
        "lanes_exp_sum",
        "avx2_32 lanes_exact_highest",
        "avx2_64 lanes_exact_highest",
        "avx2_64 column_exponent",
        "avx2_64 column_gradient",
        "baseline_32 column_slopes",
        "baseline_32 column_fold",
        "baseline_32 column_fold_moment",
    ),
    "a selection becomes a branch",
)
# Loops of its that carry a sum in memory.
OLD_GCC_IN_MEMORY = {"avx2_32 sum_grad_smooth_l1": "one of four, for want of a register"}
UNPACKED_ALLOWED = {
    "map_value_identity": "copies",
    "map_grad_identity": "copies",
    "map_hess_identity": "copies",
    "sum_grad_identity": "is sum_value_identity, since it has no gradient",
    "tile_sum": "calls add_groups, has no loop of its own",
    "tile_sum_wide": "calls add_to_lanes, has no loop of its own",
    "map_behind": "moves pointers",
    "finish_gradient": "calls tile_multiply and tile_mask, has no loop of its own",
    "tile_leaves": "compares",
    "tile_mask": "selects",
    "tile_step": "compares and selects",
    "column_pick": "compares and selects",
    "column_best": "compares and selects",
    "column_action": "compares and selects",
    "map_grad_ppo_kl": "has no gradient: is map_value_ppo_kl",
    "map_grad_ppo_clipped": "has no gradient: is map_value_ppo_clipped",
    "tile_max": "compares and selects",
    "tile_fill": "stores",
    "finish_counted": "selects",
    "column_max": "compares and selects",
    "lanes_bounds": "compares and selects",
    "lanes_highest": "compares and selects",
    "lanes_largest": "compares and selects",
    "column_label": "compares and selects",
    "column_chain": "no loop: the few vectors of a block, one after the other",
    "column_fold_product": "no loop: the few vectors of a block, one after the other",
    "column_keep": "compares and selects",
    "column_choose": "compares and selects",
    "column_truths": "compares and selects",
    "column_outside": "compares and selects",
    "baseline_64 load_native_FL_FLOAT16": "on SSE2 clang 14 widens to 64 bits one by one",
}
# float16 and bfloat16 to real: contiguous input is widened by packed instructions, input of any stride need not be.
WIDENING = re.compile(r"v?(punpcklwd|pmovzxwd|cvtph2ps)$|[us]?shll2?$|[us]xtl2?$|fcvtl2?$")
LOADS = re.compile(r"load_native_FL_B?FLOAT16$")
LIBC = {"memcpy", "memset", "memmove"}
# Clang and PIC code name the global offset table; it is no function.
ALLOWED_UNDEFINED = re.compile(r"fl_\w+$|_GLOBAL_OFFSET_TABLE_$")

X86_SCALAR = re.compile(
    r"v?(add|sub|mul|div|sqrt|min|max|fn?m(add|sub)\d+|round|rndscale|u?comi|cmp\w*)s[sd]$|v?cvt\w*s[isd]2\w+$"
)
X86_PACKED = re.compile(r"v?(add|sub|mul|div|sqrt|fn?m(add|sub)\d+)p[sd]$")
WIDEST = {"baseline": "%xmm", "avx2": "%ymm", "avx512": "%zmm"}
ARM_ARITHMETIC = re.compile(r"f(add|sub|mul|div|sqrt|mla|mls|n?madd|n?msub|cmp|max|min)(nm|e)?$")


STACK = re.compile(r"-?(?:0x[0-9a-f]+)?\(%r[sb]p\)")
SHORT_LOOP = 60  # instructions; longer ones take more time than the sums in memory


class Instruction(NamedTuple):
    address: int
    mnemonic: str
    operands: str


def run(*command):
    """Standard output of a command; its failure is ours."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(map(str, command))} failed:\n{done.stderr}")
    return done.stdout


def is_scalar(isa, instruction):
    """Whether this is scalar floating-point arithmetic; moves and broadcasts are not."""
    if isa == "neon":
        return bool(ARM_ARITHMETIC.match(instruction.mnemonic) and re.match(r"[sd]\d", instruction.operands))
    return bool(X86_SCALAR.match(instruction.mnemonic))


def is_packed(isa, instruction, widest=False):
    """Whether this is packed floating-point arithmetic, in the widest registers of the ISA if so asked."""
    if isa == "neon":
        return bool(ARM_ARITHMETIC.match(instruction.mnemonic) and re.match(r"v\d+\.(4s|2d)", instruction.operands))
    return bool(X86_PACKED.match(instruction.mnemonic)) and (not widest or WIDEST[isa] in instruction.operands)


def functions(path):
    """Function name -> its instructions, from objdump -d."""
    found = {}
    for line in run("objdump", "-d", "--no-show-raw-insn", path).splitlines():
        if head := re.match(r"[0-9a-f]+ <([^>]+)>:", line):
            found[head[1]] = current = []
        elif body := re.match(r"\s*([0-9a-f]+):\s+(?:(?:notrack|rep\w*|data16|bnd)\s+)*([\w.]+)\s*(.*)", line):
            current.append(Instruction(int(body[1], 16), body[2], body[3]))
    return found


def innermost_loops(code):
    """Stretches from the target of a backward jump to the jump, those that hold no other such stretch."""
    spans = set()
    for instruction in code:
        target = re.search(r"(?:^|, )([0-9a-f]+) <", instruction.operands)
        jumps = re.match(r"j|b$|b\.|cbn?z|tbn?z", instruction.mnemonic)
        if jumps and target and code[0].address <= int(target[1], 16) <= instruction.address:
            spans.add((int(target[1], 16), instruction.address))
    inner = [s for s in spans if not any(s[0] <= o[0] and o[1] <= s[1] and o != s for o in spans)]
    return [[i for i in code if first <= i.address <= last] for first, last in sorted(inner)]


def carried_in_memory(loop):
    """Places on the stack through which a vector goes from one step of a loop to the next."""
    stored, carried = {}, set()
    for instruction in loop:
        place = STACK.search(instruction.operands)
        if place and instruction.mnemonic.startswith("v"):
            stores = instruction.operands.rstrip().endswith(place[0])
            if stores and stored.get(place[0]) is False:
                carried.add(place[0])
            stored.setdefault(place[0], stores)
    return carried


def check_symbols(path):
    """Faults of an object's symbols, and the ISA and real that its table's name tells."""
    exported, undefined = [], []
    for line in run("nm", path).splitlines():
        kind, name = line.split()[-2:]
        if kind == "U":
            undefined.append(name)
        elif kind.isupper():
            exported.append(name)
    faults = [f"imports {n}" for n in undefined if n not in LIBC and not ALLOWED_UNDEFINED.match(n)]
    tables = [match for name in exported if (match := re.match(r"fl_kernels_([a-z0-9]+)_(32|64)$", name))]
    if len(exported) != 1 or len(tables) != 1:
        faults.append(f"exports {', '.join(exported) or 'nothing'}; expected one table fl_kernels_<isa>_<32|64>")
    return faults, tables[0].groups() if tables else ("baseline", "32")


def beyond(isa, code):
    """The instructions that an ISA does not have."""
    forbidden = {"baseline": r"\bv[a-z]|%[yz]mm|%k\d", "avx2": r"%zmm|%k\d"}.get(isa)
    return [i for i in code if forbidden and re.search(forbidden, f"{i.mnemonic} {i.operands}")]


def check_isa(isa, code):
    """Faults of one function: instructions that its ISA does not have."""
    bad = next(iter(beyond(isa, code)), None)
    return [f"{bad.mnemonic} {bad.operands} is no {isa} instruction"] if bad else []


@functools.cache
def allowed_of_compiler(path):
    """What may be scalar of the compiler that the object's comment names; what need not be packed at all; what carries
    sums in memory."""
    comment = run("readelf", "-p", ".comment", path)
    old_gcc = re.search(r"GCC: \(.*\) 11\.", comment)
    may_be_scalar = CLANG_SCALAR_ALLOWED if "clang" in comment else {}
    may_be_anything, in_memory = (OLD_GCC_ALLOWED, OLD_GCC_IN_MEMORY) if old_gcc else ({}, {})
    return may_be_scalar.keys(), may_be_anything.keys(), in_memory.keys()


def check_loops(path, isa, real, name, code):
    """Faults of a hot function: scalar arithmetic in an innermost loop, or no packed arithmetic in any."""
    loops = innermost_loops(code)
    faults = []
    names = {name, f"{isa}_{real} {name}"}
    may_be_scalar, may_be_anything, in_memory = allowed_of_compiler(path)
    scalar_allowed = names & (SCALAR_ALLOWED.keys() | may_be_scalar | may_be_anything)
    for loop in [] if scalar_allowed else loops:
        scalar = [i.mnemonic for i in loop if is_scalar(isa, i)]
        if scalar:
            faults.append(f"scalar {', '.join(sorted(set(scalar)))} in the loop at {loop[0].address:#x}")
    for loop in loops if name.startswith("sum_") and not names & in_memory else []:
        if len(loop) <= SHORT_LOOP and carried_in_memory(loop):
            faults.append(f"sums in memory in the loop at {loop[0].address:#x}")
    widest = name.startswith("map_")  # the others mix float and double, and may be narrower
    unpacked_allowed = name in UNPACKED_ALLOWED or f"{isa}_{real} {name}" in SCALAR_ALLOWED or names & may_be_anything
    if not unpacked_allowed and not any(is_packed(isa, i, widest) for loop in loops for i in loop):
        where = f" in {WIDEST.get(isa, 'vector')} registers" if widest else ""
        faults.append(f"no packed arithmetic{where} in any of {len(loops)} innermost loops")
    return faults


def check_object(path, loops=True):
    """All faults of one object as lines."""
    faults, (isa, real) = check_symbols(path)
    hot = 0
    for name, code in functions(path).items():
        base = name.split(".")[0]  # .constprop.0, .isra.0: the compiler's copies
        found = check_isa(isa, code)
        if loops and HOT.match(base) and not name.endswith(".cold"):
            hot += 1
            found += check_loops(path, isa, real, base, code)
        widening = any(WIDENING.match(i.mnemonic) for i in code)
        if loops and LOADS.match(base) and not widening and f"{isa}_{real} {base}" not in UNPACKED_ALLOWED:
            found.append("no packed widening of 16-bit values")
        faults += [f"{name}: {fault}" for fault in found]
    if loops and not hot:
        faults.append("no function looks like a kernel: is the object stripped, or HOT out of date?")
    return [f"{Path(path).name}: {fault}" for fault in faults]


def check_plain(path):
    """Faults of an object without kernels, which runs before the ISA is known: instructions beyond the baseline's."""
    found = [(name, fault) for name, code in functions(path).items() for fault in check_isa("baseline", code)]
    return [f"{Path(path).name}: {name}: {fault}" for name, fault in found]


def avx(path):
    """How many instructions of a file are beyond the baseline."""
    return sum(len(beyond("baseline", code)) for code in functions(path).values())


def check_linked(path, objects):
    """Faults of the extension as shipped: more or fewer AVX instructions than its kernel objects have."""
    there, here = avx(path), sum(map(avx, objects))
    return [] if there == here else [f"{Path(path).name}: {there} AVX instructions, but {here} in its kernels"]


def compiler():
    """CC as a list of words."""
    return shlex.split(os.environ.get("CC", "cc"))


def compile_kernels(folder):
    """Objects of csrc/kernels.c for every ISA, with every hot loop left in a function of its own."""
    macros = run(*compiler(), "-dM", "-E", "-x", "c", os.devnull)
    family = next(m for m in ISAS if f"#define {m} " in macros or not m)
    commands = []
    for isa, flags in ISAS[family].items():
        for real in (64, 32):
            options = [*kernel_flags(isa, real, flags, compiler()), "-Werror", "-fno-inline", "-I", str(ROOT / "csrc")]
            target = Path(folder, f"{isa}_{real}.o")
            commands.append([*compiler(), *options, "-c", str(ROOT / "csrc" / "kernels.c"), "-o", str(target)])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda command: run(*command), commands))
    return [Path(command[-1]) for command in commands]


GOOD = """
const int fl_kernels_baseline_32 = 1;
void map_good(float *restrict x) { for (int i = 0; i < 1024; i++) x[i] = x[i] * 3 + 1; }
"""
# What must be found -> a C text that has it, and flags.
PLANTED = {
    "scalar": (GOOD + "void map_bad(float *x) { for (int i = 1; i < 99; i++) x[i] = x[i - 1] * 3 + x[i]; }", []),
    "no packed": (GOOD + "void map_bad(int *x) { for (int i = 1; i < 99; i++) x[i] = x[i] + 1; }", []),
    "imports expf": (
        GOOD + "float expf(float);\nvoid map_bad(float *x) { for (int i = 0; i < 99; i++) x[i] = expf(x[i]); }",
        [],
    ),
    "exports": (GOOD + "int second = 2;", []),
    "is no baseline instruction": (GOOD, ["-mavx2"]),
    "is no avx2 instruction": (GOOD.replace("baseline", "avx2"), ["-march=x86-64-v4", "-mprefer-vector-width=512"]),
    "in %zmm": (GOOD.replace("baseline", "avx512"), ["-march=x86-64-v4", "-mprefer-vector-width=256"]),
    "sums in memory": (
        GOOD.replace("baseline", "avx2")
        + "void sum_value_bad(float *x) { volatile double __attribute__((vector_size(32))) sum = {0};"
        "for (int i = 0; i < 99; i++) sum += (double)x[i]; }",
        ["-mavx2"],
    ),
    "looks like a kernel": (GOOD.replace("map_good", "other"), []),
}


def self_test():
    """Compile texts with planted faults (x86-64): each must be found, and the good one pass. Returns what is amiss."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for expected, (text, flags) in {"": (GOOD, []), **PLANTED}.items():
            source, target = Path(folder, "planted.c"), Path(folder, "planted.o")
            source.write_text(re.sub(r"^void", "static __attribute__((used)) void", text, flags=re.M))
            run(*compiler(), "-O3", "-fno-trapping-math", *flags, "-c", source, "-o", target)
            faults = check_object(target)
            if not (any(expected in fault for fault in faults) if expected else not faults):
                wrong.append(f"planted {expected or 'nothing'!r}, found {faults}")
            if bool(check_plain(target)) != any(flag.startswith("-m") for flag in flags):
                wrong.append(f"AVX outside of kernels, planted {flags}, found {check_plain(target)}")
            if bool(check_linked(target, [])) != any(flag.startswith("-m") for flag in flags):
                wrong.append(f"AVX in the linked file, planted {flags}, not found")
    return wrong


def main():
    """Command line: 0 if nothing is wrong, else 1 with a line per fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--self-test", action="store_true", help="plant faults and see that each is found")
    parser.add_argument("--plain", nargs="*", default=[], help="object files without kernels: no AVX may be in them")
    parser.add_argument("--linked", help="the extension that was linked of the objects: no other AVX may be in it")
    parser.add_argument("objects", nargs="*", help="object files of kernels.c (default: compile them)")
    arguments = parser.parse_args()
    if arguments.self_test:
        faults, checked = self_test(), f"{len(PLANTED)} planted faults"
    elif arguments.objects or arguments.plain:
        faults = [fault for path in arguments.objects for fault in check_object(path, loops=False)]
        faults += [fault for path in arguments.plain for fault in check_plain(path)]
        faults += check_linked(arguments.linked, arguments.objects) if arguments.linked else []
        checked = f"{len(arguments.objects) + len(arguments.plain)} objects"
    else:
        with tempfile.TemporaryDirectory() as folder:
            objects = compile_kernels(folder)
            faults = [fault for path in objects for fault in check_object(path)]
        checked = f"{len(objects)} objects"
    print(*faults, f"check_objects: {checked}: {len(faults)} fault(s)", sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
