# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: the ISA of the kernels, their names, threads and processors.

def isas():
    """name -> {"compiled": bool, "supported": bool}, the plainest one first."""
    found = {}
    cdef int i = 0
    while fl_isa_name(i) != NULL:
        found[fl_isa_name(i).decode()] = {"compiled": bool(fl_isa_compiled(i)), "supported": bool(fl_isa_supported(i))}
        i += 1
    return found


def chosen_isa():
    return fl_isa_chosen().decode()


def _choose_isa(name):
    cdef bytes wanted = name.encode(errors="replace") if name else b""
    cdef int status = fl_isa_choose(<const char *>wanted if name else NULL)
    reasons = {-1: "is not an instruction set that fastloss knows on this processor",
               -2: "was not compiled into this build", -3: "is not supported by this machine"}
    if status < 0:
        usable = [n for n, s in isas().items() if s["compiled"] and s["supported"]]
        raise ImportError(
            f"FASTLOSS_ISA={ascii(name).strip("'")} {reasons.get(status, 'cannot be used')}; usable here: {', '.join(usable)}")


_choose_isa(os.environ.get("FASTLOSS_ISA", "").strip().lower() or None)
fl_install_fork_guard()


def losses():
    """name -> (index, operands, predictions, parameters) of the elementwise rows."""
    cdef const fl_kernels *table = fl_table(4)
    return {table.losses[i].name.decode(): (i, table.losses[i].n_operands, table.losses[i].n_predictions,
                                            table.losses[i].n_params) for i in range(table.n_losses)}


def parallel_backend():
    return c_parallel_backend().decode()


def runtime_max_threads():
    return fl_runtime_max_threads()


def is_forked_child():
    return bool(fl_is_forked_child())


def affinity_cpus():
    return fl_affinity_cpus()


def cgroup_cpus(str root=""):
    return fl_cgroup_cpus(root.encode())


def usable_cpus():
    return fl_usable_cpus()
