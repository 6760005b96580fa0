"""How good is the network, and can the number be trusted? (notebooks 03, 06)

groups: where errors gather
protocols: the two protocols side by side, and our Table 2
classes: a network of several classes, one against the rest and all together
leakage: two sources of optimistic bias, measured
regions: lung and liver trained and tested apart
plots: outputs, confusion, curves, calibration, errors
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
