"""Values of every modality, against SimpleITK and GDCM; orientation, look-up tables, windows."""

import itertools

import gdcm
import numpy as np
import pytest
import SimpleITK
from dicom_fixture import dicom, enhanced, item, lut, write
from pydicom.pixels import apply_voi, apply_windowing

from camreader.cohorts import cohort, dicom_pixels, parts, pixels, windows
from camreader.cohorts import dicom as door
from camreader.common.errors import DataError

RNG = np.random.default_rng(7)
GREY = RNG.integers(0, 4000, (24, 32)).astype(np.uint16)
SIGNED = (GREY.astype(int) - 2000).astype(np.int16)
BYTE = RNG.integers(0, 256, (24, 32)).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (24, 32, 3)).astype(np.uint8)
IMAGES = {  # (modality, stored, changes)
    "CT": ("CT", SIGNED, {"RescaleIntercept": 0}),
    "CT with a broken slope": ("CT", GREY, {"RescaleSlope": "1.0625"}),
    "MR": ("MR", GREY, {}),
    "MR signed, 12 bit stored": ("MR", SIGNED, {"BitsStored": 12, "HighBit": 11}),
    "MR with a rescale": ("MR", GREY, {"RescaleSlope": "0.625", "RescaleIntercept": "-12"}),
    "CR": ("CR", GREY, {"BitsStored": 12, "HighBit": 11}),
    "DX": ("DX", GREY, {"RescaleSlope": 1, "RescaleIntercept": 0}),
    "MG of 8 bit": ("MG", BYTE, {}),
    "PT": ("PT", GREY, {"RescaleSlope": "2.1337890625"}),
    "US": ("US", BYTE, {}),
    "32 bit": ("PT", GREY.astype(np.uint32) * 1000, {}),
}


def itk(path):
    """SimpleITK's values of a file, (H, W) or (N, H, W)."""
    return np.squeeze(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))


@pytest.mark.parametrize("name", IMAGES)
def test_values_are_those_of_simpleitk_to_the_last_bit(tmp_path, name):
    modality, stored, changes = IMAGES[name]
    path = write(tmp_path / "a", modality, stored, **changes)
    found = dicom_pixels.values(path)
    assert np.array_equal(found, itk(path).astype(np.float64))
    assert found.std() > 0


def test_colour_is_that_of_simpleitk_and_gdcm_and_becomes_grey_by_luminance(tmp_path):
    path = write(tmp_path / "a", "US", COLOUR)
    assert np.array_equal(itk(path), COLOUR)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert (
        reader.Read()
        and reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape") == COLOUR.tobytes()
    )
    grey = (COLOUR @ np.array([0.299, 0.587, 0.114])).round()
    assert (
        np.abs(dicom_pixels.values(path) - grey).max() <= 1
    )  # float32 of the one place for colour
    image = RNG.integers(0, 256, (24, 32)).astype(np.uint8)
    palette = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, shift in (("Red", 0), ("Green", 0), ("Blue", 0)):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [256, shift, 16]
        table = (np.arange(256, dtype=np.uint16)[::-1] << 8).tobytes()
        palette[f"{colour}PaletteColorLookupTableData"] = table
    path = write(tmp_path / "b", "US", image, **palette)
    assert np.array_equal(dicom_pixels.values(path), 255 - image)


