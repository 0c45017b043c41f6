"""A registry is a lazy, read-only table."""

from __future__ import annotations

import math

import pytest

from quantize.registry import Registry

TABLE = {"sqrt": "math:sqrt", "Q4_K_M": "math:pi", "nowhere": "no.such.module:X"}


def test_a_row_is_loaded_when_it_is_asked_for() -> None:
    registry: Registry[object] = Registry("thing", TABLE)
    assert registry["sqrt"] is math.sqrt
    with pytest.raises(ModuleNotFoundError, match="'no'"):
        registry["nowhere"]


def test_what_is_not_in_the_table_is_a_key_error() -> None:
    registry: Registry[object] = Registry("thing", TABLE)
    assert list(registry) == list(TABLE)
    assert len(registry) == 3
    assert "sqrt" in registry
    assert "cbrt" not in registry
    with pytest.raises(KeyError):
        registry["cbrt"]


def test_a_later_change_of_the_table_changes_nothing() -> None:
    table = dict(TABLE)
    registry: Registry[object] = Registry("thing", table)
    table.clear()
    assert len(registry) == 3


@pytest.mark.parametrize("typed", ["q4_k_m", "Q4KM", "q4-k-m", "Q4_K"])
def test_the_nearest_key_is_found_whatever_the_case(typed: str) -> None:
    registry: Registry[object] = Registry("thing", TABLE)
    assert registry.nearest(typed) == ["Q4_K_M"]


def test_nothing_is_near_to_nonsense() -> None:
    registry: Registry[object] = Registry("thing", TABLE)
    assert registry.nearest("zzzzz") == []
