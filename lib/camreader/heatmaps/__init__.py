"""What did the network look at, and is that the lesion? (notebook 04)

gradcam: Grad-CAM for any convolutional network
methods: the registry: Grad-CAM, its rivals and two baselines
attributions: how maps are computed, a batch at a time
attention: a transformer's attention, and its rollout
own_methods: methods of one's own, named in the configuration
cases: the test slices of one run, which to show, and showing them
maps: the maps of every decision, and of "tumor" by every method
overlay: a map over a slice: the one blend
challenge: five slices for the report, to be answered against the network
localisation: does the map point at the lesion?
shortcuts: does the network use what lies outside the body?
faithfulness: does it show what the network uses?
tables: the tables of notebook 04
findings: what they show, as sentences
dicom_export: overlays as DICOM Secondary Capture
map_export: maps as Parametric Map, SEG, presentation state, NIfTI and PNG
plots: the steps of Grad-CAM, overlays, errors, localisation, faithfulness
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
