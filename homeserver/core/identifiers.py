"""The identifiers of Matrix: their types and grammars. Spec: appendices/#identifier-grammar"""

from typing import NewType

UserID = NewType("UserID", str)
RoomID = NewType("RoomID", str)
EventID = NewType("EventID", str)
RoomAlias = NewType("RoomAlias", str)
ServerName = NewType("ServerName", str)
DeviceID = NewType("DeviceID", str)
KeyID = NewType("KeyID", str)  # a signing key: "ed25519:auto1"
