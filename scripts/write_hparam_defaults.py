"""Write tests/data/hparam_defaults.json: what transformers says of each hparam that is not said.

    python scripts/write_hparam_defaults.py ../shared/conformance

Needs transformers (no torch). Of each config.json of the kit and of the cousins each name that
quantize reads is taken away in turn, and the config class is asked for it. Names for which it has
no plain value are not in the file, and neither are models without a class. Voxtral is not either:
its class gives the text part other values than that part's own class has.
"""

from __future__ import annotations

import importlib
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from write_config_classes import CONFIG_MAPPING, OTHERS, names_read

from quantize.architectures.hparams import lift_text_part

DATA = Path(__file__).parent.parent / "tests" / "data"
TARGET = DATA / "hparam_defaults.json"
OWN_TEXT = {"voxtral"}
_ROPE = ("rope_theta", "partial_rotary_factor")


def configs(kit: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((kit / "models").glob("*/config.json")):
        yield path.parent.name, json.loads(path.read_text("utf-8"))
    for path in sorted((DATA / "cousins").glob("*.tar.xz")):
        name = path.name.removesuffix(".tar.xz")
        with tarfile.open(path) as archive:
            file = archive.extractfile(f"models/{name}/config.json")
            assert file is not None, path
            yield name, json.load(file)


def without(config: dict[str, Any], key: str) -> dict[str, Any]:
    return {
        name: without(value, key) if isinstance(value, dict) else value
        for name, value in config.items()
        if name != key
    }


def value_of(config: dict[str, Any], key: str) -> Any:
    """What the class has where `config` has no `key`, anywhere."""
    silent = without(config, key)
    filled = lift_text_part(CONFIG_MAPPING[config["model_type"]].from_dict(silent).to_dict())
    rope = filled.get("rope_parameters")
    if key in _ROPE and isinstance(rope, dict):
        return rope.get(key)
    return filled.get(key)


def main(kit: Path) -> None:
    importlib.import_module("transformers").logging.set_verbosity_error()
    wanted, table = names_read(), {}
    for name, config in configs(kit):
        model_type = config.get("model_type")
        if model_type not in CONFIG_MAPPING or model_type in OTHERS or name in OWN_TEXT:
            continue
        found = {}
        for key in sorted(wanted.intersection(lift_text_part(config)) - {"model_type"}):
            try:
                value = value_of(config, key)
            except Exception as error:  # noqa: BLE001 - whatever a class raises, it has no default
                print(f"{name} {key}: {type(error).__name__}")
                continue
            if isinstance(value, bool | int | float | str):
                found[key] = value
        table[name] = found
    lines = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in sorted(table.items())]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
