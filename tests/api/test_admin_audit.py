"""What administrators do is written down, on a running server, whoever they are and however they come."""

import json

import pytest

from tests.api.client import PASSWORD, Client
from tests.server import Server

LOCK = "/_matrix/client/v1/admin/lock"
AUDIT = "/_columba/admin/v1/audit"


def acts(server: Server, query: str = "") -> list[dict[str, object]]:
    """The newest acts, as the owner is told of them."""
    done = server.command("admin", "call", "GET", f"{AUDIT}{query}")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)["acts"]
    return found


def test_acts_of_administrators_are_found_by_who_did_what_to_whom(server: Server, admin: Client, alice: Client) -> None:
    admin.put(LOCK, alice.user_id, body={"locked": True})
    admin.put(LOCK, alice.user_id, body={"locked": False})
    admin.put(LOCK, admin.user_id, body={"locked": True}, status=403)
    alice.put(LOCK, admin.user_id, body={"locked": True}, status=403)

    by_admin = acts(server, f"?by={admin.user_id}")
    act = f"PUT {LOCK}/{{userId}}"
    assert [(one["act"], one["target"], one["details"]) for one in by_admin] == [
        (act, admin.user_id, {"body": {"locked": True}}),
        (act, alice.user_id, {"body": {"locked": False}}),
        (act, alice.user_id, {"body": {"locked": True}}),
    ]
    assert [one["outcome"]["status"] for one in by_admin] == [403, 200, 200]  # type: ignore[index]
    assert acts(server, f"?target={alice.user_id}") == by_admin[1:]
    assert acts(server, f"?by={admin.user_id}&limit=1&from={by_admin[0]['position']}") == by_admin[1:2]
    assert acts(server, f"?by={admin.user_id}&until=0") == []
    assert acts(server, f"?by={admin.user_id}&since={by_admin[-1]['at_ms']}&act=nothing") == []
    assert acts(server, f"?by={alice.user_id}") == []


def test_the_owner_acts_too_and_no_password_is_written_down(server: Server, admin: Client) -> None:
    newest = acts(server, "?by=owner&limit=1")[0]

    name = admin.user_id[1:].partition(":")[0]
    made = acts(server, "?by=owner")
    accounts = [one for one in made if one["details"] == {"body": _told(name)}]
    assert newest["by"] == "owner"
    assert len(accounts) == 1
    assert PASSWORD not in json.dumps(made)


def _told(name: str) -> dict[str, object]:
    return {"username": name, "password": "(withheld)", "admin": True}


@pytest.mark.parametrize("query", ["?limit=0", "?limit=501", "?from=x", "?since=x"])
def test_a_page_that_cannot_be_is_refused(server: Server, query: str) -> None:
    done = server.command("admin", "call", "GET", f"{AUDIT}{query}")

    assert done.returncode != 0
    assert "M_INVALID_PARAM" in done.stderr
