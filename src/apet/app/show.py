"""``apet show``: the page in the browser."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from apet.core.errors import ApETError

__all__ = ["launch_page", "show"]


def launch_page(
    model: str | None, host: str, port: int, *, trust_remote_code: bool = False, wait: bool = True
) -> Any:
    """Serves the page.

    Uploads and drawn pictures lie in a folder of their own, the only one that the page can read; it is
    removed in the end. Nothing is sent anywhere, and the page fetches nothing from elsewhere.

    Args:
        model: Model id or folder to start with; the embedded model if None.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        trust_remote_code: Let the models' repositories run their own code.
        wait: Whether to return only when the server stops.

    Returns:
        The page, with ``local_url`` and ``close()``.

    Raises:
        ApETError: If Gradio is not installed, or the port cannot be had.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    folder = tempfile.TemporaryDirectory(prefix="apet-show-")
    os.environ["GRADIO_TEMP_DIR"] = folder.name
    try:
        import gradio
    except ImportError as error:
        raise ApETError("show", "no Gradio", "pip install 'apet[web]'") from error
    from apet.app.page.layout import CSS, build_page, theme
    from apet.app.page.models import Models

    models = Models(() if model is None else (model,), trust_remote_code=trust_remote_code)
    page: Any = build_page(models)
    page.queue(default_concurrency_limit=4, max_size=64)
    page.apet_folder = folder  # goes with the page
    try:
        page.launch(
            server_name=host,
            server_port=port or _free_port(host),
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=25 * gradio.FileSize.MB,
            footer_links=[],
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            theme=theme(),
            css=CSS,
        )
    except OSError as error:
        raise ApETError("show", f"{host}:{port} ({error})", "an address and port that are free") from error
    if wait:
        page.block_thread()
    return page


def show(model: str | None, host: str, port: int, *, trust_remote_code: bool = False) -> None:
    """Serves the page until interrupted, and says where; see `launch_page`."""
    page = launch_page(model, host, port, trust_remote_code=trust_remote_code, wait=False)
    print(f"apet show: {page.local_url} (Ctrl+C ends it)", flush=True)
    page.block_thread()


def _free_port(host: str) -> int:
    import socket

    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port
