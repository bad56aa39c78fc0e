"""What users are told that they can do."""

from dataclasses import replace

from homeserver.http.client.capabilities import CapabilitiesEndpoints
from tests.http.conftest import Serve

CAPABILITIES = CapabilitiesEndpoints(
    default_room_version="12",
    changes_passwords=True,
    gives_login_tokens=False,
    changes_threepids=False,
    forgets_left_rooms=False,
    moderates_accounts=True,
)
PATH = "/_matrix/client/v3/capabilities"
AS_ALICE = {"Authorization": "Bearer secret"}


def test_capabilities_are_told_to_users_only(serve: Serve) -> None:
    site = serve(CAPABILITIES)

    answer = site.request("GET", PATH, None, AS_ALICE).json["capabilities"]

    assert site.request("GET", PATH).json["errcode"] == "M_MISSING_TOKEN"
    assert answer["m.room_versions"]["default"] == "12"
    assert answer["m.room_versions"]["available"]["1"] == "stable"
    assert answer["m.change_password"] == {"enabled": True}
    assert answer["m.get_login_token"] == {"enabled": False}
    assert "m.account_moderation" not in answer


def test_administrators_can_moderate_accounts(serve: Serve) -> None:
    site = serve(CAPABILITIES)
    site.tokens.known["secret"] = replace(site.tokens.known["secret"], is_admin=True)

    answer = site.request("GET", PATH, None, AS_ALICE).json["capabilities"]

    assert answer["m.account_moderation"] == {"suspend": True, "lock": True}
