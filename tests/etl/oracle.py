"""A plain reader of pages, for tests to hold the two real ones against.

It checks nothing and shares nothing with them: PyYAML and json read, and the few rules of spelling
are written down once more. What it makes of a page counts only where the page is a good one.
"""

import json
import re
from dataclasses import replace
from typing import Any, NamedTuple

import yaml

from etl.records import Facts
from etl.sources.pages.grammar import Page

_FACTS = Facts._fields[: Facts._fields.index("size") + 1]
"""What pages tell."""

_FRONT = re.compile(r"---[ \t\r]*\n(.*?)^---[ \t\r]*$", re.DOTALL | re.MULTILINE)
_ONE_LINE = re.compile(r"^(meta|spec_details):[ \t]+([{\[].*)$", re.MULTILINE)
_SWITCH = re.compile(r"([+~])\1?([\w.-]+)", re.ASCII)
_VALUED = re.compile(r"([\w.-]+):?=(=?)(.*)", re.ASCII)
_QUOTED = re.compile(r"""(['"])(.*)\1""")


class Told(NamedTuple):
    """What a page says, in our spelling."""

    release: str
    package: str
    specs: list[dict[str, Any]]


def read(data: bytes) -> Told:
    """Read a page that is good."""
    front = _FRONT.match(data.decode("utf-8-sig"))
    assert front
    values: dict[str, Any] = {}

    def take_json(line: re.Match[str]) -> str:
        try:
            values[line[1]] = json.loads(line[2])
        except ValueError:
            return line[0]
        return ""

    rest = _ONE_LINE.sub(take_json, front[1])
    texts = yaml.load(rest, yaml.CBaseLoader) or {}
    values = (yaml.load(rest, yaml.CSafeLoader) or {}) | values
    return Told(texts["categories"][1], texts["title"], [_spec(s) for s in values["spec_details"]])


def _spec(found: dict[str, Any]) -> dict[str, Any]:
    variants = [_variant(variant) for variant in found["variants"]]
    return {
        **{key: found[key] for key in ("hash", "os", "platform", "target")},
        "version": found["versions"][0],
        "compiler": found["compiler"].replace("@=", "@", 1),
        "variants": list(dict.fromkeys(variants)),
        "values": sorted({value for variant in variants for value in _values(variant)}),
        "size": None if found["size"] == "-" else found["size"],
        "stacks": list(dict.fromkeys(found["stacks"])),
        "tarball": found.get("tarball"),
    }


def _variant(text: str) -> str:
    """`x:=a,b` and `x=a,b` are one variant."""
    valued = _VALUED.fullmatch(text)
    return f"{valued[1]}={valued[2]}{valued[3]}" if valued else text


def _values(variant: str) -> list[tuple[str, str, str]]:
    if switch := _SWITCH.fullmatch(variant):
        sign, name = switch.groups()
        return [(sign + name, name, {"+": "true", "~": "false"}[sign])]
    valued = _VALUED.fullmatch(variant)
    assert valued
    name, text = valued[1], valued[3]
    quoted = _QUOTED.fullmatch(text)
    values = (quoted[2] if quoted else text).split(",")
    return [(f"{name}={value}", name, value) for value in values]


def told(page: Page) -> Told:
    """What a real reader found, for comparison with `read`."""
    for spec in page.specs:
        # Only indexes tell of the other facts, and of what is no binary.
        assert {*spec.facts[len(_FACTS) :]} == {None}
        assert spec.is_binary
    specs = [
        {
            "hash": spec.hash,
            **dict(zip(_FACTS, spec.facts, strict=False)),
            "variants": list(spec.facts.variants.listed),
            "values": [tuple(value) for value in spec.facts.variants.values],
            "stacks": list(spec.stacks.names),
            "tarball": spec.tarball,
        }
        for spec in page.specs
    ]
    return Told(page.release, page.package, specs)


def comparable(page: Page | None) -> Page | None:
    """A page whose lists are compared by what they hold."""
    if page is None:
        return None
    specs: Any = [
        (
            spec.hash,
            *spec.facts[:5],
            *(spec.facts.variants.listed, spec.facts.variants.json, spec.facts.variants.values),
            *(spec.facts.variants.repeated, *spec.facts[6:]),
            *(spec.stacks.names, spec.stacks.repeated, spec.tarball, spec.is_binary),
        )
        for spec in page.specs
    ]
    return replace(page, specs=specs)
