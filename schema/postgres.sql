-- postgres.sql - the tables of the log that several convd share, in a PostgreSQL database (14 or newer) of its own; format 1.
--
-- The log is table event: the same rows, with the same chain, as event and sample have in each convd's own file (schema/0001.sql), before they
-- are applied. What a convd computes from them (predictions, losses, snapshots) is in that file. The rest of the tables says how far others
-- are, whether they came to the same state, and what a new one may begin from.
--
-- `convd cluster init` makes them, in schema convd, as the role that it connects as. To look, with psql for instance:
--   SELECT revision, kind, to_timestamp(created_us / 1e6), body FROM convd.event ORDER BY revision DESC LIMIT 20;
--   SELECT name, revision, now() - told AS since, diverged, compared, digest FROM convd.node;
-- Do not change rows: each event's chain is a hash over it and all before it, and every convd that follows checks it. Of an event whose samples were
-- forgotten, it is what the newest edit of it says (docs/file-format.md) that must match.
--
-- ASCII only, since the text is embedded into the program.

CREATE SCHEMA convd;

-- Where the log ends: one row, which orders all who append. Who appends changes it from the very end that was known to the next, in the transaction
-- that has the new rows; so no number is given twice and none is left out, which a sequence cannot promise.
CREATE TABLE convd.head (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    format   integer NOT NULL,                                -- of these tables: 1
    revision bigint  NOT NULL,                                -- the last event's; 0: there is none
    chain    bytea   NOT NULL CHECK (octet_length(chain) = 32), -- and its chain
    fence    bigint  NOT NULL                                 -- who appends must know it: counted up when an append did not answer, so that
                                                              -- it cannot come about any more once it was found not to have
) WITH (fillfactor = 10);

-- The log. Bytes are stored as they are (EXTERNAL): they hardly shrink, and compressing costs more than writing them.
CREATE TABLE convd.event (
    revision    bigint PRIMARY KEY,                           -- 1, 2, 3, .., without gaps
    created_us  bigint NOT NULL,                              -- microseconds since 1970, UTC, by the clock of who appended it
    first       bigint NOT NULL,                              -- id of its first sample, the others follow; 0: it has none
    kind        text   NOT NULL,                              -- schema/0001.sql has kinds and bodies
    body        text   NOT NULL,
    chain       bytea  NOT NULL CHECK (octet_length(chain) = 32),
    key         text   UNIQUE,                                -- Idempotency-Key of the request that it was; a second one is refused
    fingerprint bytea  CHECK (octet_length(fingerprint) = 32), -- of that request
    labels      bytea  NOT NULL,                              -- for each sample the number of its class: 4 bytes, little-endian; forgotten: all ones
    images      bytea  NOT NULL,                              -- for each sample its picture, as the network saw it, all of one size; forgotten: zeros.
                                                              -- Of kind edit: its rows in edit, edited, class_removed, as the hash takes them
    CHECK ((key IS NULL) = (fingerprint IS NULL))
);
ALTER TABLE convd.event ALTER body SET STORAGE EXTERNAL, ALTER labels SET STORAGE EXTERNAL, ALTER images SET STORAGE EXTERNAL;

-- Edits, for whoever comes to samples that are forgotten by now.
CREATE INDEX event_edit ON convd.event (revision) WHERE kind = 'edit';

-- What the state was at a revision, as the first said who got there; anybody who comes to another has diverged. The newest thousand.
CREATE TABLE convd.digest (
    revision bigint PRIMARY KEY,
    digest   bytea  NOT NULL CHECK (octet_length(digest) = 32)
);

-- States to begin from: that of revision 1, and the newest few.
CREATE TABLE convd.snapshot (
    revision bigint PRIMARY KEY,
    digest   bytea  NOT NULL CHECK (octet_length(digest) = 32),
    chain    bytea  NOT NULL CHECK (octet_length(chain) = 32), -- event.chain at that revision
    state    bytea  NOT NULL,                                 -- as in schema/0001.sql's snapshot.state
    tensors  bytea  NOT NULL                                  -- the parameters, one after the other
);
ALTER TABLE convd.snapshot ALTER state SET STORAGE EXTERNAL, ALTER tensors SET STORAGE EXTERNAL;

-- What the states made of each sample when they learned it, in the order of the samples: who begins from a snapshot has no other way to know.
-- Of a sample: its step 8 bytes, predicted 4, loss 4 (a float), flags 4 (1: refused; 2: it was forgotten before), little-endian.
CREATE TABLE convd.outcome (
    first    bigint PRIMARY KEY,                              -- id of the first sample of these
    n        bigint NOT NULL,                                 -- how many
    revision bigint NOT NULL,                                 -- where the node was that wrote them
    rows     bytea  NOT NULL CHECK (octet_length(rows) = 20 * n)
);
ALTER TABLE convd.outcome ALTER rows SET STORAGE EXTERNAL;

-- Who follows the log, as they told last.
CREATE TABLE convd.node (
    name     text        PRIMARY KEY,
    revision bigint      NOT NULL,
    told     timestamptz NOT NULL,
    compared bigint,                                          -- revision of the newest state that it compared with digest's; NULL: none yet
    digest   bytea       CHECK (octet_length(digest) = 32),   -- and what it came to there
    diverged boolean                                          -- others came to another: it trains nothing. NULL: a convd that does not tell it
) WITH (fillfactor = 50);
-- A log of before these three goes on without, and its nodes tell nothing of that. Its owner adds them, and each node tells when it connects next:
--   ALTER TABLE convd.node ADD compared bigint, ADD digest bytea CHECK (octet_length(digest) = 32), ADD diverged boolean;

INSERT INTO convd.head (format, revision, chain, fence) VALUES (1, 0, decode(repeat('00', 32), 'hex'), 0);

-- A role that a convd may run as, which can append, read and empty samples, but neither remove an event nor change another column of it. Without the
-- right to UPDATE nothing can be forgotten through it.
--   CREATE ROLE convd LOGIN PASSWORD '..';
--   GRANT USAGE ON SCHEMA convd TO convd;
--   GRANT SELECT, UPDATE ON convd.head TO convd;
--   GRANT SELECT, INSERT ON convd.event TO convd;
--   GRANT UPDATE (labels, images, fingerprint) ON convd.event TO convd;
--   GRANT SELECT, INSERT, DELETE ON convd.digest, convd.snapshot, convd.outcome TO convd;
--   GRANT SELECT, INSERT, UPDATE, DELETE ON convd.node TO convd;
--   GRANT pg_read_all_stats TO convd; -- to be told how many standbys are synchronous
-- And one that only looks:
--   GRANT USAGE ON SCHEMA convd TO reader;
--   GRANT SELECT ON ALL TABLES IN SCHEMA convd TO reader;
