"""The wheel, installed outside the checkout: its packaged pairs and model train a probe, and its app starts."""

import subprocess
import sys
from pathlib import Path

import pytest
from serving_app import serve

pytestmark = [pytest.mark.install, pytest.mark.model]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The `mars` of a virtual environment of its own, which sees this one's other packages but not the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=300)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python3*/site-packages")
    # Only directories on the path, no .pth files of theirs, so that the editable install of the checkout is not seen.
    borrowed = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    (packages / "borrowed.pth").write_text(f"{borrowed}\n")
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--ignore-installed",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    return environment / "bin" / "mars"


def test_it_is_the_wheels_own_code_that_runs(installed, tmp_path):
    code = "import mars_engine.core.shipped as s; print(s.shipped('app.py')); print(s.shipped('data'))"
    result = subprocess.run(
        [str(installed.with_name("python")), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    for line in result.stdout.split():
        assert str(installed.parents[1]) in line
        assert str(ROOT) not in line


def test_packaged_pairs_and_model_train_a_probe_and_the_app_starts(installed, tmp_path, quiet_environment):
    workspace = tmp_path / "workspace"

    def mars(*arguments: str) -> str:
        command = [str(installed), "--workspace", str(workspace), "--quiet", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=quiet_environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    mars("init", "--probe-layers", "2,4", "--probe-reading", "response", "--probe-l2", "0.01")
    mars("import", "demo")
    mars("train")
    mars("report", str(tmp_path / "report.html"))
    assert "held-out pairs: 252" in mars("status")
    assert "<svg" in (tmp_path / "report.html").read_text()
    with serve([str(installed)], workspace, environment=quiet_environment, folder=tmp_path) as address:
        assert address.startswith("http://127.0.0.1:")
