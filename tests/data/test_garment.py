"""Photos, folders and CSV files of garments, and what cannot be read of them."""

import struct

import pytest
from PIL import Image, ImageCms

from fashion_sweep.data.garment import garment_catalogue, keep_photos, read_garments
from fashion_sweep.errors import ConfigError, DataError


@pytest.fixture
def photos(tmp_path):
    for name, size in (("blue one.jpg", (60, 90)), ("red.png", (90, 60))):
        Image.new("RGB", size, name.split()[0].split(".")[0]).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    return tmp_path


def named(garments) -> dict[str, tuple[str, str]]:
    return {garment.name: (garment.kind, garment.attribute) for garment in garments}


def test_a_photo_is_called_as_its_file_or_as_it_is_told(photos):
    assert named(read_garments([str(photos / "blue one.jpg")], "sweater", "colour", None)) == {
        "blue-one": ("sweater", "colour")
    }
    assert named(read_garments([str(photos / "red.png")], "dress", "pattern", "ours")) == {"ours": ("dress", "pattern")}


def test_a_folder_gives_all_of_its_photos(photos):
    assert named(read_garments([str(photos)], "sweater", "pattern", None)) == {
        "blue-one": ("sweater", "pattern"),
        "red": ("sweater", "pattern"),
    }


def test_of_a_folder_what_is_not_read_is_named_and_what_is_hidden_is_not(photos):
    for name in ("one.HEIC", "._red.png", "two.dng"):
        (photos / name).write_bytes(b"some")
    (photos / "red.png").rename(photos / "red.jfif")
    said = []
    found = read_garments([str(photos)], "sweater", "pattern", None, said.append)
    assert list(named(found)) == ["blue-one", "red"]
    left_out = "left out one.HEIC, two.dng: in a format that is not read; save it as JPEG or PNG"
    assert said == [f"{photos}: {left_out}"]
    for name in ("red.jfif", "blue one.jpg"):
        (photos / name).unlink()
    with pytest.raises(ConfigError, match=r"holds no photo, only one.HEIC, two.dng: in a format that is not read"):
        read_garments([str(photos)], "sweater", "pattern", None)
    alone = read_garments([str(photos / "one.HEIC")], "sweater", "pattern", None)
    with pytest.raises(DataError, match=r"one\.HEIC: in a format that is not read"):
        garment_catalogue(alone, ["x"], photos / "kept")


def test_long_names_of_files_become_short_ones_that_differ(photos):
    for ending in ("front", "back"):
        (photos / "red.png").rename(photos / f"{'a' * 70} {ending}.png")
        Image.new("RGB", (60, 80)).save(photos / "red.png")
    names = list(named(read_garments([str(photos)], "sweater", "pattern", None)))
    assert (len(set(names)), [len(name) for name in names if name[0] == "a"]) == (4, [60, 60])


def test_photos_with_odd_exif_tags_or_profiles_are_kept_upright_in_srgb(photos):
    """Of the camera that wrote it, resolution is text."""
    entry = struct.pack("<HHHIHHHHI4s", 2, 0x0112, 3, 1, 6, 0, 0x011A, 2, 4, b"300 ")
    odd = b"Exif\0\0II*\0\x08\0\0\0" + entry + bytes(4)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (90, 60), "red").save(photos / "red.jpg", exif=odd, icc_profile=profile)
    (photos / "red.png").unlink()
    garments = read_garments([str(photos)], "sweater", "pattern", None)
    kept = keep_photos(garment_catalogue(garments, ["x", "x"], photos / "kept"), photos / "kept")
    assert {record.name: (record.width, record.height) for record in kept.records}["red"] == (60, 90)
    assert Image.open(photos / "kept" / "red.png").info == {}


