"""The helpers of the sentences in which the package speaks."""

import pytest

from sdnb.errors import Problem, bytes_in_words, seconds_in_words


@pytest.mark.parametrize(
    ("count", "words"),
    [(999, "0.999 kB"), (84_500, "84.5 kB"), (3_210_000, "3.21 MB"), (2e9, "2 GB")],
)
def test_sizes(count, words):
    assert bytes_in_words(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.6, "5 s"), (99, "99 s"), (150, "2 min"), (3 * 3600 + 300, "3 h 05 min")],
)
def test_times(seconds, words):
    assert seconds_in_words(seconds) == words


def test_a_name_that_is_no_unicode_can_be_printed():
    said = str(Problem("The caf\udce9 is shut", "caf\udce9/a.jpg", "Open caf\udce9"))
    assert said.encode() and said.count("caf?") == 3
