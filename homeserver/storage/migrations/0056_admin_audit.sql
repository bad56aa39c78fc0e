-- What administrators did, in the order in which it was written down. An act is a row when it begins and another one,
-- which names the first in `began`, when it has ended. Rows are added and never changed: the database sees to it, too.
CREATE TABLE admin_audit (
    position BIGINT NOT NULL PRIMARY KEY,
    began BIGINT,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    act TEXT NOT NULL,
    target TEXT,
    details TEXT NOT NULL,
    status BIGINT,
    errcode TEXT
);

CREATE UNIQUE INDEX admin_audit_ends ON admin_audit (began) WHERE began IS NOT NULL;

CREATE INDEX admin_audit_by_actor ON admin_audit (actor, position) WHERE began IS NULL;

CREATE INDEX admin_audit_by_target ON admin_audit (target, position) WHERE began IS NULL AND target IS NOT NULL;

-- @sqlite
CREATE TRIGGER admin_audit_update BEFORE UPDATE ON admin_audit BEGIN
    SELECT RAISE(ABORT, 'admin_audit is only added to');
END;

CREATE TRIGGER admin_audit_delete BEFORE DELETE ON admin_audit BEGIN
    SELECT RAISE(ABORT, 'admin_audit is only added to');
END;

-- REPLACE deletes without the trigger above.
CREATE TRIGGER admin_audit_replace BEFORE INSERT ON admin_audit
    WHEN EXISTS (SELECT 1 FROM admin_audit WHERE position = NEW.position) BEGIN
    SELECT RAISE(ABORT, 'admin_audit is only added to');
END;

-- @postgresql
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''% is only added to'', TG_TABLE_NAME; END';

CREATE TRIGGER admin_audit_change BEFORE UPDATE OR DELETE ON admin_audit
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER admin_audit_truncate BEFORE TRUNCATE ON admin_audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
