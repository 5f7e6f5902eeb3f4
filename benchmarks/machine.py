"""What the figures were measured on, in neutral words: cores, Python, torch."""

from __future__ import annotations

import os
import platform

import torch


def describe_machine() -> str:
    """Return one line about this machine, without its name."""
    words = [
        f"{os.cpu_count()} cores ({platform.machine()})",
        f"{platform.system()}",
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
    ]
    if torch.cuda.is_available():
        words.append(f"GPU {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    return ", ".join(words)
