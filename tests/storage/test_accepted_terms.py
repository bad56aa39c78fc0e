"""What users accepted."""

from homeserver.core.identifiers import UserID
from homeserver.storage.accepted_terms import accepted_terms_of, note_accepted_terms
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")


def test_the_newest_version_of_each_policy_is_kept(db: SyncDatabase) -> None:
    db.write(note_accepted_terms, ALICE, {"privacy": "1", "terms": "1"}, now_ms=1)
    db.write(note_accepted_terms, ALICE, {"privacy": "2"}, now_ms=2)
    db.write(note_accepted_terms, BOB, {}, now_ms=2)

    assert db.read(accepted_terms_of, ALICE) == {"privacy": "2", "terms": "1"}
    assert db.read(accepted_terms_of, BOB) == {}
