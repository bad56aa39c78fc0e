"""The two servers are what the other tests of this folder take them for."""

import asyncio
import ssl

import pytest

from tests.federation.peers import Peer
from tests.tls import CertificateAuthority

pytestmark = pytest.mark.peers


async def test_each_server_is_trusted_by_whoever_trusts_the_authority(
    host: Peer, authority: CertificateAuthority
) -> None:
    trusting = ssl.create_default_context(cafile=str(authority.file))

    reader, writer = await asyncio.open_connection(
        "127.0.0.1", host.federation_port.number, ssl=trusting, server_hostname=host.host
    )
    writer.write(f"GET /_matrix/client/versions HTTP/1.1\r\nHost: {host.server_name}\r\n\r\n".encode())
    first_line = await reader.readline()
    writer.close()

    assert first_line.startswith(b"HTTP/1.1 200 ")


async def test_nobody_else_trusts_them(host: Peer) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(
            "127.0.0.1", host.federation_port.number, ssl=ssl.create_default_context(), server_hostname=host.host
        )


async def test_people_of_a_server_hear_each_other(host: Peer) -> None:
    alice = await host.person("alice")
    bob = await host.person("bob")
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)

    await alice.say(room_id, "hello")

    await bob.hears(room_id, "hello")
    assert alice.server_name == host.server_name


async def test_a_server_that_was_paused_goes_on(host: Peer) -> None:
    alice = await host.person("alice")
    room_id = await alice.create_room()

    host.pause()
    sending = asyncio.create_task(alice.say(room_id, "said to nobody, for now"))
    host.resume()
    await sending

    await alice.hears(room_id, "said to nobody, for now")


async def test_a_server_that_was_stopped_starts_with_what_it_had(host: Peer) -> None:
    alice = await host.person("alice")
    room_id = await alice.create_room()
    await alice.say(room_id, "kept")

    host.stop()
    await host.start()

    await alice.hears(room_id, "kept")
