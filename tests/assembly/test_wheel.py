"""The wheel, installed outside the checkout: the demo runs and the app starts."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytestmark = [pytest.mark.install, pytest.mark.model]

ROOT = Path(__file__).resolve().parents[2]
PORT = 8643


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
    code = "import mars_engine.assembly.shipped as s; print(s.shipped('app.py')); print(s.shipped('data'))"
    result = subprocess.run(
        [str(installed.with_name("python")), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    for line in result.stdout.split():
        assert str(installed.parents[1]) in line
        assert str(ROOT) not in line


def test_the_demo_runs_and_the_app_starts(installed, tmp_path, quiet_environment):
    demo = [str(installed), "--quiet", "demo", "--no-serve"]
    result = subprocess.run(
        demo, cwd=tmp_path, env=quiet_environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert result.returncode == 0, result.stderr
    assert "Where this workspace stands" in result.stdout
    serve = [str(installed), "--workspace", "demo-workspace", "app", "--port", str(PORT)]
    server = subprocess.Popen(serve, cwd=tmp_path, env=quiet_environment, stdout=subprocess.PIPE, text=True)
    try:
        assert f"http://127.0.0.1:{PORT}" in server.stdout.readline()
        assert wait_for(f"http://127.0.0.1:{PORT}/_stcore/health") == "ok"
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_for(address: str, *, seconds: float = 60) -> str:
    """Return what an address answers, once it does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as response:  # noqa: S310 (loopback)
                return response.read().decode()
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
