"""A judge that says what a test tells it to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mars_engine.core.chat_records import GenerationEstimate
from mars_engine.core.records import Pair
from mars_engine.curate.judging.judges import Said


@dataclass
class ScriptedJudge:
    """Says of a pair what stands under its id, else that the chosen answer is better; notes what it was asked."""

    script: Mapping[str, Said] = field(default_factory=dict)
    name: str = "scripted"
    remarks: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)

    def judge(self, pairs: Sequence[Pair], *, again: bool = False) -> list[Said]:  # noqa: ARG002
        self.asked += [pair.id for pair in pairs]
        return [self.script.get(pair.id, Said("chosen", "chosen")) for pair in pairs]

    def estimate(self, pairs: Sequence[Pair]) -> GenerationEstimate | None:  # noqa: ARG002
        return None
