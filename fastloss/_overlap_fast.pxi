# SPDX-License-Identifier: BSD-3-Clause
# Part of _native.pyx: losses as functions of the sums of overlaps, and contiguous arrays straight to C.

cdef extern from "math.h" nogil:
    double pow(double, double)

_general_overlap = None
_exact_sum = None


def _connect_overlap(general_overlap, exact_sum):
    """`_call_overlap` hands over what the fast path falls back to, and how losses are added."""
    global _general_overlap, _exact_sum
    _general_overlap, _exact_sum = general_overlap, exact_sum


# ---- formulas --------------------------------------------------------------------------------------------------------
# A few numbers per group and class, in float64: I is the sum of p t (`shared`), P that of p, T that of t. P - I, what
# is predicted and not true, and T - I, what is true and not predicted, are at least 0; rounding may say otherwise. Where
# all is 0, nothing is missing: the loss is 0, and so are its derivatives.

cdef enum:  # as in `_call_overlap`
    TVERSKY = 0
    GENERALIZED_DICE = 1

ctypedef struct overlap_formula:
    int kind
    double alpha
    double beta
    double gamma   # exponent of the Tversky loss
    double smooth
    int power      # of 1 / T in the weights of generalized Dice


cdef struct overlap_slopes:
    double loss
    double by_shared
    double by_predicted


cdef inline double over(double x, double y) noexcept nogil:
    """x / y, 0 where y is 0."""
    return 0.0 if y == 0 else x / y


cdef inline double rest_of(double whole, double shared) noexcept nogil:
    cdef double rest = whole - shared
    return 0.0 if rest < 0 else rest


cdef overlap_slopes tversky(const overlap_formula *f, const double *sums) noexcept nogil:
    """(1 - (I + smooth) / (I + alpha (P - I) + beta (T - I) + smooth))^gamma, without a derivative at 0 unless gamma
    is 1."""
    cdef double shared = sums[0], slope
    cdef double wrong = f.alpha * rest_of(sums[1], shared) + f.beta * rest_of(sums[2], shared)
    cdef double kept = shared + f.smooth, whole = kept + wrong, share = over(kept, whole)
    cdef overlap_slopes found
    found.loss = over(wrong, whole)
    found.by_shared = over(share * (1 - f.alpha - f.beta) - 1, whole)
    found.by_predicted = over(f.alpha * share, whole)
    if f.gamma == 1:
        return found
    slope = 0.0 if found.loss == 0 else f.gamma * pow(found.loss, f.gamma - 1)
    found.loss = pow(found.loss, f.gamma)
    found.by_shared *= slope
    found.by_predicted *= slope
    return found


cdef inline double class_weight(const overlap_formula *f, double true) noexcept nogil:
    return 1.0 if f.power == 0 else over(1, true if f.power == 1 else true * true)


cdef double generalized_dice(const overlap_formula *f, const double *sums, Py_ssize_t classes,
                             double *slopes) noexcept nogil:
    """1 - (2 sum w I + smooth) / (sum w (P + T) + smooth), w = 1, 1 / T or 1 / T^2; a class that is true nowhere gets the
    largest weight of the others of its group, or 1. The loss of a group; slopes (classes, 2)."""
    cdef double largest = 0, w, wrong = 0, kept = 0, whole
    cdef const double *s
    cdef Py_ssize_t c
    for c in range(classes):
        w = class_weight(f, sums[c * FL_OVERLAP_SUMS + 2])
        largest = w if w > largest else largest
    for c in range(classes):
        s = sums + c * FL_OVERLAP_SUMS
        w = class_weight(f, s[2]) if s[2] > 0 or f.power == 0 else largest if largest > 0 else 1.0
        slopes[2 * c] = w
        wrong += w * (rest_of(s[1], s[0]) + rest_of(s[2], s[0]))
        kept += w * s[0]
    kept = 2 * kept + f.smooth
    whole = kept + wrong
    for c in range(classes):
        w = slopes[2 * c]
        slopes[2 * c] = over(-2 * w, whole)
        slopes[2 * c + 1] = w * over(over(kept, whole), whole)
    return over(wrong, whole)


