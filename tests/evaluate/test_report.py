"""The report: what it says, that it needs nothing from elsewhere, and that no text of the data is interpreted."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import EvaluateConfig, MarsConfig, TriageConfig
from mars_engine.core.errors import MarsError, NotReadyError
from mars_engine.core.records import Pair, Turn
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.evaluate import report_charts
from mars_engine.evaluate.report import ReportContent, gather_report
from mars_engine.evaluate.report_page import LONGEST_TEXT, mark_changes, render_report, report_html, write_report
from mars_engine.evaluate.rewardbench import keep_published
from mars_engine.evaluate.series import SERIES
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.stats.intervals import Interval
from mars_engine.workspace.rounds import run_rounds

CONFIG = MarsConfig(
    triage=TriageConfig(policy="keep", seeds=2, folds=3),
    evaluate=EvaluateConfig(resamples=200),
    database_url="sqlite:///secret-place",
)
MARKUP = "<script>alert(1)</script> ![](http://x.example/p.png) $$x$$ :smile: <img src=x onerror=alert(2)> "
HOSTILE = MARKUP + "A" * 100_000


def add(bench: Workbench, pairs: tuple[Pair, ...], split) -> None:
    source = ListSource(pairs, name=f"<b>{split}</b>")
    import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)


def content_of(bench: Workbench) -> ReportContent:
    index = PairIndexCache(bench.store).current()
    return gather_report(
        bench.store, index, workspace="<i>shop</i>", config=CONFIG, versions={"MARS": "1"}, clock=bench.clock
    )


@pytest.fixture(scope="module")
def content() -> ReportContent:
    bench = make_bench(CONFIG)
    add(bench, make_pairs(20), "train")
    add(bench, make_pairs(20, seed=1, first=1000), "heldout")
    hostile = Pair.of((Turn("user", "hostile"),), "good clear", "bad vague", subset=MARKUP)
    add(bench, (hostile,), "heldout")
    (report,) = run_rounds(bench, 1, policy="accept-all")
    score_model(bench, report.model)
    proposal = bench.store.proposals.proposals()[0]
    record_review(bench.store, "proposal", proposal.id, "reject", annotator="<u>ada</u>", clock=bench.clock, seconds=90)
    for action in ("skip", "undo", "flag", "undo"):
        record_review(bench.store, "proposal", proposal.id, action, annotator="<u>ada</u>", clock=bench.clock)
    return content_of(bench)


class Page(HTMLParser):
    """The elements, attributes and visible text of an HTML page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.links += [value or "" for name, value in attributes if name in {"src", "href", "action", "data", "srcset"}]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page(content) -> Page:
    return Page(render_report(content))


def test_it_is_one_file_that_asks_for_nothing_and_runs_nothing(page, content):
    assert not page.tags & {"script", "img", "link", "iframe", "object", "embed", "form", "base", "audio", "video"}
    assert all(re.fullmatch(r"#[mp][0-9a-f]+", link) for link in page.links), "but marks within a chart"
    assert not [name for name in page.attributes if name.startswith("on")]
    html = render_report(content)
    assert "default-src 'none'" in html
    style = html[html.index("<style>") : html.index("</style>")]
    assert "http" not in style
    assert "url(" not in style
    assert "@import" not in style


def test_names_from_data_and_people_stand_as_they_are(page):
    for name in ("<i>shop</i>", "<b>train</b>", "<u>ada</u>", MARKUP):
        assert name in page.text
    assert not page.tags & {"i", "b", "u"}


def test_a_hostile_example_is_shown_whole_up_to_the_limit(content):
    source = Pair.of((Turn("user", HOSTILE),), f"c {HOSTILE}", f"r {HOSTILE}", subset=HOSTILE)
    example = SimpleNamespace(
        source=source,
        margin_before=-0.5,
        margin_after=0.5,
        prompt=source.prompt,
        chosen=HOSTILE,
        rejected=None,
        method="paraphrase",
        distance_before=0.1,
        distance_after=0.2,
        decided_by=("<u>eve</u>",),
        got_worse=False,
    )
    fields = {name: getattr(content, name) for name in content.__slots__}
    page = Page(render_report(SimpleNamespace(**{**fields, "examples": (example,)})))
    assert not page.tags & {"script", "img", "u"}
    assert HOSTILE[:LONGEST_TEXT] in page.text
    assert f"{len(HOSTILE) - LONGEST_TEXT:,} more characters, left out in this report only" in page.text


