-- Accepted redactions whose target is not here yet: events arrive in any order.
CREATE TABLE early_redactions (
    room_id TEXT NOT NULL,
    target_id TEXT NOT NULL,
    redaction_id TEXT NOT NULL,
    PRIMARY KEY (room_id, target_id, redaction_id)
) WITHOUT ROWID;
