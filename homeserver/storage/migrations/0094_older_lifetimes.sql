-- Of the rooms that were here before it was kept what they say of lifetimes, those after this one are still to be looked
-- at; null: none.
CREATE TABLE lifetimes_progress (
    only_row BIGINT NOT NULL PRIMARY KEY,
    rooms_after TEXT
);

INSERT INTO lifetimes_progress (only_row, rooms_after) SELECT 1, CASE WHEN EXISTS (SELECT 1 FROM rooms) THEN '' END;
