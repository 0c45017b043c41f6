"""A registry is a lazy, read-only table."""

from __future__ import annotations

from concurrent.futures.thread import ThreadPoolExecutor

import pytest

from quantize.registry import Registry

TABLE = {"lane": "thread:ThreadPoolExecutor", "Q4_K_M": "process:X", "nowhere": "missing:X"}


def test_a_row_is_loaded_when_it_is_asked_for() -> None:
    registry: Registry[object] = Registry("thing", "concurrent.futures", TABLE)
    assert registry["lane"] is ThreadPoolExecutor
    with pytest.raises(ModuleNotFoundError, match="missing"):
        registry["nowhere"]


def test_what_is_not_in_the_table_is_a_key_error() -> None:
    registry: Registry[object] = Registry("thing", "concurrent.futures", TABLE)
    assert list(registry) == list(TABLE)
    assert len(registry) == 3
    assert "lane" in registry
    assert "cbrt" not in registry
    with pytest.raises(KeyError):
        registry["cbrt"]


def test_a_later_change_of_the_table_changes_nothing() -> None:
    table = dict(TABLE)
    registry: Registry[object] = Registry("thing", "concurrent.futures", table)
    table.clear()
    assert len(registry) == 3


@pytest.mark.parametrize("typed", ["q4_k_m", "Q4KM", "q4-k-m", "Q4_K"])
def test_the_nearest_key_is_found_whatever_the_case(typed: str) -> None:
    registry: Registry[object] = Registry("thing", "concurrent.futures", TABLE)
    assert registry.nearest(typed) == ["Q4_K_M"]


def test_nothing_is_near_to_nonsense() -> None:
    registry: Registry[object] = Registry("thing", "concurrent.futures", TABLE)
    assert registry.nearest("zzzzz") == []
