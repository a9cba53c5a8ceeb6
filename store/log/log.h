/* log.h - the door of store/log/: the log of events and what can be asked of it. store/internal.h declares what is in it.
 *
 * In reading order:
 *   chain.{h,c}      the hash that ties a row to all before it
 *   event_codec.{h,c}  an event as its JSON body, and back
 *   outcomes.c       what the fold made of each sample, on its way into its table
 *   log.c            begin, append, commit: one group of events, all on the disk or none
 *   reader.c         the log back from the disk, each link checked
 *   row.h            an event as another engine holds it
 *   row_edits.c      the rows of an edit event as one run of bytes
 *   rows.c           those out of the file, and into it
 *   keys.c           idempotency keys
 *   classes.c        table class, kept as the log says
 *   columns.c        numbers of classes in the file, and columns of the model
 *   meanings.c       what the numbers of classes stood for, all along the log
 *   rare_events.c    those of one kind that is not train
 *   lineage.c        which events lead to a revision
 *   samples.c        past samples by id
 *   search.c         one with what was predicted of it, those that are searched for, all
 *   windows.c        how many were predicted right: of one event, over parts of the live lineage
 *   lineage_diff.c   what one revision has learned from and another has not
 *   rehearsal.c      past samples trained on again
 *   edit_rows.c      samples that were forgotten or relabelled: their rows, read and proved
 *   baseline_read.c  from where on the log replays to the same bits, and from where on it is kept
 */
