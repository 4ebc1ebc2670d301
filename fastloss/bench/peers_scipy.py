# SPDX-License-Identifier: BSD-3-Clause
"""SciPy's special functions, scikit-learn's private losses and numexpr, in the shape of the peers of peers.py.

scikit-learn's losses lack a mean and a scale, which NumPy adds; numexpr's sums run on one thread, so that the mean is
NumPy's there too. Each knows some of the losses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .cells import Cell
from .half import widened

Calls = dict[str, Callable[[], Any]]


def _means(elements: Any, slopes: Any) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
    """The mean loss, and with it the gradient, of functions of arrays."""

    def both(x: Any, *rest: Any) -> Any:
        return np.mean(elements(x, *rest)), (slopes(x, *rest) / x.dtype.type(x.size),)

    return lambda *a: np.mean(elements(*a)), both if slopes else None


class Scipy:
    """scipy.special on NumPy arrays; one thread."""

    name = "scipy"
    module = "scipy"

    def __init__(self, threads: int) -> None:
        import scipy
        from scipy import special

        self.version = scipy.__version__
        self.functions = _scipy_functions(special)

    def calls(self, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
        if cell.loss not in self.functions:
            return {}
        value, both = self.functions[cell.loss]
        return pair_of(cell, value, both, list(operands.values()))


def pair_of(cell: Cell, value: Callable[..., Any], both: Callable[..., Any] | None, args: list[Any]) -> Calls:
    """Half-precision operands are widened in the call, as whoever has them must; of these the value only."""
    if cell.dtype == "float16":
        return {"forward": lambda: value(*widened(args))}
    calls: Calls = {"forward": partial(value, *args)}
    if both:
        calls["gradient"] = partial(both, *args)
    return calls


def _scipy_functions(special: Any) -> dict[str, tuple[Callable[..., Any], Callable[..., Any] | None]]:
    def bce(x: Any, y: Any) -> Any:
        return -y * special.log_expit(x) - (1 - y) * special.log_expit(-x)

    def rows(x: Any, target: Any) -> tuple[Any, Any]:
        log_p = special.log_softmax(x, axis=1)
        return log_p, -np.mean(np.take_along_axis(log_p, np.expand_dims(target, 1), axis=1))

    def rows_both(x: Any, target: Any) -> Any:
        log_p, value = rows(x, target)
        p, labels = np.exp(log_p), np.expand_dims(target, 1)
        np.put_along_axis(p, labels, np.take_along_axis(p, labels, axis=1) - 1, axis=1)
        return value, (p / x.dtype.type(target.size),)

    def divergence(x: Any, y: Any) -> Any:
        log_p = special.log_softmax(x, axis=-1)
        return np.sum(np.exp(log_p) * (log_p - special.log_softmax(y, axis=-1)), axis=-1)

    logistic = _means(bce, lambda x, y: special.expit(x) - y)
    return {
        "huber": _means(lambda x, y: special.huber(1, x - y), lambda x, y: np.clip(x - y, -1, 1)),
        "bce_with_logits": logistic,
        "multilabel_soft_margin": logistic,
        "soft_margin": _means(lambda x, y: -special.log_expit(y * x), lambda x, y: -y * special.expit(-y * x)),
        "kl_div": _means(lambda x, y: special.xlogy(y, y) - y * x, lambda x, y: -y),
        "cross_entropy": (lambda x, target: rows(x, target)[1], rows_both),
        "logsumexp": (lambda x: special.logsumexp(x, axis=-1), None),
        "token_log_probs": (lambda x, t: special.log_softmax(x, axis=-1)[np.arange(len(t)), t], None),
        "entropy": (lambda x: np.sum(special.entr(special.softmax(x, axis=-1)), axis=-1), None),
        "kl_div_logits": (divergence, None),
    }


class Sklearn:
    """The losses of scikit-learn's gradient boosting and linear models (`sklearn._loss`): Cython loops with OpenMP."""

    name = "sklearn"
    module = "sklearn"

    def __init__(self, threads: int) -> None:
        import sklearn
        from sklearn._loss import loss

        self.version, self.threads = sklearn.__version__, threads
        self.makers: dict[str, tuple[Callable[[], Any], float]] = {  # and the factor from theirs to ours
            "l1": (loss.AbsoluteError, 1),
            "mse": (loss.HalfSquaredError, 2),
            "huber": (partial(loss.HuberLoss, delta=1.0), 1),
            "quantile": (partial(loss.PinballLoss, quantile=0.5), 1),
            "bce_with_logits": (loss.HalfBinomialLoss, 1),
            "multilabel_soft_margin": (loss.HalfBinomialLoss, 1),
            "poisson_nll": (loss.HalfPoissonLoss, 1),
            "gamma_nll": (loss.HalfGammaLoss, 1),
            "tweedie_nll": (partial(loss.HalfTweedieLoss, power=1.5), 1),
        }
        self.multinomial = loss.HalfMultinomialLoss

    def calls(self, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
        rows = cell.loss == "cross_entropy"
        if (rows and len(cell.shape) != 2) or not (rows or cell.loss in self.makers):
            return {}
        x, y = (operands[name] for name in ("input", "target"))
        if rows:
            theirs, factor = self.multinomial(n_classes=cell.shape[1]), 1.0
            y = y.astype(np.float32 if cell.dtype == "float16" else cell.dtype)  # they keep labels as numbers
        else:
            maker, factor = self.makers[cell.loss]
            theirs, x, y = maker(), x.reshape(-1), y.reshape(-1)
        threads, scale = self.threads, np.dtype(x.dtype).type(factor / len(x))

        def value(x: Any, y: Any) -> Any:
            return factor * np.mean(theirs.loss(y, x, n_threads=threads))

        def both(x: Any, y: Any) -> Any:
            losses, gradient = theirs.loss_gradient(y, x, n_threads=threads)
            return factor * np.mean(losses), (gradient * scale,)

        return pair_of(cell, value, both, [x, y])


class Numexpr:
    """Expressions that numexpr evaluates in blocks on all threads."""

    name = "numexpr"
    module = "numexpr"

    def __init__(self, threads: int) -> None:
        import numexpr

        numexpr.set_num_threads(threads)
        self.version, self.functions = numexpr.__version__, _numexpr_functions(numexpr)

    def calls(self, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
        if cell.loss not in self.functions:
            return {}
        value, both = self.functions[cell.loss]
        return pair_of(cell, value, both, list(operands.values()))


# Loss -> element, slope.
EXPRESSIONS = {
    "l1": ("abs(x - y)", "where(x > y, one, where(x < y, -one, 0 * one))"),
    "mse": ("(x - y) ** 2", "2 * (x - y)"),
    "huber": (
        "where(abs(x - y) < 1, half * (x - y) ** 2, abs(x - y) - half)",
        "where(x - y > 1, one, where(x - y < -1, -one, x - y))",
    ),
    "bce_with_logits": ("where(x > 0, x, 0 * x) - x * y + log1p(exp(-abs(x)))", "1 / (1 + exp(-x)) - y"),
    "bce": ("-y * log(x) - (1 - y) * log1p(-x)", "(x - y) / (x * (1 - x))"),
    "soft_margin": ("where(x * y < 0, -x * y, 0 * x) + log1p(exp(-abs(x * y)))", "-y / (1 + exp(x * y))"),
    "mape": ("abs(x - y) / abs(y)", "where(x > y, one, -one) / abs(y)"),
    "msle": ("(log1p(x) - log1p(y)) ** 2", "2 * (log1p(x) - log1p(y)) / (1 + x)"),
    "poisson_nll": ("exp(x) - y * x", "exp(x) - y"),
    "gamma_nll": ("x + y * exp(-x)", "1 - y * exp(-x)"),
    "tweedie_nll": ("2 * exp(half * x) + 2 * y * exp(-half * x)", "exp(half * x) - y * exp(-half * x)"),
}


def _numexpr_functions(numexpr: Any) -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    def functions(element: str, slope: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
        def value(x: Any, y: Any) -> Any:
            return np.mean(numexpr.evaluate(element, {"x": x, "y": y, "half": x.dtype.type(0.5)}))

        def both(x: Any, y: Any) -> Any:
            kind = x.dtype.type
            names = {"x": x, "y": y, "half": kind(0.5), "one": kind(1), "n": kind(x.size)}
            return value(x, y), (numexpr.evaluate(f"({slope}) / n", names),)

        return value, both

    return {loss: functions(*texts) for loss, texts in EXPRESSIONS.items()}
