# SPDX-License-Identifier: Apache-2.0
"""What the README and the manual show is what is there."""

import json
import re
from pathlib import Path

import pytest
import yaml

from cases import Header, World, envoy_configuration
from rig import shipped, tokens
from rig.certificates import APPENDIX_A
from rig.client import Client
from rig.demo import demo
from rig.desk import certbound
from rig.envoy import Envoy, refuses
from rig.fetched_keys import JWKS_URI, running
from rig.key_server import KeyServer, document
from rig.ports import free_port
from rig.process import wait_until
from rig.upstream import Upstream

ROOT = shipped.ROOT
README, INDEX, FILES, FINDINGS = (ROOT / folder / "README.md" for folder in ("", "docs", "envoy", "findings"))
MANUAL = [README, FILES, *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*MANUAL, FINDINGS, *(ROOT / name for name in ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [block for page in MANUAL for block in FENCED.findall(page.read_text())]
ROLES = ("resource_server:", "authorization_server:", "policies:")
CONFIGURATIONS = [text for kind, text in BLOCKS if kind == "yaml" and text.startswith(ROLES)]
THUMBPRINT = re.compile(r"[\w-]{43}")


def shipped_with(world: World, plugin_configuration: dict) -> str:
    """The shipped file with another plugin configuration."""
    text = shipped.read("resource-server", **world.substitutions(), listener=free_port(), admin=free_port())
    document = yaml.safe_load(text)
    shipped.plugin(document)["configuration"]["value"] = plugin_configuration
    return yaml.safe_dump(document)


def test_the_readme_has_less_than_200_lines() -> None:
    assert len(README.read_text().splitlines()) < 200


@pytest.mark.parametrize("text", CONFIGURATIONS, ids=lambda text: text.split(":")[0])
def test_every_configuration_starts(text: str, world: World, tmp_path: Path) -> None:
    text = text.replace("jwks: { keys: [] }", f"jwks: {world.substitutions()['jwks']}")
    with Envoy(shipped_with(world, yaml.safe_load(text)), tmp_path, name="readme"):
        pass


def test_there_are_configurations_of_every_role_to_start() -> None:
    roles = [text.split(":")[0] for text in CONFIGURATIONS]
    assert {role: roles.count(role) for role in sorted(set(roles))} == {
        "authorization_server": 4,
        "policies": 3,
        "resource_server": 7,
    }


def test_the_demo_shows_what_the_readme_shows(tmp_path: Path) -> None:
    (shown,) = [text for kind, text in BLOCKS if kind == "text" and text.startswith(" 1. ")]
    output = demo(tmp_path / "demo", shipped.MODULE).stdout
    transcript = output[output.index(" 1. ") :]
    assert THUMBPRINT.sub("...", transcript) == THUMBPRINT.sub("...", shown)


def at_the_desk(command: str) -> tuple[list[str], str]:
    """The arguments of a command that the manual shows, and what it says that the command prints."""
    (shown,) = [text for kind, text in BLOCKS if kind == "text" and f"$ certbound {command} " in text]
    line, _, rest = shown[shown.index(f"$ certbound {command} ") :].partition("\n")
    return line.split()[2:], rest.split("$ certbound")[0]


def test_the_certificate_of_rfc_8705_is_described_as_the_manual_shows(tmp_path: Path) -> None:
    arguments, expected = at_the_desk("inspect")
    (tmp_path / arguments[-1]).write_text(f"-----BEGIN CERTIFICATE-----{APPENDIX_A}-----END CERTIFICATE-----\n")
    assert certbound(*arguments, directory=tmp_path).stdout.decode() == expected


def test_a_stolen_token_is_explained_as_the_manual_shows(world: World, tmp_path: Path) -> None:
    arguments, expected = at_the_desk("explain")
    token = tokens.sign(world.keys["ES256"], world.claims(world.client_1))
    headers = [["Host", "api.example.com"], ["Authorization", f"Bearer {token}"]]
    request = {"method": "GET", "path": "/accounts", "headers": headers}
    (tmp_path / "request.json").write_text(json.dumps(request))
    configuration = ROOT / "tests" / "desk" / "configurations" / "valid" / "resource-server-alone.yaml"
    (tmp_path / "api.yaml").write_text(configuration.read_text())
    (tmp_path / "thief.pem").write_bytes(world.client_2.certificate_path.read_bytes())
    (tmp_path / "jwks.json").write_text(json.dumps(tokens.jwks(world.keys["ES256"])))
    output = certbound(*arguments, directory=tmp_path).stdout.decode()
    assert THUMBPRINT.sub("...", output) == THUMBPRINT.sub("...", expected)


def test_the_mistake_is_named_as_the_manual_shows(world: World, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("missing", ["proxy_get_property", "proxy_get_header_map_pairs", "proxy_remove_header_map_value"])
def test_without_one_of_them_nothing_passes_that_needs_it(missing: str, world: World, tmp_path: Path) -> None:
    """The filter refuses, or crashes and is started again by Envoy, which refuses meanwhile."""
    (shown,) = [text for kind, text in BLOCKS if kind == "text" and text.startswith("proxy_log ")]
    assert missing in shown.split()
    allowed = {name: {} for name in shown.split() if name != missing}
    listener = free_port()
    with Upstream() as upstream:
        ports = {"listener": listener, "upstream": upstream.port, "admin": free_port()}
        configuration = envoy_configuration("resource-server", world, **ports)
        vm = shipped.plugin(configuration)["vm_config"]
        vm["capability_restriction_config"] = {"allowed_capabilities": allowed}
        token = tokens.sign(world.keys["ES256"], world.claims(world.client_1))

        def status(*headers: Header) -> int:
            with Client(listener, ca_path=world.authority.pem_path, certificate=world.client_1) as client:
                return client.request("GET", "/", headers=[("authorization", f"Bearer {token}"), *headers]).status

        with Envoy(yaml.safe_dump(configuration), tmp_path, name="restricted") as envoy:
            forged = ("client-cert", "forged")
            assert {status(forged) for _ in range(5)} <= {500, 503}
            assert upstream.requests == []
            if missing == "proxy_remove_header_map_value":
                # It was needed for the forged header alone.
                assert "panicked: " in envoy.log()
                wait_until(lambda: status() == 200, 10, "a new filter")
                assert status(forged) == 503


def test_every_command_that_it_names_is_a_target_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    texts = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", texts, re.MULTILINE))
    assert named >= {"demo", "test", "module", "run", "bench", "test-hosts"}
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    slugs = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(slugs) == len(set(slugs)), f"{page}: two headings have one anchor"
    return set(slugs)


def links(page: Path) -> list[tuple[str, str]]:
    """The path and the anchor of each relative link."""
    found = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", FENCED.sub("", page.read_text()))
    return [(path, anchor) for path, anchor in found if not path.startswith("https://")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_to_a_heading(page: Path) -> None:
    for path, anchor in links(page):
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), path
        assert not anchor or anchor in anchors(to), f"{path}#{anchor}"


def test_every_page_is_linked_from_the_index() -> None:
    linked = [path for path, _ in links(INDEX)]
    pages = {page.name for page in INDEX.parent.iterdir()} - {"README.md"}
    assert {path for path in linked if "/" not in path} == pages
    assert len(linked) == len(set(linked))
    assert "docs/README.md" in [path for path, _ in links(README)]


def test_every_page_that_some_file_names_is_there() -> None:
    """Comments and messages name pages too."""
    named = re.compile(r"\b(?:docs|envoy|findings)/[\w-]+\.md\b(?:#([\w-]+))?")
    texts = [*(ROOT / "src").rglob("*.rs"), *(ROOT / "envoy").iterdir(), *(ROOT / "tests").glob("**/*.py"), *PAGES]
    found = {match for text in texts for match in named.finditer(text.read_text())}
    assert found
    for match in found:
        page = ROOT / match[0].partition("#")[0]
        assert page.exists(), match[0]
        assert not match[1] or match[1] in anchors(page), match[0]


@pytest.mark.parametrize(("folder", "pattern"), [(FILES, "*.yaml"), (FINDINGS, "*.sh")], ids=["envoy", "findings"])
def test_every_file_has_a_row_in_the_readme_beside_it(folder: Path, pattern: str) -> None:
    rows = re.findall(r"^\| \[.*$", folder.read_text(), re.MULTILINE)
    paths = list(folder.parent.glob(pattern))
    assert paths
    for path in paths:
        assert sum(f"[{path.name}]({path.name})" in row for row in rows) == 1, path
