-- What users told moderators of: an event and its room, a room alone, or another user.
CREATE TABLE reports (
    report_id TEXT NOT NULL PRIMARY KEY,
    reporter TEXT NOT NULL,
    room_id TEXT,
    event_id TEXT,
    user_id TEXT,
    reason TEXT NOT NULL,
    received_ms BIGINT NOT NULL
);

CREATE INDEX reports_by_reporter ON reports (reporter, received_ms);

CREATE INDEX reports_by_room ON reports (room_id) WHERE room_id IS NOT NULL;

CREATE INDEX reports_by_time ON reports (received_ms, report_id);
