# SPDX-License-Identifier: Apache-2.0
"""No password of a URL, and no secret in the wrong place, is told by `certbound check` or `certbound explain`, wherever an operator
puts it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rig.desk import certbound
from rig.shipped import ROOT

PASSWORD = "hunter2"

URLS = [
    f"https://operator:{PASSWORD}@host.example",
    f"https://operator:{PASSWORD}@host.example:8443/path?query",
    f"https://{PASSWORD}@host.example/a@b",
    f"HTTPS:///operator:x/{PASSWORD}@host.example",
    f'https://operator:"x {PASSWORD}@host.example',
    f"https://host.example https://operator:{PASSWORD}@host.example",
    f"//operator:{PASSWORD}@host.example/",
]

FILES = [*sorted((ROOT / "tests/desk/configurations/valid").glob("*.yaml")), *sorted((ROOT / "envoy").glob("*.yaml"))]


def changed(value: Any, change: Callable[[str], str]) -> Iterator[Any]:
    """The value with one of its texts or keys changed, in every way."""
    match value:
        case dict():
            for key, inner in value.items():
                yield {change(own) if own == key else own: each for own, each in value.items()}
                for other in changed(inner, change):
                    yield {**value, key: other}
        case list():
            for place, inner in enumerate(value):
                for other in changed(inner, change):
                    yield [*value[:place], other, *value[place + 1 :]]
        case str() if not value.startswith("type.googleapis.com/"):
            yield change(value)


def told(directory: Path, documents: list[Any]) -> str:
    path = directory / "changed.yaml"
    path.write_text("".join(f"---\n{json.dumps(document)}\n" for document in documents))
    ran = certbound("check", path)
    return (ran.stdout + ran.stderr).decode()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_password_of_a_url_is_told_wherever_it_stands(file: Path, tmp_path: Path) -> None:
    for document in yaml.safe_load_all(file.read_text()):
        # Each file of envoy/ is some megabytes of changed ones.
        for url in URLS[:1] if file.parent.name == "envoy" else URLS:
            output = told(tmp_path, list(changed(document, lambda text: url)))
            assert PASSWORD not in output, [line for line in output.splitlines() if PASSWORD in line][:3]


URL_KEYS = ("jwks_uri", "endpoint", "url", "base_url", "resource")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_password_is_told_where_a_url_lacks_its_scheme(file: Path, tmp_path: Path) -> None:
    def places(value: Any) -> Iterator[Any]:
        match value:
            case dict():
                for key, inner in value.items():
                    if key in URL_KEYS and isinstance(inner, str):
                        yield from ({**value, key: url} for url in (f"operator:{PASSWORD}@host", f"https:/{PASSWORD}@host", rf"https:\\{PASSWORD}@host"))
                    if key in ("origins", "client_keys"):
                        yield {**value, key: {f"{PASSWORD}@host": "cluster"}}
                    yield from ({**value, key: other} for other in places(inner))
            case list():
                for place, inner in enumerate(value):
                    yield from ([*value[:place], other, *value[place + 1 :]] for other in places(inner))

    documents = [other for document in yaml.safe_load_all(file.read_text()) for other in places(document)]
    assert PASSWORD not in (told(tmp_path, documents) if documents else "")


@pytest.mark.parametrize(
    "source",
    [
        {"secret_header": f"{PASSWORD}!", "secret": {"environment": "EDGE_SECRET"}},
        {"secret_header": "X-Edge-Secret", "secret": PASSWORD},
        {"secret_header": "X-Edge-Secret", "secret": {PASSWORD: None}},
        {"secret_header": "X-Edge-Secret", "secret": {"environment": f"{PASSWORD}!"}},
        {"secret_header": "X-Edge-Secret", "secret": [PASSWORD]},
    ],
)
def test_a_secret_in_the_wrong_place_is_not_told(source: dict[str, Any], tmp_path: Path) -> None:
    (document,) = yaml.safe_load_all((ROOT / "tests/desk/configurations/valid/terminators-in-front.yaml").read_text())
    (name, policy) = next(
        (name, policy) for name, policy in document["policies"].items() for role in policy.values() if "secret" in str(role)
    )
    (role,) = policy.values()
    role["client_certificate_source"]["proof"] = source
    output = told(tmp_path, [document])
    assert f"policies.{name}." in output and "1 error" in output and PASSWORD not in output, output


def test_explain_tells_no_password_either(tmp_path: Path) -> None:
    keys = {"jwks_uri": "https://as.example.com/jwks", "cluster": "as"}
    issuers = [
        {"issuer": f"https://operator:{PASSWORD}@{name}.example", "audiences": [f"https://{PASSWORD}@api.example"], "keys": keys}
        for name in ("one", "two")
    ]
    (config, request) = (tmp_path / "config.json", tmp_path / "request.json")
    config.write_text(json.dumps({"resource_server": {"issuers": issuers, "realm": "api"}}))
    request.write_text(json.dumps({"method": "GET", "path": "/"}))
    arguments = ("explain", "--config", config, "--request", request)
    for more in ([], ["--format", "json"], ["--keys", f"https://x:{PASSWORD}@three.example={request}"]):
        ran = certbound(*arguments, *more)
        assert PASSWORD not in (ran.stdout + ran.stderr).decode(), more
    issuers[0]["keys"] = {**keys, "jwks_uri": f"https://operator:{PASSWORD}@as.example.com/jwks"}
    config.write_text(json.dumps({"resource_server": {"issuers": issuers, "realm": "api"}}))
    ran = certbound(*arguments)
    assert ran.returncode == 2 and "https://***@as.example.com/jwks" in ran.stderr.decode()
    assert PASSWORD not in ran.stderr.decode()


@pytest.mark.parametrize("realm", [f"https://operator:{PASSWORD}@api.example.com", None])
def test_no_client_is_told_a_password_in_a_challenge(realm: str | None, tmp_path: Path) -> None:
    keys = {"jwks_uri": "https://as.example.com/jwks", "cluster": "as"}
    issuer = {"issuer": "https://as.example.com", "audiences": [f"https://operator:{PASSWORD}@api.example.com"], "keys": keys}
    output = told(tmp_path, [{"resource_server": {"issuers": [issuer], **({"realm": realm} if realm else {})}}])
    assert "1 error" in output and "realm" in output and PASSWORD not in output