def test_a_csv_file_tells_each_garment_and_leaves_the_rest_to_the_options(photos):
    (photos / "ours.csv").write_text("photo,kind,name\nred.png,dress,\nblue one.jpg,,first\n")
    found = read_garments([str(photos / "ours.csv")], "sweater", "colour", None)
    assert named(found) == {"red": ("dress", "colour"), "first": ("sweater", "colour")}
    assert found[0].photo == str(photos / "red.png")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("photo,kind,name\nred.png,dress,\n", "utf-8"),
        ("photo,kind,name,,\nred.png,dress,,,\n,,,,\n\n,,\n", "utf-8-sig"),
        ("\n Photo , KIND\r\n red.png , dress \r\n", "utf-8"),
        ("photo,kind\rred.png,dress\r", "utf-8"),
        ('"photo","kind"\n"red.png","dress"\n', "utf-16"),
    ],
)
def test_a_csv_file_is_read_as_spreadsheets_write_it(photos, text, encoding, separator):
    (photos / "ours.csv").write_bytes(text.replace(",", separator).encode(encoding))
    found = read_garments([str(photos / "ours.csv")], None, "pattern", None)
    assert (named(found), found[0].photo) == ({"red": ("dress", "pattern")}, str(photos / "red.png"))


def test_lines_of_a_csv_file_are_counted_as_an_editor_does(photos):
    (photos / "ours.csv").write_text("photo,kind\n\n,,\nred.png,\n")
    with pytest.raises(ConfigError, match="line 4 tells no kind"):
        read_garments([str(photos / "ours.csv")], None, "pattern", None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file,kind\nred.png,dress\n", "no column photo"),
        ("photo,sort\nred.png,dress\n", "unknown column 'sort'"),
        ("photo,kind\nred.png,\n", "line 2 tells no kind"),
        ("photo,kind\n,dress\n", "line 2 tells no photo"),
        ("", "no column photo"),
        ("photo,kind,name\nred.png,dress,../up\n", "garment name: '../up'"),
    ],
)
def test_a_csv_file_that_says_too_little_is_refused_by_its_line(photos, text, why):
    (photos / "ours.csv").write_text(text)
    with pytest.raises(ConfigError, match=why):
        read_garments([str(photos / "ours.csv")], None, "pattern", None)


def test_a_kind_is_asked_for(photos):
    with pytest.raises(ConfigError, match="--kind: say what the garment is"):
        read_garments([str(photos / "red.png")], None, "pattern", None)


def test_one_name_is_for_one_photo(photos):
    with pytest.raises(ConfigError, match="--name ours: is for one photo, not for 2"):
        read_garments([str(photos)], "sweater", "pattern", "ours")


def test_what_cannot_be_read_is_told_and_the_others_are_taken(photos):
    (photos / "torn.jpg").write_bytes(b"\xff\xd8\xff no photo")
    garments = read_garments([str(photos), str(photos / "gone.jpg")], "sweater", "pattern", None)
    catalogue = garment_catalogue(garments, ["a photo"] * 4, photos / "kept")
    assert [record.name for record in catalogue.records] == ["blue-one", "red"]
    assert {problem.file for problem in catalogue.problems} == {"gone", "torn"}


def test_without_any_photo_that_can_be_read_the_run_is_refused(photos):
    garments = read_garments([str(photos / "gone.jpg")], "sweater", "pattern", None)
    with pytest.raises(DataError, match=r"gone\.jpg: there is no such file"):
        garment_catalogue(garments, ["a photo"], photos / "kept")


def test_a_run_goes_on_with_its_own_copies(photos):
    garments = read_garments([str(photos / "red.png")], "sweater", "pattern", None)
    kept = keep_photos(garment_catalogue(garments, ["a photo"], photos / "kept"), photos / "kept")
    (photos / "red.png").unlink()
    again = keep_photos(garment_catalogue(garments, ["a photo"], photos / "kept"), photos / "kept")
    assert again == kept
    assert again.records[0].path == str(photos / "kept" / "red.png")


