"""The slice viewer, and pages that need no network (notebooks 04, 07).

widget: CT slices with their heat-maps, drawn in the browser from HU
html: widgets and notebooks as single HTML files
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