cdef int read_formula(overlap_formula *f, tuple formula) except -1:
    f.kind, f.alpha, f.beta, f.gamma, f.smooth, f.power = formula
    return 0


cdef void losses_of_sums(const overlap_formula *f, const double *sums, Py_ssize_t groups, Py_ssize_t classes,
                         double *losses, double *slopes) noexcept nogil:
    """Losses (groups, classes), or (groups,), and derivatives (groups, classes, 2) by I and P."""
    cdef overlap_slopes found
    cdef Py_ssize_t k
    if f.kind == GENERALIZED_DICE:
        for k in range(groups):
            losses[k] = generalized_dice(f, sums + k * classes * FL_OVERLAP_SUMS, classes, slopes + k * classes * 2)
        return
    for k in range(groups * classes):
        found = tversky(f, sums + k * FL_OVERLAP_SUMS)
        losses[k] = found.loss
        slopes[2 * k], slopes[2 * k + 1] = found.by_shared, found.by_predicted


def overlap_formula_of(tuple formula, cnp.ndarray sums):
    """Of contiguous float64 sums (groups, classes, 4): losses (groups, classes or 1), and derivatives (groups, classes,
    2)."""
    cdef overlap_formula f
    cdef Py_ssize_t groups = cnp.PyArray_DIMS(sums)[0], classes = cnp.PyArray_DIMS(sums)[1]
    read_formula(&f, formula)
    losses = np.empty((groups, 1 if f.kind == GENERALIZED_DICE else classes))
    slopes = np.empty((groups, classes, 2))
    losses_of_sums(&f, <const double *>cnp.PyArray_DATA(sums), groups, classes,
                   <double *>cnp.PyArray_DATA(<cnp.ndarray>losses), <double *>cnp.PyArray_DATA(<cnp.ndarray>slopes))
    return losses, slopes


# ---- the fast path ---------------------------------------------------------------------------------------------------

cdef inline bint plain_maps(cnp.ndarray x, object target) noexcept:
    """(N, C, ...) with labels (N, ...)."""
    if not is_plain_labels(target):
        return False
    cdef cnp.ndarray t = <cnp.ndarray>target
    cdef int axis, ndim = cnp.PyArray_NDIM(x)
    if ndim < 2 or cnp.PyArray_NDIM(t) != ndim - 1 or cnp.PyArray_DIMS(x)[1] >= 2147483647:
        return False
    for axis in range(1, ndim):
        if cnp.PyArray_DIMS(t)[axis - 1] != cnp.PyArray_DIMS(x)[axis - 1 if axis == 1 else axis]:
            return False
    return True


cdef int class_axis_of_mode(object mode, object input, object target, object class_axis) noexcept:
    """Axis of the classes of plain arrays, that behind the last one if binary; or -1."""
    if not (type(mode) is str and is_plain(input)):
        return -1
    cdef cnp.ndarray x = <cnp.ndarray>input
    cdef int ndim = cnp.PyArray_NDIM(x)
    if mode == "binary":
        return ndim if ndim > 0 and goes_along(x, target) else -1
    if not (type(class_axis) is int and class_axis == 1):
        return -1
    if mode == "multiclass":
        return 1 if plain_maps(x, target) else -1
    return 1 if mode == "multilabel" and ndim > 1 and goes_along(x, target) else -1


