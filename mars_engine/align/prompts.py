"""The prompts that a policy is asked: held-out ones or a file's, without those that reward models were trained on."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mars_engine.core.errors import LoadError, NotReadyError
from mars_engine.core.records import ModelRecord, Pair, Prompt, prompt_id
from mars_engine.data.loaders.cells import Cells
from mars_engine.data.loaders.drafts import Dropped
from mars_engine.data.loaders.opening import open_rows, open_source
from mars_engine.data.loaders.options import ReadingOptions
from mars_engine.data.loaders.prompts import has_prompt, prompt_in, with_system
from mars_engine.store import Store

TRAINED_ON = "prompt that a reward model was trained on"
TWICE = "prompt that came before"


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Prompts, each once, and how many were left out, by reason."""

    name: str
    prompts: tuple[Prompt, ...]
    left_out: Mapping[str, int]


def heldout_prompts(store: Store) -> PromptSet:
    """Return the prompts of a workspace's held-out pairs, in the order of their import.

    Raises:
        NotReadyError: there are none.
    """
    prompts = {pair.prompt_id: pair.prompt for pair in store.pairs.pairs("heldout")}
    if not prompts:
        raise NotReadyError(
            "the workspace has no held-out pairs whose prompts could be asked",
            remedy="import some with --split heldout, or name a file with --prompts",
        )
    return PromptSet("held-out prompts", tuple(prompts.values()), {})


def load_prompts(location: str) -> PromptSet:
    """Read the prompts of a file, a folder or pattern of files, or a hub set: its column of prompts, or its pairs'.

    Raises:
        LoadError: it cannot be read, or has not one prompt.
    """
    opened = open_rows(location)
    found: list[Prompt] = []
    left_out: Counter[str] = Counter()
    for raw in opened.read():
        if raw.row is None:
            left_out[raw.problem] += 1
            continue
        cells = Cells(raw.row, ReadingOptions())
        if not has_prompt(cells, sides_are_answers=True):
            return _prompts_of_pairs(location)
        try:
            found.append(with_system(prompt_in(cells, sides_are_answers=True), cells))
        except Dropped as verdict:
            left_out[verdict.reason] += 1
    return _each_once(opened.name, found, left_out, location)


def _prompts_of_pairs(location: str) -> PromptSet:
    """Return what policies are to answer, of a file of pairs whose rows are whole dialogues."""
    source = open_source(location)
    found: list[Prompt] = []
    left_out: Counter[str] = Counter()
    for parsed in source.rows():
        left_out.update(parsed.dropped)
        found += [pair.prompt for pair in parsed.pairs]
    return _each_once(source.name, found, left_out, location)


def _each_once(name: str, found: Sequence[Prompt], left_out: Counter[str], location: str) -> PromptSet:
    prompts = {prompt_id(prompt): prompt for prompt in found}
    if not prompts:
        raise LoadError(
            f"{location} has no prompts",
            expected="rows with a column such as prompt, instruction or messages, or preference pairs",
            remedy="rename the column, or name another file",
        )
    left_out[TWICE] += len(found) - len(prompts)
    return PromptSet(name, tuple(prompts.values()), dict(+left_out))


def trained_prompts(store: Store, models: Iterable[ModelRecord]) -> set[str]:
    """Return the ids of all prompts that a policy's reward models were trained on, paraphrased ones too."""
    return {pair.prompt_id for pair in trained_pairs(store, models)}


def trained_pairs(store: Store, models: Iterable[ModelRecord]) -> Iterator[Pair]:
    """Yield the pairs that a policy's reward models were trained on, composed ones too, with any label."""
    yield from store.pairs.stream("train")
    for composition_id in sorted({model.composition_id for model in models} - {""}):
        yield from (composed.pair for composed in store.compositions.pairs(composition_id))


def leave_out_trained(prompts: PromptSet, trained: Collection[str]) -> PromptSet:
    """Return the prompts that are not among those trained on; the others are counted.

    Raises:
        NotReadyError: none is left.
    """
    kept = tuple(prompt for prompt in prompts.prompts if prompt_id(prompt) not in trained)
    if not kept:
        raise NotReadyError(
            f"all {len(prompts.prompts):,} prompts of {prompts.name} are among those that the reward models were "
            "trained on",
            expected="prompts that they have not seen: on those that they have, a reward tells more than it knows",
            remedy="name other prompts, or take these all the same with --include-trained",
        )
    left_out = Counter(prompts.left_out) + Counter({TRAINED_ON: len(prompts.prompts) - len(kept)})
    return replace(prompts, prompts=kept, left_out=dict(left_out))
