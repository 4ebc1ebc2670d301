# SPDX-License-Identifier: BSD-3-Clause
"""The class face: a criterion holds a loss's options and calls its function."""

from . import _criteria_elementwise, _criteria_networks, _criteria_rows, _criteria_vectors, _criteria_vision
from ._criteria_elementwise import *  # noqa: F403
from ._criteria_networks import *  # noqa: F403
from ._criteria_rows import *  # noqa: F403
from ._criteria_vectors import *  # noqa: F403
from ._criteria_vision import *  # noqa: F403

__all__ = [
    *_criteria_elementwise.__all__,
    *_criteria_networks.__all__,
    *_criteria_rows.__all__,
    *_criteria_vectors.__all__,
    *_criteria_vision.__all__,
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # where pickles look for it
del _name
