# SPDX-License-Identifier: Apache-2.0
"""`certbound inspect` shows what a signed token says, and nothing that could be used as one; `certbound reason` explains a reason."""

import json

from rig import tokens
from rig.desk import certbound
from rig.tokens import SigningKey

KEY = SigningKey.make("ES256", "key-1")
CLAIMS = {"iss": "https://as.example.com", "aud": ["api"], "exp": 1767225600, "cnf": {"x5t#S256": "A" * 43}, "jti": None}


def inspected(token: str, *arguments: str) -> str:
    answer = certbound("inspect", *arguments, "-", stdin=token.encode())
    assert (answer.returncode, answer.stderr) == (0, b""), answer
    return answer.stdout.decode("ascii")


def test_the_header_and_the_claims_of_a_token_are_shown_and_its_signature_is_not() -> None:
    token = tokens.sign(KEY, CLAIMS)
    shown = json.loads(inspected(token, "--format", "json"))
    assert shown["header"]["alg"] == "ES256" and shown["header"]["kid"] == "key-1"
    assert shown["claims"] == CLAIMS
    assert (shown["signature_bytes"], shown["refused"]) == (64, None)
    for text in (inspected(token), inspected(f"Bearer {token}\n")):
        assert "claims.exp: 1767225600 (2026-01-01T00:00:00Z)" in text.splitlines()
        assert not any(part in text for part in token.split("."))


def test_a_token_that_no_signature_would_save_is_shown_with_the_reason() -> None:
    token = tokens.sign(KEY, CLAIMS, header={"crit": ["exp"]})
    assert json.loads(inspected(token, "--format", "json"))["refused"] == "token_header_unsupported"
    assert inspected(token).splitlines()[-1] == "refused in any case: token_header_unsupported; the header has crit"


def test_what_a_token_says_moves_no_terminal() -> None:
    text = inspected(tokens.sign(KEY, CLAIMS | {"sub": "\x1b[2J\u202e", "\x1b[2J": "\n"}))
    assert all(character == "\n" or " " <= character <= "~" for character in text)


def test_a_dialect_beside_a_token_is_a_mistake() -> None:
    answer = certbound("inspect", "--dialect", "gluu", "-", stdin=tokens.sign(KEY, CLAIMS).encode())
    assert answer.returncode == 2 and b"is a signed token" in answer.stderr


def test_a_reason_is_explained_as_in_the_manual() -> None:
    answer = certbound("reason", "token_expired")
    assert answer.stdout.decode().splitlines() == ["token_expired: 401 invalid_token", "  `exp` has passed."]
    every = [json.loads(line) for line in certbound("reason", "--format", "json").stdout.splitlines()]
    assert {"reason", "response", "meaning"} == set(every[0]) and len(every) > 60
    answer = certbound("reason", "token_expird")
    assert answer.returncode == 2 and b'did you mean "token_expired"?' in answer.stderr
