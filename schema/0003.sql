-- 0003.sql - version 3 of the file: samples can be forgotten and relabelled.
--
-- The log gets a kind "edit". Its body is {"from", "samples", "rows"}: the lowest revision that it touches, how many samples,
-- and in hex the SHA-256 over its rows in the two tables below (store/edits.c says how). The fold passes over what was forgotten
-- and takes each relabelled sample for what it was relabelled to, at its old place: an edit changes the past, on every line
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

-- Samples as they are now, forgotten ones left out.
CREATE VIEW sample_now (id, revision, label, predicted, loss, image) AS
SELECT sample.id, sample.revision,
       coalesce((SELECT edit.label FROM edit WHERE edit.sample = sample.id ORDER BY edit.event DESC LIMIT 1), sample.label),
       sample.predicted, sample.loss, sample.image
FROM sample
WHERE sample.label >= 0;

DROP VIEW labelled_sample;
CREATE VIEW labelled_sample (id, revision, label, label_text, predicted, predicted_text, loss, image) AS
SELECT sample.id, sample.revision, sample.label, truth.label, sample.predicted, guess.label, sample.loss, sample.image
FROM live_stretch
JOIN sample_now AS sample ON sample.revision BETWEEN live_stretch.first AND live_stretch.last
LEFT JOIN class AS truth ON truth.id = sample.label
LEFT JOIN class AS guess ON guess.id = sample.predicted;

PRAGMA user_version = 3;
