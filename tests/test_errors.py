"""What a message quotes of an error."""

import pytest

from cellquilt.errors import reason


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such tag"), "no such tag"),
        (
            ValueError("while parsing\n  in line 3:\n\texpected ':'\n"),
            "while parsing in line 3: expected ':'",
        ),
        (MemoryError(), "MemoryError"),
        (ValueError(" \n"), "ValueError"),
        ("a complaint\nof two lines", "a complaint of two lines"),
    ],
)
def test_a_reason_is_one_line(error, text):
    assert reason(error) == text


@pytest.mark.parametrize("text", ["x" * 10**6, "x " * 10**6, "\n" * 10**6 + "x " * 10**6])
def test_a_reason_is_cut(text):
    assert reason(ValueError(text)) == text.strip()[:200]
    assert reason(text, 7) == text.strip()[:7]