def test_monochrome1_greys_are_turned_round_but_hu_are_hu(tmp_path):
    inverted = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    path = write(tmp_path / "a", "DX", GREY, WindowCenter=1000, WindowWidth=401, **inverted)
    assert np.array_equal(dicom_pixels.values(path), 4095 - GREY)
    assert np.array_equal(dicom_pixels.values(path), itk(path))  # ITK turns them round too
    head = door.header(path)
    # the same pixels black and white as pydicom's own windowing, turned round, shows them
    shown = windows.window(dicom_pixels.values(path), *head["windows"][0])
    data = dicom("DX", GREY, WindowCenter=1000, WindowWidth=401, **inverted)
    wanted = 1 - apply_windowing(GREY, data) / 4095
    assert np.allclose(shown, wanted, atol=1e-4)
    path = write(tmp_path / "b", "CT", GREY, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(dicom_pixels.values(path), GREY.astype(int) - 1024)


def test_look_up_tables(tmp_path):
    table = (np.sqrt(np.arange(4096)) * 60).astype(int)
    modality = {"ModalityLUTSequence": lut(table, 0)}
    path = write(tmp_path / "a", "CR", GREY, **modality)
    assert np.array_equal(dicom_pixels.values(path), table[GREY])
    path = write(tmp_path / "b", "MG", GREY, VOILUTSequence=lut(table // 4, 0, 12))
    assert np.array_equal(dicom_pixels.values(path), (table // 4)[GREY])
    data = dicom("MG", GREY, VOILUTSequence=lut(table // 4, 0, 12))
    assert np.array_equal(dicom_pixels.values(path), apply_voi(GREY, data))
    window = {"WindowCenter": 500, "WindowWidth": 900}  # a window is preferred: greys stay
    path = write(tmp_path / "c", "MG", GREY, VOILUTSequence=lut(table // 4, 0, 12), **window)
    assert np.array_equal(dicom_pixels.values(path), GREY)
    with pytest.raises(DataError, match="LUTData"):
        broken = lut(table[:9], 0, 12)
        broken[0].LUTDescriptor = [0, 0, 12]
        dicom_pixels.values(write(tmp_path / "d", "MG", GREY, VOILUTSequence=broken))


def test_header_windows_are_pydicoms(tmp_path):
    for function in (None, "LINEAR_EXACT"):
        told = {"WindowCenter": [300, 40], "WindowWidth": [700, 81], "VOILUTFunction": function}
        path = write(tmp_path / "a", "MR", GREY, **told)
        ends = door.header(path)["windows"]
        data = dicom("MR", GREY, BitsStored=12, HighBit=11, **told)
        for index, pair in enumerate(ends):
            wanted = apply_windowing(GREY, data, index=index) / 4095
            assert np.allclose(windows.window(GREY, *pair), wanted, atol=1e-4)


def test_padding_is_the_darkest_of_the_picture(tmp_path):
    image = GREY + 10
    image[:4] = 0
    path = write(tmp_path / "a", "MR", image, PixelPaddingValue=0)
    found = dicom_pixels.values(path)
    assert (found[:4] == image[4:].min()).all() and np.array_equal(found[4:], image[4:])


def test_frames_have_groups_of_their_own(tmp_path):
    stack = np.stack([GREY, GREY + 1, GREY + 2])
    path = enhanced(tmp_path / "a", "MR", stack, ["1", "0.5", "2"])
    for k, slope in enumerate((1, 0.5, 2)):
        part = parts.named(str(path), "frame", k + 1)
        assert np.array_equal(dicom_pixels.values(part), stack[k] * slope + k)
        head = door.header(part)
        assert head["z"] == 3.0 * k and head["spacing_mm"] == 0.5
        assert head["windows"] == [[100 + k - 0.5, 50]]
    assert np.array_equal(itk(path).shape, stack.shape)
    with pytest.raises(DataError, match="a frame from 1 to 3"):
        dicom_pixels.values(parts.named(str(path), "frame", 4))
    with pytest.raises(DataError, match="frame that is meant"):
        dicom_pixels.values(path)
    assert door.header(path)["frame"] == 2  # the middle one


def test_a_loop_in_colour(tmp_path):
    loop = np.stack([COLOUR, 255 - COLOUR, COLOUR // 2, COLOUR])
    region = item(PhysicalUnitsXDirection=3, PhysicalUnitsYDirection=3)
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.02
    path = write(tmp_path / "a", "US", loop, SequenceOfUltrasoundRegions=[region])
    assert np.array_equal(itk(path), loop)
    one = write(tmp_path / "b", "US", COLOUR // 2)
    third = dicom_pixels.values(parts.named(str(path), "frame", 3))
    assert np.array_equal(third, dicom_pixels.values(one))
    assert door.header(path)["spacing_mm"] == pytest.approx(0.2)


HUNG = {"axial": "LPS", "coronal": "LIP", "sagittal": "PIR"}  # columns and rows go that way
DIRECTIONS = [np.eye(3)[k] * sign for k in range(3) for sign in (1, -1)]
WAYS = [(r, c) for r, c in itertools.product(DIRECTIONS, repeat=2) if abs(r @ c) < 0.5]


@pytest.mark.parametrize("way", range(len(WAYS)))
def test_pictures_hang_as_itk_orients_them(tmp_path, way):
    row, column = WAYS[way]
    tilted = np.round([*(row + 0.1 * np.cross(row, column)), *column], 6)
    tilted[:3] /= np.linalg.norm(tilted[:3])
    path = write(tmp_path / "a", "MR", GREY, ImageOrientationPatient=[f"{n:.8f}" for n in tilted])
    plane = door.header(path)["plane"]
    wanted = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), HUNG[plane])
    assert np.array_equal(
        dicom_pixels.values(path), np.squeeze(SimpleITK.GetArrayFromImage(wanted))
    )


def folder_of(place, modality, stored, count=16, **changes):
    """A labelled folder of slightly different images of eight patients."""
    for index in range(count):
        image = np.roll(stored, 3 * index, axis=-1)
        told = {"PatientID": f"p{index // 2}", "StudyInstanceUID": f"1.2.{index // 2}"}
        told["SeriesInstanceUID"] = f"1.2.{index // 2}.1"
        kind = "tumor" if index % 2 else "no_tumor"
        write(place / kind / f"{index}.dcm", modality, image, **told | changes)
    return place


def test_a_folder_of_mr_is_a_cohort_in_its_own_unit(tmp_path):
    told = {"WindowCenter": 700, "WindowWidth": 1401, "RescaleSlope": "12.5"}
    folder = folder_of(tmp_path / "in", "MR", GREY, **told)
    frame, card = cohort.load(folder)
    assert not card["hu"] and card["unit"] == "\u00d7 2 grey" and card["title"].startswith("Own MR")
    assert card["window"] == [349.75, 700] and list(card["windows"]) == ["header", "full range"]
    name = frame["image_path"][3]
    exact = itk(folder / name)
    frame, card = pixels.bring_in(frame, card, tmp_path / "out")
    copied = pixels.read_hu(tmp_path / "out" / frame["image_path"][3])
    assert np.array_equal(copied[4:28], np.rint(exact / 2))  # 24 x 32 padded to 32 x 32
    assert not frame["split_patient"].isna().any()


def test_boxes_turn_with_the_picture(tmp_path):
    image = np.zeros((24, 32), np.uint16)
    image[3:6, 20:30] = 900
    lines = ["image,label,box"]
    for index in range(8):
        told = {"PatientID": f"p{index}", "StudyInstanceUID": f"1.{index}"}
        told["ImageOrientationPatient"] = [0, 1, 0, -1, 0, 0]
        image[20, index] = 50
        write(tmp_path / f"{index}", "MR", image, **told)
        lines.append(f"{index},{index % 2},{'20 3 29 5' if index % 2 else ''}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    frame, _card = cohort.load(tmp_path)
    assert set(frame["width"]) == {24} and set(frame["height"]) == {32}
    values = dicom_pixels.values(tmp_path / "1")
    (box,) = np.array(eval(frame["boxes"][1]))
    x1, y1, x2, y2 = box.astype(int)
    assert (values[y1 : y2 + 1, x1 : x2 + 1] == 900).all() and (values == 900).sum() == 30


def test_frames_are_chosen_by_table_and_modalities_are_not_mixed(tmp_path):
    loop = RNG.integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)
    for who in range(4):
        told = {"PatientID": f"p{who}", "StudyInstanceUID": f"1.{who}"}
        write(tmp_path / f"{who}", "US", loop + who, **told)
    table = tmp_path / "labels.csv"
    rows = "".join(f"{who},1,1-2\n{who},0,4;5\n" for who in range(4))
    table.write_text("image,label,frame\n" + rows)
    frame, card = cohort.load(tmp_path)
    assert len(frame) == 16 and frame["image_path"][1] == "0#frame=2"
    assert any("do not say whether text is burned in" in words for words in card["doubts"])
    table.write_text("image,label,frame\n0,1,6\n1,0,2\n2,0,1\n3,1,1\n")
    with pytest.raises(DataError, match="a frame from 1 to 5"):
        cohort.load(tmp_path)
    write(tmp_path / "x", "MR", GREY, PatientID="q")
    table.write_text("image,label\n0,1\n1,0\n2,0\nx,1\n")
    with pytest.raises(DataError, match="several modalities"):
        cohort.load(tmp_path)


def test_unreadable_images_are_skipped_when_asked_and_counted_by_reason(tmp_path):
    folder = folder_of(tmp_path, "DX", GREY, 40)
    write(folder / "tumor" / "1.dcm", "DX", GREY, BurnedInAnnotation="YES")
    broken = (folder / "tumor" / "3.dcm").read_bytes()
    (folder / "tumor" / "3.dcm").write_bytes(broken[:-300])
    with pytest.raises(DataError, match="BurnedInAnnotation"):
        cohort.load(folder)
    frame, card = cohort.load(folder, skip_unreadable=True)
    assert len(frame) == 38
    assert card["left_out"] == {
        "unreadable: DICOM image is not one that is read, BurnedInAnnotation": 1,
        "unreadable: DICOM pixels cannot be decoded, PixelData": 1,
    }
    with pytest.raises(DataError, match="ALLOW_MISSING"):
        cohort.load(folder, skip_unreadable=True, allow_missing=0.01)
