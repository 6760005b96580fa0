"""Synthetic CT in DeepLesion's own files, with the truth that real files lack (notebook 01).

write: patients drawn and written, resumable and repeatable
neighbours: slices of a patient round one that was drawn
tables: DeepLesion's columns, and the truth tables beside them
anatomy: a patient: build, contrast phase, tissue HU
trunk: skin, fat, muscles and bones
chest: lungs, vessels, airways, heart
abdomen: liver, spleen, kidneys, bowel, bladder; the whole slice
lesions: tumors and cysts of a patient
looks: how a lesion looks: density, core, edge, texture
paint: lesions painted into a slice, their exact masks, how they show
sites: where in a patient they may grow
scanner: blur, noise, field of view, the 16-bit file
real_lesions: real lesions of a folder, to show and measure beside the phantom's
realism: noise, sizes and contrasts measured on phantom and real CT alike
plots: the phantom beside real slices
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
