"""One tiny policy for all tests of training."""

from pathlib import Path

import pytest
from tiny_policy import save_tiny_policy


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_policy(tmp_path_factory.mktemp("policy"))
