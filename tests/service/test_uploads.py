"""Uploaded files get names that lead nowhere, are limited in size, and are kept once."""

from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.core.errors import LoadError
from mars_engine.service import uploads
from mars_engine.service.uploads import LONGEST_NAME, find_upload, forget_upload, safe_name, save_upload
from mars_engine.workspace.workspace import Workspace, create_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return create_workspace(tmp_path / "work")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("pairs.jsonl.gz", "pairs.jsonl.gz"),
        ("../../etc/passwd", "passwd"),
        ("C:\\fakepath\\my pairs.csv", "my-pairs.csv"),
        ('<img src=x onerror="alert(1)">.jsonl', "img-src-x-onerror-alert-1.jsonl"),
        (".hidden.jsonl", "upload.hidden.jsonl"),
        ("-rf.csv", "rf.csv"),
        ("../..", "upload"),
        ("пары.jsonl", "upload.jsonl"),
        ("pairs.", "pairs"),
        (".jsonl", "upload.jsonl"),
        ("a" * 300 + ".jsonl.gz", "a" * (LONGEST_NAME - 9) + ".jsonl.gz"),
    ],
)
def test_a_name_becomes_a_safe_one(name, safe):
    assert safe_name(name) == safe


@given(st.text())
def test_any_name_becomes_one_that_leads_nowhere(name):
    safe = safe_name(name)
    assert 0 < len(safe) <= LONGEST_NAME
    assert safe.isascii()
    assert not safe.startswith((".", "-"))
    assert not set(safe) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
    assert ".." not in safe


def test_an_upload_is_found_by_its_key_and_kept_once(workspace):
    first = save_upload(workspace, "my pairs.jsonl", BytesIO(b"content"))
    again = save_upload(workspace, "my pairs.jsonl", BytesIO(b"content"))
    assert first == again == find_upload(workspace, first.key)
    assert first.path.read_bytes() == b"content"
    assert len([path for path in (workspace.artifacts / "uploads").rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize("key", ["", "../../mars.toml", "0123456789ab/../../x", "0123456789ab/x", "/etc/passwd"])
def test_a_key_that_is_none_finds_nothing(workspace, key):
    assert find_upload(workspace, key) is None


def test_what_is_too_large_or_empty_is_refused_and_leaves_nothing(workspace, monkeypatch):
    monkeypatch.setattr(uploads, "LARGEST_UPLOAD_MEBIBYTES", 1)
    with pytest.raises(LoadError, match="larger than 1 MiB"):
        save_upload(workspace, "large.jsonl", BytesIO(bytes(2**20 + 1)))
    with pytest.raises(LoadError, match="empty"):
        save_upload(workspace, "empty.jsonl", BytesIO(b""))
    assert list((workspace.artifacts / "uploads").rglob("*")) == []


def test_only_uploads_are_forgotten(workspace, tmp_path):
    upload = save_upload(workspace, "pairs.jsonl", BytesIO(b"content"))
    mine = tmp_path / "mine" / "pairs.jsonl"
    mine.parent.mkdir()
    mine.write_text("mine")
    for path in (mine, Path("pairs.jsonl"), workspace.root / "mars.toml", upload.path.parent):
        forget_upload(workspace, path)
    assert mine.exists()
    assert upload.path.exists()
    forget_upload(workspace, upload.path)
    assert not upload.path.exists()
    assert (workspace.root / "mars.toml").exists()
