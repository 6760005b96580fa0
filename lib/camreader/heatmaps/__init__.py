"""What did the network look at, and is that the lesion? (notebook 04)

gradcam: Grad-CAM for any convolutional network
methods: the methods it is compared with, and two baselines
cases: the test slices of one run with their heat-maps
showcase: which slices to show, at full resolution
maps: heat-maps on disk, made once
comparison: maps of every method, made one method at a time
localisation: does the map point at the lesion?
faithfulness: does it show what the network uses?
tables: the tables of notebook 04
findings: its findings in words
dicom_export: overlays as DICOM Secondary Capture
steps_plot: Figure 2: the steps of Grad-CAM on one slice
plots: overlays, errors, localisation, faithfulness
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
