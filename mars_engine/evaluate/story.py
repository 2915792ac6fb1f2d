"""The workspace's story in plain words, step by step: for the sequence that Present walks, and for the report.

No number is told as a gain that the evidence does not show: where an interval covers 0, the words are
"no difference shown".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mars_engine.core.judge_records import JUDGE_PREFIX
from mars_engine.evaluate.heldout import Comparison
from mars_engine.evaluate.report import ReportContent, Reviewer
from mars_engine.evaluate.results import say_last_step

StepKey = Literal["story", "map", "margins", "pairs", "gain", "people", "cost"]

TITLES: dict[StepKey, str] = {
    "story": "The story",
    "map": "Where the model is unsure",
    "margins": "Before and after",
    "pairs": "Three telling pairs",
    "gain": "What it gained",
    "people": "Who decided",
    "cost": "What it cost",
}
"""In the order in which they are told."""


@dataclass(frozen=True, slots=True)
class StoryStep:
    """One step: what is said, and what would be shown where a part is missing."""

    key: StepKey
    says: tuple[str, ...]
    missing: str = ""
    """What would be here, and what has to be done first; "" where all is there."""

    @property
    def title(self) -> str:
        return TITLES[self.key]


def tell(content: ReportContent) -> tuple[StoryStep, ...]:
    """Return all steps, in their order."""
    tellers = (_tell_story, _tell_map, _tell_margins, _tell_pairs, _tell_gain, _tell_people, _tell_cost)
    return tuple(teller(content) for teller in tellers)


# ---------------------------------------------------------------------------------------------------------------- steps


def _tell_story(content: ReportContent) -> StoryStep:
    status = content.status
    pairs, heldout = status.count("pairs"), status.heldout_pairs
    says = [
        "A reward model learns which of two answers people prefer, from pairs that they labelled.",
        f"This one has {_count(pairs, 'pair')} to learn from"
        + (f", and {_count(heldout, 'pair')} that it never learns from test it." if heldout else "."),
    ]
    if content.plan:
        says.append(f"It was least sure of {_count(status.count('low-margin'), 'pair')}: there the work was spent.")
    if status.count("suspected"):
        say = "may have the wrong label, and {} for somebody to look"
        verb = "wait" if status.count("suspected") > 1 else "waits"
        says.append(f"{_count(status.count('suspected'), 'pair')} {say.format(verb)}.")
    if status.count("proposed"):
        says.append(
            f"{_count(status.count('proposed'), 'new text')} {_were(status.count('proposed'))} proposed for such "
            f"pairs, {status.count('accepted'):,} of them accepted."
        )
    if any(note.stand_in for note in content.generators):
        says.append("The new texts were written by small stand-ins for a language model: this shows how, not how far.")
    says += _main_words(content)
    return StoryStep("story", tuple(says))


def _tell_map(content: ReportContent) -> StoryStep:
    if content.map is None:
        return StoryStep(
            "map", (), "A map of all pairs would be here, those alike near each other. Explore makes it, or 'mars map'."
        )
    says = ["Each point is a pair; the nearer two stand, the more they are alike. Crosses are pairs ranked wrong."]
    regions = [each for each in content.map.regions if each.wrong]
    if regions:
        worst = max(regions, key=lambda each: each.wrong / each.pairs)
        says.append(
            f"Most often wrong around “{', '.join(worst.words)}”: {worst.wrong:,} of {_count(worst.pairs, 'pair')}."
        )
    return StoryStep("map", tuple(says))


def _tell_margins(content: ReportContent) -> StoryStep:
    moved = content.movement
    if moved is None:
        return StoryStep(
            "margins",
            (),
            "How sure the model was before and after would be here, once a round is closed and the model is trained "
            "again.",
        )
    return StoryStep(
        "margins",
        (
            "The margin says how sure the model is: above 0 it prefers the better answer, below 0 the worse one.",
            f"Of {moved.pairs:,} pairs that it never learned from, it ranked {moved.mis_ranked_before:,} wrong before "
            f"({moved.before}) and {moved.mis_ranked_after:,} after ({moved.after}).",
            f"{moved.now_right:,} are ranked better than before, {moved.now_wrong:,} worse.",
        ),
    )


def _tell_pairs(content: ReportContent) -> StoryStep:
    if not content.examples:
        return StoryStep(
            "pairs",
            (),
            "Three pairs would be here whose margin moved: what was asked, what was written for them, and what it did. "
            "That takes accepted proposals and a model that was trained on them.",
        )
    last = "fell most" if content.examples[-1].got_worse else "rose least"
    return StoryStep(
        "pairs",
        (
            f"Chosen by a rule, not by hand: the pairs whose margin rose most, and last the one whose margin {last}. "
            "The model was trained on them, so part of a rise is memory.",
        ),
    )


def _tell_gain(content: ReportContent) -> StoryStep:
    results = content.results
    if results is None or not results.models:
        reason = "there are no held-out pairs" if not content.status.heldout_pairs else "no model is measured on them"
        return StoryStep("gain", (), f"What was gained on held-out pairs would be here; {reason} yet.")
    says = _main_words(content)
    baseline = results.longer_wins
    says.append(f"Always preferring the longer answer would be right on {_of_hundred(baseline.estimate)}.")
    missing = "" if results.comparisons else "A second model to compare it with would be here, once a round is closed."
    return StoryStep("gain", tuple(says), missing)


def _tell_people(content: ReportContent) -> StoryStep:
    people, judges, policies = parted(content.reviewers)
    if not any(each.proposals or each.labels for each in content.reviewers):
        return StoryStep("people", (), "Who decided what would be here, once somebody has read in Check or Review.")
    says = []
    if people:
        labels, proposals = (sum(getattr(each, name) for each in people) for name in ("labels", "proposals"))
        says.append(
            f"{_count(len(people), 'person', 'people')} made {_count(labels + proposals, 'decision')}: {labels:,} "
            f"about labels, {proposals:,} about proposals{' (each person counted)' if len(people) > 1 else ''}."
        )
        if undone := sum(each.undone for each in people):
            says.append(f"{_count(undone, 'decision')} {_were(undone)} taken back.")
    else:
        says.append("No person has decided about anything yet.")
    if judges:
        labels = sum(each.labels for each in judges)
        says.append(f"A language model as a judge, or a recording of one, decided about {_count(labels, 'label')}.")
    if policies:
        labels, proposals = (sum(getattr(each, name) for each in policies) for name in ("labels", "proposals"))
        says.append(
            f"A policy, a fixed rule, decided about {_count(labels, 'label')} and {_count(proposals, 'proposal')}; "
            "where a person decided too, the person's decision holds."
        )
    for each in content.agreements:
        if each.raw.interval is not None:
            about = "proposals" if each.kind == "proposal" else "labels"
            share = _of_hundred(each.raw.interval.estimate)
            says.append(f"Of {each.overlap:,} {about} that several read, they agreed on {share}.")
    return StoryStep("people", tuple(says))


def _tell_cost(content: ReportContent) -> StoryStep:
    costs = content.costs
    says = []
    if costs.decisions and not costs.read_seconds:
        says.append("How long people read was not kept: their decisions came without times.")
    elif costs.decisions:
        mean = costs.seconds_per_decision
        each = f", {mean:,.0f} seconds a decision" if mean else ""
        says.append(f"People read for {say_time(costs.read_seconds)}{each}.")
    else:
        says.append("No person's reading time yet: nobody has decided anything.")
    if costs.chat.tokens:
        money = f", {costs.chat.cost:,.2f} in the currency of [chat]" if costs.chat.cost else ""
        says.append(f"Chat models took {costs.chat.tokens:,} tokens in {costs.chat.requests:,} requests{money}.")
    else:
        says.append("No chat model was asked: 0 tokens.")
    if costs.by_kind:
        runs = sum(each.runs for each in costs.by_kind)
        says.append(f"This machine was at work for {say_time(costs.machine_seconds)} in {_count(runs, 'run')}.")
    else:
        says.append("No run has ended yet, so there is no machine time to tell.")
    return StoryStep("cost", tuple(says))


# ---------------------------------------------------------------------------------------------------------------- words


def parted(reviewers: Sequence[Reviewer]) -> tuple[list[Reviewer], list[Reviewer], list[Reviewer]]:
    """Return the reviewers of a story by kind: people, judges that are language models, and policies."""
    policies = [each for each in reviewers if each.is_policy]
    judges = [each for each in reviewers if not each.is_policy and each.name.startswith(JUDGE_PREFIX)]
    return [each for each in reviewers if each not in policies and each not in judges], judges, policies


def say_gain(comparison: Comparison) -> str:
    """Say a difference on held-out pairs with its interval, in words that need no statistics."""
    difference = comparison.difference
    low, high = (
        f"{end * 100:+.0f}".replace("-", "−").replace("+0", "0").replace("−0", "0")
        for end in (difference.low, difference.high)
    )
    sure = f"{difference.level:.0%} sure: between {low} and {high} in 100"
    if not difference.excludes_zero:
        return (
            f"No difference shown between {comparison.first} and {comparison.second}: these pairs cannot tell them "
            f"apart ({sure})."
        )
    more = "more" if difference.estimate > 0 else "fewer"
    return (
        f"{comparison.first} ranks about {abs(difference.estimate) * 100:.0f} in 100 {more} held-out pairs right than "
        f"{comparison.second} ({sure})."
    )


def _main_words(content: ReportContent) -> list[str]:
    """The newest model's accuracy, and how it differs from the first of those compared."""
    results = content.results
    if results is None or not results.models:
        return []
    newest = results.models[-1]
    accuracy = newest.evaluation.accuracy
    says = [f"The model “{newest.label}” is right on {_of_hundred(accuracy.estimate)} held-out pairs."]
    first = results.models[0].label
    found = [each for each in results.comparisons if (each.first, each.second) == (newest.label, first)]
    for each in found:
        says.append(f"{say_gain(each)} {each.caveat}".rstrip())
        if each.log_loss.excludes_zero:
            then, now = (model.evaluation.metrics.typical_probability for model in (results.models[0], newest))
            is_better = each.log_loss.estimate < 0
            gives = f"on a typical pair it gives the better answer {now:.0%}, where {first} gave {then:.0%}"
            if each.is_scale_alone:
                how = "better" if is_better else "worse"
                says.append(f"It is {how} calibrated: {gives}. That is the size of its margins, not a better order.")
            else:
                how = "surer" if is_better else "less sure"
                says.append(f"It is {how} of the better answers: {gives}. That is more than chance explains.")
    if len(results.models) > 2:
        last = (newest.label, results.models[-2].label)
        says += [say_last_step(each) for each in results.comparisons if (each.first, each.second) == last]
    return says


def say_time(seconds: float) -> str:
    """Return a time in the unit that fits it: seconds, minutes or hours."""
    if seconds < 100:
        return _count(round(seconds), "second")
    if seconds < 100 * 60:
        return _count(round(seconds / 60), "minute")
    return f"{seconds / 3600:,.1f} hours"


def _of_hundred(share: float) -> str:
    return f"{share * 100:.0f} of 100"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
