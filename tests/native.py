"""Whether the native kernels can be had here, for the tests that need them."""

import pytest

from seqlab.nn.native import build

try:
    build.load()
    WHY_NOT = ""
except build.UnavailableError as error:
    WHY_NOT = f"no native kernels: {error}"

needs_native = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def need_native() -> None:
    """Skip the test that calls this where there are none: for functions that tests share."""
    if WHY_NOT:
        pytest.skip(WHY_NOT)
