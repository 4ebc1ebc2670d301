# SPDX-License-Identifier: BSD-3-Clause
"""Types of the compiled extension."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[Any]

def isas() -> dict[str, dict[str, bool]]: ...
def chosen_isa() -> str: ...
def losses() -> dict[str, tuple[int, int, int, int]]: ...
def parallel_backend() -> str: ...
def runtime_max_threads() -> int: ...
def is_forked_child() -> bool: ...
def affinity_cpus() -> int: ...
def cgroup_cpus(root: str = "") -> float: ...
def usable_cpus() -> int: ...
def run_elementwise(
    index: int,
    real_size: int,
    shape: tuple[int, ...],
    operands: tuple[_Array, ...],
    params: tuple[float, ...],
    weight: _Array | None,
    mask: _Array | None,
    grad_output: _Array | None,
    scale: float,
    value: _Array | None,
    grads: tuple[_Array | None, ...] | None,
    grad_accs: tuple[NDArray[np.float64] | None, ...],
    hess: _Array | None = None,
    value_acc: NDArray[np.float64] | None = None,
) -> tuple[float, int, int]: ...
def run_rows(given: Any, labels_only: bool) -> tuple[float, float, int, int]: ...
def run_tokens(
    kind: str,
    real_size: int,
    logits: _Array,
    class_axis: int,
    target: _Array | None,
    mask: _Array | None,
    ignore_index: int,
    value: _Array | None,
    other: _Array | None = None,
    index: NDArray[np.int64] | None = None,
) -> tuple[float, float, int]: ...
def run_scan(
    real_size: int,
    axis: int,
    reward: _Array,
    value: _Array | None,
    next_value: _Array,
    done: _Array | None,
    cut: _Array | None,
    advantage: _Array | None,
    target: _Array,
    horizon: int,
    discount: float,
    trace: float,
) -> None: ...
def run_actions(given: Any, labels_only: bool) -> tuple[float, float, int]: ...
def run_tile(
    tile: _Array,
    classes: int,
    first: int,
    bias: _Array | None,
    label: NDArray[np.int64],
    dense: _Array | None,
    state: NDArray[np.float64],
    gradient: NDArray[np.float64] | None,
) -> None: ...
def linear_values(
    label: NDArray[np.int64], state: NDArray[np.float64], picked: NDArray[np.float64], share: NDArray[np.float64]
) -> NDArray[np.float64]: ...
def linear_factors(
    label: NDArray[np.int64],
    state: NDArray[np.float64],
    picked: NDArray[np.float64],
    share: NDArray[np.float64],
    factor: NDArray[np.float64],
) -> NDArray[np.float64]: ...
def overlap_loss(
    name: Any,
    formula: tuple[Any, ...],
    params: Any,
    input: Any,
    target: Any,
    mode: Any,
    from_logits: Any,
    class_axis: Any,
    per_image: Any,
    classes: Any,
    ignore_index: Any,
    reduction: Any,
    mask: Any,
    return_grad: Any,
    grad_output: Any,
    out: Any,
    grad_out: Any,
) -> Any: ...
def overlap_formula_of(
    formula: tuple[int, float, float, float, float, int], sums: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def row_sums(
    spec: Any,
    operands: tuple[Any, ...],
    params: tuple[Any, ...],
    outer: int,
    parameter: float,
    whole_samples: bool,
    reduction: Any,
    mask: Any,
    return_grad: Any,
    grad_output: Any,
    out: Any,
    grad_out: Any,
) -> Any: ...
def run_row_sums(
    index: int,
    real_size: int,
    params: tuple[float, ...],
    outer: int,
    parameter: float,
    shape: tuple[int, ...],
    operands: tuple[_Array, ...],
    row: int,
    count: int,
    counted: _Array | None,
    incoming: NDArray[np.float64] | None,
    factor: float,
    value: _Array | None,
    grads: tuple[_Array, ...] | None,
) -> tuple[float, int, int]: ...
def overlap_sums(given: Any) -> tuple[NDArray[np.float64], int, int]: ...
def overlap_gradient(given: Any, slopes: NDArray[np.float64]) -> int: ...
def lovasz(given: Any, wanted: NDArray[np.uint8], factors: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]: ...
def run_boxes(
    kind: int,
    centers: bool,
    real_size: int,
    input: _Array,
    target: _Array,
    mask: _Array | None,
    grad_output: _Array | None,
    eps: float,
    scale: float,
    value: _Array | None,
    grad: _Array | None,
) -> tuple[float, float]: ...
def run_box_matrix(centers: bool, boxes1: _Array, boxes2: _Array, value: _Array) -> None: ...
def elementwise(
    spec: Any,
    operands: tuple[Any, ...],
    params: tuple[float, ...],
    reduction: Any,
    return_grad: Any,
    weight: Any,
    mask: Any,
    grad_output: Any,
    out: Any,
    grad_out: Any,
    return_hess: Any = False,
    hess_out: Any = None,
) -> Any: ...
def softmax(
    loss: Any,
    input: Any,
    target: Any,
    weight: Any,
    ignore_index: Any,
    reduction: Any,
    class_axis: Any,
    mask: Any,
    return_grad: Any,
    grad_output: Any,
    out: Any,
    grad_out: Any,
    label_smoothing: Any,
    z_loss: Any,
    gamma: Any,
) -> Any: ...
def multi_margin(
    input: Any,
    target: Any,
    weight: Any,
    p: Any,
    margin: Any,
    reduction: Any,
    class_axis: Any,
    mask: Any,
    return_grad: Any,
    grad_output: Any,
    out: Any,
    grad_out: Any,
) -> Any: ...
def multilabel_margin(
    input: Any,
    target: Any,
    reduction: Any,
    class_axis: Any,
    mask: Any,
    return_grad: Any,
    grad_output: Any,
    out: Any,
    grad_out: Any,
) -> Any: ...
def _choose_isa(name: str | None) -> None: ...
def _connect(
    backend: ContextVar[str],
    general_elementwise: Callable[..., Any],
) -> None: ...
def _connect_rows(
    general_softmax: Callable[..., Any],
    general_multi_margin: Callable[..., Any],
    general_multilabel_margin: Callable[..., Any],
) -> None: ...
def run_vectors(given: Any) -> tuple[float, int]: ...
def vectors(
    loss: str,
    measure: Any,
    operands: tuple[Any, ...],
    names: tuple[str, ...],
    target: Any,
    margin: float,
    swap: bool,
    axis: int,
    reduction: Any,
    mask: Any,
    return_grad: Any,
    grad_output: Any,
    out: Any,
    grad_out: Any,
    keepdim: bool = False,
) -> Any: ...
def _connect_vectors(general_vectors: Callable[..., Any]) -> None: ...
def mine(
    products: _Array,
    vectors: _Array,
    square: _Array,
    label: _Array,
    first: int,
    largest_square: float,
    bound: float,
    positive: NDArray[np.int64],
    negative: NDArray[np.int64],
) -> None: ...
def directions(vectors: _Array, factor: float, least: float, gradient: _Array | None, out: _Array) -> None: ...
def run_ctc(
    real_size: int,
    log_probs: _Array,
    targets: _Array,
    target_starts: NDArray[np.int64],
    target_lengths: NDArray[np.int64],
    input_lengths: NDArray[np.int64],
    blank: int,
    from_logits: bool,
    zero_infinity: bool,
    per_label: bool,
    grad_output: _Array | None,
    scale: float,
    value: _Array | None,
    grad: _Array | None,
    grad_is_zero: bool,
    exact: bool = False,
) -> tuple[float, int]: ...
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    *,
    blank: Any,
    reduction: Any,
    zero_infinity: Any,
    from_logits: Any,
    return_grad: Any,
    grad_output: Any,
    out: Any,
    grad_out: Any,
) -> Any: ...
def _connect_ctc(general_ctc: Callable[..., Any]) -> None: ...
def lines(size: int, dtype: np.dtype[Any]) -> _Array: ...
def product(a: _Array, b: _Array, out: _Array, add: bool = False) -> None: ...
