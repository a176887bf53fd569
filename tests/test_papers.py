"""docs/papers.md names places and commands that exist, and every system that can be trained."""

import ast
import re

import pytest
from helpers import ROOT

from tfar import presets
from tfar.models import SYSTEMS, named_recipe

TEXT = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
PLACES = sorted(set(re.findall(r"`(tfar/[\w/]+\.py):(\w+)`", TEXT)))


@pytest.mark.parametrize(("file", "name"), PLACES, ids=":".join)
def test_the_places_of_the_papers_exist(file, name):
    defined = set()
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        defined |= {getattr(target, "name", getattr(target, "id", None)) for target in targets}
    assert name in defined


def test_many_places_are_named():
    assert len(PLACES) > 50
    assert TEXT.count("tfar/") == len(re.findall(r"`tfar/[\w/]+(\.py:\w+|/)`", TEXT))


def test_every_system_is_named_and_every_name_is_a_system():
    first = [row for row in TEXT.split("\n## ")[0].splitlines() if row.startswith("| ")][1:]
    named = {name for row in first for name in re.findall(r"`([\w-]+)`", row.split("|")[3])}
    assert named == set(SYSTEMS)
    assert {name for row in first for name in re.findall(r"`([\w-]+)`", row.split("|")[4])} <= set(presets.names())
    commands = set(re.findall(r"`tfar train ([\w-]+)`", TEXT)) - {"NAME"}
    assert len(commands) > 10 and commands <= set(SYSTEMS)


def test_every_adversarial_recipe_of_the_papers_is_measured():
    lines = re.findall(r"^\| `([\w:.-]+)` \| ([\d.]+)% \| ", TEXT, re.MULTILINE)
    for name, share in lines:
        assert named_recipe(name).discriminator and 1 <= float(share) <= 30
    systems = {name.partition(":")[0] for name, _ in lines}
    assert systems >= {"region-aware", "ep-gan", "v-gan", "argan", "galteri-gan", "galteri-gan-l1", "one-to-many"}