def test_it_says_the_figures_in_plain_words_and_how_examples_were_chosen(page, content):
    accuracy = content.results.models[-1].evaluation.accuracy
    assert f"ranks {accuracy.estimate:.1%} of held-out pairs correctly; with 95% confidence between" in page.text
    assert content.results.comparisons[0].verdict in page.text
    assert "Chosen by a rule, not by hand" in page.text
    assert "stand-in" in page.text
    for step in content.status.counts:
        assert f"{step.count:,}" in page.text
    for model in content.results.models:
        assert model.record.id in page.text
    for dataset in content.datasets:
        assert dataset.content_hash in page.text
    assert "secret-place" not in page.text


def test_examples_are_the_greatest_rises_and_the_greatest_fall(content):
    changes = [each.margin_after - each.margin_before for each in content.examples]
    assert len(changes) == 3
    assert changes == sorted(changes, reverse=True)
    for example in content.examples:
        assert example.chosen is not None or example.rejected is not None


def test_what_a_proposal_changed_is_marked_word_by_word_and_its_text_stays(page, content):
    runs = mark_changes("Mix the  flour, then wait.", "Stir the  flour, then wait!")
    assert [text for is_new, text in runs if is_new] == ["Mix", "."]
    assert "".join(text for _, text in runs) == "Mix the  flour, then wait."
    assert mark_changes("", "gone") == []
    assert "mark" in page.tags
    for example in content.examples:
        assert (example.chosen or example.rejected) in page.text


def test_agreement_is_told_where_several_people_decided_the_same():
    bench = make_bench(CONFIG)
    pairs = make_pairs(6)
    add(bench, pairs, "train")
    for number, pair in enumerate(pairs):
        record_review(bench.store, "pair", pair.id, "label_right", annotator="ada", clock=bench.clock)
        answer = "flip" if number == 0 else "label_right"
        record_review(bench.store, "pair", pair.id, answer, annotator="bo", clock=bench.clock)
    text = Page(render_report(content_of(bench))).text
    assert "Two or more people decided about 6 labels" in text
    assert "the same answer in 83.3% of the cases" in text
    assert "1 are still disputed" in text


def test_reviewers_are_people_first_and_policies_by_name(content):
    assert [(each.name, each.is_policy) for each in content.reviewers] == [("<u>ada</u>", False), ("accept-all", True)]
    assert content.reviewers[0].minutes == pytest.approx(1.5)
    assert (content.reviewers[0].proposals, content.reviewers[0].undone) == (2, 1)
    assert content.reviewers[1].proposals == content.status.count("proposed")


def charts_of(content: ReportContent) -> list[str]:
    results, movement = content.results, content.movement
    rows = [(model.label, model.evaluation.accuracy) for model in results.models]
    return [
        report_charts.interval_chart(results),
        report_charts.difference_chart(rows, than="<b>$x$</b>"),
        report_charts.movement_chart(movement, models=len(results.models)),
        report_charts.calibration_chart(results),
    ]


def test_charts_have_a_title_and_say_in_words_what_they_show(content):
    ids: list[str] = []
    for chart in charts_of(content):
        drawing = ElementTree.fromstring(chart)  # noqa: S314 (our own)
        title, said = drawing.findall("title") + drawing.findall("desc")
        assert drawing.get("role") == "img"
        assert drawing.get("aria-labelledby") == f"{title.get('id')} {said.get('id')}"
        assert len(title.text) > 20
        assert len(said.text) > 40
        ids += [element.get("id") for element in drawing.iter() if element.get("id")]
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_charts_are_the_same_again_and_ask_for_nothing(content):
    for chart, again in zip(charts_of(content), charts_of(content), strict=True):
        assert chart == again
        drawing = ElementTree.fromstring(chart)  # noqa: S314 (our own)
        assert {element.tag for element in drawing.iter()} <= {
            *("svg", "title", "desc", "defs", "g", "path", "use", "clipPath", "rect", "text", "tspan"),
        }
        values = [value for element in drawing.iter() for value in element.attrib.values()]
        assert not [value for value in values if "nan" in value or "http" in value]
        assert "202" not in "".join(drawing.itertext()), "no date"


