"""Reward models by name: of the workspace, of another, and what is no model at all."""

import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.core.errors import ModelError, NotReadyError
from mars_engine.core.progress import SilentProgress
from mars_engine.data.import_pairs import import_pairs
from mars_engine.workspace.named_models import open_named_model
from mars_engine.workspace.rounds import train_warm_up
from mars_engine.workspace.workspace import create_workspace, open_workbench


def take_in(bench, pairs):
    import_pairs(ListSource(pairs), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    return train_warm_up(bench)


@pytest.fixture
def bench():
    bench = make_bench()
    yield bench
    bench.store.close()


def test_a_model_of_the_workspace_is_found_by_label_id_and_the_beginning_of_its_id(bench):
    pairs = make_pairs(20)
    record = take_in(bench, pairs)
    for name in (record.label, record.id, record.id[:8]):
        with open_named_model(bench, name, role="judge") as named:
            assert (named.model.id, named.label) == (record.id, record.label)
            assert named.trained_on == {pair.prompt_id for pair in pairs}


@pytest.mark.model
def test_the_newest_model_of_another_workspace_is_taken(bench, tmp_path):
    take_in(bench, make_pairs(20))
    with open_workbench(create_workspace(tmp_path / "other"), SilentProgress()) as other:
        with pytest.raises(NotReadyError), open_named_model(bench, str(tmp_path / "other"), role="judge"):
            pass
        pairs = make_pairs(30, first=100)
        record = take_in(other, pairs)
    with open_named_model(bench, str(tmp_path / "other"), role="gold model") as named:
        assert (named.model.id, named.label) == (record.id, f"{record.label} of other")
        assert named.trained_on == {pair.prompt_id for pair in pairs}
        rewards = named.model.score(pairs[:4], progress=SilentProgress())
    assert rewards.chosen.shape == (4,)


def test_what_is_no_model_is_told_with_the_part_that_it_was_to_play(bench):
    take_in(bench, make_pairs(20))
    with pytest.raises(ModelError, match=r"the gold model 'nobody/nothing' is no model of the workspace"):
        open_named_model(bench, "nobody/nothing", role="gold model").__enter__()
