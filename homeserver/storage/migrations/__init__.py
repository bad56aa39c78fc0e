"""The schema: numbered revisions in plain SQL, append-only, and their runner.

A revision is a file `NNNN_name.sql`. It is applied once, in one transaction, and never changes afterwards.
Columns are TEXT, BIGINT, BYTES, BOOLEAN or DOUBLE; a table may end in `WITHOUT ROWID`, which PostgreSQL does not see;
there are no foreign keys. Statements between `-- @sqlite` (or `-- @postgresql`) and `-- @both`, each alone on its
line, are for that database alone.
"""
