-- 0004.sql - version 4 of the file: classes can be merged and deleted.
--
-- A class that was merged into another, or deleted with its samples, never was: a replay leaves its column out from the start, also
-- where the create event names it. Rows and bodies keep the numbers that they were written with, so numbers have
-- gaps from then on (a number is never given again), while the model's columns are counted without gaps: store/columns.c.

CREATE TABLE class_removed (
    id          INTEGER PRIMARY KEY,               -- the class's number: class.id, sample.label, body.index
    event       INTEGER NOT NULL REFERENCES event, -- of kind edit
    merged_into INTEGER                            -- the number of the class that got its samples; NULL: forgotten with it
) STRICT;

CREATE INDEX class_removed_event ON class_removed (event);

-- Accepted and not in the log yet, as edit_pending.
CREATE TABLE class_pending (
    id          INTEGER PRIMARY KEY,
    merged_into INTEGER,
    drop_pinned INTEGER NOT NULL
) STRICT;

PRAGMA user_version = 4;
