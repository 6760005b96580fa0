"""The slice viewer: CT slices with their heat-maps, drawn in the browser from HU.

Opacity, threshold, window, zoom, method and case change without asking the kernel, so the viewer
works while the kernel is busy and in exported HTML. Drawing happens in viewer*.js; this module
packs the data, holds the traits and checks the input.
"""

import hashlib
import zlib
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import anywidget
import numpy as np
import traitlets

from camreader.cohorts.windows import WINDOWS, presets
from camreader.common.errors import DataError
from camreader.common.text import counted
from camreader.viewer.html import STATIC, bundle
from camreader.viewer.html import export_notebook as export_notebook  # the report's door

PARTS = ("viewer_pixels", "viewer_draw", "viewer_measure", "viewer_controls", "viewer")
SCRIPTS = [STATIC / f"{name}.js" for name in PARTS]
COLOUR_MAPS = {"inferno": "inferno", "viridis": "viridis", "cividis": "cividis", "grey": "gray"}
Maps = Mapping[str, Sequence[np.ndarray | None]]
PRELOAD = 64  # 512 x 512 slices sent at once; a longer series sends the current one's neighbours
NEIGHBOURS = 2


def pack_slice(hu: np.ndarray) -> dict[str, Any]:
    """Pack an int16 (H, W) slice without loss: row differences, bytes split, deflated (3 to 1)."""
    steps = np.diff(hu, axis=1, prepend=np.int16(0))  # wraps as int16, undone in the browser
    planes = steps.astype("<i2").view(np.uint8).reshape(-1, 2).T
    return _packed(planes.tobytes(), hu.shape)


def pack_map(heat: np.ndarray) -> dict[str, Any]:
    """Pack a heat-map (h, w) of floats 0..1 as bytes: steps of 1/255."""
    heat = np.asarray(heat, dtype=np.float32)
    if heat.ndim != 2 or not (np.isfinite(heat).all() and heat.min() >= 0 and heat.max() <= 1):
        raise DataError("Heat-map is not usable", expected="a 2-D array of values in 0..1")
    return _packed(np.rint(heat * 255).astype(np.uint8).tobytes(), heat.shape)


def _packed(raw: bytes, shape: tuple[int, ...]) -> dict[str, Any]:
    data = zlib.compress(raw, 3)
    key = hashlib.blake2b(data + repr(shape).encode(), digest_size=12).hexdigest()
    return {"shape": list(shape), "data": data, "key": key}


def _slice(images: Sequence[np.ndarray] | np.ndarray, index: int) -> np.ndarray:
    hu = np.asarray(images[index])
    if hu.ndim != 2 or hu.size == 0 or not np.issubdtype(hu.dtype, np.integer):
        found = f"{hu.dtype} {hu.shape}"
        raise DataError("Slice is not usable", row=index, found=found, expected="int16 (H, W)")
    if hu.min() < -32768 or hu.max() > 32767:
        raise DataError("Slice does not fit int16", row=index, expected="-32768..32767")
    return hu.astype(np.int16)


def colour_tables() -> dict[str, bytes]:
    """{name: 256 RGB triples as bytes}, from matplotlib's own tables."""
    from matplotlib import colormaps  # here: a reading session is quick to import without

    steps = np.arange(256)
    return {
        name: np.rint(colormaps[source](steps)[:, :3] * 255).astype(np.uint8).tobytes()
        for name, source in COLOUR_MAPS.items()
    }


