# SPDX-License-Identifier: Apache-2.0
"""Cases of an API: what the shipped policies and their variants share."""

from collections.abc import Mapping, Sequence
from typing import Any

from rig import tokens
from rig.tokens import SigningKey

from cases.case import Case, Header, invalid_token
from cases.configuration import Configuration
from cases.world import World

CONFIGURATIONS = {
    "resource-server": Configuration("resource-server"),
    "variants": Configuration("variants"),
}

_AT = {"api": ("api", "/"), "migration": ("migration", "/migration/"), "gluu": ("gluu", "/gluu/")}


class Shipped:
    """The policies of envoy/resource-server.yaml."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._one, self._es256 = world.client_1, world.keys["ES256"]
        self.bound = self.sign()
        """A good token."""

    def case(self, sentence: str, *, policy: str = "api", headers: Sequence[Header] = (), **rest: Any) -> Case:
        configuration = rest.pop("configuration", "resource-server")
        certificate = rest.pop("on", self._one)
        name, path = _AT.get(policy, (policy, f"/{policy}/"))
        rest.setdefault("path", path)
        # The route of / names no policy: it has the default one.
        named = None if name == "api" else name
        return Case(sentence, configuration, named, certificate=certificate, headers=headers, **rest)

    def passes(self, sentence: str, token: str, *, scheme: str = "Bearer ", **rest: Any) -> Case:
        value = scheme + token
        return self.case(sentence, headers=[("authorization", value)], forward={"authorization": value}, **rest)

    def refused(self, sentence: str, token: str, reason: str, **rest: Any) -> Case:
        headers = [("authorization", f"Bearer {token}")]
        return self.case(sentence, headers=headers, refusal=invalid_token(reason), **rest)

    def sign(
        self,
        header: Mapping[str, Any] = {},
        key: SigningKey | None = None,
        algorithm: str | None = None,
        **claims: Any,
    ) -> str:
        """A token of the first client's, or bound to another certificate or none."""
        bound_to = claims.pop("bound_to", self._one)
        return tokens.sign(
            key or self._es256, self._world.claims(bound_to, **claims), header=header, algorithm=algorithm
        )

    def raw(self, header: str | bytes | None = None, payload: str | bytes | None = None) -> str:
        """A token with a right signature over whatever stands in it."""
        header_part = tokens.encode_part({"alg": "ES256", "kid": self._es256.kid} if header is None else header)
        payload_part = tokens.encode_part(self._world.claims(self._one) if payload is None else payload)
        return tokens.assemble(header_part, payload_part, self._es256, "ES256")


class Variants:
    """Policies with one key set that the shipped file does not set: the `variants` of each topic."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.bound = self.sign()
        """A good token."""

    def case(self, policy: str, sentence: str, **rest: Any) -> Case:
        certificate = rest.pop("on", self._world.client_1)
        rest.setdefault("path", f"/{policy}/")
        return Case(sentence, "variants", policy, certificate=certificate, **{"headers": [], **rest})

    def carrying(self, policy: str, sentence: str, token: str, *, scheme: str = "Bearer", **rest: Any) -> Case:
        value = f"{scheme} {token}"
        rest["headers"] = [("authorization", value), *rest.get("headers", [])]
        if "refusal" not in rest:
            rest.setdefault("forward", {"authorization": value})
        return self.case(policy, sentence, **rest)

    def sign(self, header: Mapping[str, Any] = {}, **claims: Any) -> str:
        bound_to = claims.pop("bound_to", self._world.client_1)
        return tokens.sign(self._world.keys["ES256"], self._world.claims(bound_to, **claims), header=header)

    def confirmed(self, cnf: Any) -> str:
        payload = tokens.encode_part({**self._world.claims(), "cnf": cnf})
        return tokens.assemble(tokens.encode_part({"alg": "ES256"}), payload, self._world.keys["ES256"], "ES256")
