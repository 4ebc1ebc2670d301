# SPDX-License-Identifier: BSD-3-Clause
# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, freethreading_compatible=True
"""The bridge from arrays to C. The common case is decided here at once; everything else goes to `_call`, which comes
back with checked operands (`run_elementwise`, `run_rows`). No maths."""

import os

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.contextvars cimport get_value
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memset

cnp.import_array()

include "_c_face.pxi"
include "_machine.pxi"
include "_run.pxi"
include "_operands.pxi"
include "_fast.pxi"
include "_elementwise.pxi"
include "_rows.pxi"
include "_tokens.pxi"
include "_linear.pxi"
include "_reinforcement.pxi"
include "_ctc.pxi"
include "_box.pxi"
include "_distance.pxi"
include "_overlap.pxi"
include "_overlap_fast.pxi"
include "_row_sums.pxi"
include "_product.pxi"
