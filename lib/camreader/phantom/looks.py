"""How a lesion of the phantom looks on CT: density, core, edge, texture, what grows out of it.

Contrast in the liver lies within what was measured on DeepLesion (-35 HU against the ring round a
lesion, quartiles -52 and -23: `realism`). One density for all other solid tumors, between muscle
and liver, was chosen by looking at what a small network could learn: plausible, but more uniform
than real tumors are. Rims and dead cores are the minority they are.

Tested in tests/phantom/test_write.py, with the lesions that have these looks.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from camreader.phantom.anatomy import Patient

TUMOR_HU = (40, 80, 92)  # without contrast agent, arterial, portal venous phase
PATIENT_SPREAD, LESION_SPREAD = 4.0, 3.0  # HU, SD between patients and between a patient's lesions
LIVER_LESS = -38.0  # HU: the liver's tumors are mostly metastases with little blood
LEAST_STEP = 24.0  # HU below the liver, however fatty it is
LYTIC_HU, SCLEROTIC_HU = (60, 90), (480, 800)
DEAD_HU = (14, 32)  # of a necrotic core
TEXTURE_HU = (3.0, 8.0)  # SD of the tissue itself
KINDS = {  # of a region's lesions, in their shares
    "liver": {"solid": 0.73, "rim": 0.12, "necrotic": 0.12, "bright": 0.03},
    "lung": {"solid": 0.62, "spiculated": 0.28, "necrotic": 0.10},
    "kidney": {"solid": 0.70, "necrotic": 0.30},
    "bone": {"lytic": 0.6, "sclerotic": 0.4},
    "node": {"solid": 0.78, "necrotic": 0.13, "rim": 0.09},
}
DEAD_FROM_MM = 9.0  # radius from which a lesion can be necrotic
PUSH = {"lung": 0.0, "bone": 0.0, "liver": 0.35, "kidney": 0.35}  # else PUSH_IN_FAT
PUSH_IN_FAT = 0.6  # how far tissue makes way, as a share of the lesion's radius
HAZE_SHARE, HAZE_HU = 0.25, 28.0  # nodes with stranding round them, its strength in fat


@dataclass(frozen=True)
class Look:
    """What a lesion is made of; HU and mm."""

    kind: str
    rim_hu: float
    core_hu: float
    rim_mm: float  # depth under the surface at which the core begins
    soft_mm: float  # over which rim passes into core
    texture_hu: float
    edge_mm: float
    rough: float  # relative height of the bumps of its surface
    push: float
    haze_hu: float = 0.0
    vessels: int = 0  # that lead into it
    spicules: int = 0


def kind_of(rng: np.random.Generator, region: str) -> str:
    """The kind of lesion that a patient has in `region`: one disease looks alike."""
    shares = KINDS.get(region, KINDS["node"])
    return str(rng.choice(list(shares), p=list(shares.values())))


def look(rng: np.random.Generator, p: Patient, region: str, radius: float, kind: str) -> Look:
    """The Look of a lesion of `region` and `radius` (mm) in patient `p`."""
    if kind == "necrotic" and radius < DEAD_FROM_MM:
        kind = "solid"
    edge, rough = rng.uniform(0.8, 1.6), rng.uniform(0.015, 0.05)
    extra: dict[str, Any] = {"push": PUSH.get(region, PUSH_IN_FAT)}
    hu = TUMOR_HU[p.phase] + p.keep("tumor", lambda own: own.normal(0, PATIENT_SPREAD))
    hu += rng.normal(0, LESION_SPREAD)
    if kind == "bright":
        hu = p.hu["liver"] + rng.uniform(20, 45)
    if region == "liver":
        if kind != "bright":
            hu = min(hu + LIVER_LESS, p.hu["liver"] - LEAST_STEP)
        edge, rough = rng.uniform(1.5, 4.0), rng.uniform(0.02, 0.07)
    elif region == "bone":
        hu = rng.uniform(*(LYTIC_HU if kind == "lytic" else SCLEROTIC_HU))
        edge = rng.uniform(1.2, 2.5)
    if region == "lung":
        rough = rng.uniform(0.03, 0.13)
        extra["vessels"] = int(rng.integers(1, 4))
        if kind == "spiculated":
            extra["spicules"], edge = int(rng.integers(9, 20)), rng.uniform(1.4, 2.4)
    elif region not in ("liver", "kidney", "bone") and rng.random() < HAZE_SHARE:
        extra["haze_hu"] = HAZE_HU
    rim, core, depth, soft = _layers(rng, kind, hu, radius)
    return Look(kind, rim, core, depth, soft, rng.uniform(*TEXTURE_HU), edge, rough, **extra)


def _layers(
    rng: np.random.Generator, kind: str, hu: float, radius: float
) -> tuple[float, float, float, float]:
    """HU of rim and core, depth and softness (mm) of the passage between them."""
    if kind == "rim":
        return hu + rng.uniform(25, 50), hu - rng.uniform(0, 14), rng.uniform(2.0, 3.5), 2.0
    if kind == "necrotic":
        return hu, min(rng.uniform(*DEAD_HU), hu - 10), rng.uniform(0.25, 0.45) * radius, 4.0
    return hu, hu - rng.uniform(0, 9), 0.2 * radius, 0.8 * radius


def cyst_look(rng: np.random.Generator, p: Patient) -> Look:
    """A simple cyst: water, sharp, smooth; a few have a faint wall."""
    water, shows = rng.uniform(0, 15), rng.random() < 0.2
    rim = p.hu["liver"] + 25 if shows else water
    return Look("cyst", rim, water, 1.2, 0.8, 0.0, 0.7, 0.012, 0.25)
