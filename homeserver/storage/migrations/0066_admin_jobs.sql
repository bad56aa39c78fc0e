-- Work that administrators asked for and that takes long: what is to be done, how far it is, and how it ended.
CREATE TABLE admin_jobs (
    job_id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    arguments TEXT NOT NULL,
    asked_by TEXT,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    done BIGINT NOT NULL,
    total BIGINT,
    outcome TEXT NOT NULL,
    error TEXT
);

CREATE INDEX admin_jobs_by_time ON admin_jobs (created_ms, job_id);

CREATE INDEX admin_jobs_by_subject ON admin_jobs (subject, created_ms);

CREATE UNIQUE INDEX admin_jobs_unfinished ON admin_jobs (kind, subject) WHERE status IN ('scheduled', 'active');
