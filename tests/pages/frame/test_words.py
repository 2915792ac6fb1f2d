"""The glossary: one line a word, offered on the pages where the words stand, and safe as HTML."""

import re
from typing import get_args

import pytest
from app_workspaces import make_workspace
from streamlit.testing.v1 import AppTest

from mars_engine.core.config import AllocationConfig
from mars_engine.core.config.method import LAWS
from mars_engine.core.shipped import shipped
from pages.parts.frame.glossary import GLOSSARY, Word

ASKED_FOR: dict[str, set[str]] = {
    "overview": {"suspect", "low-margin", "law", "signed", "refined", "composed", "semantic distance"},
    "results": {"law", "signed", "log-loss", "curvature", "effective rank"},
    "explore": {"out-of-fold", "suspect"},
    "settings": {"law", "τ", "out-of-fold"},
    "train": {"suspect", "law", "composed"},
}


def test_each_word_has_one_line_and_each_law_is_a_word():
    assert set(GLOSSARY) == set(get_args(Word))
    assert set(LAWS) <= set(GLOSSARY)
    assert AllocationConfig().law in GLOSSARY
    for said in GLOSSARY.values():
        assert said.endswith(".")
        assert len(said) < 200
        assert "\n" not in said


@pytest.mark.slow
@pytest.mark.parametrize("name", ASKED_FOR)
def test_the_words_of_a_page_are_explained_on_it(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MARS_WORKSPACE", str(make_workspace(tmp_path / "w", "complete")))
    app = AppTest.from_file(str(shipped("app.py")), default_timeout=60).run()
    app.switch_page(f"pages/{name}.py").run()
    assert not app.exception
    html = "\n".join(each.proto.body for each in app.get("html"))
    explained = set(re.findall(r"<dt>([^<]+)</dt>", html))
    assert ASKED_FOR[name] <= explained
    assert "<summary>What is meant by: " in html, "a browser's own disclosure, which the keyboard opens"
