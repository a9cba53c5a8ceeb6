-- 0001.sql - the tables of a convd model: version 1 of the file.
--
-- One file holds one model. Its truth is the log: table event, with the images in table sample. Everything else (class,
-- snapshot, tensor) can be made again by replaying the log, and is here so that starting is quick and people can look.
--
-- To look, stop the daemon (it holds the only lock) or take a copy, and ask the sqlite3 shell, for instance:
--   SELECT revision, kind, datetime(created_us / 1000000, 'unixepoch'), body FROM event;
--   SELECT label_text, count(*), avg(label = predicted) FROM labelled_sample GROUP BY label_text;
--   SELECT name, rows, columns, length(data) FROM tensor WHERE snapshot = (SELECT max(id) FROM snapshot);
-- Do not change rows: each event's chain is a hash over it and all before it, and convd refuses a log that does not match.
--
-- ASCII only, since the text is embedded into the program.

PRAGMA application_id = 0x636f6e76; -- "conv": how convd, and file(1), know the file

-- The log. The model is its fold: state = apply(.. apply(apply(nothing, create), event 2) .., event N).
CREATE TABLE event (
    revision   INTEGER PRIMARY KEY,  -- 1, 2, 3, ..: the place in the log, without gaps
    kind       TEXT    NOT NULL,     -- create (revision 1 and only there), train, class, tune, rehearse, activate
    created_us INTEGER NOT NULL,     -- microseconds since 1970, UTC; for people, the fold never reads it
    body       TEXT    NOT NULL,     -- JSON, by kind:
                                     --   create   {"shape", "settings", "classes": [label, ..], "arithmetic",
                                     --             "tensors": "drawn" from the seed, or "given" (snapshot of revision 1),
                                     --             "digest": of the state after it}
                                     --   train    {"first": id, "n": count} of its samples, which are consecutive;
                                     --            "refused": [id, ..] of those whose step would have ruined the weights
                                     --   class    {"action": "add" or "rename", "index", "label"}
                                     --   tune     {"settings": all of them, as they are from now on}
                                     --   rehearse {"first", "last", "seed"}: sample ids, both ends included
                                     --   activate {"revision"}: the state of that revision is the live one again
    chain      BLOB    NOT NULL      -- SHA-256 over the previous row's chain, this row and its samples: store/chain.h
                       CHECK (length(chain) = 32)
) STRICT;

-- The few events that are not train, so that going back in time does not read the whole log.
CREATE INDEX event_rare ON event (kind, revision) WHERE kind <> 'train';

-- What was trained on, as the network saw it: the decoded and fitted picture, never the uploaded file.
CREATE TABLE sample (
    id        INTEGER PRIMARY KEY,                      -- 1, 2, 3, .. in the order of training
    revision  INTEGER NOT NULL REFERENCES event,        -- of the train event that it came with
    label     INTEGER NOT NULL,                         -- index of the class that it was said to be
    predicted INTEGER NOT NULL,                         -- index of the class that the model said just before learning it
    loss      REAL,                                     -- 1/2 sum (l2 - y)^2 just before learning it; NULL: not a number
    image     BLOB    NOT NULL                          -- [channels][height][width], one byte each
) STRICT;

-- The classes as they are now: the rows of the class events, applied.
CREATE TABLE class (
    id    INTEGER PRIMARY KEY, -- index: 0, 1, ..; what sample.label and sample.predicted point at
    label TEXT    NOT NULL UNIQUE
) STRICT;

-- A state of the model, written whole, so that starting does not replay the whole log.
CREATE TABLE snapshot (
    id         INTEGER PRIMARY KEY,
    revision   INTEGER NOT NULL REFERENCES event, -- the state after this event
    step       INTEGER NOT NULL,                  -- samples learned from, rehearsals included
    created_us INTEGER NOT NULL,                  -- microseconds since 1970, UTC
    reason     TEXT    NOT NULL,                  -- create, interval, shutdown, request, activate
    pinned     INTEGER NOT NULL,                  -- 1: stays; 0: thins out with age
    note       TEXT    NOT NULL,                  -- a person's words, or ''
    digest     BLOB    NOT NULL CHECK (length(digest) = 32), -- SHA-256 over the state, checked before it is used
    chain      BLOB    NOT NULL CHECK (length(chain) = 32),  -- event.chain at that revision: ties it to this very log
    arithmetic TEXT    NOT NULL,                  -- version of the arithmetic that made it
    samples    INTEGER NOT NULL,                  -- test-then-train: predictions that were followed by the truth,
    correct    INTEGER NOT NULL,                  -- and how many of them were right
    state      BLOB    NOT NULL                   -- the rest: shape, settings, classes, tally; core/learner_codec.c
) STRICT;

CREATE INDEX snapshot_revision ON snapshot (revision);

-- The parameters of a snapshot.
CREATE TABLE tensor (
    snapshot INTEGER NOT NULL REFERENCES snapshot ON DELETE CASCADE,
    name     TEXT    NOT NULL, -- kernels (absent in a model without), w01, w12
    rows     INTEGER NOT NULL, -- kernels: N    w01: n0    w12: n1
    columns  INTEGER NOT NULL, -- kernels: n_k  w01: n1    w12: n2
    data     BLOB    NOT NULL, -- float32, little-endian, row by row
    PRIMARY KEY (snapshot, name)
) STRICT;

-- Requests that carried an Idempotency-Key: a retry gets the first answer instead of training twice.
CREATE TABLE idempotency (
    key         TEXT    PRIMARY KEY,
    fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 32), -- SHA-256 of the request; zeros: an image of it was forgotten
    revision    INTEGER NOT NULL REFERENCES event DEFERRABLE INITIALLY DEFERRED, -- the event that it became
    created_us  INTEGER NOT NULL,                                  -- microseconds, on a clock that runs while convd does: store/keys.c
    answer      TEXT    NOT NULL                                   -- body of the first answer
) STRICT;

CREATE INDEX idempotency_revision ON idempotency (revision);

-- The stretches of the log that the live state is made of. Without an activate event that is one, from 1 to the end. After
-- "activate revision t" at revision a, what lies between t and a is no longer part of the model.
CREATE VIEW live_stretch (first, last) AS
WITH RECURSIVE stretch (first, last) AS (
    SELECT coalesce((SELECT max(revision) FROM event WHERE kind = 'activate' AND kind <> 'train'), 1),
           (SELECT max(revision) FROM event)
    UNION ALL
    SELECT coalesce((SELECT max(earlier.revision) FROM event AS earlier
                     WHERE earlier.kind = 'activate' AND earlier.kind <> 'train'
                       AND earlier.revision <= jump.body ->> '$.revision'), 1),
           jump.body ->> '$.revision'
    FROM stretch JOIN event AS jump ON jump.revision = stretch.first AND jump.kind = 'activate'
    WHERE jump.body ->> '$.revision' < stretch.first
)
SELECT first, last FROM stretch;

-- The samples that the live model was trained on, with words for the classes.
CREATE VIEW labelled_sample (id, revision, label, label_text, predicted, predicted_text, loss, image) AS
SELECT sample.id, sample.revision, sample.label, truth.label, sample.predicted, guess.label, sample.loss, sample.image
FROM live_stretch
JOIN sample ON sample.revision BETWEEN live_stretch.first AND live_stretch.last
LEFT JOIN class AS truth ON truth.id = sample.label
LEFT JOIN class AS guess ON guess.id = sample.predicted;

PRAGMA user_version = 1;
