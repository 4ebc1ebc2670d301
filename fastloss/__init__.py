# SPDX-License-Identifier: BSD-3-Clause
"""fastloss: loss functions on NumPy arrays, with gradients, from C kernels."""

from . import criteria, elementwise, linear, softmax, tokens
from ._config import backend, get_backend, isas, show_config
from ._threads import get_num_threads, num_threads, set_num_threads
from ._verify import verify
from ._version import __version__
from .criteria import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .linear import *  # noqa: F403
from .softmax import *  # noqa: F403
from .tokens import *  # noqa: F403

__all__ = [
    "__version__",
    "backend",
    "get_backend",
    "get_num_threads",
    "isas",
    "num_threads",
    "set_num_threads",
    "show_config",
    "verify",
    *criteria.__all__,
    *elementwise.__all__,
    *linear.__all__,
    *softmax.__all__,
    *tokens.__all__,
]
