-- 0002.sql - version 2 of the file: a rehearse event is one chunk of a job.
--
-- Its body, which version 1 had as {"first", "last", "seed"}, is from now on
--
--   {"first", "last"}       the range: ids of samples, both ends included
--   "n"                     how many samples of the range the live line held just before this event
--   "seed"                  of this pass's order: place i of it is the learner_order(seed, n, i)-th of those n, counted from 0
--   "begin", "end"          the places of this chunk: begin, .., end - 1
--   "rate"                  the step size; it is not the setting, and does not change it
--   "jitter", "rotation"    pixels and degrees: how far each picture is shifted and turned
--
-- Samples are named by their rank among those that count, not by their id, so that the event still has one meaning when one of
-- them is taken out of the log. Events of version 1 keep their body (their chain covers it) and their meaning: all samples of
-- the range that were in the table then, whether live or left behind, at the rate of the settings.

-- Which samples a stretch of the log has, without reading their images; and what refers to an event.
CREATE INDEX sample_revision ON sample (revision);

PRAGMA user_version = 2;
