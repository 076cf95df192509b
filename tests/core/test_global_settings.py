"""What a program sets for all of torch changes no bit of a decision, and stays set."""

from __future__ import annotations

import threading
import warnings

import pytest
import torch
from tests.global_settings import NEW_PRECISION, SETTINGS, everything_set, precision
from tests.selections import tensors_of
from torch.utils._python_dispatch import TorchDispatchMode

from apet.core import Segment, compress, compress_ragged
from apet.core.precision import _BeforeTorch29, _Products, plain_arithmetic, unaffected

CUDA = torch.device("cuda")


@pytest.fixture
def tokens(draw):
    """Tokens near the span of a few of them: where products of fewer bits change what is kept."""
    x = draw(120, 96, shared=10.0)
    x[60:] = torch.softmax(x[60:], 1) @ draw(96, 96, seed=2) + 0.01 * x[60:]
    return x


def decisions(x):
    """Every way to call the core; fields of all results."""
    frames = [x[:20], x[:20] + 0.01 * x[20:40], x[40:60]]
    about = [Segment("video", 0, part, 20) for part in range(3)]
    results = [
        *(compress(x, 24, basis=basis) for basis in ("fps", "dpc", "random")),
        compress(x.to(torch.bfloat16), 0.2, start=3),
        compress(x.view(2, 60, 96), 9, merge=False),
        compress(1e25 * x, 9),
        compress(x, tolerance=0.1, max_keep=0.9),
        *compress_ragged([x[:30], x[30:], x[40:70]], [7, 9, 7]),
        *compress_ragged([x[:30], x[30:], x[40:70]], 9, budget="shared"),
        *compress_ragged(frames, tolerance=0.1, budget="shared", about=about, basis_size=3),
    ]
    return [value for result in results for value in tensors_of(result).values()] + [
        results[0].apply(x.double()),
        results[0].apply(x.half()),
        results[0].apply(torch.arange(120, device="cpu"), dim=0, merge=False),
    ]


def assert_same(found, expected):
    assert [(x.dtype, x.shape) for x in found] == [(x.dtype, x.shape) for x in expected]
    assert [n for n, pair in enumerate(zip(found, expected, strict=True)) if not torch.equal(*pair)] == []


@pytest.mark.parametrize("name", SETTINGS)
def test_same_bits(tokens, name):
    expected = decisions(tokens)
    with SETTINGS[name]():
        before = everything_set()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = decisions(tokens)
        assert everything_set() == before
    assert_same(found, expected)


class Products(TorchDispatchMode):
    """Records how precise the products are."""

    seen: set[str]

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("mm", "bmm", "addmm", "baddbmm", "addmm_", "baddbmm_"):
            dtypes = {x.dtype for x in args if isinstance(x, torch.Tensor)}
            now = torch.backends.mkldnn.matmul.fp32_precision if NEW_PRECISION else None
            now = now or torch.get_float32_matmul_precision()
            self.seen.add(now if dtypes <= {torch.float32, torch.float64} else str(dtypes))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["products: medium", "autocast", "autocast, nested"])
def test_products_are_float32(tokens, name):
    """Also where the processor has no faster ones, so that bits alone would not tell."""
    with SETTINGS[name](), Products() as products:
        decisions(tokens)
        tokens @ tokens.mT
    assert len(products.seen) == 2
    assert products.seen & {"ieee", "none", "highest"}


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(tokens, threads):
    expected = decisions(tokens)
    torch.set_num_threads(threads)
    assert_same(decisions(tokens), expected)


def test_the_global_generator_is_left_alone(tokens):
    torch.manual_seed(1)
    expected, state = decisions(tokens), torch.get_rng_state()
    torch.manual_seed(2)
    torch.rand(3)
    before = torch.get_rng_state()
    assert_same(decisions(tokens), expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(before, state)


needs_new = pytest.mark.skipif(not NEW_PRECISION, reason="torch before 2.9")


@needs_new
@pytest.mark.parametrize("older", ["high", "medium"])
def test_cuda_is_exact_inside_and_as_before_outside(older):
    matmul = torch.backends.cuda.matmul
    with precision(older=older):
        with plain_arithmetic(CUDA):
            assert matmul.fp32_precision == "ieee"
            assert torch.get_float32_matmul_precision() == older
        assert matmul.fp32_precision == "tf32"
        assert torch.backends.cuda.matmul.allow_tf32
        assert torch.get_float32_matmul_precision() == older


@needs_new
def test_what_was_inherited_is_inherited_again():
    with precision("tf32"):
        with plain_arithmetic(CUDA):
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
        torch.backends.fp32_precision = "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"


@needs_new
def test_an_error_inside_gives_the_settings_back():
    with precision(older="high"), torch.autocast("cpu", torch.bfloat16):
        before = everything_set()
        with pytest.raises(ZeroDivisionError), plain_arithmetic(torch.device("cpu")):
            raise ZeroDivisionError
        assert everything_set() == before


class Setting:
    fp32_precision = "tf32"


@pytest.mark.parametrize("unset", ["none", None])
def test_calls_that_overlap_give_back_what_the_first_found(unset):
    setting = Setting()
    products = _Products(setting, "ieee", unset)
    assert [products.enter(), products.enter()] == [True, True]
    products.leave()
    assert setting.fp32_precision == "ieee"
    assert products.enter()
    products.leave()
    products.leave()
    assert setting.fp32_precision == "tf32"


def test_what_is_set_meanwhile_stays():
    setting = Setting()
    products = _Products(setting, "ieee", "none")
    products.enter()
    setting.fp32_precision = "bf16"
    products.enter()
    assert setting.fp32_precision == "ieee"
    products.leave()
    products.leave()
    assert setting.fp32_precision == "bf16"
    products.enter()
    setting.fp32_precision = "tf32"
    products.leave()
    assert setting.fp32_precision == "tf32"


def test_nothing_is_set_where_products_are_exact():
    setting = Setting()
    setting.fp32_precision = "ieee"
    assert not _Products(setting, "ieee", "none").enter()


def test_torch_before_2_9():
    with precision(older="medium"):
        products = _Products(_BeforeTorch29(), "highest", None)
        assert products.enter()
        assert torch.get_float32_matmul_precision() == "highest"
        products.leave()
        assert torch.get_float32_matmul_precision() == "medium"
        assert _BeforeTorch29().fp32_precision == "medium"


def test_threads_that_overlap(tokens):
    """One holds the setting while others come and go; all decide the same, and the setting comes back."""
    expected, results, errors = decisions(tokens), [], []

    def work():
        try:
            results.append(decisions(tokens))
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    with precision(older="medium"):
        before = everything_set()[0]
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert everything_set()[0] == before
    assert not errors
    for found in results:
        assert_same(found, expected)


def test_autocast_inside_an_unaffected_call_is_noticed():
    @unaffected
    def inner(x):
        return x @ x

    @unaffected
    def outer(x):
        with torch.autocast("cpu", torch.bfloat16):
            return inner(x)

    assert outer(torch.eye(3)).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert inner(torch.eye(3)).dtype == torch.float32
        assert (torch.eye(3) @ torch.eye(3)).dtype == torch.bfloat16
