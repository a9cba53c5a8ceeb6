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
    kind       TEXT    NOT NULL,     -- create (revision 1 and only there), train, class, tune, rehearse, idle, activate, edit, baseline
    created_us INTEGER NOT NULL,     -- microseconds since 1970, UTC; for people, the fold never reads it
    body       TEXT    NOT NULL,     -- JSON, by kind:
                                     --   create   {"shape", "settings", "classes": [label, ..], "arithmetic",
                                     --             "tensors": "drawn" from the seed, or "given" (snapshot of revision 1),
                                     --             "digest": of the state after it}
                                     --   train    {"first": id, "n": count} of its samples, which are consecutive
                                     --   class    {"action": "add" or "rename", "index", "label"}
                                     --   tune     {"settings": all of them, as they are from now on}
                                     --   rehearse a chunk of a job: below
                                     --   idle     {"steps"}: so many on the replay buffer, while nothing was asked for
                                     --   activate {"revision"}: the state of that revision is the live one again
                                     --   edit     {"number": of its rows, "from": the lowest revision that it touches,
                                     --             "samples": how many,
                                     --             "rows": SHA-256 over its rows in the tables edit, edited, class_removed}
                                     --   baseline {"arithmetic", "before", "from", "digest"}: another arithmetic goes on
    chain      BLOB    NOT NULL      -- SHA-256 over the previous row's chain, this row and its samples: store/log/chain.h
                       CHECK (length(chain) = 32)
) STRICT;

-- A rehearse event trains again on past samples. Its body:
--   "first", "last"         the range: ids of samples, both ends included
--   "n"                     how many samples of the range the live lineage held just before this event
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
    image     BLOB    NOT NULL                          -- [channels][height][width], one byte each
) STRICT;

-- What the model made of each sample (prequential, test-then-train). Derived: a function of the log, written some time after the
-- event was applied, before a snapshot is. So only the last samples of the log may have none, where the daemon was killed; the next
-- start makes them again.
CREATE TABLE outcome (
    sample    INTEGER PRIMARY KEY, -- sample.id
    step      INTEGER NOT NULL,    -- the model's steps after it, those on past samples that it brought included
    predicted INTEGER NOT NULL,    -- index of the class that the model said just before learning it
    loss      REAL,                -- 1/2 sum (l2 - y)^2 just before learning it; NULL: not a number
    refused   INTEGER NOT NULL     -- 1: its step would have ruined the weights, and was not made
) STRICT;

-- Which samples a span of the log has, without reading their images; and what refers to an event.
CREATE INDEX sample_revision ON sample (revision);

-- The classes as they are now: the rows of the class events, applied.
CREATE TABLE class (
    id    INTEGER PRIMARY KEY, -- index: 0, 1, ..; what sample.label and sample.predicted point at
    label TEXT    NOT NULL UNIQUE
) STRICT;

-- A state of the model, written whole, so that starting does not replay the whole log.
CREATE TABLE snapshot (
    id         INTEGER PRIMARY KEY AUTOINCREMENT, -- no id is given again: who knows one means that snapshot
    revision   INTEGER NOT NULL REFERENCES event, -- the state after this event
    step       INTEGER NOT NULL,                  -- samples learned from, rehearsals included
    created_us INTEGER NOT NULL,                  -- microseconds since 1970, UTC
    reason     TEXT    NOT NULL,                  -- create, interval, shutdown, request, activate, edit, baseline
    pinned     INTEGER NOT NULL,                  -- 1: stays; 0: pruned with age
    note       TEXT    NOT NULL,                  -- a person's words, or ''
    gone       INTEGER NOT NULL DEFAULT 0,        -- 1: it saw what an edit changed; no snapshot any more, and soon no row
    digest     BLOB    NOT NULL CHECK (length(digest) = 32), -- SHA-256 over the state, checked before it is used
    chain      BLOB    NOT NULL CHECK (length(chain) = 32),  -- event.chain at that revision: ties it to this very log
    arithmetic TEXT    NOT NULL,                  -- version of the arithmetic that made it
    samples    INTEGER NOT NULL,                  -- test-then-train: predictions that were followed by the truth,
    correct    INTEGER NOT NULL,                  -- and how many of them were right
    state      BLOB    NOT NULL                   -- the rest: shape, settings, classes, tally; core/learner/codec.c
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

-- Requests that carried an Idempotency-Key: a retry gets the answer of its event instead of training twice.
CREATE TABLE idempotency (
    key         TEXT    PRIMARY KEY,
    fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 32), -- SHA-256 of the request; zeros: an image of it was forgotten
    revision    INTEGER NOT NULL REFERENCES event DEFERRABLE INITIALLY DEFERRED, -- the event that it became
    created_us  INTEGER NOT NULL                                   -- microseconds, on a clock that runs while convd does: store/log/keys.c
) STRICT;

