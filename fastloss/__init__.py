# SPDX-License-Identifier: BSD-3-Clause
"""fastloss: loss functions on NumPy arrays, with gradients, from C kernels."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import (
    adversarial,
    binary,
    box,
    criteria,
    ctc,
    distance,
    likelihood,
    linear,
    lovasz,
    margin,
    overlap,
    policy,
    quantile,
    ranking,
    regression,
    reinforcement,
    relative,
    softmax,
    tokens,
    triplet,
    variational,
)
from ._config import backend, get_backend, isas, show_config
from ._threads import get_num_threads, num_threads, set_num_threads
from ._version import __version__
from .adversarial import *  # noqa: F403
from .binary import *  # noqa: F403
from .box import *  # noqa: F403
from .criteria import *  # noqa: F403
from .ctc import *  # noqa: F403
from .distance import *  # noqa: F403
from .likelihood import *  # noqa: F403
from .linear import *  # noqa: F403
from .lovasz import *  # noqa: F403
from .margin import *  # noqa: F403
from .overlap import *  # noqa: F403
from .policy import *  # noqa: F403
from .quantile import *  # noqa: F403
from .ranking import *  # noqa: F403
from .regression import *  # noqa: F403
from .reinforcement import *  # noqa: F403
from .relative import *  # noqa: F403
from .softmax import *  # noqa: F403
from .tokens import *  # noqa: F403
from .triplet import *  # noqa: F403
from .variational import *  # noqa: F403

if TYPE_CHECKING:
    from ._verify import verify
    from .accumulate import Accumulator
    from .streaming import evaluate

__all__ = [
    "Accumulator",
    "__version__",
    "backend",
    "evaluate",
    "get_backend",
    "get_num_threads",
    "isas",
    "num_threads",
    "set_num_threads",
    "show_config",
    "verify",
    *adversarial.__all__,
    *binary.__all__,
    *box.__all__,
    *criteria.__all__,
    *ctc.__all__,
    *distance.__all__,
    *likelihood.__all__,
    *linear.__all__,
    *lovasz.__all__,
    *margin.__all__,
    *overlap.__all__,
    *policy.__all__,
    *quantile.__all__,
    *ranking.__all__,
    *regression.__all__,
    *reinforcement.__all__,
    *relative.__all__,
    *softmax.__all__,
    *tokens.__all__,
    *triplet.__all__,
    *variational.__all__,
]


_LATER = {"Accumulator": "accumulate", "evaluate": "streaming", "verify": "_verify"}  # imported when first asked for


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
