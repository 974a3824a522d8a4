# SPDX-License-Identifier: Apache-2.0
"""envoy/certbound.schema.json, held against an independent validator: it must agree with certbound about every
configuration there is, and the files of envoy/ must name it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from cases import World
from cases.export import as_json
from rig import shipped

CONFIGURATIONS = shipped.ROOT / "tests" / "desk" / "configurations"
ENVOY = shipped.ROOT / "envoy"
SCHEMA = json.loads((ENVOY / "certbound.schema.json").read_text())


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(SCHEMA)
    return Draft202012Validator(SCHEMA)


def files(folder: str) -> list[Path]:
    """Those that are YAML; a mistake may be that they are not."""
    found = sorted((CONFIGURATIONS / folder).glob("*.yaml"))
    assert found
    return [path for path in found if readable(path)]


def readable(path: Path) -> bool:
    try:
        return yaml.safe_load(path.read_text()) is not None
    except yaml.YAMLError:
        return False


def named(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", files("valid"), ids=named)
def test_a_valid_configuration_is_valid(validator: Draft202012Validator, path: Path) -> None:
    validator.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", [path for path in files("invalid") if path.stem != "key-twice"], ids=named)
def test_an_invalid_configuration_is_invalid(validator: Draft202012Validator, path: Path) -> None:
    assert not validator.is_valid(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", files("invalid/beyond-the-schema"), ids=named)
def test_what_only_certbound_itself_can_see_is_valid(validator: Draft202012Validator, path: Path) -> None:
    """What a schema could see belongs one folder up."""
    assert validator.is_valid(yaml.safe_load(path.read_text()))


def test_every_configuration_of_the_cases_is_valid(validator: Draft202012Validator, world: World) -> None:
    for name, configuration in as_json(world)["configurations"].items():
        errors = [error.message for error in validator.iter_errors(json.loads(configuration["json"]))]
        assert not errors, name


def yaml_of_the_manual() -> Iterator[Any]:
    for page in (shipped.ROOT / "README.md", *(shipped.ROOT / "docs").glob("*.md")):
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
            document = yaml.safe_load(block)
            roles = {"policies", "resource_server", "authorization_server"}
            if isinstance(document, dict) and roles & document.keys():
                yield document


def test_the_configurations_of_the_manual_are_valid(validator: Draft202012Validator) -> None:
    count = 0
    for document in yaml_of_the_manual():
        validator.validate(json.loads(json.dumps(document).replace('"keys": []', '"keys": [{"kty": "EC"}]')))
        count += 1
    assert count >= 8


def test_every_key_has_a_description_and_every_default_and_example_is_allowed() -> None:
    for name, definition in [("the whole", SCHEMA), *SCHEMA["$defs"].items()]:
        for key, property_ in definition.get("properties", {}).items():
            assert property_.get("description"), f"{name}.{key}"
            schema = Draft202012Validator({**property_, "$defs": SCHEMA["$defs"]})
            for value in [*property_.get("examples", []), *([property_["default"]] if "default" in property_ else [])]:
                schema.validate(value)


def test_the_schema_has_examples_that_are_valid(validator: Draft202012Validator) -> None:
    (whole,) = SCHEMA["examples"]
    validator.validate(whole)
    examples = [key for definition in SCHEMA["$defs"].values() for key, value in definition.get("properties", {}).items()
                if "examples" in value]
    assert {"issuer", "audiences", "jwks_uri", "hosts", "path_prefix", "forward_certificate"} <= set(examples)


@pytest.fixture(scope="module")
def of_files() -> Draft202012Validator:
    schema = json.loads((ENVOY / "file.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    resource = Resource.from_contents(SCHEMA)
    return Draft202012Validator(schema, registry=Registry().with_resource("certbound.schema.json", resource))


@pytest.mark.parametrize("path", sorted(ENVOY.glob("*.yaml")), ids=named)
def test_an_example_names_its_schema_which_finds_a_mistake_in_each_configuration(
    of_files: Draft202012Validator, path: Path
) -> None:
    text = path.read_text()
    assert text.startswith("# yaml-language-server: $schema=file.schema.json\n")
    text = text.replace("{ keys: [] }", "{ keys: [ { kty: EC } ] }")
    for document in yaml.safe_load_all(text):
        of_files.validate(document)
    found = 0
    for role in ("resource_server:", "authorization_server:", "clean_only:"):
        for match in re.finditer(rf"(?m)^(?!\s*#).*\b{role}", text):
            wrong = f"{text[: match.end() - 1]}_x{text[match.end() - 1 :]}"
            assert not all(of_files.is_valid(document) for document in yaml.safe_load_all(wrong)), match[0]
            found += 1
    assert found or "config_discovery" in text


def test_a_mistake_in_a_key_is_named(validator: Draft202012Validator) -> None:
    (error,) = validator.iter_errors({"clean_only": {}, "default_polcy": "x"})
    assert "default_polcy" in error.message
