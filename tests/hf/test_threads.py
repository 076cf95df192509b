"""Two threads that generate on one model at once."""

from __future__ import annotations

import threading

import torch

from apet.hf import compressing
from tests.hf.cases import PROMPTS, method
from tests.hf.tiny import prompts

OPTIONS = {"max_new_tokens": 6, "do_sample": False}


def test_threads_do_not_mix(llava):
    batches = [
        prompts(PROMPTS[rows], seed=seed) for rows, seed in (("ragged", 1), ("one", 2), ("text row", 3))
    ]
    with compressing(llava, method("both")) as session:
        expected, images = [], []
        for batch in batches:
            expected.append(llava.generate(**batch, **OPTIONS))
            images.append([image.indices for image in session.images])
        before = session.totals
        wrong, start = [], threading.Barrier(len(batches))
        repeats = 5

        def work(number):
            torch.set_grad_enabled(False)
            start.wait()
            for _ in range(repeats):
                out = llava.generate(**batches[number], **OPTIONS)
                mine = [image.indices for image in session.images]
                same = len(mine) == len(images[number]) and all(map(torch.equal, mine, images[number]))
                if not torch.equal(out, expected[number]) or not same:
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(batches))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert session.totals.prefills == before.prefills + repeats * len(batches)


def test_interleaved_prefills(llava):
    """Two prefills that are both under way, switched in the middle on purpose."""
    batches = [prompts(PROMPTS["ragged"], seed=1), prompts(PROMPTS["one"], seed=2)]
    inside = [threading.Event(), threading.Event()]
    names = {}

    def wait(*_):
        number = names.get(threading.get_ident())
        if number is not None:
            inside[number].set()
            assert inside[1 - number].wait(30)

    with compressing(llava, method("both")):
        expected = [llava(**batch).logits for batch in batches]
        results = [None, None]

        def work(number):
            torch.set_grad_enabled(False)
            names[threading.get_ident()] = number
            results[number] = llava(**batches[number]).logits

        hook = llava.model.language_model.layers[1].register_forward_pre_hook(wait)
        threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        hook.remove()
    assert all(map(torch.equal, results, expected))


def test_results_of_a_worker_can_be_read(llava):
    """A thread without calls of its own reads the last call of any thread."""
    seen = {}
    with compressing(llava, method("stage 1")) as session:

        def work():
            torch.set_grad_enabled(False)
            llava(**prompts(PROMPTS["one"]))
            seen["worker"] = session.images

        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
        assert session.images == seen["worker"] != ()
        llava(**prompts(PROMPTS["ragged"]))
        assert len(session.images) == 3
