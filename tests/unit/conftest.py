"""What several tests of a whole boot start from."""

from __future__ import annotations

import pytest

from tests.builders.filesystems import make_filesystem


@pytest.fixture(scope="session")
def superblock(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the beginning of a real ext4 file system: all that discovery looks at."""
    return make_filesystem("ext4", tmp_path_factory.mktemp("disk")).read_bytes()[: 1 << 20]
