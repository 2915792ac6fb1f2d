"""The files of a benchmark: rewards so far that survive anything, results under the model's name."""

import numpy as np
import pytest

from mars_engine.core.errors import WorkspaceError
from mars_engine.core.records import Rewards
from mars_engine.evaluate.benchmark_folder import BenchmarkFolder


@pytest.fixture
def files(tmp_path) -> BenchmarkFolder:
    return BenchmarkFolder(tmp_path, "artifacts/rewardbench/e1")


def test_rewards_come_back_exactly_group_by_group(files):
    assert files.rewards(0) is None
    rewards = Rewards(np.array([0.1, 1 / 3]), np.array([-1e300, 0.0]))
    files.save_rewards(3, rewards)
    found = files.rewards(3)
    assert found is not None
    assert np.array_equal(found.chosen, rewards.chosen)
    assert np.array_equal(found.rejected, rewards.rejected)
    assert files.rewards(2) is None
    files.forget_rewards()
    assert files.rewards(3) is None


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn", b"nonsense"])
def test_rewards_that_are_damaged_count_as_not_there(files, damage):
    files.save_rewards(0, Rewards(np.zeros(1), np.zeros(1)))
    (kept,) = files.folder.rglob("*.npz")
    kept.write_bytes(damage)
    assert files.rewards(0) is None


@pytest.mark.parametrize(
    ("model", "name"), [("owner/a-model.v1", "a-model.v1"), ("../..", "model"), ("warm up", "warm-up"), ("/x/y/", "y")]
)
def test_results_are_named_after_the_model_and_stay_in_the_folder(files, tmp_path, model, name):
    assert not files.has_results()
    files.write_results(model, [{"a": "é"}, {"a": None}], {"accuracy": 0.5})
    assert files.has_results()
    found = {path.relative_to(files.folder).as_posix(): path.read_text() for path in tmp_path.rglob("*.json*")}
    assert found == {
        f"{name}.json": '{"accuracy": 0.5}\n',
        f"{name}_outputs.jsonl": '{"a": "\\u00e9"}\n{"a": null}\n',
    }


def test_outputs_that_break_off_leave_no_results(files):
    def broken():
        yield {"a": 1}
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        files.write_results("m", broken(), {})
    assert not files.has_results()


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "artifacts").write_text("a file in the way")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        BenchmarkFolder(tmp_path, "artifacts/rewardbench/e1").save_rewards(0, Rewards(np.zeros(1), np.zeros(1)))
