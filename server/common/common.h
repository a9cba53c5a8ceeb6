/* common.h - the door of server/common/: what every other folder of server/ may use, with nothing of the network or of HTTP in it.
 *
 * In reading order:
 *   text.{h,c}         a buffer of bytes that grows
 *   json.{h,c}         reading JSON; alone knows cJSON
 *   json_number.c      a number as text
 *   json_write.{h,c}   writing JSON, member by member
 *   json_scan.{h,c}    is this JSON? What stands between the network and cJSON
 *   label_take.{h,c}   the one way in for a label; alone knows utf8proc
 *   rank.{h,c}         the classes of one prediction, best first
 *   clock.{h,c}        how much time has gone by
 *   logger.{h,c}       one line a time to stderr
 *   cancel.h           long work asks whether anybody still wants it
 *   offload.{h,c}      a pool of threads for heavy requests
 *   worker_team.{h,c}  the threads that share the steps of a large model
 */
