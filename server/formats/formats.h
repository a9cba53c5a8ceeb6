/* formats.h - the door of server/formats/: the model as files for other programs, and labelled images from files.
 *
 * In reading order:
 *   metadata.{h,c}      what every format says beside the tensors
 *   safetensors.{h,c}   the model in the safetensors format, written
 *   safetensors_read.c  and read, of which nothing is believed before it is checked
 *   npz.{h,c}           for numpy
 *   onnx.{h,c}          for ONNX Runtime: the whole network
 *   dataset.{h,c}       labelled images from files, one at a time
 *   folder.{h,c}        the files of a folder, but for what is hidden
 *   dataset_source.h    the two kinds of dataset
 *   dataset_idx.c       a pair of IDX files
 *   dataset_folder.c    a folder with one sub-folder per class
 */
