# SPDX-License-Identifier: Apache-2.0
"""The demo says no when the filter is broken: its checks can fail."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rig import authorization_server, shipped
from rig.demo import DEMO, demo

FLAWS = {
    "the comparison of the certificates is always right": (
        "src/resource_server/binding.rs",
        "(Some(confirmed), Some(presented)) if confirmed == presented",
        "(Some(_), Some(presented)) if presented == presented",
        {5, 12},
    ),
    "forged headers are not removed": (
        "src/policy/mod.rs",
        "else if let Some(claim) = self.claim_of(name) {",
        "else if let Some(claim) = self.claim_of(name).filter(|_| false) {",
        {7, 8, 9},
    ),
}


def wrong_steps(output: str) -> set[int]:
    found, number = set(), 0
    for line in output.splitlines():
        if line[:2].strip().isdigit() and line[2:4] == ". ":
            number = int(line[:2])
        if line.strip() == "WRONG":
            found.add(number)
    return found


def test_the_demo_passes(tmp_path: Path) -> None:
    result = demo(tmp_path / "demo", shipped.MODULE)
    assert result.returncode == 0, result.stdout + result.stderr
    assert wrong_steps(result.stdout) == set()
    assert "12 of 12 as expected" in result.stdout


@pytest.mark.parametrize("flaw", FLAWS)
def test_the_demo_fails_with_a_broken_filter(flaw: str, tmp_path: Path) -> None:
    path, right, broken, expected = FLAWS[flaw]
    module = build_with_flaw(tmp_path / "source", path, right, broken)
    result = demo(tmp_path / "demo", module)
    assert result.returncode == 1, result.stdout + result.stderr
    assert wrong_steps(result.stdout) == expected


def build_with_flaw(source: Path, path: str, right: str, broken: str) -> Path:
    """Builds a copy of the filter with the flaw, in a target directory of its own: in a shared one Cargo would take
    the flawed module for a fresh build of the real one."""
    source.mkdir()
    for name in ("Cargo.toml", "Cargo.lock", "src"):
        original = shipped.ROOT / name
        (shutil.copytree if original.is_dir() else shutil.copy)(original, source / name)
    # Cargo wants the test programs that the manifest names.
    for test in (shipped.ROOT / "tests").rglob("*.rs"):
        copy = source / test.relative_to(shipped.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(test, copy)
    text = (source / path).read_text()
    assert text.count(right) == 1, f"{path} has changed; name the flaw anew"
    (source / path).write_text(text.replace(right, broken))
    target = shipped.ROOT / "target" / "flawed"
    subprocess.run(
        ["cargo", "build", "--locked", "--release", "--target", "wasm32-wasip1", "--lib", "--quiet"],
        cwd=source,
        env={**os.environ, "CARGO_TARGET_DIR": str(target)},
        check=True,
    )
    module = source / "certbound.wasm"
    shutil.copy(target / "wasm32-wasip1" / "release" / "certbound.wasm", module)
    return module


def test_make_run_keeps_the_servers_up_and_what_it_prints_works(tmp_path: Path) -> None:
    if why := authorization_server.missing():
        pytest.skip(why)
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    command = [sys.executable, DEMO, "--keep", "--directory", tmp_path / "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            printed = []
            for line in process.stdout:
                printed.append(line)
                if "Ctrl-C stops everything" in line:
                    break
            script = "".join(line for line in printed if line.startswith(("TOKEN=", "curl ", "#")))
            result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
            statuses = re.findall(r"HTTP/[12.]+ (\d+)", result.stdout)
            assert statuses == ["200", "401", "401"], result.stdout + result.stderr
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
    port = int(re.search(r"the API at https://localhost:(\d+)", "".join(printed))[1])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