CREATE INDEX idempotency_revision ON idempotency (revision);

-- The spans of the log that the live state is made of. Without an activate event that is one, from 1 to the end. After
-- "activate revision t" at revision a, what lies between t and a is no longer part of the model.
CREATE VIEW live_span (first, last) AS
WITH RECURSIVE span (first, last) AS (
    SELECT coalesce((SELECT max(revision) FROM event WHERE kind = 'activate' AND kind <> 'train'), 1),
           (SELECT max(revision) FROM event)
    UNION ALL
    SELECT coalesce((SELECT max(earlier.revision) FROM event AS earlier
                     WHERE earlier.kind = 'activate' AND earlier.kind <> 'train'
                       AND earlier.revision <= jump.body ->> '$.revision'), 1),
           jump.body ->> '$.revision'
    FROM span JOIN event AS jump ON jump.revision = span.first AND jump.kind = 'activate'
    WHERE jump.body ->> '$.revision' < span.first
)
SELECT first, last FROM span;

-- ---- what an edit leaves: store/replay/edits.c ----
--
-- The fold skips what was forgotten and takes each relabelled sample for what it was relabelled to, at its old place: an edit changes the past, on every line
-- that the sample is on. So the state just before an edit event is that after it.
--
-- A row of a forgotten sample stays, emptied: label -1, and for an image one zero byte less than it had; so does its outcome: predicted
-- 0, no loss. Never a byte more, so that SQLite need not move any other row, which could leave a copy behind. Ids and ranks of the
-- others stay what they are.
--
-- An edit may be of any number of samples, so all but the switch is done in pieces: its rows are written down before, under a number
-- that is no edit event's yet; then one short transaction has the event with that number, and everything has changed; images,
-- fingerprints of keys and snapshots go after it. Table edit_work says how far it is.
--
-- A row of a relabelled sample is not touched, nor is its outcome: that stays what was said then. Its
-- class is what the newest row of table edit says: view sample_now.
--
-- The chain of an event whose samples were forgotten cannot be made again. Its link stays as it was, the next row is tied to it; what
-- is left of it is tied by the hash in table edited, and that by the chain of the edit event.

-- What was done to which sample: the audit, without content.
CREATE TABLE edit (
    sample INTEGER NOT NULL,
    number INTEGER NOT NULL, -- of the edit: 1, 2, .. in the order of the edit events, whose bodies have it
    was    INTEGER NOT NULL, -- index of its class until then
    label  INTEGER NOT NULL, -- and from then on; -1: forgotten
    PRIMARY KEY (sample, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX edit_number ON edit (number);

-- Which samples came to a class by an edit: the first of them may have brought it along, before the event that adds it.
CREATE INDEX edit_relabelled ON edit (label, sample) WHERE label >= 0;

-- Train events of which samples were forgotten, and SHA-256 over what was left of them then: the newest row counts.
CREATE TABLE edited (
    revision INTEGER NOT NULL REFERENCES event,
    number   INTEGER NOT NULL,
    hash     BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (revision, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX edited_number ON edited (number);

-- The edit that is not through, one at most. Without an event: its rows are being written down, and mean nothing yet. With one: it is
-- made, and what it forgot is being emptied.
CREATE TABLE edit_work (
    number INTEGER PRIMARY KEY,
    event  INTEGER REFERENCES event,
    next   INTEGER NOT NULL -- id: of forgotten samples below it nothing is left
) STRICT;

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
       coalesce((SELECT edit.label FROM edit
                 WHERE edit.sample = sample.id AND edit.number IS NOT (SELECT number FROM edit_work WHERE event IS NULL)
                 ORDER BY edit.number DESC LIMIT 1), sample.label),
       outcome.predicted, outcome.loss, sample.image
FROM sample LEFT JOIN outcome ON outcome.sample = sample.id
WHERE sample.label >= 0
  AND NOT EXISTS (SELECT 1 FROM edit WHERE edit.sample = sample.id AND edit.label = -1
                  AND edit.number = (SELECT number FROM edit_work WHERE event IS NOT NULL));

-- The samples that the live model was trained on, with words for the classes.
CREATE VIEW labelled_sample (id, revision, label, label_text, predicted, predicted_text, loss, image) AS
SELECT sample.id, sample.revision, sample.label, truth.label, sample.predicted, guess.label, sample.loss, sample.image
FROM live_span
JOIN sample_now AS sample ON sample.revision BETWEEN live_span.first AND live_span.last
LEFT JOIN class AS truth ON truth.id = sample.label
LEFT JOIN class AS guess ON guess.id = sample.predicted;

PRAGMA user_version = 1;
