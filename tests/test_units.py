"""Sizes, counts and times read and write as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize.errors import UsageError
from quantize.units import format_bytes, format_count, format_seconds, parse_size


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("0", 0),
        ("4096", 4096),
        ("12B", 12),
        ("600MB", 600_000_000),
        ("600M", 600_000_000),
        ("600 mb", 600_000_000),
        ("600MiB", 629_145_600),
        ("2.5GiB", 2_684_354_560),
        (" 4g ", 4_000_000_000),
        ("1T", 1_000_000_000_000),
    ],
)
def test_a_size_is_a_number_and_a_unit(text: str, nbytes: int) -> None:
    assert parse_size(text) == nbytes


@pytest.mark.parametrize(
    "text", ["", "GB", "-1", "1e6", "1,5G", "12 iB", "12i", "5PB", "4 G B", "²"]
)
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert caught.value.code == "bad-size"
    assert repr(text) in str(caught.value)
    assert caught.value.hint is not None
    assert "600MB" in caught.value.hint


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_501, "1.00 MB"),
        (22_713_216, "22.7 MB"),
        (4_920_734_272, "4.92 GB"),
        (1_300_000_000_000, "1.30 TB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_bytes_have_three_digits(nbytes: int, text: str) -> None:
    assert format_bytes(nbytes) == text


@given(st.integers(0, 10**15))
def test_written_bytes_read_back_within_half_a_digit(nbytes: int) -> None:
    # Three digits round by at most 5 of the fourth: 1.004999 is written as 1.00.
    assert parse_size(format_bytes(nbytes)) == pytest.approx(nbytes, rel=0.00501)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 K"),
        (10_500_000, "10.5 M"),
        (134_515_008, "135 M"),
        (1_235_814_400, "1.24 B"),
        (405_853_388_800, "406 B"),
        (1_026_408_232_448, "1.03 T"),
    ],
)
def test_counts_have_three_digits(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.42, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (75, "1 min 15 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (3700, "1 h 01 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_times_have_the_two_units_that_matter(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
