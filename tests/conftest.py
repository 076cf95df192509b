"""Tests in a browser are run by ``make test-web``, which installs what they need."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("playwright") and find_spec("gradio") else ["web"]
