-- Which policy documents, in which version, somebody accepted in order to get an account: the newest version of each.
CREATE TABLE accepted_terms (
    user_id TEXT NOT NULL,
    policy TEXT NOT NULL,
    version TEXT NOT NULL,
    accepted_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, policy)
) WITHOUT ROWID;
