"""Backups of a server, one at a time, in one folder, and as many as are wanted."""

from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, succeed

from homeserver.core.signing import SigningKey
from homeserver.runtime.clock import ManualClock
from homeserver.runtime.worker_process import WorkerLost, WorkerStopped
from homeserver.services.admin.backup_archive import Progress
from homeserver.services.admin.backup_process import BackupPlan, Plan, Step
from homeserver.services.admin.backups import ANSWER_AFTER_S, Backups, Kind, Making, OwnServer
from homeserver.services.errors import Forbidden, LimitExceeded, NotFound, Unavailable
from homeserver.services.events.own_keys import OwnSigningKeys
from tests.services.world import now


class FakeProcess:
    """A process that makes an empty file, when it is told to come to an end."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.asked: list[Deferred[Step]] = []

    async def begin(self, plan: Plan) -> Step:
        self.plans.append(plan)
        return await self.go_on()

    async def go_on(self) -> Step:
        answer: Deferred[Step] = Deferred()
        self.asked.append(answer)
        return await answer

    def stop(self) -> "Deferred[None]":
        return succeed(None)

    def tell(self, rows: int) -> None:
        self.asked.pop().callback(Step(Progress("writing", rows, 10)))

    def end(self) -> None:
        path = self.plans[-1].path
        path.write_bytes(b"12345")
        self.asked.pop().callback(Step(Progress("verifying", 10, 10), size_bytes=5))

    def fail(self, failure: Exception | str) -> None:
        answer = self.asked.pop()
        if isinstance(failure, str):
            answer.callback(Step(Progress("writing", 1, 10), failure=failure))
        else:
            answer.errback(failure)


class Scene:
    """A server that can have backups made."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder / "backups"
        self.clock = ManualClock()
        self.process = FakeProcess()
        self.server = OwnServer(
            "example.org", "1.2.3", "sqlite", folder / "signing.key", folder / "homeserver.yaml", self.folder, keep
        )
        self.key = SigningKey("a", bytes(32))
        self.backups = Backups(self.server, self.process, OwnSigningKeys(self.key), self.clock)

    def make(self, *, by_owner: bool = True) -> Making:
        """Have a backup made to its end."""
        self.clock.advance(1)
        making = self.backups.back_up(has_signing_key=True, by_owner=by_owner)
        self.process.end()
        return now(self.backups.wait_for(making.name))

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_backup_is_of_all_that_the_server_has_and_is_named_by_its_time(scene: Scene) -> None:
    making = scene.backups.back_up(has_signing_key=True, by_owner=True)

    plan = scene.process.plans[0]
    assert isinstance(plan, BackupPlan)
    assert plan.path == scene.folder / making.name
    assert (plan.signing_key, plan.configuration) == (scene.server.signing_key, scene.server.configuration)
    assert (plan.whose.server_name, plan.whose.made_ms) == ("example.org", scene.clock.now_ms())
    assert plan.whose.key_id == scene.key.verify_key.key_id
    assert making.is_under_way
    assert scene.folder.stat().st_mode & 0o777 == 0o700
    scene.process.end()
    (kept,) = scene.backups.kept()
    assert (kept.name, kept.made_ms, kept.size_bytes) == (making.name, scene.clock.now_ms(), 5)


def test_the_key_is_left_out_where_that_is_wanted(scene: Scene) -> None:
    scene.backups.back_up(has_signing_key=False, by_owner=True)

    plan = scene.process.plans[0]
    assert isinstance(plan, BackupPlan)
    assert plan.signing_key is None


def test_whoever_asks_how_far_it_is_waits_for_a_while(scene: Scene) -> None:
    name = scene.backups.back_up(has_signing_key=True, by_owner=True).name
    asked = Deferred.fromCoroutine(scene.backups.wait_for(name))
    scene.process.tell(3)

    assert not asked.called
    scene.clock.advance(ANSWER_AFTER_S)

    told: list[Making] = []
    asked.addCallback(told.append)
    assert (told[0].progress.rows, told[0].is_under_way) == (3, True)
    assert scene.backups.under_way == told[0]


