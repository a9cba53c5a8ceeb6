/* payload.h - the door of server/payload/: from bodies to images and labels, and the Open Inference Protocol's tensors.
 *
 * In reading order:
 *   body.{h,c}       what a body is, and images out of it
 *   multipart.{h,c}  forms, part by part
 *   labels.{h,c}     the labels that a request names, as text until the trainer looks them up
 *   batch.{h,c}      the images that were read so far, and the rules for each
 *   body_json.c      JSON and NDJSON
 *   body_pixels.c    JSON in its plainest form, read in one pass
 *   oip.h            the Open Inference Protocol: its tensors in, its tensors out
 *   oip_request.c    reading an inference request
 *   oip_input.{h,c}  its one input tensor
 *   oip_response.c   writing metadata and inference responses
 */
