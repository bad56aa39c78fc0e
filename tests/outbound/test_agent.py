"""The agent: servers are found, asked, and left alone when they are asked enough."""

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.identifiers import ServerName
from homeserver.outbound.agent import REQUESTS_PER_SERVER, FederationAgent
from homeserver.outbound.errors import RemoteNonsense, Unreachable
from homeserver.outbound.exchange import Agent, Answer, within
from homeserver.outbound.resolver import Resolver
from homeserver.runtime.randomness import SeededRandomness
from tests.outbound.https_servers import Conversation, Outside, answering, ask_for, json_answer


class NoDelegations:
    """Nobody delegates; which hosts were doubted is noted."""

    def __init__(self) -> None:
        self.doubted: list[str] = []

    async def find(self, host: str) -> ServerName | None:
        return None

    def doubt(self, host: str) -> None:
        self.doubted.append(host)


class Agents:
    """An agent in the outside world."""

    def __init__(self, outside: Outside) -> None:
        self.delegations = NoDelegations()
        self.resolver = Resolver(self.delegations, outside.names, outside.clock, SeededRandomness())
        self.agent = FederationAgent(self.resolver, outside.https)


@pytest.fixture
def agents(outside: Outside) -> Agents:
    """An agent."""
    return Agents(outside)


def test_a_server_is_found_and_asked(outside: Outside, agents: Agents) -> None:
    agent: Agent = agents.agent
    server = outside.serve(answering(json_answer(b'{"a":1}')))
    outside.names.hosts["example.org"] = ["127.0.0.1"]
    name = f"example.org:{server.port}"

    answer = outside.wait(agent.exchange(ask_for(destination=name)))

    assert (answer.status, answer.body) == (200, b'{"a":1}')
    assert server.received[0].headers["host"] == name
    assert agents.agent.group_of(ServerName(name)) is not None


def test_so_many_requests_at_once_are_made_to_a_server_and_the_others_wait(outside: Outside, agents: Agents) -> None:
    waiting: list[Conversation] = []
    server = outside.serve(lambda conversation, _: waiting.append(conversation))
    outside.names.hosts["example.org"] = ["127.0.0.1"]
    answers: list[Answer] = []
    for _ in range(REQUESTS_PER_SERVER + 2):
        asked = agents.agent.exchange(ask_for(destination=f"example.org:{server.port}"))
        Deferred.fromCoroutine(asked).addCallback(answers.append)

    outside.turn_until(lambda: len(waiting) == REQUESTS_PER_SERVER)
    busy = list(waiting)
    busy[0].send(json_answer(b"{}"))
    outside.turn_until(lambda: len(answers) == 1 and len(waiting) == REQUESTS_PER_SERVER + 1)
    for conversation in [*busy[1:], waiting[-1]]:
        conversation.send(json_answer(b"{}"))
    outside.turn_until(lambda: len(waiting) == REQUESTS_PER_SERVER + 2)
    waiting[-1].send(json_answer(b"{}"))

    outside.turn_until(lambda: len(answers) == REQUESTS_PER_SERVER + 2)
    assert agents.agent.busy_servers == 0


def test_a_server_that_does_not_answer_is_looked_for_anew(outside: Outside, agents: Agents) -> None:
    with pytest.raises(Unreachable):
        outside.wait(agents.agent.exchange(ask_for(destination="example.org")))

    assert agents.delegations.doubted == ["example.org"]
    assert agents.agent.busy_servers == 0


def test_a_server_that_takes_too_long_is_looked_for_anew(outside: Outside, agents: Agents) -> None:
    server = outside.serve(lambda conversation, _: conversation.wait_for_end())
    outside.names.hosts["example.org"] = ["127.0.0.1"]
    asked = agents.agent.exchange(ask_for(destination=f"example.org:{server.port}"))

    with pytest.raises(Unreachable):
        outside.wait(within(outside.clock, 0.2, asked, "example.org"))

    assert agents.delegations.doubted == ["example.org"]
    outside.turn_until(lambda: server.ended == 1)


def test_a_server_that_answers_nonsense_is_where_it_was(outside: Outside, agents: Agents) -> None:
    server = outside.serve(answering(b"nonsense\r\n\r\n"))
    outside.names.hosts["example.org"] = ["127.0.0.1"]

    with pytest.raises(RemoteNonsense):
        outside.wait(agents.agent.exchange(ask_for(destination=f"example.org:{server.port}")))

    assert agents.delegations.doubted == []


def test_redirects_are_not_followed(outside: Outside, agents: Agents) -> None:
    server = outside.serve(answering(json_answer(b"{}", 302, "Location: https://elsewhere.example/")))
    outside.names.hosts["example.org"] = ["127.0.0.1"]

    answer = outside.wait(agents.agent.exchange(ask_for(destination=f"example.org:{server.port}")))

    assert (answer.status, len(server.received), outside.names.asked) == (302, 1, ["example.org"])
