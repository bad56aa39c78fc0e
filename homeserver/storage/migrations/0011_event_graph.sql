-- The graph of a room's events: what is built on what, what is missing, and what waits for it.

-- By what an event is named: the way back, which the event itself has not. What it names stands in its PDU.
-- kind 0: the source has the target among its prev_events; 1: the source is a state event, and has it among its
-- auth_events.
CREATE TABLE event_edges (
    room_id TEXT NOT NULL,
    target_nid BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    source_nid BIGINT NOT NULL,
    PRIMARY KEY (room_id, target_nid, kind, source_nid)
) WITHOUT ROWID;

-- @sqlite
INSERT INTO event_edges (room_id, target_nid, kind, source_nid)
SELECT DISTINCT s.room_id, t.event_nid, 0, s.event_nid
  FROM events s, json_each(CAST(s.pdu AS TEXT), '$.prev_events') j
  JOIN events t ON t.event_id = CASE j.type WHEN 'array' THEN json_extract(j.value, '$[0]') ELSE j.value END;

INSERT INTO event_edges (room_id, target_nid, kind, source_nid)
SELECT DISTINCT s.room_id, t.event_nid, 1, s.event_nid
  FROM events s, json_each(CAST(s.pdu AS TEXT), '$.auth_events') j
  JOIN events t ON t.event_id = CASE j.type WHEN 'array' THEN json_extract(j.value, '$[0]') ELSE j.value END
 WHERE s.state_key IS NOT NULL;

-- @postgresql
INSERT INTO event_edges (room_id, target_nid, kind, source_nid)
SELECT DISTINCT s.room_id, t.event_nid, 0, s.event_nid
  FROM events s
 CROSS JOIN LATERAL json_array_elements(convert_from(s.pdu, 'UTF8')::json -> 'prev_events') AS j(value)
  JOIN events t ON t.event_id = CASE json_typeof(j.value) WHEN 'array' THEN j.value ->> 0 ELSE j.value #>> '{}' END;

INSERT INTO event_edges (room_id, target_nid, kind, source_nid)
SELECT DISTINCT s.room_id, t.event_nid, 1, s.event_nid
  FROM events s
 CROSS JOIN LATERAL json_array_elements(convert_from(s.pdu, 'UTF8')::json -> 'auth_events') AS j(value)
  JOIN events t ON t.event_id = CASE json_typeof(j.value) WHEN 'array' THEN j.value ->> 0 ELSE j.value #>> '{}' END
 WHERE s.state_key IS NOT NULL;

-- @both
-- An event, stored or waiting, names another that is not here.
CREATE TABLE event_gaps (
    room_id TEXT NOT NULL,
    missing_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (room_id, missing_id, event_id)
) WITHOUT ROWID;

CREATE INDEX event_gaps_by_event ON event_gaps (event_id);

-- Events that were received and cannot be judged yet, for they lack ancestors.
CREATE TABLE waiting_events (
    room_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    pdu BYTES NOT NULL,
    form BIGINT NOT NULL,
    received_from TEXT,
    received_ms BIGINT NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (room_id, event_id)
);

CREATE INDEX waiting_events_by_age ON waiting_events (received_ms);

-- On which heads an event stands that is none itself: it was soft-failed or rejected, and so is all between.
CREATE TABLE shadowed_heads (
    room_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    head_id TEXT NOT NULL,
    PRIMARY KEY (room_id, event_id, head_id)
) WITHOUT ROWID;

CREATE INDEX shadowed_heads_by_head ON shadowed_heads (room_id, head_id);
