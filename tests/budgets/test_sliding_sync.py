"""What a sliding sync costs: it follows the window, and not the number of rooms that its user is in."""

from homeserver.core.identifiers import EventID, RoomID
from homeserver.services.sync.sliding_request import Extensions, Heard, Scope, ToDeviceWish
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import Membership, store_memberships
from homeserver.storage.room_index import note_activity
from tests.budgets.costs import NOTHING, Cost, cost_of
from tests.services.sync.sliding import Phone, Sliding, window
from tests.services.world import ALICE, BOB, World
from tests.storage.statements import CountedStatements

WINDOW = 20
OTHERS = 480
ALL = Extensions(ToDeviceWish(0, 100), e2ee=True, account_data=Scope(), receipts=Scope(), typing=Scope())
PAIRS = (("m.room.name", ""), ("m.room.encryption", ""), ("m.room.member", "$LAZY"), ("m.room.member", str(ALICE)))
FIRST = 14  # statements of a first answer, whatever is in sight
FOR_A_ROOM = 1  # its timeline; what else there is to say is in memory, or read for all rooms at once
NEXT = 18  # statements of an answer that tells of what happened in some rooms


def put_rooms_out_of_sight(tx: Transaction, count: int) -> None:
    """Have Alice be in so many rooms in which nothing has happened for long, without making them."""
    rooms = [RoomID(f"!old{number}:example.org") for number in range(count)]
    store_memberships(tx, [membership_in(room_id) for room_id in rooms])
    for room_id in rooms:
        note_activity(tx, room_id, position=1, bump_position=1, facts=None)


def membership_in(room_id: RoomID) -> Membership:
    """Alice's membership in a room."""
    return Membership(
        room_id=room_id,
        user_id=ALICE,
        membership="join",
        event_id=EventID("$member"),
        sender=ALICE,
        place=1,
        log_position=1,
        display_name=None,
        avatar_url=None,
        is_local=True,
        is_forgotten=False,
        stripped_state=None,
        joined_place=1,
    )


def statements(phone: Phone) -> int:
    """How many statements the next answer of a phone takes."""
    world, request = phone.sliding.world, phone.request()

    def count(tx: Transaction) -> int:
        counted = CountedStatements(tx)
        phone.sliding.assembling.read(
            counted,
            request,
            phone.sliding.connections.known(request),
            phone.sliding.connections.listing(request),
            heard(phone),
        )
        return counted.count

    return world.sync_database.read(count)


def heard(phone: Phone) -> Heard | None:
    """What was written since the phone's last answer."""
    if phone.last is None:
        return None
    world = phone.sliding.world
    changes = world.news.since(phone.user_id, phone.last.token.position)
    return None if changes is None else Heard(changes, world.database.position)


def phone_with(world: World, rooms: int) -> tuple[Phone, RoomID]:
    """A phone of Alice, who sees so many rooms and is in many others; one of the rooms in sight, with Bob in it."""
    world.sync_database.write(put_rooms_out_of_sight, OTHERS)
    made = [world.create_room(ALICE, preset="public_chat", name="Room") for _ in range(rooms)]
    world.join(BOB, made[0])
    return Phone(Sliding(world), ALICE, lists=window(0, WINDOW - 1, *PAIRS, user_id=ALICE), extensions=ALL), made[0]


def test_a_window_costs_its_timelines_and_a_few_statements_for_all_of_it(world: World) -> None:
    phone, _ = phone_with(world, WINDOW)

    first = statements(phone)
    assert cost_of(world.sync_database.counts, phone.ask) == Cost(writes=1, reads=1, batches=1, hops=2)

    assert phone.last is not None
    assert len(phone.last.body["rooms"]) == WINDOW
    assert phone.last.body["lists"] == {"all": {"count": WINDOW + OTHERS}}
    assert first <= FIRST + WINDOW * FOR_A_ROOM


def test_one_new_message_costs_nothing_where_memory_knows_the_room_and_else_a_few_statements(world: World) -> None:
    phone, room_id = phone_with(world, WINDOW)
    phone.ask()
    world.send(BOB, room_id, "hello")

    taken = statements(phone)

    assert taken <= NEXT
    assert cost_of(world.sync_database.counts, phone.ask) == NOTHING
    assert phone.last is not None
    assert list(phone.last.body["rooms"]) == [room_id]
