"""A workspace in a script or a notebook: each method takes one step of the method, recorded as a run like a command.

The app may serve the same workspace meanwhile: it shows the runs as they go.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

from mars_engine.api.advising import AdvisingWorkspace
from mars_engine.api.aligning import AligningWorkspace
from mars_engine.api.checks import at_least, one_of
from mars_engine.api.frames import history_frame, margins_frame, pairs_frame, proposals_frame
from mars_engine.api.judging import JudgingWorkspace
from mars_engine.api.reading import Decisions, Source, as_decisions, open_parts
from mars_engine.api.remedies import speaking_python
from mars_engine.api.results import Checked, Imported, Rounds
from mars_engine.api.settings import Settings, planned
from mars_engine.augment.compose import ComposeReport
from mars_engine.augment.generators.given import Writer
from mars_engine.augment.plan import PlanReport
from mars_engine.augment.propose import ProposeReport, Retry, make_proposals, validate_yield
from mars_engine.core.clock import utc_now
from mars_engine.core.config import AllocationLaw
from mars_engine.core.errors import MarsError
from mars_engine.core.notebook import as_html
from mars_engine.core.records import MAP_KINDS, MapKind, ModelRecord, Split
from mars_engine.curate.review import (
    Reviewer,
    ReviewPolicy,
    ReviewReport,
    count_standing,
    record_decisions,
    review_by_policy,
)
from mars_engine.data.export import ExportWhat, select_for_export
from mars_engine.data.exporter import ExportResult, ExportShape, export_dataset, export_pairs
from mars_engine.data.import_parts import import_parts, look_after_import, preview_parts
from mars_engine.data.loaders.options import ReadingOptions
from mars_engine.embeddings.maps import UmapMapper
from mars_engine.embeddings.maps.semantic_map import MapReport, make_map
from mars_engine.evaluate.heldout import Evaluation, evaluate
from mars_engine.evaluate.report_page import report_html, write_report
from mars_engine.evaluate.status import Status, workspace_status
from mars_engine.explore.explorer import Explorer
from mars_engine.explore.view import View
from mars_engine.jobs import headlines
from mars_engine.reward_models.score import ScoreReport, score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.workspace.batches import RequestsReport, write_requests
from mars_engine.workspace.named_models import newest_model
from mars_engine.workspace.rewrites_elsewhere import AnswersReport, open_plan, take_answers, with_writer
from mars_engine.workspace.rounds import (
    ClosedRound,
    OpenedRound,
    close_round,
    compose_newest_plan,
    draft_next_round,
    open_round,
    plan_next_round,
    plan_to_retry,
    run_rounds,
    train_on_newest_composition,
)

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import plotly.graph_objects as go

ACCEPTING = frozenset({"accept", "accept_chosen", "accept_rejected", "edit"})


@speaking_python
class Workspace(JudgingWorkspace, AdvisingWorkspace, AligningWorkspace):
    """A workspace: pairs, models, proposals and decisions in a folder. Close it, or use it in a `with` statement.

    Methods that take `settings` use them in the place of those in mars.toml, for this one call.
    """

    def close(self) -> None:
        """Close the database. Closing twice does nothing."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Workspace({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return f"<p>Workspace <code>{self.path.name}</code></p>{as_html(self.status())}"

    # -------------------------------------------------------------------------------------------------------- pairs

    def import_pairs(
        self,
        source: Source,
        *,
        split: Split | None = None,
        holdout: float | None = None,
        name: str = "",
        format: str | None = None,
        columns: Mapping[str, str] | None = None,
        options: ReadingOptions | None = None,
    ) -> Imported:
        """Import preference pairs; what is dropped is counted by reason. Importing them again adds nothing.

        Args:
            source: a pandas DataFrame, a datasets.Dataset, a file, a folder or pattern of files, or hub:owner/name.
            split: "train", the default, or "heldout".
            holdout: hold out this fraction of the prompts, between 0 and 1, in the place of `split`.
            name: what the pairs of a DataFrame or Dataset are listed as.
            format: the format's name; recognised where it is None.
            columns: where columns go by other names, from prompt, chosen, rejected, system to the column's name.
            options: all that can be said of how rows are read; then `columns` is not given.

        Raises:
            LoadError: the source cannot be read, or has no usable pair; nothing was stored.
            MarsError: an argument is out of its range, or excludes another.
        """
        location, parts = open_parts(
            source, split=split, holdout=holdout, name=name, format=format, columns=columns, options=options
        )
        with self._working("import") as (bench, notes):
            store, clock, progress = bench.store, bench.clock, bench.progress
            may_be_empty = holdout is not None
            reports = import_parts(store, location, parts, clock=clock, progress=progress, may_be_empty=may_be_empty)
            notes.summary |= headlines.of_imports(reports)
            reports = look_after_import(store, reports, clock=clock, progress=progress)
        return Imported.of(reports)

    def preview(
        self,
        source: Source,
        *,
        split: Split | None = None,
        holdout: float | None = None,
        name: str = "",
        format: str | None = None,
        columns: Mapping[str, str] | None = None,
        options: ReadingOptions | None = None,
    ) -> Imported:
        """Return what `import_pairs` would read, keep and drop; nothing is stored. The arguments are the same.

        Raises:
            LoadError, MarsError: as `import_pairs`.
        """
        location, parts = open_parts(
            source, split=split, holdout=holdout, name=name, format=format, columns=columns, options=options
        )
        may_be_empty = holdout is not None
        previews = preview_parts(self._open, location, parts, progress=self._said(), may_be_empty=may_be_empty)
        return Imported.of([each.report for each in previews])

    def pairs(self) -> "pd.DataFrame":
        """Return all n pairs, a row each in the order of their import: texts, margin, verdict, decision, budget.

        Margins are in reward units, distances 1 − cosine; what is not known yet is NaN or "".

        Raises:
            StoreError: the workspace is closed.
        """
        return pairs_frame(self._open, self._current())

    def status(self) -> Status:
        """Return how many there are at each step from imported pairs to a trained model, and what is next.

        Raises:
            StoreError: the workspace is closed.
        """
        return workspace_status(self._open, index=self._current())

    # ------------------------------------------------------------------------------------------- models and margins

    def train(self, *, warm_up: bool = False, settings: Settings | None = None) -> ModelRecord:
        """Train a reward model: the warm-up first, then on base and composed pairs once some were composed.

        A model that was trained on the same pairs with the same settings is returned, not trained again.

        Args:
            warm_up: train on the base pairs alone, even where composed pairs are there.
            settings: see the class.

        Raises:
            NotReadyError: there are no training pairs, or another process trains in this workspace.
            ConfigError: a setting is unknown or out of its range.
        """
        with self._working("train", settings) as (bench, notes):
            model = train_warm_up(bench) if warm_up else train_on_newest_composition(bench)
            notes.summary |= headlines.of_model(model)
        return model

    def score(self, *, settings: Settings | None = None) -> ScoreReport:
        """Read the margins of all pairs under the newest model, and triage the training pairs' labels.

        Raises:
            NotReadyError: no model is trained yet.
            ConfigError: a setting is unknown or out of its range.
        """
        with self._working("score", settings) as (bench, notes):
            report = score_model(bench, newest_model(bench))
            notes.summary |= headlines.of_score(report)
        return report

    def margins(self) -> "pd.DataFrame":
        """Return both rewards and the margin of each of n pairs under the newest model, and triage's verdicts.

        Rewards and margins are in the model's reward units, NaN for a pair that it has not scored.

        Raises:
            NotReadyError: no model has scored any pair.
            StoreError: the workspace is closed.
        """
        return margins_frame(self._open, self._current())

    def check(self, decisions: Decisions, *, reviewer: str) -> Checked:
        """Store what a person decided about labels of pairs, all at once or none.

        Args:
            decisions: by pair id "label_right", "flip", "drop" or "ambiguous"; or a DataFrame with the columns id and
                action, and note if there is one.
            reviewer: the name of who decided.

        Raises:
            MarsError: the reviewer has no name, a pair does not exist, or an action is none for a pair.
        """
        store = self._open
        events = record_decisions(store, "pair", as_decisions(decisions), annotator=reviewer, clock=utc_now)
        return Checked.of(events, reviewer)

    # -------------------------------------------------------------------------------------------------- augmentation

    def plan(
        self, *, law: AllocationLaw | None = None, budget: int | None = None, settings: Settings | None = None
    ) -> PlanReport:
        """Return how the budget of the next round would be spent over the training pairs; nothing is stored.

        Args:
            law: "signed", "absolute", "fisher" or "uniform"; as configured where it is None.
            budget: new pairs in all; as configured where it is None.
            settings: see the class.

        Raises:
            NotReadyError: no model is trained, or the pairs were not scored yet.
            ConfigError: a setting is unknown or out of its range.
            MarsError: the law is unknown, or the budget no whole number from 1.
        """
        with self._looking(settings, planned(law, budget)) as bench:
            return draft_next_round(bench).report

    def propose(
        self,
        *,
        law: AllocationLaw | None = None,
        budget: int | None = None,
        writer: Writer | None = None,
        writer_name: str = "",
        settings: Settings | None = None,
    ) -> ProposeReport:
        """Plan as `plan` does with the same arguments, store the plan, and propose augmented pairs by it.

        Interrupted, it goes on where it stopped. The default generators are stand-ins for demonstrations and tests.

        Args:
            law, budget, settings: see `plan`.
            writer: paraphrases in the configured generator's place: a function that is handed a list of texts and
                returns for each a rewrite or a list of rewrites. It is not handed the same text twice.
            writer_name: whom its proposals name, and what it wrote is kept by; the function's name where it is empty.

        Raises:
            NotReadyError: no model is trained, or the pairs were not scored yet.
            ConfigError: a setting is unknown or out of its range.
            MarsError: the law is unknown, or the budget no whole number from 1.
            GenerationError: nothing at all could be generated, or the writer returned something else.
        """
        with self._working("propose", settings, planned(law, budget)) as (bench, notes):
            plan = plan_next_round(bench)
            report = make_proposals(with_writer(bench, writer, writer_name) if writer else bench, plan.plan)
            notes.summary |= headlines.of_plan(plan) | headlines.of_propose(report)
            validate_yield(report)
        return report

    def write_requests(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, settings: Settings | None = None
    ) -> RequestsReport:
        """Plan as `propose` does, and write what a chat model has still to be asked, for a batch service; ask nobody.

        Raises:
            MarsError: no chat model is to write or judge, or the file, .jsonl, is there or cannot be written.
            NotReadyError: no model is trained, or the pairs were not scored yet.
        """
        with self._working("propose", settings) as (bench, notes):
            report = write_requests(bench, plan_next_round(bench).plan, Path(path), overwrite=overwrite)
            notes.summary |= headlines.of_requests(report)
        return report

    def take_answers(
        self, *paths: str | os.PathLike[str], writer: str = "", settings: Settings | None = None
    ) -> AnswersReport:
        """Take in answers to such requests, or rewrites in the plain form, and propose with them by the open plan.

        Raises:
            LoadError: a file cannot be read, or has no answers; nothing was kept.
            NotReadyError: no model is trained, or the pairs were not scored yet.
        """
        with self._working("propose", settings) as (bench, notes):
            report = take_answers(bench, open_plan(bench), [Path(path) for path in paths], writer=writer)
            notes.summary |= headlines.of_answers(report)
        return report

    def retry(self, failures: Retry = "retryable", *, settings: Settings | None = None) -> ProposeReport:
        """Propose again, under the newest plan, what could not be generated before.

        Args:
            failures: "retryable", those that may pass by themselves, or "all", also answers that could not be used.
            settings: see the class.

        Raises:
            NotReadyError: nothing was proposed yet.
            GenerationError: still nothing at all could be generated.
            MarsError: `failures` is neither.
        """
        one_of("failures", failures, get_args(Retry))
        with self._working("propose", settings) as (bench, notes):
            report = make_proposals(bench, plan_to_retry(bench), retry=failures)
            notes.summary |= headlines.of_propose(report)
            validate_yield(report)
        return report

    def proposals(self) -> "pd.DataFrame":
        """Return all proposals, a row each: texts, how they stand, the quality gates they fail, margins, distances.

        Raises:
            StoreError: the workspace is closed.
        """
        return proposals_frame(self._open)

    def review(
        self, decisions: Decisions | None = None, *, reviewer: str = "", policy: ReviewPolicy | None = None
    ) -> ReviewReport:
        """Store what a person decided about proposals, all at once or none; or decide about all that wait by a policy.

        Args:
            decisions: by proposal id "accept", "accept_chosen", "accept_rejected", "reject", "flag", "skip", or a
                mars.Decision for an edit or a note; or a DataFrame with the columns id and action, and chosen, rejected
                and note if there are any.
            reviewer: the name of who decided; needed with decisions.
            policy: "gates" accepts what passed every quality gate and rejects the rest, "accept-all" accepts all.

        Raises:
            MarsError: neither or both of decisions and policy are given, the reviewer has no name, a proposal does not
                exist, or an action is none for a proposal.
            NotReadyError: there are no proposals.
        """
        if (decisions is None) == (policy is None):
            raise MarsError(
                "review has no decisions and no policy" if policy is None else "review has both decisions and a policy",
                expected='decisions with reviewer="a name", or policy="gates" or policy="accept-all"',
            )
        if policy is None:
            store = self._open
            given = as_decisions(decisions if decisions is not None else {})
            record_decisions(store, "proposal", given, annotator=reviewer, clock=utc_now)
            actions = [each.action for each in given.values()]
            accepted = sum(action in ACCEPTING for action in actions)
            return ReviewReport("people", accepted, actions.count("reject"), count_standing(store), {})
        one_of("policy", policy, get_args(ReviewPolicy))
        with self._working("review") as (bench, notes):
            report = review_by_policy(bench.store, policy, clock=bench.clock)
            notes.summary |= headlines.of_review(report)
        return report

    def history(self) -> "pd.DataFrame":
        """Return every decision ever made, a row each: who, when (UTC), on what, and whether it still stands.

        Raises:
            StoreError: the workspace is closed.
        """
        return history_frame(self._open)

    def compose(self, *, settings: Settings | None = None) -> ComposeReport:
        """Make training pairs of the approved texts, as many from each source pair as the newest plan gives it.

        Raises:
            NotReadyError: there is no plan, or nothing was accepted.
            ConfigError: a setting is unknown or out of its range.
        """
        with self._working("compose", settings) as (bench, notes):
            report = compose_newest_plan(bench)
            notes.summary |= headlines.of_compose(report)
        return report

    # -------------------------------------------------------------------------------------------------------- rounds

    def open_round(self, *, settings: Settings | None = None) -> OpenedRound:
        """Do all up to what people decide: warm up where need be, score, triage, plan, propose.

        Raises:
            NotReadyError: there are no training pairs, or another process trains in this workspace.
            GenerationError: nothing at all could be generated.
            ConfigError: a setting is unknown or out of its range.
        """
        with self._working("open-round", settings) as (bench, notes):
            report = open_round(bench)
            notes.summary |= headlines.of_opened_round(report)
        return report

    def close_round(self, *, settings: Settings | None = None) -> ClosedRound:
        """Do all after what people decided: compose what was accepted, retrain, score and evaluate.

        Raises:
            NotReadyError: no round is open, nothing was accepted, or another process trains in this workspace.
            ConfigError: a setting is unknown or out of its range.
        """
        with self._working("close-round", settings) as (bench, notes):
            report = close_round(bench)
            notes.summary |= headlines.of_closed_round(report)
        return report

    def rounds(
        self,
        n: int,
        *,
        policy: Reviewer = "gates",
        law: AllocationLaw | None = None,
        patience: int = 0,
        settings: Settings | None = None,
    ) -> Rounds:
        """Run the whole method `n` times: score, plan, propose, review, compose, train.

        Args:
            n: how many rounds at most, 1 or more.
            policy: who reviews: "gates", "accept-all", or "people", who are waited for in each round.
            law: the allocation law; as configured where it is None.
            patience: end after so many rounds in a row that did not lower the held-out log-loss; 0 for never.
            settings: see the class.

        Raises:
            NotReadyError: there are no training pairs, the first round has no new ones, or another process trains.
            GenerationError: in some round nothing at all could be generated.
            ConfigError: a setting is unknown or out of its range.
            MarsError: the policy or the law is unknown, or a number out of its range.
        """
        one_of("policy", policy, get_args(Reviewer))
        at_least("n", n, 1, whole=True)
        at_least("patience", patience, 0, whole=True)
        with self._working("rounds", settings, planned(law, None)) as (bench, notes):
            reports = run_rounds(bench, n, policy=policy, patience=patience)
            notes.summary |= headlines.of_rounds(reports, n)
        return Rounds(tuple(reports), n, reports[-1].ended)

    # ------------------------------------------------------------------------------------------------------- results

    def evaluate(self, *, settings: Settings | None = None) -> Evaluation:
        """Compare all trained models on the held-out pairs, with bootstrap intervals, beside "the longer one wins".

        Raises:
            NotReadyError: there are no held-out pairs, or no model.
            ConfigError: a setting is unknown or out of its range.
        """
        with self._working("evaluate", settings) as (bench, notes):
            models = bench.store.models.all()
            report = evaluate(bench, models)
            notes.summary |= headlines.of_evaluation(report)
        return report

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        what: ExportWhat = "training-set",
        shape: ExportShape = "conversational",
        overwrite: bool = False,
    ) -> ExportResult:
        """Write pairs to a file in a shape that TRL reads, with a manifest of their lineage beside it.

        Args:
            path: a file that ends in .jsonl, .jsonl.gz or .parquet.
            what: "training-set", its "composed" or "base" part, or "heldout".
            shape: "conversational" or "standard", each also with "-implicit" for an implicit prompt.
            overwrite: whether a file that exists is replaced.

        Raises:
            NotReadyError: there is nothing of that kind yet.
            MarsError: the path, `what` or the shape cannot be used.
        """
        one_of("what", what, get_args(ExportWhat))
        selection = select_for_export(self._open, what, config=self._folder().config)
        return export_pairs(selection.rows, Path(path), shape=shape, manifest=selection.manifest, overwrite=overwrite)

    def export_dataset(
        self, *, what: ExportWhat = "training-set", shape: ExportShape = "conversational"
    ) -> "datasets.Dataset":
        """Return what `export` would write as a datasets.Dataset, a row a pair. The arguments are the same.

        Raises:
            NotReadyError: there is nothing of that kind yet.
            MarsError: `what` or the shape cannot be used.
        """
        one_of("what", what, get_args(ExportWhat))
        selection = select_for_export(self._open, what, config=self._folder().config)
        found: datasets.Dataset = export_dataset(selection.rows, shape=shape)
        return found

    def report(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write a report for people who were not there to one HTML file that works offline; return its path.

        Raises:
            NotReadyError: nothing has been imported.
            MarsError: the file exists and is not to be overwritten, or cannot be written.
        """
        folder = self._folder()
        html = report_html(
            self._open, self._current(), root=folder.root, config=folder.config, clock=utc_now, maps=self._maps()
        )
        return write_report(html, Path(path), overwrite=overwrite)

    def map(self, of: MapKind = "difference", *, again: bool = False, settings: Settings | None = None) -> MapReport:
        """Give every pair a place on a semantic map, for `figure("map")`. Later, only new pairs are placed.

        Args:
            of: what a pair is placed by: the "difference" of its answers, its "prompt", "chosen" or "rejected".
            again: make it anew.
            settings: see the class.

        Raises:
            NotReadyError: there are too few pairs.
            WorkspaceError: the files of the map that is there are damaged.
            MarsError: `of` is none of these, or a setting is out of its range.
        """
        one_of("of", of, MAP_KINDS)
        with self._working("map", settings) as (bench, notes):
            config = bench.config.map
            report = make_map(
                bench.store,
                bench.encoder,
                UmapMapper(config),
                self._maps(),
                of,
                config=config,
                progress=bench.progress,
                again=again,
            )
            notes.summary |= {f"pairs on the map of the {report.kind}": report.pairs}
        return report

    def figure(self, show: str = "margins", *, of: MapKind = "difference") -> "go.Figure":
        """Return a plotly figure of all pairs: the same that the app's pages show.

        Args:
            show: "margins", their histogram; "plane", margin (reward units) against distance (1 − cosine); or "map".
            of: which map.

        Raises:
            NotReadyError: no model has scored the pairs, or the map was not made yet.
            MarsError: `show` or `of` is unknown.
        """
        from mars_engine.explore import plotly_figures

        one_of("show", show, ("margins", "plane", "map"))
        one_of("of", of, MAP_KINDS)
        explorer = Explorer(self._open, self._index, self._maps(), _no_embeddings)
        scene = explorer.look(View(map=of))
        if show == "map":
            return plotly_figures.map_figure(scene)
        return plotly_figures.margins_figure(scene) if show == "margins" else plotly_figures.plane_figure(scene)


def _no_embeddings(_texts: object) -> Any:
    raise AssertionError("a figure of all pairs asks for no text")
