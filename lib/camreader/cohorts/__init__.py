"""From a folder of images to one checked table of slices and one array of pixels (notebook 01).

cohort: one table and its metadata from the phantom, DeepLesion, images or DICOM
labels: where a label comes from, and how many lesions each rule for negatives hides
splits: training, validation and test: by slice, by patient, and DeepLesion's own
deeplesion: DL_info.csv, checked row by row
series: the slices of a DeepLesion folder, with everything known about each
annotations: slice-level and 3-D truth of DeepLesion, read without executing anything
images: a folder of images with labels.csv, or one folder per class
dicom: the same with DICOM files
rows: rows of a CSV that people wrote: every bad cell is named
windows: windows: HU or grey values as brightness
pixels: files to HU, and all slices into one memory-mapped array
ingestion: a large array written row by row that survives a kill at any moment
download: DeepLesion's official archives, fetched with resume and checksums
unpack: an archive of slices unpacked: nothing outside the folder, nothing twice
plots: example slices, counts, label rules
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
