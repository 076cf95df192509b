"""What a server was told, and what a request may ask."""

from types import SimpleNamespace

import pytest
import torch

import apet
from apet.core import resolve_keep
from apet.vllm.compress import compress_items
from apet.vllm.counts import COUNT, Count, count_in
from apet.vllm.parts import Parts, equal_parts, plan, run_numbers
from apet.vllm.settings import keeps_by_name, method_of_request, server_method, without_ours


def config(**options):
    return SimpleNamespace(apet=options)


def test_the_config_names_the_method(monkeypatch):
    monkeypatch.setenv("APET_KEEP", "7")
    assert server_method(config(keep=0.25)) == apet.ApET(0.25)
    assert server_method(config(keep=64, merge=False, basis="dpc")) == apet.ApET(64, merge=False, basis="dpc")
    assert server_method(config(keep=64, method="random", seed=3)) == apet.Random(64, seed=3)
    assert server_method(SimpleNamespace()) == apet.ApET(7)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"keep": 0},
        {"keep": 1.5},
        {"keep": 0.5, "stage2": 1},
        {"keep": 0.5, "budget": "shared"},
        {"tolerance": 0.1},
        {"keep": 0.5, "sead": 1},
        {"keep": 4, "method": "?"},
    ],
)
def test_a_config_that_says_nothing_or_too_much(options, monkeypatch):
    monkeypatch.delenv("APET_KEEP", raising=False)
    with pytest.raises(apet.ApETError):
        server_method(config(**options))
    with pytest.raises(apet.ApETError, match="hf-overrides"):
        server_method(SimpleNamespace())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fastv", "the prompt"),
        ("dart", "the prompt"),
        ("cdpruner", "the prompt"),
        ("visionzip", "attention"),
        ("hiprune", "attention and places"),
    ],
)
def test_methods_that_are_told_more_are_refused_by_name(name, told):
    with pytest.raises(apet.ApETError, match=f"method='{name}', which is told {told}; expected"):
        server_method(config(keep=0.5, method=name))


def test_a_request_s_own_budget():
    server = apet.ApET(0.5, merge=False)
    assert method_of_request(server, {}) == server
    assert method_of_request(server, {"apet_keep": 3}) == apet.ApET(3, merge=False)
    assert without_ours({"apet_keep": 3, "fps": 2}) == {"fps": 2}
    for wrong in (0, 1.5, True, "64"):
        with pytest.raises(apet.ApETError, match="apet_keep"):
            method_of_request(server, {"apet_keep": wrong})


@pytest.mark.parametrize(("asked", "server", "good"), [(0.5, 0.5, True), (6, 0.5, True), (7, 0.5, False)])
def test_not_more_than_the_server_s(asked, server, good):
    parts = equal_parts(24, 2)
    if good:
        assert plan(parts, apet.ApET(asked), apet.ApET(server)).kept.tolist() == [6, 6]
        return
    with pytest.raises(apet.ApETError, match=r"at most the server's 0\.5 \(6\)"):
        plan(parts, apet.ApET(asked), apet.ApET(server))


def test_every_part_has_its_budget_and_newlines_stay():
    of = torch.tensor([0, 0, 0, 0, 1, 1, -1, 2, 2, 2, 2, 2, 1, -1])
    for keep in (0.5, 3, 1, 1.0):
        parts = plan(of, apet.ApET(keep), apet.ApET(1.0))
        sizes = [4, 3, 5]
        want = [resolve_keep(min(keep, n) if isinstance(keep, int) else keep, n) for n in sizes]
        assert parts.kept.tolist() == want
        assert parts.total == sum(want) + 2
        leading = parts.leading()
        assert leading[of < 0].all()
        for part, count in enumerate(want):
            mine = leading[of == part].tolist()
            assert mine == [True] * count + [False] * (sizes[part] - count)


