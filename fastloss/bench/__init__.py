# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark behind ``fastloss bench``: cells, peers, interleaved timing, reports. Nothing of it is imported with
the package; what measures knows the rest of it by relative imports only, so that it can time another revision too.
"""
