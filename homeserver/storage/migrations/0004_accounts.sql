-- Accounts of this server, and how their users are shown.

CREATE TABLE profiles (
    user_id TEXT NOT NULL PRIMARY KEY,
    display_name TEXT,
    avatar_url TEXT
);