def test_a_tile_without_tokens_keeps_none():
    parts = plan(torch.tensor([0, 0, 2, 2]), apet.ApET(0.5), apet.ApET(0.5))
    assert parts.kept.tolist() == [1, 0, 1]
    (short,) = compress_items(apet.ApET(0.5), [torch.randn(4, 3)], [parts])
    assert len(short.rows) == parts.total == int(parts.leading().sum()) == 2


def test_a_whole_image_has_one_budget():
    parts = plan(torch.tensor([0, 0, 1, 1, -1]), apet.ApET(0.5, unit="whole"), apet.ApET(0.5, unit="whole"))
    assert parts.of.tolist() == [0, 0, 0, 0, -1]
    assert parts.kept.tolist() == [2]


def test_runs_of_placeholders_are_numbered():
    embeds = torch.tensor([0, 1, 1, 0, 0, 1, 0, 1, 1]).bool()
    assert run_numbers(embeds).tolist() == [0, 0, 1, 2, 2]


def test_items_of_a_batch_are_compressed_as_each_alone():
    """Against the core's own call, part by part; -1 stays as it is."""
    generator = torch.Generator().manual_seed(0)
    items = [torch.randn(n, 16, generator=generator) for n in (20, 20, 9)]
    of = [equal_parts(20, 2), equal_parts(20, 2), torch.tensor([0] * 8 + [-1], dtype=torch.int32)]
    method = apet.ApET(0.5)
    plans = [plan(parts, apet.ApET(keep), method) for parts, keep in zip(of, (0.5, 0.3, 0.5), strict=True)]
    done = compress_items(method, items, plans)
    for item, parts, short in zip(items, plans, done, strict=True):
        want, kept = [], []
        for part, keep in enumerate(parts.kept.tolist()):
            where = (parts.of == part).nonzero()[:, 0]
            alone = apet.compress(item[where], keep)
            want.append(alone.tokens)
            kept.append(where[alone.indices])
        stays = (parts.of < 0).nonzero()[:, 0]
        assert torch.equal(short.indices, torch.cat([*kept, stays]))
        torch.testing.assert_close(short.rows, torch.cat([*want, item[stays]]))


def test_later_features_follow_the_main_ones():
    generator = torch.Generator().manual_seed(0)
    item = torch.randn(30, 24, generator=generator)
    parts = plan(equal_parts(30, 1), apet.ApET(7), apet.ApET(7))
    (short,) = compress_items(apet.ApET(7), [item], [parts], slice(8))
    main = apet.compress(item[:, :8], 7)
    assert torch.equal(short.indices, main.indices)
    torch.testing.assert_close(short.rows, main.apply(item))


def test_features_that_are_not_finite_stop_nobody():
    item = torch.ones(12, 4)
    item[3] = torch.nan
    item[5, 0] = torch.inf
    parts = plan(equal_parts(12, 1), apet.ApET(4), apet.ApET(4))
    (short,) = compress_items(apet.ApET(4), [item], [parts])
    assert short.rows.shape == (4, 4)


def test_all_tokens_kept_are_the_same_rows():
    item = torch.randn(12, 4)
    (short,) = compress_items(apet.ApET(1.0), [item], [Parts.everything(12)])
    assert torch.equal(short.rows, item)


def test_names_that_ask_for_a_budget():
    names = ["m", "m@0.25", "m@64", "m@main", "n@64", "@1", "a@b", "a@b@1.0"]
    assert keeps_by_name(names) == {"m@0.25": 0.25, "m@64": 64, "a@b@1.0": 1.0}
    for wrong in ("m@0", "m@1.5", "m@-3"):
        with pytest.raises(apet.ApETError, match=f"model {wrong}"):
            keeps_by_name(["m", wrong])


def test_only_the_server_s_count_is_one():
    count = Count()
    assert count_in({COUNT: count}) is count
    assert count_in({COUNT: 5}) is None
    assert without_ours({COUNT: count, "apet_keep": 3, "size": 2}) == {"size": 2}
    count.add("image", 576, 64)
    count.add("image", 10, 10)
    count.add("video", 40, 8)
    assert count.of == {"image": (2, 586, 74), "video": (1, 40, 8)}
    assert count.tokens == (626, 82)
