"""Packages' metadata as read by imgfx: the same as importlib.metadata says."""

import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, entry_points, version

import pytest

from imgfx import installed
from imgfx.installed import Package, Point, installed_points


def as_told(points):
    return sorted((p.group, p.name, p.value) for p in points)


def of_the_library():
    found = entry_points()
    return sorted((g, p.name, p.value) for g in found.groups for p in found.select(group=g))


def make_package(place, folder, points, headers="Name: x\nVersion: 1\n", name="METADATA"):
    """A package's metadata, as an installer leaves it."""
    information = place / folder
    information.mkdir(parents=True)
    (information / "entry_points.txt").write_text(points, encoding="utf-8")
    if headers is not None:
        (information / name).write_text(headers, encoding="utf-8")
    return information


def test_all_that_is_installed_here_is_found_as_the_library_finds_it():
    assert as_told(installed_points(lambda _group: True)) == of_the_library()
    assert len(of_the_library()) > 20


def test_names_and_versions_are_those_that_the_library_says():
    for point in installed_points(lambda _group: True):
        assert point.package.version == version(point.package.name)


ODD = """
no = group:yet
# a comment
[ imgfx.filters.v1 ]
[imgfx.filters.v1]
plain = one
  spaced=two : Class.method [extra, more]
twice = a = b

[imgfx.sinks.v1]
tr\u00e8s = three.four
"""


@pytest.mark.parametrize(
    ("folder", "name"), [("odd_one-1.0.dist-info", "METADATA"), ("odd.one.egg-info", "PKG-INFO")]
)
def test_odd_files_are_read_as_the_library_reads_them(tmp_path, monkeypatch, folder, name):
    make_package(tmp_path, folder, ODD, "Name: odd-one\nVersion: 1.0\n\nVersion: 2\n", name)
    monkeypatch.syspath_prepend(str(tmp_path))
    mine = as_told(installed_points(lambda group: group.startswith("imgfx.")))
    assert mine == [found for found in of_the_library() if found[0].startswith("imgfx.")]
    assert ("imgfx.sinks.v1", "tr\u00e8s", "three.four") in mine
    assert ("imgfx.filters.v1", "twice", "a = b") in mine
    point = next(p for p in installed_points(lambda _group: True) if p.name == "plain")
    assert (point.package.name, point.package.version) == ("odd-one", "1.0")


def test_a_line_that_says_nothing_costs_itself_alone(tmp_path, monkeypatch):
    make_package(tmp_path, "odd-1.dist-info", "[imgfx.x.v1]\nsays nothing\n\ufffd\na = m\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = as_told(installed_points(lambda group: group == "imgfx.x.v1"))
    assert found == [("imgfx.x.v1", "a", "m")]


def test_of_packages_of_one_name_the_first_on_the_path_counts(tmp_path, monkeypatch):
    make_package(tmp_path / "b", "A_b.c-1.dist-info", "[imgfx.x.v1]\nold = m\n")
    make_package(tmp_path / "a", "a.b-c-2.dist-info", "[imgfx.x.v1]\nnew = m\n")
    make_package(tmp_path / "a2", "a_b_c-2.dist-info", "[imgfx.x.v1]\nnew = m\n")
    for place in ("b", "a2"):
        monkeypatch.syspath_prepend(str(tmp_path / place))
    found = as_told(installed_points(lambda group: group == "imgfx.x.v1"))
    assert found == [("imgfx.x.v1", "new", "m")]
    assert found == [point for point in of_the_library() if point[0] == "imgfx.x.v1"]


@pytest.mark.parametrize("headers", [None, "", "Summary: no name\n"])
def test_a_package_without_a_name_is_still_found(tmp_path, monkeypatch, headers):
    make_package(tmp_path, "gone-1.dist-info", "[imgfx.x.v1]\na = m\n", headers)
    monkeypatch.syspath_prepend(str(tmp_path))
    (point,) = installed_points(lambda group: group == "imgfx.x.v1")
    assert (point.package.name, point.package.version) == ("unknown package", "")


def test_a_folder_that_cannot_be_listed_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "gone"), ""])
    expected = of_the_library()
    monkeypatch.setattr(sys, "path", [7, *sys.path])  # at which the library gives up
    assert as_told(installed_points(lambda _group: True)) == expected


@pytest.mark.parametrize("place", ["x" * 300, "{shut}/inside"])
def test_a_place_that_cannot_be_asked_for_is_passed_over(tmp_path, place):
    (tmp_path / "shut").mkdir(mode=0)
    line = [sys.executable, "-c", ASKED, place.format(shut=tmp_path / "shut")]
    subprocess.run(line, capture_output=True, check=True)


ASKED = """
import os, sys
sys.path.append(sys.argv[1])
from imgfx import installed
if hasattr(os, "setuid") and os.getuid() == 0:
    list(installed.installed_points(bool))  # what is needed is imported while we may
    os.setuid(65534)
list(installed.installed_points(bool))
"""


def test_packages_without_names_are_kept_apart_beside_an_archive(tmp_path, monkeypatch):
    for name in ("a", "b"):
        make_package(tmp_path, f"{name}-1.dist-info", f"[imgfx.x.v1]\n{name} = m\n", None)
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("packed-3.dist-info/METADATA", "Name: packed\nVersion: 3\n")
    for place in (tmp_path, tmp_path / "packed.zip"):
        monkeypatch.syspath_prepend(str(place))
    found = as_told(installed_points(lambda group: group == "imgfx.x.v1"))
    assert [name for _, name, _ in found] == ["a", "b"]


def test_packages_in_archives_are_found(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("packed-3.dist-info/METADATA", "Name: packed\nVersion: 3\n")
        archive.writestr("packed-3.dist-info/entry_points.txt", "[imgfx.x.v1]\nz = m:f\n")
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))
    (point,) = installed_points(lambda group: group == "imgfx.x.v1")
    assert (point.name, point.package.name, point.package.version) == ("z", "packed", "3")
    assert as_told(installed_points(lambda _group: True)) == of_the_library()


def test_packages_that_a_finder_brings_are_found(tmp_path, monkeypatch):
    information = make_package(tmp_path, "brought-4.dist-info", "[imgfx.x.v1]\nf = m\n")

    class Finder:
        @staticmethod
        def find_spec(*_args):
            return None

        @staticmethod
        def find_distributions(*_args):
            yield Package(information).distribution

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    assert as_told(installed_points(lambda group: group == "imgfx.x.v1")) == [
        ("imgfx.x.v1", "f", "m")
    ]


def test_a_point_loads_what_it_stands_for():
    assert Point("p", "imgfx.installed", "g").load() is installed
    assert Point("p", "imgfx.installed : Package.points [extra]", "g").load() is Package.points
    assert Point("p", "imgfx.installed:Package", "g").module == "imgfx.installed"
    with pytest.raises(AttributeError, match="names no module"):
        Point("p", "not a module", "g").load()


def test_a_start_does_not_import_the_library():
    line = (
        "import sys, imgfx.cli; imgfx.cli.build_cli(); print('importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_of_what_was_taken_away_nothing_is_found(tmp_path):
    package = Package(tmp_path / "gone-1.dist-info")
    assert (package.name, package.version, list(package.points())) == ("unknown package", "", [])
    with pytest.raises(PackageNotFoundError):
        version("gone")
