"""Serving the app on loopback, with the project's own Streamlit configuration."""

import os
import sys
from pathlib import Path

from mars_engine.assembly.shipped import shipped
from mars_engine.assembly.workspace import WORKSPACE_VARIABLE

LOOPBACK = "127.0.0.1"
STREAMLIT_OPTIONS = {
    "server.address": LOOPBACK,
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.serverAddress": LOOPBACK,
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "viewer",
    "client.showErrorDetails": "type",
    "runner.magicEnabled": "false",
    "runner.postScriptGC": "false",
}
"""The same as .streamlit/config.toml has for a checkout; an installed wheel has no such file in its folder."""


def serve_app(workspace: Path, port: int) -> None:
    """Replace this process by the Streamlit server; its own line tells the address."""
    options = [f"--{name}={value}" for name, value in STREAMLIT_OPTIONS.items()]
    environment = os.environ | {WORKSPACE_VARIABLE: str(workspace.resolve())}
    command = [sys.executable, "-m", "streamlit", "run", str(shipped("app.py")), f"--server.port={port}", *options]
    print(f"MARS serves {workspace} on http://{LOOPBACK}:{port} (Ctrl+C ends it)", flush=True)
    os.execve(sys.executable, command, environment)  # noqa: S606