def test_charts_keep_their_text_and_have_no_ground_of_their_own(content):
    intervals, _, movement, calibration = (ElementTree.fromstring(chart) for chart in charts_of(content))  # noqa: S314
    for drawing, words in (
        (intervals, {"warm-up", "longer answer wins", f"{content.results.models[0].evaluation.accuracy.estimate:.1%}"}),
        (movement, {"ranked right →", f"before: {content.movement.before}", "score margin (reward units)"}),
        (calibration, {model.label for model in content.results.models}),
    ):
        assert words <= {"".join(element.itertext()) for element in drawing.iter("text")}
        colours = {
            rule.partition(":")[2].strip()
            for element in drawing.iter("path")
            for rule in element.get("style", "").split(";")
            if rule.strip().startswith(("fill:", "stroke:"))
        }
        assert colours <= {"none", report_charts.QUIET, *SERIES}


def test_names_of_any_letters_stand_in_a_chart_as_they_are():
    interval = Interval(0.1, -0.1, 0.3, 0.95)
    name = "$$x_{$ <b>&amp; \x07日本 " + "long" * 40
    chart = report_charts.difference_chart([(name, interval)], than=name)
    drawing = ElementTree.fromstring(chart)  # noqa: S314 (our own)
    drawn = {"".join(element.itertext()) for element in drawing.iter("text")}
    assert "$$x_{$ <b>&amp;  日本 longlonglonglonglonglong…"[:43] in {text[:43] for text in drawn}
    assert name.replace("\x07", " ") in drawing.find("desc").text


def test_a_difference_that_is_shown_is_filled_and_one_that_is_not_is_hollow():
    def point(interval: Interval) -> str:
        drawing = ElementTree.fromstring(report_charts.difference_chart([("a", interval)], than="b"))  # noqa: S314
        return [use.get("style") for use in drawing.iter("use")][-1]

    assert point(Interval(0.1, 0.05, 0.15, 0.95)) == f"fill: {SERIES[0]}; stroke: {SERIES[0]}"
    assert point(Interval(0.1, -0.05, 0.25, 0.95)) == f"fill-opacity: 0; stroke: {report_charts.QUIET}"


def test_an_empty_workspace_has_no_report_and_one_without_a_model_says_so():
    bench = make_bench(CONFIG)
    with pytest.raises(NotReadyError, match="nothing to report"):
        content_of(bench)
    add(bench, make_pairs(4), "train")
    html = render_report(content_of(bench))
    assert "No reward model has been trained yet" in html
    assert "Who decided what would be here, once somebody has read" in html


def test_what_the_probes_read_is_said_once_for_those_that_read_the_same(page, content):
    labels = [model.record.label for model in content.results.models]
    (remark,) = content.results.models[0].record.metrics["remarks"]
    assert page.text.count(remark) == 1
    assert f"{', '.join(labels)}: {remark}." in page.text


def test_with_a_warm_up_alone_it_claims_nothing():
    bench = make_bench(CONFIG)
    add(bench, make_pairs(20), "train")
    add(bench, make_pairs(8, seed=1, first=1000), "heldout")
    score_model(bench, train_warm_up(bench))
    html = render_report(content_of(bench))
    assert "There is nothing to compare it with yet" in html
    assert "Examples" not in html


def test_figures_on_rewardbench_are_shown_with_what_keeps_them_from_being_published_ones():
    bench = make_bench(CONFIG)
    add(bench, make_pairs(4), "train")
    assert "RewardBench" not in render_report(content_of(bench))
    keep_published(
        {"llmbar-natural": 0.625}, bench.store, model="<u>mine</u>", source="s", content_hash="h", clock=bench.clock
    )
    html = render_report(content_of(bench))
    assert "On RewardBench 1" in html
    assert "On RewardBench 2" not in html
    assert "&lt;u&gt;mine&lt;/u&gt;" in html
    assert "62.5%*" in html
    assert "There is no overall score: Chat, Safety, Reasoning are absent." in html


def test_the_same_workspace_gives_the_same_report_but_for_the_time(tmp_path):
    bench = make_bench(CONFIG)
    add(bench, make_pairs(6), "train")
    index = PairIndexCache(bench.store).current()
    now = bench.clock()
    first, second = (report_html(bench.store, index, root=tmp_path, config=CONFIG, clock=lambda: now) for _ in range(2))
    assert first == second


def test_a_file_is_overwritten_only_when_asked(tmp_path):
    path = write_report("one", tmp_path / "report.html", overwrite=False)
    with pytest.raises(MarsError, match="exists already"):
        write_report("two", path, overwrite=False)
    assert path.read_text() == "one"
    write_report("two", path, overwrite=True)
    assert path.read_text() == "two"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(MarsError, match="cannot be written"):
        write_report("x", tmp_path / "absent" / "report.html", overwrite=False)
