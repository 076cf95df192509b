"""``apet show``: the page in the browser."""

from __future__ import annotations

import errno
import os
import signal
import socket
import tempfile
import time
from typing import Any

from apet.core.errors import ApETError
from apet.installing import install


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
        ApETError: If Gradio is not installed, the address or port cannot be had, or the model cannot be
            loaded or drawn.
    """
    port = _bindable(host, port)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    folder = tempfile.TemporaryDirectory(prefix="apet-show-")
    os.environ["GRADIO_TEMP_DIR"] = folder.name
    try:
        import gradio
    except ImportError as error:
        raise ApETError("show", "no Gradio", install("web")) from error
    from apet.app.look import check_drawable
    from apet.app.page.layout import MOST_MEGABYTES, build_page
    from apet.app.page.models import Models
    from apet.app.page.style import CSS, theme

    models = Models(() if model is None else (model,), trust_remote_code=trust_remote_code)
    try:
        with models.running(models.offered[0]) as (net, _):
            check_drawable(net.config.model_type, "show --model")
    except ApETError as error:
        raise ApETError("show --model", error.got, error.expected) from error
    page: Any = build_page(models)
    page.queue(default_concurrency_limit=4, max_size=64)
    page.apet_folder = folder  # goes with the page
    try:
        page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=MOST_MEGABYTES * gradio.FileSize.MB,
            footer_links=[],
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            theme=theme(),
            css=CSS,
        )
    except OSError as error:  # Gradio looks at 127.0.0.1 as well
        raise ApETError("show --port", f"{port} ({error})", "a port that is free, or 0 for any") from error
    if wait:
        page.block_thread()
    return page


def show(model: str | None, host: str, port: int, *, trust_remote_code: bool = False) -> None:
    """Serves the page until it is interrupted or told to end, and says where; see `launch_page`."""
    _on_the_end(signal.default_int_handler)  # a shell lets background jobs ignore the first
    page = launch_page(model, host, port, trust_remote_code=trust_remote_code, wait=False)
    signals: list[int] = []
    try:
        # An exception could come up anywhere, while the server is closed as well.
        _on_the_end(lambda number, _: signals.append(number))
        print(f"apet show: {page.local_url} (Ctrl+C ends it)", flush=True)
        while page.is_running and not signals:
            time.sleep(0.1)
    finally:
        page.close(verbose=False)
        page.apet_folder.cleanup()
        # An answer that is still being written need not be waited for: another signal ends it at once.
        _on_the_end(signal.SIG_DFL)


def _on_the_end(do: Any) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, do)


def _bindable(host: str, port: int) -> int:
    """A port that can be listened on: the given one, or for 0 a free one."""
    try:
        with socket.create_server((host, port)) as probe:
            found: int = probe.getsockname()[1]
    except OSError as error:
        why = str(error.strerror).partition(" (while")[0]
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise ApETError("show --port", f"{port} ({why})", "a port that is free, or 0 for any") from error
        expected = "an address of this machine: 127.0.0.1, or 0.0.0.0 for all that it has"
        raise ApETError("show --host", f"{host!r} ({why})", expected) from error
    return found
