# SPDX-License-Identifier: BSD-3-Clause
"""The one line that a user sees when something cannot be used."""

from __future__ import annotations


class Refusal(Exception):
    """What the user gave cannot be used; the message is the one line that they see."""


def reason(error: BaseException) -> str:
    """An exception's message on one line, or its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
