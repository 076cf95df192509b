"""Numbers from text and into text."""

import pytest

from apet.core.words import counted, figure, in_time, one_of, read_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("64", 64),
        (" 64 ", 64),
        ("-3", -3),
        ("+3", 3),
        ("1.0", 1.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-3", 0.001),
    ],
)
def test_numbers_that_people_write(text, number):
    assert read_number(text) == number
    assert type(read_number(text)) is type(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1_0",
        "1_0.5",
        "٣",
        "²",
        "nan",
        "inf",
        "-inf",
        "0x10",
        "1e",
        "1 0",
        "many",
        "9" * 5000,
        "1,0",
    ],
)
def test_what_is_no_number(text):
    assert read_number(text) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1140.2, "1140"), (0.0, "0"), (53.44, "53.4"), (0.000123, "0.000123"), (12345.6, "12,346"),
        (1.5, "1.5"), (999.9, "1000"), (9.996, "10"), (9999.7, "10,000"), (-2.0, "-2"), (100.0, "100"),
        (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_figures_have_three_digits_and_no_exponent(value, text):
    assert figure(value) == text


def test_nouns_and_times():
    assert [counted(n, "image") for n in (0, 1, 2, 1000)] == [
        "0 images",
        "1 image",
        "2 images",
        "1,000 images",
    ]
    assert [in_time(s) for s in (5.4, 59.4, 60, 3599, 7500)] == [
        "5 s",
        "59 s",
        "1 min",
        "1 h 0 min",
        "2 h 5 min",
    ]


@pytest.mark.parametrize(
    ("name", "near"), [("spred", "; did you mean Spread?"), ("APET", "; did you mean apet?"), ("x", "")]
)
def test_names_and_the_one_that_was_meant(name, near):
    assert one_of(["apet", "Spread"], name) == f"one of apet, Spread{near}"
