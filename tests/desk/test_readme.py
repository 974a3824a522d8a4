"""What the README shows is what is there."""

import json
import re
from pathlib import Path

import pytest
import yaml

from cases import World
from rig import shipped, tokens
from rig.certificates import APPENDIX_A
from rig.demo import demo
from rig.desk import certbound
from rig.envoy import Envoy, refuses
from rig.fetched_keys import JWKS_URI, running
from rig.key_server import KeyServer, document
from rig.ports import free_port

README = (shipped.ROOT / "README.md").read_text()
MANUAL = (shipped.ROOT / "envoy" / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README + MANUAL, re.DOTALL | re.MULTILINE)
ROLES = ("resource_server:", "authorization_server:", "policies:")
CONFIGURATIONS = [text for kind, text in BLOCKS if kind == "yaml" and text.startswith(ROLES)]
THUMBPRINT = re.compile(r"[\w-]{43}")


def shipped_with(world: World, plugin_configuration: dict) -> str:
    """The shipped file with another plugin configuration."""
    text = shipped.read("resource-server", **world.substitutions(), listener=free_port(), admin=free_port())
    document = yaml.safe_load(text)
    shipped.plugin(document)["configuration"]["value"] = plugin_configuration
    return yaml.safe_dump(document)


def test_it_has_at_most_400_lines() -> None:
    assert len(README.splitlines()) <= 400


@pytest.mark.parametrize("text", CONFIGURATIONS, ids=lambda text: text.split(":")[0])
def test_every_configuration_starts(text: str, world: World, tmp_path: Path) -> None:
    text = text.replace("jwks: { keys: [] }", f"jwks: {world.substitutions()['jwks']}")
    with Envoy(shipped_with(world, yaml.safe_load(text)), tmp_path, name="readme"):
        pass


def test_there_are_configurations_of_every_role_to_start() -> None:
    roles = [text.split(":")[0] for text in CONFIGURATIONS]
    assert {role: roles.count(role) for role in sorted(set(roles))} == {
        "authorization_server": 2,
        "policies": 2,
        "resource_server": 2,
    }


def test_the_demo_shows_what_the_readme_shows(tmp_path: Path) -> None:
    (shown,) = [text for kind, text in BLOCKS if kind == "text" and text.startswith(" 1. ")]
    output = demo(tmp_path / "demo", shipped.MODULE).stdout
    transcript = output[output.index(" 1. ") :]
    assert THUMBPRINT.sub("...", transcript) == THUMBPRINT.sub("...", shown)


def at_the_desk(command: str) -> tuple[list[str], str]:
    """The arguments of a command that the README shows, and what it says that the command prints."""
    (shown,) = [text for kind, text in BLOCKS if kind == "text" and f"$ certbound {command} " in text]
    line, _, rest = shown[shown.index(f"$ certbound {command} ") :].partition("\n")
    return line.split()[2:], rest.split("$ certbound")[0]


def test_the_certificate_of_rfc_8705_is_described_as_the_readme_shows(tmp_path: Path) -> None:
    arguments, expected = at_the_desk("inspect")
    (tmp_path / arguments[-1]).write_text(f"-----BEGIN CERTIFICATE-----{APPENDIX_A}-----END CERTIFICATE-----\n")
    assert certbound(*arguments, directory=tmp_path).stdout.decode() == expected


def test_a_stolen_token_is_explained_as_the_readme_shows(world: World, tmp_path: Path) -> None:
    arguments, expected = at_the_desk("explain")
    token = tokens.sign(world.keys["ES256"], world.claims(world.client_1))
    headers = [["Host", "api.example.com"], ["Authorization", f"Bearer {token}"]]
    request = {"method": "GET", "path": "/accounts", "headers": headers}
    (tmp_path / "request.json").write_text(json.dumps(request))
    configuration = shipped.ROOT / "tests" / "desk" / "configurations" / "valid" / "resource-server-alone.yaml"
    (tmp_path / "api.yaml").write_text(configuration.read_text())
    (tmp_path / "thief.pem").write_bytes(world.client_2.certificate_path.read_bytes())
    (tmp_path / "jwks.json").write_text(json.dumps(tokens.jwks(world.keys["ES256"])))
    output = certbound(*arguments, directory=tmp_path).stdout.decode()
    assert THUMBPRINT.sub("...", output) == THUMBPRINT.sub("...", expected)


def test_the_mistake_is_named_as_the_readme_shows(world: World, tmp_path: Path) -> None:
    (shown,) = [text for kind, text in BLOCKS if kind == "text" and text.startswith("the configuration is refused")]
    value = shipped.plugin_configuration(shipped.read("resource-server", **world.substitutions()))
    issuer = value["policies"]["api"]["resource_server"]["issuers"][0]
    issuer["keys"] = {"jwk": issuer["keys"].pop("jwks")}
    log = refuses(shipped_with(world, value), tmp_path, name="mistake")
    # A Struct has no lines; test_configuration.py has the position in text.
    assert shown.split(" (line")[0] in log


def test_the_capabilities_that_it_lists_are_enough(world: World, tmp_path: Path) -> None:
    """Keys are fetched, a token passes and another is refused, with these and nothing else."""
    (shown,) = [text for kind, text in BLOCKS if kind == "text" and text.startswith("proxy_log ")]
    restricted = {"allowed_capabilities": {name: {} for name in shown.split()}}

    def restrict(configuration: dict) -> None:
        shipped.plugin(configuration)["vm_config"]["capability_restriction_config"] = restricted

    key = world.keys["ES256"]
    with (
        KeyServer({"/jwks": document(tokens.jwks(key))}) as server,
        running(world, tmp_path, server.port, JWKS_URI, change=restrict) as api,
    ):
        assert api.ask(api.token(key)).status == 200
        assert api.ask("x").status == 401
        assert "capability_restriction_config" in api.envoy.configuration_path.read_text()


def test_every_command_that_it_names_is_a_target_of_the_makefile() -> None:
    makefile = (shipped.ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z]+)\b(?=[`\s])", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_link_leads_to_a_file() -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (shipped.ROOT / path).exists(), path


def test_every_file_to_copy_has_a_row_in_its_readme() -> None:
    table = (shipped.ROOT / "envoy" / "README.md").read_text()
    for path in (shipped.ROOT / "envoy").glob("*.yaml"):
        assert f"[{path.name}]({path.name})" in table