def test_and_is_told_of_its_end_at_once(scene: Scene) -> None:
    name = scene.backups.back_up(has_signing_key=True, by_owner=True).name
    asked = [Deferred.fromCoroutine(scene.backups.wait_for(name)) for _ in range(2)]

    scene.process.end()

    told: list[Making] = []
    for each in asked:
        each.addCallback(told.append)
    assert [making.size_bytes for making in told] == [5, 5]
    assert scene.backups.under_way is None


def test_there_is_one_at_a_time(scene: Scene) -> None:
    scene.backups.back_up(has_signing_key=True, by_owner=True)

    with pytest.raises(LimitExceeded):
        scene.backups.back_up(has_signing_key=True, by_owner=True)
    with pytest.raises(LimitExceeded):
        scene.backups.export(by_owner=True)
    scene.process.end()
    scene.clock.advance(1)
    scene.backups.export(by_owner=True)

    assert [plan.path.suffixes[-1] for plan in scene.process.plans] == [".backup", ".gz"]


def test_the_oldest_goes_when_the_owner_has_another_one_made(scene: Scene) -> None:
    names = [scene.make().name for _ in range(4)]
    (scene.folder / "notes.txt").write_text("mine")
    (scene.folder / "columba-20261399-999999-000.backup").write_text("odd")

    last = scene.make().name

    assert scene.names == sorted(["notes.txt", "columba-20261399-999999-000.backup", names[-1], last])
    assert [kept.name for kept in scene.backups.kept()] == [last, names[-1]]


def test_exports_and_backups_are_counted_apart(scene: Scene) -> None:
    names = [scene.make().name for _ in range(2)]
    for _ in range(3):
        scene.clock.advance(1)
        scene.backups.export(by_owner=True)
        scene.process.end()

    kept = scene.backups.kept()
    assert [each.kind for each in kept] == [Kind.EXPORT] * 2 + [Kind.BACKUP] * 2
    assert {each.name for each in kept if each.kind is Kind.BACKUP} == set(names)


def test_an_administrator_can_add_some_and_have_none_deleted(scene: Scene) -> None:
    names = {scene.make(by_owner=False).name for _ in range(2)}

    with pytest.raises(Forbidden):
        scene.make(by_owner=False)

    assert set(scene.names) == names
    assert scene.make(by_owner=True).name in scene.names


@pytest.mark.parametrize("failure", ["the disk is full", WorkerLost("twice"), WorkerStopped()])
def test_one_that_came_to_nothing_is_told_and_deletes_nothing(scene: Scene, failure: Exception | str) -> None:
    names = {scene.make().name for _ in range(2)}
    scene.clock.advance(1)
    name = scene.backups.back_up(has_signing_key=True, by_owner=True).name

    scene.process.fail(failure)

    making = now(scene.backups.wait_for(name))
    assert making.failure is not None
    assert making.size_bytes is None
    assert set(scene.names) == names
    assert scene.make().size_bytes == 5


def test_what_a_killed_process_has_left_is_thrown_away(scene: Scene) -> None:
    scene.make()
    (scene.folder / "columba-20260101-000000-000.backup.part").write_text("half")

    scene.make()

    assert [name for name in scene.names if name.endswith(".part")] == []


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("a file")
    scene = Scene(tmp_path)

    with pytest.raises(Unavailable):
        scene.make()
    with pytest.raises(Unavailable):
        scene.backups.kept()


def test_one_that_was_not_begun_is_not_known(scene: Scene) -> None:
    assert scene.backups.kept() == []
    with pytest.raises(NotFound):
        now(scene.backups.wait_for("../../etc/passwd"))
    scene.make()
    with pytest.raises(NotFound):
        now(scene.backups.wait_for("columba-20260101-000000-000.backup"))
