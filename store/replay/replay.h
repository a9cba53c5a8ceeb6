/* replay.h - the door of store/replay/: from the log back to a state, and from an edited log to the state that takes over.
 * store/internal.h declares what is not in a header here.
 *
 * In reading order:
 *   snapshots.c      a state written and read whole
 *   replay_buffer.c  the images that a state remembers, by their ids
 *   retention.c      which snapshots may go
 *   baseline.c       where another arithmetic takes the log over
 *   compaction.c     what of the log is not kept for ever
 *   replay.c         where a state is made again from, and what an event does
 *   replayer.{h,c}   from the one over the others, in steps
 *   follow.c         the fold goes on with what came into the log from elsewhere
 *   recover.c        the state of the log's end, when a file is opened
 *   edits.h          the past is changed
 *   edits_check.c    what is to be edited: looked up, and refused where it cannot be
 *   edits_pending.c  edits that were accepted and are not in the log yet
 *   edits_sweep.c    what an edit has left to be done: what it forgot goes from the file
 *   edits_seen.c     snapshots that saw what it changes, and those that are written in their place
 *   edits_stage.c    its rows, written down before it is made
 *   edits.c          the one transaction in which the edited model takes over
 *   edits_shared.c   an edit as an event of a shared log: the log is edited first, and the model made again then
 *   verify.c         everything against everything
 */
