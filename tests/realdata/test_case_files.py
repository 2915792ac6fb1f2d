"""The files of the folder of cases, each to its right value."""

from pathlib import Path

import pytest

from benchmarks.case_files import expectations, expected_of, files_in, import_file

pytestmark = pytest.mark.realdata

CASES = Path(__file__).resolve().parents[2] / ".." / "shared" / "cases"


@pytest.mark.parametrize("name", expectations())
def test_a_case_comes_to_its_right_value(name: str) -> None:
    found = [path for path in files_in(CASES) if path.stem == name] if CASES.is_dir() else []
    if not found:
        pytest.skip(f"the case {name} is absent from {CASES}")
    stated = expectations()[name]
    assert import_file(found[0], holdout=stated.get("holdout")) == expected_of(stated)


def test_every_file_has_an_expectation() -> None:
    if not CASES.is_dir():
        pytest.skip(f"there are no cases in {CASES}")
    assert {path.stem for path in files_in(CASES)} <= set(expectations())