def overlap_loss(name, tuple formula, params, input, target, mode, from_logits, class_axis, per_image, classes,
                 ignore_index, reduction, mask, return_grad, grad_output, out, grad_out):
    """A loss that is a function of the sums: contiguous arrays straight to C."""
    cdef int kind = reduction_code(reduction)
    cdef int axis = class_axis_of_mode(mode, input, target, class_axis)
    if ((kind == MEAN or kind == SUM) and axis >= 0 and mask is None and grad_output is None and out is None
            and (from_logits is True or from_logits is False) and (per_image is True or per_image is False)
            and type(classes) is str and (classes == "all" or classes == "present") and fits_int64(ignore_index)
            and (return_grad is False or return_grad is True) and takes_gradient(grad_out, return_grad, input, target)
            and native_backend()):
        found = fast_overlap(formula, <cnp.ndarray>input, <cnp.ndarray>target, axis, mode == "multiclass", from_logits,
                             per_image, classes == "present", ignore_index, kind, return_grad, grad_out)
        if found is not None:
            return found
    return _general_overlap(name, formula, params, input, target, mode, from_logits, class_axis, per_image, classes,
                            ignore_index, reduction, mask, return_grad, grad_output, out, grad_out)


cdef object fast_overlap(tuple formula, cnp.ndarray x, cnp.ndarray target, int axis, bint labels, bint from_logits,
                         bint per_image, bint present, int64_t ignored, int kind, bint return_grad, grad):
    """None: an offender, or nothing counts; the general path says what then."""
    cdef const fl_kernels *table = fl_table(cnp.PyArray_ITEMSIZE(x))
    cdef Py_ssize_t groups = cnp.PyArray_DIMS(x)[0] if per_image else 1, size, k
    cdef fl_overlap_job job
    cdef fl_fold fold
    cdef overlap_formula f
    cdef double *memory
    cdef double *losses
    cdef double *slopes
    cdef double scale
    if return_grad and grad is None:
        grad = empty_like(x)
    describe_masks(&job, x, axis, target if labels else None, None if labels else target, None, grad, groups)
    job.rows.holds = FL_LOGITS if from_logits else FL_PROBABILITIES
    job.rows.ignore_index = -1 if ignored < 0 and cnp.PyArray_TYPE(target) == cnp.NPY_UINT8 else ignored
    read_formula(&f, formula)
    size = groups * job.rows.classes
    memory = <double *>malloc(<size_t>size * (FL_OVERLAP_SUMS + 4) * sizeof(double))
    if memory == NULL:
        raise MemoryError()
    losses = memory + size * FL_OVERLAP_SUMS
    slopes = losses + size
    try:
        sum_units(&job, groups, memory, table, &fold)
        if fold.total.bad >= 0:
            return None
        losses_of_sums(&f, memory, groups, job.rows.classes, losses, slopes)
        kept = keep_losses(&f, memory, groups, job.rows.classes, labels, present, losses, slopes)
        if not kept:
            return None
        scale = 1.0 / <double>len(kept) if kind == MEAN else 1.0
        if return_grad:
            for k in range(2 * size):
                slopes[k] *= scale
            job.slopes = slopes
            run_overlap(table.overlap_gradient, &job, groups, table, &fold)
            if fold.total.bad >= 0:
                return None
        value = float64(<double>_exact_sum(kept) / <double>len(kept) if kind == MEAN else _exact_sum(kept))
    finally:
        free(memory)
    return (value, grad) if return_grad else value


cdef list keep_losses(const overlap_formula *f, const double *sums, Py_ssize_t groups, Py_ssize_t classes, bint labels,
                      bint present, const double *losses, double *slopes):
    """The losses that are averaged, as `_call_overlap.counts_of` says; the others' slopes become 0."""
    cdef list kept = []
    cdef Py_ssize_t group, c, k
    cdef const double *s
    cdef double counted
    for group in range(groups):
        s = sums + group * classes * FL_OVERLAP_SUMS
        counted = 0
        for c in range(classes):
            counted += s[c * FL_OVERLAP_SUMS + (2 if labels else 3)]
        if f.kind == GENERALIZED_DICE and counted > 0:
            kept.append(losses[group])
            continue
        for c in range(classes):
            k = group * classes + c
            if (f.kind != GENERALIZED_DICE and (counted if labels else s[c * FL_OVERLAP_SUMS + 3]) > 0
                    and (not present or s[c * FL_OVERLAP_SUMS + 2] > 0)):
                kept.append(losses[k])
            else:
                slopes[2 * k] = slopes[2 * k + 1] = 0
    return kept
