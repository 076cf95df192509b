"""The entry point that vLLM calls in each of its processes."""

from __future__ import annotations

import logging
import os

from apet.vllm.registry import ARCHITECTURES
from apet.vllm.release import SUPPORTED, problem_with
from apet.vllm.settings import ENVIRONMENT, keep_of_environment

PREFIX = "ApET"
"""Stands before an architecture's name to ask for it with compression."""

# A child of vLLM's logger, so that messages look and go like those of vLLM.
logger = logging.getLogger("vllm.apet")


def register() -> None:
    """Tells vLLM the compressed architectures, under names of their own.

    With ``APET_KEEP`` set, they also take the place of vLLM's own classes. Only names are registered; the
    classes are imported when a model is built. May be called any number of times.
    """
    from vllm import ModelRegistry, __version__

    keep = keep_of_environment()
    problem = problem_with(__version__)
    if problem is not None:
        if keep is not None:
            from apet.core import ApETError

            raise ApETError(f"apet.vllm ({ENVIRONMENT})", problem, f"vLLM {SUPPORTED}")
        logger.warning(
            "apet.vllm supports vLLM %s and this is %s: its architectures are not available.",
            SUPPORTED,
            problem,
        )
        return
    from apet.vllm.configs import hook

    for architecture, place in ARCHITECTURES.items():
        names = [PREFIX + architecture] if keep is None else [PREFIX + architecture, architecture]
        for name in names:
            ModelRegistry.register_model(name, place)
            hook(name, architecture)
    if keep is not None:
        logger.info(
            "%s=%s in process %d: visual tokens are compressed by ApET in %s; other models run as they are.",
            ENVIRONMENT,
            keep,
            os.getpid(),
            ", ".join(sorted(ARCHITECTURES)),
        )
