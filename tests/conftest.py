"""What every test run needs first: the purgatory's image, which is made, not kept (a second of gcc)."""

from __future__ import annotations

import pytest
from hypothesis import settings

from shim.purgatory import build

# A busy machine is no failure: what a parser may cost is counted in processor time, in tests/unit/hostile.py.
settings.register_profile("bootshim", deadline=None)
settings.load_profile("bootshim")


def pytest_configure(config: pytest.Config) -> None:
    if not build.TARGET.exists() and not hasattr(config, "workerinput"):
        build.write_blob()
