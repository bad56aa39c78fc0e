"""Aliases, and the public directory."""

import pytest

from tests.api.client import Client


@pytest.fixture
def alias(alice: Client) -> str:
    """An alias that nobody has."""
    return f"#{alice.user_id[1:].split(':')[0]}:{alice.server_name}"


def test_an_alias_leads_to_its_room_until_it_is_deleted(alice: Client, nobody: Client, alias: str) -> None:
    room_id = alice.create_room()

    alice.put("directory", "room", alias, body={"room_id": room_id})

    assert nobody.get("directory", "room", alias) == {"room_id": room_id, "servers": [alice.server_name]}
    assert alice.get("rooms", room_id, "aliases") == {"aliases": [alias]}
    alice.delete("directory", "room", alias)
    nobody.get("directory", "room", alias, status=404, errcode="M_NOT_FOUND")


def test_an_alias_belongs_to_one_room(alice: Client, alias: str) -> None:
    alice.put("directory", "room", alias, body={"room_id": alice.create_room()})

    alice.put("directory", "room", alias, body={"room_id": alice.create_room()}, status=409)


def test_an_alias_of_another_server_cannot_be_given(alice: Client) -> None:
    body = {"room_id": alice.create_room()}

    assert alice.put("directory", "room", "#x:elsewhere.example", body=body, status=400)["errcode"]


def test_who_has_no_power_cannot_delete_the_alias_of_another(alice: Client, bob: Client, alias: str) -> None:
    room_id = alice.create_room_with(bob)
    alice.put("directory", "room", alias, body={"room_id": room_id})

    bob.delete("directory", "room", alias, status=403, errcode="M_FORBIDDEN")


def test_a_canonical_alias_must_lead_to_the_room(alice: Client, alias: str) -> None:
    room_id = alice.create_room()

    alice.put(
        "rooms",
        room_id,
        "state",
        "m.room.canonical_alias",
        "",
        body={"alias": alias},
        status=400,
        errcode="M_BAD_ALIAS",
    )
    alice.put("directory", "room", alias, body={"room_id": room_id})
    alice.set_state(room_id, "m.room.canonical_alias", {"alias": alias})


def test_the_directory_shows_published_rooms_in_pages_with_the_fullest_first(
    alice: Client, bob: Client, carol: Client
) -> None:
    word = alice.user_id[1:].split(":")[0]
    lonely = alice.create_room(visibility="public", name=f"{word} lonely", topic="nobody here")
    busy = alice.create_room_with(bob, carol, visibility="public", name=f"{word} busy")
    alice.create_room(preset="public_chat", name=f"{word} not published")
    search = {"filter": {"generic_search_term": word.upper()}, "limit": 1}

    first = bob.post("publicRooms", body=search)
    second = bob.post("publicRooms", body={**search, "since": first["next_batch"]})

    assert [room["room_id"] for room in first["chunk"]] == [busy]
    assert [room["room_id"] for room in second["chunk"]] == [lonely]
    assert "next_batch" not in second
    assert first["chunk"][0]["num_joined_members"] == 3
    assert second["chunk"][0]["topic"] == "nobody here"
    assert bob.post("publicRooms", body={**search, "since": second["prev_batch"]})["chunk"] == first["chunk"]


def test_the_directory_can_be_searched_by_the_type_of_rooms(alice: Client) -> None:
    word = alice.user_id[1:].split(":")[0]
    space = alice.create_room(visibility="public", name=f"{word} space", creation_content={"type": "m.space"})
    room = alice.create_room(visibility="public", name=f"{word} room")

    def found(*types: str | None) -> set[str]:
        wanted = {"generic_search_term": word, "room_types": list(types)}
        return {each["room_id"] for each in alice.post("publicRooms", body={"filter": wanted})["chunk"]}

    assert found("m.space") == {space}
    assert found(None) == {room}
    assert found("m.space", None) == {space, room}


def test_a_room_leaves_the_directory(alice: Client, bob: Client, nobody: Client) -> None:
    room_id = alice.create_room_with(bob, visibility="public")

    bob.put("directory", "list", "room", room_id, body={"visibility": "private"}, status=403, errcode="M_FORBIDDEN")
    alice.put("directory", "list", "room", room_id, body={"visibility": "private"})

    assert nobody.get("directory", "list", "room", room_id) == {"visibility": "private"}
    assert room_id not in [room["room_id"] for room in nobody.get("publicRooms")["chunk"]]


def test_a_room_is_found_by_the_words_that_it_has_now(alice: Client, alias: str) -> None:
    word = alias[1:].partition(":")[0]
    room_id = alice.create_room(visibility="public", name=f"{word} 東京の庭", topic="flowers")
    alice.put("directory", "room", alias, body={"room_id": room_id})
    alice.set_state(room_id, "m.room.canonical_alias", {"alias": alias})

    def found(term: str) -> list[str]:
        page = alice.post("publicRooms", body={"filter": {"generic_search_term": f"{word} {term}"}})
        assert page["total_room_count_estimate"] == len(page["chunk"])
        return [each["room_id"] for each in page["chunk"]]

    assert found("東京") == found("flow") == found("") == [room_id]
    assert alice.post("publicRooms", body={"filter": {"generic_search_term": alias}})["chunk"]

    name = alice.set_state(room_id, "m.room.name", {"name": "Osaka"})
    assert (found("東京"), found("osaka")) == ([], [room_id])
    alice.put("rooms", room_id, "redact", name, "txn", body={})
    assert (found("osaka"), found("")) == ([], [room_id])
    assert alice.post("publicRooms", body={"filter": {"generic_search_term": "?!"}})["chunk"] == []
