"""What relates to an event: page by page, in threads, and told with the event itself."""

from typing import Any

import pytest

from tests.api.client import V1, Client

# Any: JSON, throughout.

UNKNOWN = "$" + 43 * "A"


def relate(client: Client, room_id: str, parent: str, rel_type: str, event_type: str = "m.room.message") -> str:
    relates_to = {"rel_type": rel_type, "event_id": parent}
    return client.send_event(room_id, event_type, {"msgtype": "m.text", "body": "child", "m.relates_to": relates_to})


def related(client: Client, room_id: str, *path: str, **query: Any) -> Any:
    if "begin" in query:
        query["from"] = query.pop("begin")
    return client.get(V1, "rooms", room_id, "relations", *path, query=query)


def ids(answer: Any) -> list[str]:
    return [event["event_id"] for event in answer["chunk"]]


def test_relations_are_asked_for_by_their_types(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    parent = alice.say(room_id, "parent")
    reference = relate(bob, room_id, parent, "m.reference")
    sticker = relate(bob, room_id, parent, "m.thread", "m.sticker")
    message = relate(alice, room_id, parent, "m.thread")

    assert ids(related(bob, room_id, parent)) == [message, sticker, reference]
    assert ids(related(bob, room_id, parent, "m.thread")) == [message, sticker]
    assert ids(related(bob, room_id, parent, "m.thread", "m.sticker")) == [sticker]
    assert ids(related(bob, room_id, parent, "m.thread", dir="f", limit=1)) == [sticker]


def test_pages_are_joined_by_their_tokens_in_either_direction(alice: Client) -> None:
    room_id = alice.create_room()
    parent = alice.say(room_id, "parent")
    children = [relate(alice, room_id, parent, "m.thread") for _ in range(3)]

    first = related(alice, room_id, parent, limit=2)
    second = related(alice, room_id, parent, limit=2, begin=first["next_batch"])
    between = related(alice, room_id, parent, to=first["next_batch"])

    assert (ids(first), ids(second), ids(between)) == (children[:0:-1], children[:1], children[:0:-1])
    assert ("prev_batch" in first, second["prev_batch"]) == (False, first["next_batch"])
    assert "next_batch" not in second


def test_how_deep_was_looked_is_said_to_who_asked_for_it(alice: Client) -> None:
    room_id = alice.create_room()
    parent = alice.say(room_id, "parent")
    child = relate(alice, room_id, parent, "m.thread")
    grandchild = relate(alice, room_id, child, "m.reference")

    answers = {recurse: related(alice, room_id, parent, recurse=recurse) for recurse in (True, False)}

    assert (ids(answers[True]), answers[True]["recursion_depth"]) == ([grandchild, child], 3)
    assert (ids(answers[False]), answers[False]["recursion_depth"]) == ([child], 1)
    assert "recursion_depth" not in related(alice, room_id, parent)


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": -1}, {"from": "nonsense"}, {"dir": "x"}, {"recurse": "x"}])
def test_nonsense_is_refused(alice: Client, query: dict[str, Any]) -> None:
    room_id = alice.create_room()
    parent = alice.say(room_id, "parent")

    alice.get(V1, "rooms", room_id, "relations", parent, query=query, status=400, errcode="M_INVALID_PARAM")


def test_an_event_that_one_may_not_see_is_not_found(alice: Client, bob: Client) -> None:
    room_id = alice.create_room()
    parent = alice.say(room_id, "parent")

    bob.get(V1, "rooms", room_id, "relations", parent, status=404, errcode="M_NOT_FOUND")
    alice.get(V1, "rooms", room_id, "relations", UNKNOWN, status=404, errcode="M_NOT_FOUND")


def test_threads_are_listed_by_their_newest_events(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    first, second = (alice.say(room_id, text) for text in ("first", "second"))
    for root in (second, first):
        relate(alice, room_id, root, "m.thread")
    newest = relate(bob, room_id, first, "m.thread")

    page = bob.get(V1, "rooms", room_id, "threads", query={"limit": 1})
    rest = bob.get(V1, "rooms", room_id, "threads", query={"from": page["next_batch"]})
    own = bob.get(V1, "rooms", room_id, "threads", query={"include": "participated"})

    assert (ids(page), ids(rest), ids(own)) == ([first], [second], [first])
    thread = page["chunk"][0]["unsigned"]["m.relations"]["m.thread"]
    assert (thread["count"], thread["latest_event"]["event_id"]) == (2, newest)
    assert thread["current_user_participated"] is True


def test_who_may_not_read_a_room_is_shown_no_threads(alice: Client, bob: Client) -> None:
    room_id = alice.create_room()

    bob.get(V1, "rooms", room_id, "threads", status=403, errcode="M_FORBIDDEN")
    for query in ({"limit": 0}, {"from": "nonsense"}, {"include": "none"}):
        alice.get(V1, "rooms", room_id, "threads", query=query, status=400, errcode="M_INVALID_PARAM")


def test_an_edit_is_told_with_the_event_wherever_that_is_shown(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    original = alice.say(room_id, "first")
    new_content = {"msgtype": "m.text", "body": "second"}
    relates_to = {"rel_type": "m.replace", "event_id": original}
    content = {**new_content, "m.new_content": new_content, "m.relates_to": relates_to}
    edit = alice.send_event(room_id, "m.room.message", content)

    filter_ = {"room": {"timeline": {"limit": 2}}}
    shown = [
        bob.get("rooms", room_id, "event", original),
        bob.get("rooms", room_id, "context", original)["event"],
        bob.messages(room_id, "b", limit=2)["chunk"][1],
        bob.sync(filter=filter_)["rooms"]["join"][room_id]["timeline"]["events"][0],
    ]

    assert [event["unsigned"]["m.relations"]["m.replace"]["event_id"] for event in shown] == [edit] * 4


def test_nobody_reacts_twice_in_the_same_way(alice: Client) -> None:
    room_id = alice.create_room()
    target = alice.say(room_id, "target")
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": target, "key": "+"}}
    alice.send_event(room_id, "m.reaction", reaction)
    again = ("rooms", room_id, "send", "m.reaction", "again")

    alice.put(*again, body=reaction, status=400, errcode="M_DUPLICATE_ANNOTATION")


SUBSCRIPTIONS = "/_matrix/client/unstable/io.element.msc4306"
CHANGES = "/_matrix/client/unstable/io.element.msc4308"


def test_threads_are_subscribed_to(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    root = alice.say(room_id, "root")
    mention = relate(alice, room_id, root, "m.thread")
    path = (SUBSCRIPTIONS, "rooms", room_id, "thread", root, "subscription")
    bob.get(*path, status=404, errcode="M_NOT_FOUND")

    bob.put(*path, body={"automatic": mention})
    automatic = bob.get(*path)
    bob.put(*path)
    by_wish = bob.get(*path)
    bob.delete(*path)

    assert (automatic, by_wish) == ({"automatic": True}, {"automatic": False})
    bob.get(*path, status=404, errcode="M_NOT_FOUND")
    conflict = "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION"
    bob.put(*path, body={"automatic": mention}, status=409, errcode=conflict)
    bob.put(*path, body={"automatic": root}, status=400, errcode="IO.ELEMENT.MSC4306.M_NOT_IN_THREAD")
    bob.put(*path, body={"automatic": "nonsense"}, status=400, errcode="M_INVALID_PARAM")


def test_changes_of_subscriptions_are_read_page_by_page(alice: Client) -> None:
    room_id = alice.create_room()
    roots = [alice.say(room_id, text) for text in ("first", "second")]
    for root in roots:
        alice.put(SUBSCRIPTIONS, "rooms", room_id, "thread", root, "subscription")
    path = (CHANGES, "thread_subscriptions")

    first = alice.get(*path, query={"dir": "b", "limit": 1})
    rest = alice.get(*path, query={"dir": "b", "from": first["end"]})

    assert list(first["subscribed"][room_id]) == [roots[1]]
    assert list(rest["subscribed"][room_id]) == [roots[0]]
    assert ("end" in rest, rest["unsubscribed"]) == (False, {})
    for query in ({"dir": "f"}, {"dir": "b", "limit": 0}, {"dir": "b", "from": "x"}, {"dir": "b", "to": "s1"}):
        alice.get(*path, query=query, status=400, errcode="M_INVALID_PARAM")
    alice.get(*path, status=400, errcode="M_MISSING_PARAM")
