"""YAML as users write it, read without what its rules would make of it behind their backs."""

import re
from pathlib import Path
from typing import Any

import yaml

from fashion_sweep.errors import CONTROL, CREDENTIALS, ConfigError

LARGEST = 2**20
"""The most bytes that a YAML file may have."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file.

    Raises:
        ConfigError: it is too large, no YAML or no mapping.
    """
    if (size := path.stat().st_size) > LARGEST:
        raise ConfigError(f"{path}: has {size:,} bytes, which no configuration needs; at most {LARGEST:,} are read")
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold a mapping of keys to values")
    return values


def check_no_password(text: str) -> None:
    """Checks that a text holds no password.

    Raises:
        ConfigError: there is one in it.
    """
    if CREDENTIALS.search(text):
        where = text.partition("://")[0]
        raise ConfigError(
            f"a {where}:// address holds a password, which would be written down with the configuration; leave it "
            "out: credentials belong in the environment, for instance AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )


class _Loader(yaml.SafeLoader):
    """The safe YAML loader, without what it lets through silently.

    That is: two equal keys, of which it would keep the last without a word, aliases, of which a few lines may stand for
    gigabytes, characters that steer a terminal, and 010 and 1:30, which are 8 and 90 to it.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()
            raise yaml.YAMLError(
                f"*{alias.anchor}, line {alias.start_mark.line + 1}: aliases are not read; write it out"
            )
        return super().compose_node(parent, index)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        if isinstance(node.value, str) and (found := CONTROL.search(node.value)):
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: holds the control character {found[0]!r}")
        if isinstance(node.value, str):
            check_no_password(node.value)
        return super().construct_scalar(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if repeated := [key for key in keys if isinstance(key, str) and keys.count(key) > 1]:
            raise yaml.YAMLError(f"{repeated[0]!r} is given twice, line {node.start_mark.line + 1} on")
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        if re.match(r"[-+]?0[0-9_]+$|.*:", node.value):
            raise yaml.YAMLError(
                f"line {node.start_mark.line + 1}: {node.value} would be another number; write it in decimal digits, "
                "or in quotes where it is text"
            )
        integer = node.tag.endswith(":int")
        return self.construct_yaml_int(node) if integer else self.construct_yaml_float(node)


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_number)


def parse(text: str) -> Any:
    """Parses YAML text; raises yaml.YAMLError alone."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (RecursionError, ValueError) as error:  # nested without end; a number or date that is none
        raise yaml.YAMLError(str(error)) from error
