"""Serving the app with the project's own Streamlit configuration, on loopback unless asked otherwise."""

import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mars_engine.core.errors import ConfigError
from mars_engine.core.shipped import shipped
from mars_engine.workspace.workspace import WORKSPACE_VARIABLE

LOOPBACK = "127.0.0.1"
TOKEN_VARIABLE = "MARS_APP_TOKEN"  # noqa: S105 (a variable's name)
"""Environment variable with the token that everybody has to give before the app shows anything."""

SHORTEST_TOKEN = 16
WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104 (refused without names)


def serve_app(workspace: Path, port: int, *, address: str = LOOPBACK, hosts: tuple[str, ...] = ()) -> None:
    """Replace this process by the Streamlit server; one line tells the address.

    Args:
        workspace: the workspace's folder.
        port: the port to listen on.
        address: the address to listen on. Others than loopback need a token in MARS_APP_TOKEN.
        hosts: names under which browsers reach the server, beside `address`.

    Raises:
        ConfigError: it would be reachable from outside without sign-in.
    """
    validate_access(address, os.environ.get(TOKEN_VARIABLE, ""), hosts)
    settings = tomllib.loads(shipped(".streamlit/config.toml").read_text(encoding="utf-8"))
    settings["server"]["address"] = settings["browser"]["serverAddress"] = address
    settings["server"]["port"] = port
    settings["server"]["allowedHosts"] += [address, *hosts] if address != LOOPBACK else list(hosts)
    environment = os.environ | {WORKSPACE_VARIABLE: str(workspace.resolve())}
    command = [sys.executable, str(shipped("pages/parts/frame/server.py")), *_options(settings)]
    print(f"MARS serves {workspace} on http://{hosts[0] if hosts else address}:{port} (Ctrl+C ends it)", flush=True)
    os.execve(sys.executable, command, environment)  # noqa: S606


def validate_access(address: str, token: str, hosts: tuple[str, ...] = ()) -> None:
    """Raise ConfigError where the app would be reachable from outside without sign-in, or under no name."""
    if address not in {LOOPBACK, "localhost", "::1"} and not token:
        raise ConfigError(
            f"{address} can be reached from other machines, and no token is set",
            expected=f"a shared token in the environment variable {TOKEN_VARIABLE}",
            remedy=f"set {TOKEN_VARIABLE} to a long random word, or serve on {LOOPBACK}",
        )
    if token and len(token) < SHORTEST_TOKEN:
        raise ConfigError(
            f"the token in {TOKEN_VARIABLE} has {len(token)} characters",
            expected=f"at least {SHORTEST_TOKEN}",
            remedy="make one with: python3 -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    if address in WILDCARDS and not hosts:
        raise ConfigError(
            f"{address} means every address of this machine, and browsers say by which name they mean it",
            expected="the names or addresses under which the server is reached, by --host",
            remedy=f"add --host NAME, or listen on one address of this machine instead of {address}",
        )


def _options(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the settings as command-line options of Streamlit."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _options(value, f"{prefix}{name}.")
        else:
            for each in value if isinstance(value, list) else [value]:
                yield f"--{prefix}{name}={str(each).lower() if isinstance(each, bool) else each}"
