"""Asking models that llama.cpp runs here: a server on loopback for each, asked as any other server is."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mars_engine.augment.generators.chat.backend import ChatBackend, Order, Reply
from mars_engine.core.config import ChatConfig
from mars_engine.core.errors import ConfigError, ModelError
from mars_engine.core.whole_file import file_sha256
from mars_engine.embeddings.packaged_lm import PACKAGED_LM, find_gguf_file

POSITIONS_A_REQUEST = 4096
"""Tokens that a request under way may take on average, its answer included; requests of a server share them all."""
REMEDY = "correct 'model' under [chat] in mars.toml"


@dataclass
class LlamaCppModels:
    """A ChatBackend that runs GGUF models by the package xllamacpp, a server of its own for each.

    Guarantees: those of a server's client, which asks. The servers listen on loopback only and end with `close`.

    Args:
        config: which model, and how many requests are under way at a time.
        connect: opens the client of a server, by settings with its address.
    """

    config: ChatConfig
    connect: Callable[[ChatConfig], ChatBackend]
    _running: dict[str, tuple[Any, ChatBackend]] = field(default_factory=dict, repr=False)

    @property
    def outage(self) -> str:
        """Why nothing is answered for the moment though the requests wait; empty otherwise."""
        return next((client.outage for _, client in self._running.values() if client.outage), "")

    def start(self, orders: Sequence[Order], *, ahead: bool = False) -> list[Future[Reply]]:
        """Begin to answer, and return at once; a model's first request waits until it is loaded."""
        by_model: dict[str, list[Order]] = {}
        for order in orders:
            by_model.setdefault(order.request.model, []).append(order)
        futures: dict[str, Future[Reply]] = {}
        for name, some in by_model.items():
            begun = self._client(name).start(some, ahead=ahead)
            futures |= {order.request.id: future for order, future in zip(some, begun, strict=True)}
        return [futures[order.request.id] for order in orders]

    def close(self) -> None:
        """End what is under way, and the servers with it."""
        while self._running:
            _, (_, client) = self._running.popitem()
            client.close()

    def _client(self, name: str) -> ChatBackend:
        if name not in self._running:
            server = start_server(find_gguf(name), self.config.concurrency)
            address = f"{server.listening_address}/v1"
            self._running[name] = server, self.connect(self.config.model_copy(update={"base_url": address}))
        return self._running[name][1]


def find_gguf(name: str) -> Path:
    """Return the GGUF file of a model: 'packaged-lm', or a path.

    Raises:
        ModelError: there is no such file, or the packaged language model is not installed.
    """
    if name == PACKAGED_LM:
        return find_gguf_file()
    file = Path(name).expanduser()
    if not name or not file.is_file():
        raise ModelError(
            f"there is no file {name!r} for llama.cpp",
            expected="'packaged-lm', or the path of a GGUF file with an instruct model",
            remedy=REMEDY,
        )
    return file.resolve()


def gguf_fingerprint(name: str) -> str:
    """Return the SHA-256 of a model's file, first 24 digits; empty where no model is named."""
    return file_sha256(find_gguf(name))[:24] if name else ""


def start_server(file: Path, at_a_time: int) -> Any:
    """Start a server on a free port of loopback, which ends when nothing holds it any more.

    Raises:
        ConfigError: the package xllamacpp is not installed.
        ModelError: the file cannot be read as a model.
    """
    try:
        import xllamacpp
    except ImportError as error:
        raise ConfigError(
            "chat.backend = 'llama.cpp' needs the package xllamacpp, which is not installed",
            remedy="pip install 'mars-engine[llama-cpp]', or set the backend to 'transformers'",
        ) from error
    settings = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.hostnames, settings.port = ["127.0.0.1"], 0
    settings.n_parallel, settings.kv_unified = at_a_time, True
    settings.n_ctx = at_a_time * POSITIONS_A_REQUEST
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = _threads()
    # threads that poll instead of sleeping take a processor from whatever else runs, and wait longest when it is busy
    settings.cpuparams.poll = settings.cpuparams_batch.poll = 0
    settings.ui, settings.verbosity = False, -1
    try:
        return xllamacpp.Server(settings)
    except RuntimeError as error:
        raise ModelError(
            f"llama.cpp cannot load {file}: {error}",
            expected="a whole GGUF file of an instruct model that fits into memory",
            remedy=REMEDY,
        ) from error


def _threads() -> int:
    """Return one less than the processors that this process may use, at least 1.

    llama.cpp's threads wait for each other many times a token: where one of them shares its processor with other work,
    all stand still, and two threads write slower than one.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable - 1)
