"""Policy documents that whoever makes an account here has to accept first.

Spec: client-server-api/#terms-of-service-at-registration. Who accepted what is in storage/accepted_terms.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """One policy in one language. All that are called alike are of one version."""

    policy: str
    version: str
    language: str
    name: str
    url: str


def params_of(documents: Sequence[PolicyDocument]) -> Mapping[str, Any]:  # Any: JSON
    """The documents, as clients are told of them."""
    policies: dict[str, dict[str, Any]] = {}
    for one in documents:
        policy = policies.setdefault(one.policy, {"version": one.version})
        policy[one.language] = {"name": one.name, "url": one.url}
    return {"policies": policies}


def versions_of(documents: Sequence[PolicyDocument]) -> dict[str, str]:
    """The version of each policy, as somebody accepts them all."""
    return {one.policy: one.version for one in documents}
