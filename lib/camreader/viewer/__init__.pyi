from . import html as html
from . import widget as widget
from .widget import SliceViewer as SliceViewer
