"""camreader: does a heat-map help a radiologist? The helper package behind the notebooks."""

__version__ = "0.1.0"
