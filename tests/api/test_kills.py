"""What clients were told is done, of devices and messages to them, when the server was killed: nobody misses it."""

import http.client
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Final

from tests.api.client import Client, new_user
from tests.api.test_device_keys import publish, query
from tests.server import Server

KILLS: Final = 3
BUSY: Final = 10  # acknowledgements before a kill


@dataclass
class Restless:
    """Changes its device and writes to another one, until the server answers no more."""

    client: Client
    reader: Client
    acknowledged: list[str] = field(default_factory=list)
    tried: int = 0
    is_busy: Event = field(default_factory=Event)

    def go_on(self) -> None:
        """Until the connection breaks."""
        done = 0
        try:
            while True:
                self.tried += 1
                name = str(self.tried)
                self.client.put("devices", self.client.device_id, body={"display_name": name})
                body = {"messages": {self.reader.user_id: {self.reader.device_id: {"number": name}}}}
                self.client.put("sendToDevice", "org.example", name, body=body)
                self.acknowledged.append(name)
                done += 1
                if done == BUSY:
                    self.is_busy.set()
        except (OSError, http.client.HTTPException):
            self.is_busy.set()


def test_changes_of_devices_and_messages_to_devices_survive_a_kill_and_are_told(mortal: Server) -> None:
    alice, bob = new_user(mortal.url, "alice"), new_user(mortal.url, "bob")
    alice.create_room_with(bob)
    publish(alice)
    restless = Restless(alice, bob)
    received: list[str] = []
    since = bob.token()

    for _ in range(KILLS):
        restless.is_busy.clear()
        with ThreadPoolExecutor(max_workers=1) as pool:
            working: Future[None] = pool.submit(restless.go_on)
            restless.is_busy.wait(timeout=60)
            mortal.kill()  # while something is written, or is to be told
            working.result(timeout=60)
        mortal.start()
        body = bob.sync(since)
        received += [event["content"]["number"] for event in body["to_device"]["events"]]
        shown = query(bob, alice)["device_keys"][alice.user_id][alice.device_id]["unsigned"]["device_display_name"]

        assert alice.user_id in body["device_lists"]["changed"]
        assert shown in (restless.acknowledged[-1], str(restless.tried))
        since = body["next_batch"]

    assert sorted(set(received), key=int) == received
    assert set(restless.acknowledged) <= set(received)
