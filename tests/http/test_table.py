"""The table of endpoints."""

from homeserver.http.endpoint import endpoints_of
from homeserver.http.table import ENDPOINT_CLASSES


def test_each_class_is_there_once_and_has_endpoints() -> None:
    assert len(set(ENDPOINT_CLASSES)) == len(ENDPOINT_CLASSES)
    assert [owner for owner in ENDPOINT_CLASSES if not endpoints_of(owner)] == []
