-- What other servers have sent: which transactions came, and the events in them that are not judged yet.

-- What was answered to a transaction. `number` grows with each one.
CREATE TABLE inbound_transactions (
    origin TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    answer BYTES NOT NULL,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (origin, transaction_id)
);

CREATE INDEX inbound_transactions_by_number ON inbound_transactions (origin, number);
CREATE INDEX inbound_transactions_by_age ON inbound_transactions (received_ms);

-- Messages from device to device that came, by what their server calls them.
CREATE TABLE inbound_messages (
    origin TEXT NOT NULL,
    message_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (origin, message_id)
);

CREATE INDEX inbound_messages_by_number ON inbound_messages (origin, number);
CREATE INDEX inbound_messages_by_age ON inbound_messages (received_ms);

-- Events that came and are not judged yet, each as its canonical JSON, in the order in which they came.
CREATE TABLE staged_pdus (
    number BIGINT NOT NULL PRIMARY KEY,
    room_id TEXT NOT NULL,
    origin TEXT NOT NULL,
    received_ms BIGINT NOT NULL,
    size BIGINT NOT NULL,
    pdu BYTES NOT NULL
);

CREATE INDEX staged_pdus_by_room ON staged_pdus (room_id, number);
CREATE INDEX staged_pdus_by_origin ON staged_pdus (origin);