class SliceViewer(anywidget.AnyWidget):
    """Interactive viewer: the original slice beside the slice with its heat-map.

    images   N int16 HU slices (H, W): an array (N, H, W) or any sequence of 2-D arrays,
             read one by one (sizes may differ)
    maps     {method: N maps (h, w) of floats 0..1, or None where a slice has none}, or None
    boxes    per slice a list of [x1, y1, x2, y2], zero-based pixels of that slice, or None
    titles   one line per slice, shown as plain text
    window   a name in pixels.WINDOWS or (centre, width) in HU
    preload  send all slices at once up to this many pixels in units of 512 x 512, else only the
             current one and its neighbours (the kernel then sends others as they are asked for)

    `images`, `maps`, `boxes` and `titles` can be set again at any time; `maps = None` takes the
    heat-maps out of the browser. Traits that a slider can be linked to and that report what the
    reader did: case, opacity, threshold, method, colour_map, show_heat, show_box,
    window_centre, window_width (HU). `navigation=False` leaves the choice of case to the program.
    Bad input raises DataError.
    """

    _esm = bundle(*SCRIPTS, entry="createViewer")
    _css = (STATIC / "viewer.css").read_text(encoding="utf-8")

    case = traitlets.Int(0, min=0).tag(sync=True)
    count = traitlets.Int(0).tag(sync=True)
    opacity = traitlets.Float(0.5, min=0, max=1).tag(sync=True)
    threshold = traitlets.Float(0.2, min=0, max=1).tag(sync=True)
    window_centre = traitlets.Float(50).tag(sync=True)
    window_width = traitlets.Float(400, min=1).tag(sync=True)
    presets = traitlets.Dict().tag(sync=True)
    method = traitlets.Unicode("").tag(sync=True)
    colour_map = traitlets.Enum(list(COLOUR_MAPS), "inferno").tag(sync=True)
    show_heat = traitlets.Bool(True).tag(sync=True)
    show_box = traitlets.Bool(False).tag(sync=True)
    side_by_side = traitlets.Bool(True).tag(sync=True)
    navigation = traitlets.Bool(True).tag(sync=True)
    cohort_title = traitlets.Unicode("").tag(sync=True)
    unit = traitlets.Unicode("HU").tag(sync=True)
    _slices = traitlets.Dict().tag(sync=True)
    _heat = traitlets.Dict().tag(sync=True)
    _methods: traitlets.List = traitlets.List().tag(sync=True)
    _boxes: traitlets.List = traitlets.List().tag(sync=True)
    _titles: traitlets.List = traitlets.List().tag(sync=True)
    _colours = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        images: Sequence[np.ndarray] | np.ndarray = (),
        maps: Maps | None = None,
        boxes: Sequence[Sequence[Sequence[float]]] | None = None,
        titles: Sequence[str] | None = None,
        *,
        window: str | tuple[float, float] = "soft tissue",
        preload: int = PRELOAD,
        **traits: Any,
    ) -> None:
        if isinstance(window, str) and window not in WINDOWS:
            raise DataError("No such window", found=window, expected=", ".join(WINDOWS))
        centre, width = WINDOWS[window] if isinstance(window, str) else window
        self._preload = preload
        self._images: Sequence[np.ndarray] | np.ndarray = ()
        self._maps: dict[str, Sequence[np.ndarray | None]] = {}
        self._ready: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        start: dict[str, Any] = {"window_centre": centre, "window_width": width}
        start["presets"] = presets(traits.get("unit", "HU"), (centre, width))
        super().__init__(**{**start, "_colours": colour_tables(), **traits})
        self.observe(self._follow_case, "case")
        self.show(images, maps, boxes, titles, case=self.case)

    def __repr__(self) -> str:
        shown = counted(self.count, "slice")
        return f"SliceViewer of {shown}, heat-maps: {', '.join(self._methods) or 'none'}"

    def show(
        self,
        images: Sequence[np.ndarray] | np.ndarray,
        maps: Maps | None = None,
        boxes: Sequence[Sequence[Sequence[float]]] | None = None,
        titles: Sequence[str] | None = None,
        case: int = 0,
    ) -> None:
        """Replace everything shown, as the constructor's arguments say, and go to `case`."""
        with self.hold_sync():
            self._maps = {}
            self.images = images
            self.case = case
            self.maps, self.boxes, self.titles = maps, boxes, titles

    @traitlets.validate("case")
    def _check_case(self, proposal: dict[str, Any]) -> int:
        if self.count and not proposal["value"] < self.count:
            raise DataError(
                "No such case", found=proposal["value"], expected=f"0..{self.count - 1}"
            )
        return proposal["value"]

    @property
    def images(self) -> Sequence[np.ndarray] | np.ndarray:
        """The slices, as they were given."""
        return self._images

    @images.setter
    def images(self, images: Sequence[np.ndarray] | np.ndarray) -> None:
        self._images, self._ready = images, {}
        with self.hold_sync():
            self.count, self.case = len(images), 0
            self._send_cases()

    @property
    def maps(self) -> dict[str, Sequence[np.ndarray | None]] | None:
        """{method: maps}, or None."""
        return self._maps or None

    @maps.setter
    def maps(self, maps: Maps | None) -> None:
        for method, stack in (maps or {}).items():
            self._check_length(stack, f"maps of {method}")
        self._maps = dict(maps or {})
        with self.hold_sync():
            self._methods = list(self._maps)
            if self.method not in self._maps:
                self.method = next(iter(self._maps), "")
            self._ready = {key: (packed, {}) for key, (packed, _) in self._ready.items()}
            self._send_cases()

    @property
    def boxes(self) -> list[list[list[float]]]:
        """Per slice a list of [x1, y1, x2, y2]."""
        return self._boxes

    @boxes.setter
    def boxes(self, boxes: Sequence[Sequence[Sequence[float]]] | None) -> None:
        self._check_length(boxes, "boxes")
        boxes = boxes if boxes is not None else []
        self._boxes = [[[float(v) for v in box] for box in case] for case in boxes]

    @property
    def titles(self) -> list[str]:
        """One line per slice."""
        return self._titles

    @titles.setter
    def titles(self, titles: Sequence[str] | None) -> None:
        self._check_length(titles, "titles")
        self._titles = [str(title) for title in (titles if titles is not None else [])]

    def _check_length(self, given: Sized | None, what: str) -> None:
        if given is not None and len(given) != len(self._images):
            raise DataError(
                f"Not one entry per slice in {what}", found=len(given), expected=len(self._images)
            )

    def _wanted(self) -> range:
        """Cases the browser should hold: all of a small set, else the current one's neighbours."""
        if self.count and self.count * np.asarray(self._images[0]).size <= self._preload * 512**2:
            return range(self.count)
        first = max(0, self.case - NEIGHBOURS)
        return range(first, min(self.count, self.case + NEIGHBOURS + 1))

    def _follow_case(self, _change: Any) -> None:
        if not {str(index) for index in self._wanted()} <= set(self._slices):
            self._send_cases()

    def _send_cases(self) -> None:
        """Hand the browser the slices and maps it should hold."""
        parts = {str(index): self._part(index) for index in self._wanted()}
        with self.hold_sync():
            self._slices = {key: packed for key, (packed, _) in parts.items()}
            self._heat = {key: heat for key, (_, heat) in parts.items()}

    def _part(self, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The packed slice and its packed maps, kept for the next time."""
        packed, heat = self._ready.get(index, ({}, {}))
        packed = packed or pack_slice(_slice(self._images, index))
        for method, stack in self._maps.items():
            if method not in heat and (found := stack[index]) is not None:
                heat[method] = pack_map(found)
        self._ready[index] = packed, heat
        return packed, heat
