"""From a folder of images to one checked table of slices and one array of pixels (notebook 01).

cohort: one table and its metadata from the phantom, DeepLesion, images or DICOM
labels: where a label comes from, and how many lesions each rule for negatives hides
splits: training, validation and test: by slice, by patient, and DeepLesion's own
deeplesion: DL_info.csv, checked row by row
series: the slices of a DeepLesion folder, with everything known about each
annotations: slice-level and 3-D truth of DeepLesion, read without executing anything
images: PNG, JPEG, TIFF, BMP or PGM, with labels
dicom: DICOM files of any planar modality, with labels
dicom_image: the header of one DICOM image: which are read, its windows
dicom_pixels: the values of one DICOM image or frame in their own unit
volumes: slices of NIfTI volumes, with labels
nifti: one volume: its slices, hung rightly
steps: values in their own unit as whole steps of 16 bit
opened: the last files that were parsed
parts: a frame or a slice of a file, as a path
orientation: which way a picture lies, and how it hangs
sources: the formats slices come in: recognise a folder, read it, decode one file
folder: one walk over a folder; what a person says about it
labelled: a folder with labels.csv or one folder per class: labels, patients, boxes, splits
classes: which words mean the finding
image_files: what an image file is, and its grey values
masks: masks beside images, and their boxes
segmentations: NIfTI, DICOM SEG and RTSTRUCT on the pixels of one picture
duplicates: copies and near copies, kept on one side of every split
windows: HU or grey values as brightness
pixels: files to HU, and all slices into one memory-mapped array
download: DeepLesion's official archives, fetched with resume and checksums, and unpacked
deidentification: what of a DICOM image may leave the hospital
deidentify: `camreader deidentify`, a folder without identity
fetch: `camreader fetch`, images from an archive, without identity
send: `camreader send`, results to an archive
pacs: DICOMweb: credentials, and waiting for a server
plots: example slices, counts, label rules
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
