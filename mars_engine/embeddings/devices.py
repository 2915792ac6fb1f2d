"""The device that a transformer computes on, and whether it computes there in fp32 or bf16."""

import torch

from mars_engine.core.config import Precision
from mars_engine.core.errors import ModelError


def find_device(name: str, *, section: str) -> torch.device:
    """Return the device that a setting names: 'auto' is torch's accelerator, else the CPU.

    Args:
        name: the setting's value.
        section: where it stands in mars.toml.

    Raises:
        ModelError: torch cannot use it.
    """
    try:
        if name == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.zeros(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        raise ModelError(
            f"the device {name!r} cannot be used: {str(error).splitlines()[0]}",
            remedy=f"set device under [{section}] in mars.toml to 'cpu' or 'auto'",
        ) from error


def trains_in_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether training computes in bf16: always as asked, on 'auto' where the hardware is quick at it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def computes_in_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether a model computes in bf16 outside training; on 'auto' as training does, but never on a processor.

    There it saves little, and costs sameness.
    """
    if precision == "auto" and device.type == "cpu":
        return False
    return trains_in_bf16(precision, device)