def test_the_embedded_world_has_garments_that_differ_in_colour_or_pattern(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(tmp_path))
    garments = read_garments(["embedded:20"], None, "pattern", None)
    assert len({garment.name for garment in garments}) == 20
    assert {garment.attribute for garment in garments} == {"pattern", "colour"}
    looks = {garment.name.removesuffix(f"-{garment.kind}") for garment in garments}
    assert len(looks) == 20
    catalogue = garment_catalogue(garments, ["x"] * 20, tmp_path / "kept")
    assert {(record.width, record.height) for record in catalogue.records} == {(116, 160)}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("photo,kind\n,\n", "no line below the first"),
        ("photo,kind\na.jpg,shirt,x,y\n", "line 2 has more cells than the first line names: 'x'"),
        ("photo,kind,,\n,,,\na.jpg,shirt,,y\n", "line 3 has more cells than the first line names: 'y'"),
        ("photo,Photo,kind\na.jpg,b.jpg,shirt\n", "two columns 'photo'"),
        ("file:kind\na.jpg:shirt\n", "no column photo.* with commas, semicolons or tabs between the cells"),
        (b"photo,kind\nr\xf6t.jpg,shirt\n", "cannot be read .*; save it as CSV in UTF-8"),
    ],
)
def test_a_csv_file_of_another_shape_is_told(photos, text, why):
    (photos / "odd.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=why):
        read_garments([str(photos / "odd.csv")], None, "pattern", None)


@pytest.mark.parametrize("count", ["", "0", "85", "-1", "six"])
def test_of_the_embedded_world_as_many_garments_as_it_has_can_be_asked_for(count):
    with pytest.raises(ConfigError, match="1 to 84, as in embedded:6"):
        read_garments([f"embedded:{count}"], None, "pattern", None)


def test_a_photo_that_was_replaced_is_another_one(photos):
    before = read_garments([str(photos / "red.png")], "sweater", "pattern", None)
    Image.new("RGB", (90, 60), "green").save(photos / "red.png")
    assert read_garments([str(photos / "red.png")], "sweater", "pattern", None) != before


def test_kept_photos_of_one_size_are_told_apart_by_what_they_show(photos, tmp_path):
    records = []
    for colour in ("red", "yellow"):
        Image.new("RGB", (60, 80), colour).save(photos / "red.png")
        garments = read_garments([str(photos / "red.png")], "sweater", "pattern", None)
        (record,) = keep_photos(garment_catalogue(garments, ["x"], tmp_path / "no"), tmp_path / colour).records
        records.append(record.digest)
    assert records[0] != records[1]


def test_a_photo_that_is_spoilt_in_its_middle_leaves_the_others_alone(photos):
    """Its header and its end are those of an image."""
    (photos / "blue one.jpg").unlink()
    Image.effect_noise((200, 200), 90).save(photos / "blue.png")
    content = bytearray((photos / "blue.png").read_bytes())
    content[len(content) // 2] ^= 255
    (photos / "blue.png").write_bytes(content)
    catalogue = garment_catalogue(read_garments([str(photos)], "sweater", "pattern", None), ["x", "x"], photos / "kept")
    assert [record.name for record in catalogue.records] == ["red"]
    assert [problem.file for problem in catalogue.problems] == ["blue"]


def test_a_photo_mended_after_the_run_began_is_told_to_be_too_late(photos):
    (photos / "torn.jpg").write_bytes(b"no photo")
    garments, kept = read_garments([str(photos)], "sweater", "pattern", None), photos / "kept"
    keep_photos(garment_catalogue(garments, ["x"] * 3, kept), kept)
    Image.new("RGB", (60, 80), "green").save(photos / "torn.jpg")
    again = garment_catalogue(garments, ["x"] * 3, kept)
    assert [(one.file, "train it in a run of its own" in one.reason) for one in again.problems] == [("torn", True)]
    assert len(again.records) == 2
