"""Errors on one scale, in a terminal and on a page: what is as bad looks the same everywhere."""

from __future__ import annotations

import math

from quantize.execution.error_sums import TensorQuality

# Relative errors at the ends of the scale. What is between them is placed by its logarithm.
LOWEST = 0.001
HIGHEST = 1.0
_SMALLEST = 1e-5  # what a number is shown for

# What types lose of normal weights, as docs/benchmarks.md has it: marks to read the scale by.
TYPICAL = {
    "Q8_0": 0.0053, "Q6_K": 0.0177, "Q5_K": 0.0361, "Q4_K": 0.0714, "Q3_K": 0.1509, "Q2_K": 0.2965,
}  # fmt: skip


def position(relative: float) -> float:
    """Where a relative error is on the scale, from 0 to 1."""
    if relative <= LOWEST:
        return 0.0
    return min(math.log(relative / LOWEST) / math.log(HIGHEST / LOWEST), 1.0)


def percent(quality: TensorQuality) -> str:
    """The relative error: "7.12 %", "0" where nothing differs."""
    relative = quality.relative_rms
    if relative is None:
        return "no signal"
    if 0 < relative < _SMALLEST:
        return f"<{100 * _SMALLEST:g} %"
    return f"{_three_digits(100 * relative)} %" if relative else "0"


def decibels(quality: TensorQuality) -> str:
    return "" if quality.snr_db is None else f"{quality.snr_db:.1f} dB"


def cosine(quality: TensorQuality) -> str:
    return f"{quality.cosine:.6f}"


def largest(quality: TensorQuality) -> str:
    return _three_digits(quality.largest) if quality.largest else "0"


def broken(quality: TensorQuality) -> str:
    """What is NaN or infinite, in words; empty where nothing is."""
    counts = [
        f"{count:,} in the {side}"
        for count, side in (
            (quality.reference_not_finite, "reference"),
            (quality.not_finite, "other"),
        )
        if count
    ]
    return f"NaN or infinite: {', '.join(counts)}" if counts else ""


def _three_digits(value: float) -> str:
    """Such as 15.0 and 0.0120: as many digits whatever they are."""
    return f"{value:#.3g}".removesuffix(".")
