"""The tree of errors: what a script can rely on, whatever raises them."""

from __future__ import annotations

import pickle

import pytest

from quantize import errors
from quantize.errors import CheckpointError, QuantizeError

# The contract with scripts: these numbers never change.
EXIT_CODES = {
    "UsageError": 2,
    "UnsupportedError": 3,
    "CheckpointError": 4,
    "AuthError": 5,
    "NetworkError": 6,
    "DiskError": 7,
    "VerificationError": 8,
    "InternalError": 70,
}
KINDS = QuantizeError.__subclasses__()


def test_every_kind_has_its_exit_code() -> None:
    assert {kind.__name__: kind.exit_code for kind in KINDS} == EXIT_CODES
    assert errors.EXIT_OK == 0
    assert errors.EXIT_INTERRUPTED == 130  # 128 + SIGINT, as shells have it


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    for name, code in EXIT_CODES.items():
        assert any(name in line and f"exit {code} " in line for line in errors.__doc__.split("\n"))


def test_an_error_names_the_place_before_the_trouble() -> None:
    error = CheckpointError("nan-in-weight", "NaN at index 7", where="model.norm.weight")
    assert str(error) == "model.norm.weight: NaN at index 7"
    assert str(CheckpointError("nan-in-weight", "NaN at index 7")) == "NaN at index 7"


@pytest.mark.parametrize("reference", ["", "Bad-Size", "bad_size", "bad size", "-bad", "bad--size"])
def test_a_reference_is_kebab_case(reference: str) -> None:
    with pytest.raises(ValueError, match="kebab-case"):
        CheckpointError(reference, "whatever")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_between_processes(kind: type[QuantizeError]) -> None:
    sent = kind("some-trouble", "m", where="w", reason="r", hint="h")
    received = pickle.loads(pickle.dumps(sent))
    assert type(received) is kind
    assert vars(received) == vars(sent)
    assert vars(received) == {
        "code": "some-trouble", "message": "m", "where": "w", "reason": "r", "hint": "h",
    }  # fmt: skip
