"""Networks and their training under both protocols (notebook 02).

networks: the paper's generic CNN, and ResNet-18
description: a network of one's own, as the configuration describes it
own_networks: such a network behind the workbook's door, tried on one batch
explained_layers: which layers of a network heat-maps explain
network_files: weights and exported programs, read without running code
adapters: outputs that are no logits, read as their owner says
folding: a convolution, its normalisation and its ReLU in one step
outputs: what a network may answer with, and the places its layers know
experiments: the study's runs: which slices, which labels, when each stops
places: where boxes are, as a second target of training
steps: batch size, learning rate, augmentation, progress
compute: precision, processes, repeatable numbers, memory
trainer: one network fitted to one set of slices
ahead: a draw of the split trained beside the one before
used: a network that is used as it is, without training
results: a network's predictions and maps, without the network
train: the runs of the study: loading, resuming, recording
predictions: test slices with their truth and what a network said of them
learned: whether a network learned enough to be explained
runs: one run on disk: what it was made from, how far it came, what came out
network_plots: Figures 1 and 4: the blocks of the network
plots: how every run learned
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
