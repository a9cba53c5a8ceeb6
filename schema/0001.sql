-- 0001.sql - the tables of a convd model: version 1 of the file.
--
-- One file holds one model. Its truth is the log: table event, with the images in table sample. Everything else (class,
-- snapshot, tensor) can be made again by replaying the log, and is here so that starting is quick and people can look.
--
-- To look, stop the daemon (it holds the only lock) or take a copy, and ask the sqlite3 shell, for instance:
--   SELECT revision, kind, datetime(created_us / 1000000, 'unixepoch'), body FROM event;
--   SELECT label_text, count(*), avg(label = predicted) FROM labelled_sample GROUP BY label_text;
--   SELECT name, rows, columns, length(data) FROM tensor WHERE snapshot = (SELECT max(id) FROM snapshot);
-- docs/file-format.md has the bytes of every hash and blob, so that other programs can read the file.
-- Do not change rows: each event's chain is a hash over it and all before it, and convd refuses a log that does not match.
--
-- ASCII only, since the text is embedded into the program.

PRAGMA application_id = 0x636f6e76; -- "conv": how convd, and file(1), know the file

-- The log. The model is its fold: state = apply(.. apply(apply(nothing, create), event 2) .., event N).
CREATE TABLE event (
    revision   INTEGER PRIMARY KEY,  -- 1, 2, 3, ..: the place in the log, without gaps
    kind       TEXT    NOT NULL,     -- create (revision 1 and only there), train, class, tune, rehearse, activate, edit, ground
    created_us INTEGER NOT NULL,     -- microseconds since 1970, UTC; for people, the fold never reads it
    body       TEXT    NOT NULL,     -- JSON, by kind:
                                     --   create   {"shape", "settings", "classes": [label, ..], "arithmetic",
                                     --             "tensors": "drawn" from the seed, or "given" (snapshot of revision 1),
                                     --             "digest": of the state after it}
                                     --   train    {"first": id, "n": count} of its samples, which are consecutive;
                                     --            "refused": [id, ..] of those whose step would have ruined the weights
                                     --   class    {"action": "add" or "rename", "index", "label"}
                                     --   tune     {"settings": all of them, as they are from now on}
                                     --   rehearse a chunk of a job: below
                                     --   activate {"revision"}: the state of that revision is the live one again
                                     --   edit     {"from": the lowest revision that it touches, "samples": how many,
                                     --             "rows": SHA-256 over its rows in the tables edit, edited, class_removed}
                                     --   ground   {"arithmetic", "before", "from", "digest"}: another arithmetic goes on
    chain      BLOB    NOT NULL      -- SHA-256 over the previous row's chain, this row and its samples: store/log/chain.h
                       CHECK (length(chain) = 32)
) STRICT;

-- A rehearse event trains again on past samples. Its body:
--   "first", "last"         the range: ids of samples, both ends included
--   "n"                     how many samples of the range the live line held just before this event
--   "seed"                  of this pass's order: place i of it is the learner_order(seed, n, i)-th of those n, counted from 0
--   "begin", "end"          the places of this chunk: begin, .., end - 1
--   "rate"                  the step size; it is not the setting, and does not change it
--   "jitter", "rotation"    pixels and degrees: how far each picture is shifted and turned
-- Samples are named by their rank among those that count, not by their id, so that the event still has one meaning when one of
-- them is taken out of the log.

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

-- Which samples a stretch of the log has, without reading their images; and what refers to an event.
CREATE INDEX sample_revision ON sample (revision);

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
    reason     TEXT    NOT NULL,                  -- create, interval, shutdown, request, activate, edit, ground
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
    created_us  INTEGER NOT NULL,                                  -- microseconds, on a clock that runs while convd does: store/log/keys.c
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

-- ---- what an edit leaves: store/replay/edits.c ----
--
-- The fold skips what was forgotten and takes each relabelled sample for what it was relabelled to, at its old place: an edit changes the past, on every line
-- that the sample is on. So the state just before an edit event is that after it.
--
-- A row of a forgotten sample stays, emptied: label -1, no loss, and for an image one zero byte less than it had. Never a byte more,
-- so that SQLite need not move any other row, which could leave a copy behind. Ids and ranks of the others stay what they are.
--
-- A row of a relabelled sample is not touched: the event that it came with, predicted and loss stay what was said then. Its
-- class is what the newest row of table edit says: view sample_now.
--
-- The chain of an event whose samples were forgotten cannot be made again. Its link stays as it was, the next row is tied to it; what
-- is left of it is tied by the hash in table edited, and that by the chain of the edit event.

-- What was done to which sample: the audit, without content.
CREATE TABLE edit (
    sample INTEGER NOT NULL,
    event  INTEGER NOT NULL REFERENCES event,
    was    INTEGER NOT NULL, -- index of its class until then
    label  INTEGER,          -- and from then on; NULL: forgotten
    PRIMARY KEY (sample, event)
) STRICT, WITHOUT ROWID;

CREATE INDEX edit_event ON edit (event);

-- Train events of which samples were forgotten, and SHA-256 over what was left of them then: the newest row counts.
CREATE TABLE edited (
    revision INTEGER NOT NULL REFERENCES event,
    event    INTEGER NOT NULL REFERENCES event,
    hash     BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (revision, event)
) STRICT, WITHOUT ROWID;

CREATE INDEX edited_event ON edited (event);

-- Edits that were accepted and are not in the log yet: the model is being rebuilt, or will be at the next start.
CREATE TABLE edit_pending (
    sample      INTEGER PRIMARY KEY,
    label       INTEGER,         -- NULL: forget
    drop_pinned INTEGER NOT NULL -- pinned snapshots that saw it may go
) STRICT;

-- A class that was merged into another, or deleted with its samples, never was: a replay leaves its column out from the start, also
-- where the create event names it. Rows and bodies keep the numbers that they were written with, so numbers have
-- gaps from then on (a number is never given again), while the model's columns are counted without gaps: store/log/columns.c.

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

-- Samples as they are now, forgotten ones left out.
CREATE VIEW sample_now (id, revision, label, predicted, loss, image) AS
SELECT sample.id, sample.revision,
       coalesce((SELECT edit.label FROM edit WHERE edit.sample = sample.id ORDER BY edit.event DESC LIMIT 1), sample.label),
       sample.predicted, sample.loss, sample.image
FROM sample
WHERE sample.label >= 0;

-- The samples that the live model was trained on, with words for the classes.
CREATE VIEW labelled_sample (id, revision, label, label_text, predicted, predicted_text, loss, image) AS
SELECT sample.id, sample.revision, sample.label, truth.label, sample.predicted, guess.label, sample.loss, sample.image
FROM live_stretch
JOIN sample_now AS sample ON sample.revision BETWEEN live_stretch.first AND live_stretch.last
LEFT JOIN class AS truth ON truth.id = sample.label
LEFT JOIN class AS guess ON guess.id = sample.predicted;

PRAGMA user_version = 1;
