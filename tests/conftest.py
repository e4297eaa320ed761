"""What every test run needs first: the purgatory's image, which is made, not kept (a second of gcc)."""

from __future__ import annotations

import pytest

from shim.purgatory import build


def pytest_configure(config: pytest.Config) -> None:
    if not build.TARGET.exists() and not hasattr(config, "workerinput"):
        build.write_blob()
