-- Until when somebody who made their account themselves may do less than others; NULL: they may as much.
ALTER TABLE users ADD COLUMN probation_until_ms BIGINT;
