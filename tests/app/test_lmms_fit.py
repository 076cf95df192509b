"""What ``apet eval`` on lmms-eval's tasks leaves out is known before the first run, without weights."""

import pytest

from apet.app import eval_lmms, loading
from apet.app.known import KNOWN, configuration_of
from apet.core.errors import ApETError
from apet.evaluation.configurations import DEFAULT_METHODS, plan


@pytest.fixture
def known(monkeypatch):
    def read(name, **options):
        return configuration_of(KNOWN[name])

    monkeypatch.setattr(loading, "load_config", read)


def _fitting(name, methods, keep=64):
    configurations, _ = plan(methods, [keep], ["off"], 1, eval_lmms.layers_of(name))
    fitting, unfit = eval_lmms._fitting(name, configurations, trust_remote_code=False)
    return {one.method for one in fitting}, unfit


def test_every_default_method_fits_llava(known):
    fitting, unfit = _fitting("llava-1.5-7b", DEFAULT_METHODS)
    assert fitting == {"full", *DEFAULT_METHODS}
    assert unfit == []


def test_what_reads_clip_is_left_out_of_qwen(known):
    fitting, unfit = _fitting("qwen2.5-vl-7b", DEFAULT_METHODS)
    assert {"full", "apet", "spread", "fastv", "apet:tolerance=0.2"} <= fitting
    assert [line.split(",")[0] for line in unfit] == ["visionzip", "vispruner", "hiprune", "prumerge+"]
    assert set(DEFAULT_METHODS) == (fitting | {line.split(",")[0] for line in unfit}) - {"full"}


def test_a_budget_above_the_tokens_is_refused(known):
    with pytest.raises(ApETError, match="keep=577 for 576 visual tokens"):
        _fitting("llava-1.5-7b", ["apet"], 577)
