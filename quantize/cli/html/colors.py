"""The colors of the scale, for light and dark pages, and the ink that is readable on each."""

from __future__ import annotations

from itertools import pairwise

# From the best to the worst: lightness goes one way only, so that it shows without hues, too.
_LIGHT = ("#eef4f6", "#d3eae0", "#f7da8c", "#f29a55", "#b8213f", "#6d0f3a")
_DARK = ("#17222b", "#1b4a4c", "#676020", "#b96a22", "#f0685e", "#ffc2cf")
_INKS = ("#05070a", "#ffffff")

STEPS = 64

Color = tuple[int, int, int]


def step(position: float) -> int:
    """Which of the STEPS colors is at a position from 0 to 1."""
    return round(position * (STEPS - 1))


def css(steps: set[int]) -> str:
    """A class for each step that is used: its color and its ink, light and dark."""
    return "\n".join(f".s{number}{{{_variables(number)}}}" for number in sorted(steps))


def _variables(number: int) -> str:
    light, dark = (at(stops, number / (STEPS - 1)) for stops in (_LIGHT, _DARK))
    return f"--l:{_hex(light)};--li:{ink(light)};--d:{_hex(dark)};--di:{ink(dark)}"


def at(stops: tuple[str, ...], position: float) -> Color:
    """The color at a position from 0 to 1 between evenly placed stops."""
    place = position * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    low, high = list(pairwise(map(_rgb, stops)))[index]
    red, green, blue = (
        round(a + (b - a) * (place - index)) for a, b in zip(low, high, strict=True)
    )
    return red, green, blue


def ink(color: Color) -> str:
    """The ink with the greater contrast."""
    return max(_INKS, key=lambda one: contrast(_rgb(one), color))


def contrast(first: Color, second: Color) -> float:
    """The contrast ratio of WCAG 2, from 1 to 21."""
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: Color) -> float:
    """Relative luminance of sRGB, as WCAG 2 defines it."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in color)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _rgb(text: str) -> Color:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
