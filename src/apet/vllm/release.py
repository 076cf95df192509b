"""Which releases of vLLM the plugin was written for."""

from __future__ import annotations

SUPPORTED = ">=0.32,<0.33"
"""Nearly every hook is a private method of vLLM, so the range is what was tested and nothing else."""


def problem_with(release: str) -> str | None:
    """Says what is wrong with a release of vLLM; None if it is supported.

    Args:
        release: ``vllm.__version__``.
    """
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion

    try:
        if SpecifierSet(SUPPORTED).contains(release, prereleases=True):
            return None
    except InvalidVersion:
        return f"vLLM of unknown version {release!r}"
    return f"vLLM {release}"
